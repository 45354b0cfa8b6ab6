package notifyd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// A notice to an audience is told page by page, and how far it came is kept in the
// bucket after each page. Whoever goes on after a crash begins with that page again;
// records know the queue's message as a cause, so nobody is told twice. Pages go by
// user id, not by position: a list may change in between.

const (
	maxAudience = 10000 // user ids in a request
	manyAtOnce  = 4     // audiences a replica tells at a time
	tellAtOnce  = 256   // users of a page in flight
)

// progress is how far an audience has been told.
type progress struct {
	After string `json:"after,omitempty"` // the last user told of the lists, in the order of ids
	Lists bool   `json:"lists,omitempty"` // all of the lists are told
	Next  uint64 `json:"next,omitempty"`  // where to go on among everybody
}

func checkAudience(a *subjects.Audience) *invalid {
	switch {
	case a == nil || len(a.UserIDs) == 0 && a.Case == "" && a.Conversation == "" && a.Team == "" && !a.Firm:
		return refuse("no-audience", "the audience names nobody")
	case len(a.UserIDs) > maxAudience:
		return refuse("audience-too-large", "an audience has %d userIds at most, this one has %d: name a case, a team or the firm instead", maxAudience, len(a.UserIDs))
	}
	ids := a.UserIDs
	for _, id := range []string{a.Case, a.Conversation, a.Team} {
		if id != "" {
			ids = append(slices.Clip(ids), id)
		}
	}
	for _, id := range ids {
		if _, err := subjects.Escape(id); err != nil {
			return refuse("invalid-audience", "an id of the audience: %w", err)
		}
	}
	return nil
}

// receiveMany takes a message of notify.many. It must not block.
func (s *Service) receiveMany(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		s.log.Error("a message without metadata", "subject", msg.Subject(), "error", err)
		return
	}
	r, n, bad := decode(msg.Data(), meta.Timestamp, maxRequest)
	if bad == nil {
		bad = checkAudience(r.Audience)
	}
	if bad == nil && r.UserID != "" {
		bad = refuse("invalid-audience", "a notice to an audience has no userId")
	}
	if bad != nil {
		s.bury(msg, meta, bad)
		return
	}
	s.background(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go s.hold(ctx, msg)
		select {
		case s.manySlots <- struct{}{}:
			defer func() { <-s.manySlots }()
		case <-ctx.Done():
			return
		}
		if err := s.tellAudience(ctx, msg, meta, r.Audience, n); err != nil {
			if ctx.Err() != nil {
				err = errStopping
			}
			s.retry(msg, meta, err)
			return
		}
		s.metrics.processed.WithLabelValues("audience").Inc()
		s.ack(msg)
	})
}

// hold keeps a message from being given to another replica until ctx ends. If that fails
// the other one begins too, and finds done what is done.
func (s *Service) hold(ctx context.Context, msg jetstream.Msg) {
	tick := time.NewTicker(s.options.AckWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := msg.InProgress(); err != nil {
				s.log.Debug("holding a message failed", "error", err)
			}
		}
	}
}

// tellAudience goes through an audience from where it was left.
func (s *Service) tellAudience(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata, a *subjects.Audience, n notice) error {
	key := manyPrefix + strconv.FormatUint(meta.Sequence.Stream, 10)
	p, err := s.progressOf(ctx, key)
	if err != nil {
		return err
	}
	tell := func(users []string) error {
		c := s.queue.cause(meta.Sequence.Stream, msg.Headers().Get(subjects.HeaderMsgID))
		return s.tell(ctx, users, n, c)
	}
	if !p.Lists {
		if err := s.tellLists(ctx, a, key, &p, tell); err != nil {
			return err
		}
	}
	if a.Firm {
		if err := s.tellEverybody(ctx, key, &p, tell); err != nil {
			return err
		}
	}
	return s.store.remove(ctx, key)
}

