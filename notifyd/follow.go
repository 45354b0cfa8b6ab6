package notifyd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/lexiflow/realtime/subjects"
)

// Who follows a case is told what happens to it. The bucket FOLLOWS, by key:
//
//	case.<case>     its followers
//	user.<user>     the cases a user follows, for the cap
//	digest.<case>   what has happened and is still to be told; see digest.go
//
// A follow is first noted with the user, then with the case, and taken back in the
// other order: what a crash leaves is a place in the cap that the next try uses.
const (
	followCasePrefix = "case."
	followUserPrefix = "user."
	digestPrefix     = "digest."
)

// follows is the bucket. Its methods may be called concurrently.
type follows struct {
	store *store
}

// followers of one case, by user. The value says by what they were admitted.
type followers map[string]admission

type admission struct {
	Scoped bool `json:"scoped,omitempty"` // by the token's scope; else by the list of ACCESS
}

// admitted returns those who may still see the case.
func (f followers) admitted(list subjects.AccessChangedEvent, open bool) []string {
	var users []string
	for user, by := range f {
		if open || !slices.Contains(list.Deny, user) && (by.Scoped || slices.Contains(list.Allow, user)) {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	return users
}

func (f *follows) of(ctx context.Context, caseID string) (followers, error) {
	key, err := subjects.Escape(caseID)
	if err != nil {
		return nil, err
	}
	who := followers{}
	_, err = f.read(ctx, followCasePrefix+key, true, &who)
	return who, err
}

func (f *follows) read(ctx context.Context, key string, exactly bool, into any) (rev uint64, err error) {
	data, rev, err := f.store.read(ctx, key, exactly)
	if err != nil || data == nil {
		return rev, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return 0, fmt.Errorf("%w: %s: %w", errRecord, key, err)
	}
	return rev, nil
}

// update changes one key by compare-and-set. change says whether there is anything to
// write; that there is not, and that it must not be, counts only if the key is read exactly.
func update[T any](ctx context.Context, f *follows, key string, empty func() T, change func(*T) (bool, error)) error {
	for n := range casAttempts {
		exactly := n > 0
		value := empty()
		rev, err := f.read(ctx, key, exactly, &value)
		if err != nil {
			return err
		}
		write, err := change(&value)
		if err != nil || !write {
			if exactly {
				return err
			}
			continue
		}
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if _, err = f.store.put(ctx, key, data, nats.Header{}, rev); !errors.Is(err, errConflict) {
			return err
		}
	}
	return subjects.Errorf(subjects.CodeConflict, "it is being changed elsewhere, try again")
}

func noCases() []string      { return nil }
func noFollowers() followers { return followers{} }
func tooMany(n int, of string) error {
	return subjects.Errorf(subjects.CodeRoomLimit, "at most %d %s", n, of)
}

func (f *follows) add(ctx context.Context, user, userKey, caseID, caseKey string, by admission, maxCases, maxFollowers int) error {
	err := update(ctx, f, followUserPrefix+userKey, noCases, func(cases *[]string) (bool, error) {
		if slices.Contains(*cases, caseID) {
			return false, nil
		}
		if len(*cases) >= maxCases {
			return false, tooMany(maxCases, "cases can be followed")
		}
		*cases = append(*cases, caseID)
		return true, nil
	})
	if err != nil {
		return err
	}
	return update(ctx, f, followCasePrefix+caseKey, noFollowers, func(who *followers) (bool, error) {
		had, ok := (*who)[user]
		if ok && had == by {
			return false, nil
		}
		if !ok && len(*who) >= maxFollowers {
			return false, tooMany(maxFollowers, "users can follow a case")
		}
		(*who)[user] = by
		return true, nil
	})
}

func (f *follows) remove(ctx context.Context, user, userKey, caseID, caseKey string) error {
	err := update(ctx, f, followCasePrefix+caseKey, noFollowers, func(who *followers) (bool, error) {
		_, ok := (*who)[user]
		delete(*who, user)
		return ok, nil
	})
	if err != nil {
		return err
	}
	return update(ctx, f, followUserPrefix+userKey, noCases, func(cases *[]string) (bool, error) {
		i := slices.Index(*cases, caseID)
		if i < 0 {
			return false, nil
		}
		*cases = slices.Delete(*cases, i, i+1)
		return true, nil
	})
}

// followRequest reads notification:follow and unfollow.
func followRequest(req micro.Request) (who caller, caseID, caseKey string, err error) {
	if who, err = callerOf(req); err != nil {
		return who, "", "", err
	}
	wanted, err := subjects.NotificationFollow.Decode(req.Data())
	if err != nil {
		return who, "", "", errInvalid
	}
	if caseKey, err = subjects.Escape(wanted.CaseID); err != nil {
		return who, "", "", errInvalid
	}
	return who, wanted.CaseID, caseKey, nil
}

func (s *Service) follow(ctx context.Context, req micro.Request) (reply subjects.Reply, ack any, err error) {
	who, caseID, key, err := followRequest(req)
	if err != nil {
		return reply, nil, err
	}
	by, err := s.admit(ctx, who, caseID)
	if err != nil {
		return reply, nil, err
	}
	if err := s.follows.add(ctx, who.User, who.key, caseID, key, by, s.options.MaxFollows, s.options.MaxFollowers); err != nil {
		return reply, nil, err
	}
	return reply, subjects.NotificationFollowing{Success: true, CaseID: caseID, Following: true}, nil
}

func (s *Service) unfollow(ctx context.Context, req micro.Request) (reply subjects.Reply, ack any, err error) {
	who, caseID, key, err := followRequest(req)
	if err != nil {
		return reply, nil, err
	}
	if err := s.follows.remove(ctx, who.User, who.key, caseID, key); err != nil {
		return reply, nil, err
	}
	return reply, subjects.NotificationFollowing{Success: true, CaseID: caseID, Following: false}, nil
}

// admit decides as an edge does when a client wants to watch the case: its list in
// ACCESS and the token's scope together, deny beats allow.
func (s *Service) admit(ctx context.Context, who caller, caseID string) (admission, error) {
	if s.options.OpenCases {
		return admission{}, nil
	}
	list, err := s.access(ctx, subjects.KindCase, caseID)
	if err != nil {
		return admission{}, err
	}
	scoped := hasScope(who.Scope, string(subjects.KindCase), caseID)
	if slices.Contains(list.Deny, who.User) || !scoped && !slices.Contains(list.Allow, who.User) {
		return admission{}, subjects.Errorf(subjects.CodeForbidden, "no access to this case")
	}
	return admission{Scoped: scoped}, nil
}

// access reads who may enter a room, as the log says it now: the newer of the log's last change and the
// bucket's, which is filled from the log a moment later and keeps what the log has let go of. A room without
// a list has an empty one.
func (s *Service) access(ctx context.Context, k subjects.Kind, id string) (list subjects.AccessChangedEvent, err error) {
	key, err := subjects.Room(k, id)
	if err != nil {
		return list, err
	}
	subject, err := subjects.Log.Subject(k, id, subjects.AccessChanged.Name())
	if err != nil {
		return list, err
	}
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	// A list that cannot be read must not open what it may have closed.
	last, err := subjects.FromLeader(ctx, s.nc, subjects.StreamLog, subjects.LeaderQuery{Last: subject})
	switch {
	case err == nil:
		if err := json.Unmarshal(last.Data, &list); err != nil {
			return list, err
		}
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return list, err
	}
	data, _, err := subjects.ValueFromLeader(ctx, s.nc, subjects.BucketAccess, key)
	if err != nil || data == nil {
		return list, err
	}
	var stored subjects.AccessChangedEvent
	if err := json.Unmarshal(data, &stored); err != nil {
		return list, err
	}
	if last == nil || stored.Revision > list.Revision {
		list = stored
	}
	return list, nil
}

// hasScope looks for "kind:id" or "kind:*" among the words of a scope.
func hasScope(scope, kind, id string) bool {
	for word := range strings.FieldsSeq(scope) {
		k, what, ok := strings.Cut(word, ":")
		if ok && k == kind && (what == "*" || what == id) {
			return true
		}
	}
	return false
}

// durableCases reads what happens to cases.
const durableCases = "notifyd-cases"

// receiveCase takes an event of a case. It must not block.
func (s *Service) receiveCase(msg jetstream.Msg) {
	subject, err := subjects.Parse(msg.Subject())
	if err != nil || !worthTelling(subject.Event) {
		s.ack(msg)
		return
	}
	meta, err := msg.Metadata()
	if err != nil {
		s.log.Error("a message without metadata", "subject", msg.Subject(), "error", err)
		return
	}
	s.background(func(ctx context.Context) {
		if err := s.digests.collect(ctx, subject, meta.Sequence.Stream, meta.Timestamp, msg.Data()); err != nil {
			if ctx.Err() != nil {
				err = errStopping
			}
			s.retry(msg, meta, err)
			return
		}
		s.metrics.processed.WithLabelValues("event").Inc()
		s.ack(msg)
	})
}

// lookAtCases learns how far the events of cases are done.
func (s *Service) lookAtCases(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	info, err := s.cases.Info(ctx)
	if err != nil {
		return fmt.Errorf("consumer %s: %w", durableCases, err)
	}
	s.digests.floor.Store(info.AckFloor.Stream)
	s.metrics.lag.WithLabelValues(subjects.StreamLog).Set(float64(info.NumPending + uint64(max(info.NumAckPending, 0))))
	return nil
}