func (s *Service) tellLists(ctx context.Context, a *subjects.Audience, key string, p *progress, tell func([]string) error) error {
	users, err := s.listed(ctx, a)
	if err != nil {
		return err
	}
	i, found := slices.BinarySearch(users, p.After)
	if found {
		i++
	}
	for users = users[i:]; len(users) > 0; {
		page := users[:min(len(users), s.options.AudiencePage)]
		if err := tell(page); err != nil {
			return err
		}
		users = users[len(page):]
		if len(users) > 0 || a.Firm {
			p.After, p.Lists = page[len(page)-1], len(users) == 0
			if err := s.keepProgress(ctx, key, *p); err != nil {
				return err
			}
		}
	}
	return nil
}

// listed returns the users of an audience but for the firm, sorted, each once.
func (s *Service) listed(ctx context.Context, a *subjects.Audience) ([]string, error) {
	users := slices.Clone(a.UserIDs)
	for _, room := range []struct {
		kind subjects.Kind
		id   string
	}{{subjects.KindCase, a.Case}, {subjects.KindConversation, a.Conversation}, {subjects.KindTeam, a.Team}} {
		if room.id == "" {
			continue
		}
		list, err := s.access(ctx, room.kind, room.id)
		if err != nil {
			return nil, err
		}
		allowed := list.Allow
		if room.kind == subjects.KindCase {
			followers, err := s.follows.of(ctx, room.id)
			if err != nil {
				return nil, err
			}
			allowed = append(slices.Clip(allowed), followers.admitted(list, s.options.OpenCases)...)
		}
		for _, user := range allowed {
			if !slices.Contains(list.Deny, user) {
				users = append(users, user)
			}
		}
	}
	slices.Sort(users)
	return slices.Compact(users), nil
}

// tellEverybody goes through the users in the order in which they were met. Who is
// met meanwhile is not told.
func (s *Service) tellEverybody(ctx context.Context, key string, p *progress, tell func([]string) error) error {
	info, err := s.store.stream.Info(ctx)
	if err != nil {
		return err
	}
	for last := info.State.LastSeq; p.Next <= last; {
		var users []string
		next, err := s.store.headers(ctx, knownPrefix, p.Next, func(key string, _ jetstream.Msg, seq uint64, _ time.Time) bool {
			if len(users) == s.options.AudiencePage || seq > last {
				return false
			}
			if user, err := subjects.Unescape(key); err == nil {
				users = append(users, user)
			}
			return true
		})
		if err != nil {
			return err
		}
		if len(users) == 0 {
			return nil
		}
		if err := tell(users); err != nil {
			return err
		}
		p.Next, p.Lists = next, true
		if err := s.keepProgress(ctx, key, *p); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) progressOf(ctx context.Context, key string) (p progress, err error) {
	data, _, err := s.store.get(ctx, key)
	if err != nil || data == nil {
		return p, err
	}
	return p, json.Unmarshal(data, &p)
}

func (s *Service) keepProgress(ctx context.Context, key string, p progress) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = s.store.kv.Put(ctx, key, data)
	return err
}

// tell gives one notice to many users and waits until all have it. It returns the
// first error; the others have it nevertheless.
func (s *Service) tell(ctx context.Context, users []string, n notice, c cause) error {
	return s.each(ctx, users, func(string) (notice, cause, bool) { return n, c, true })
}

// each gives every user a notice of their own, or none.
func (s *Service) each(ctx context.Context, users []string, what func(user string) (notice, cause, bool)) error {
	var (
		slots = make(chan struct{}, tellAtOnce)
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	failed := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
	}
	for _, user := range users {
		n, c, ok := what(user)
		if !ok {
			continue
		}
		key, err := subjects.Escape(user)
		if err != nil {
			s.log.Warn("an id in an audience is no user's", "error", err)
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			failed(ctx.Err())
		}
		if ctx.Err() != nil {
			break
		}
		wg.Add(1)
		added := false
		s.lanes.do(user, key, &op{
			bytes: len(n.rest),
			apply: func(r *record, now time.Time) error {
				added = r.add(c, n.rest, s.preferences.quiet(r.key, n, now), s.options.Keep)
				return nil
			},
			done: func(err error) {
				switch {
				case err != nil:
					failed(fmt.Errorf("telling one of an audience: %w", err))
				case added:
					s.metrics.processed.WithLabelValues("notice").Inc()
				}
				<-slots
				wg.Done()
			},
		})
	}
	wg.Wait()
	return first
}
