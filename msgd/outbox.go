package msgd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// What follows from a change of members: the index of each user it touches, access.changed, and the
// news for the clients. The conversation holds who is still to be told; whoever finishes clears it.
//
// Everything here may be done twice, in any order, by processes that were stopped in between: an index
// entry counts its conversation's revision and never goes back, an announcement is published only behind
// one of a lower revision, and the note to somebody who was taken out only where none is yet.

// userIndex is one user's conversations. Those the user was taken out of stay for a while, so that
// a writer of long ago does not put them back.
type userIndex struct {
	Conversations map[string]membership `json:"conversations"` // by token
}

type membership struct {
	Revision int64 `json:"revision"` // of the conversation
	In       bool  `json:"in"`
	At       int64 `json:"at"` // Unix milliseconds
}

const keepTombstones = 30 * 24 * time.Hour

// announce finishes what a conversation's value says is pending, and returns the value then.
func (s *Service) announce(ctx context.Context, conv string) (*conversation, error) {
	for {
		id, err := subjects.Unescape(conv)
		if err != nil {
			return nil, err
		}
		c, revision, err := s.conversation(ctx, id)
		if err != nil || c == nil || len(c.Pending) == 0 {
			return c, ifNil(c, perhaps(err))
		}
		s.step(ctx)
		if err := s.tell(ctx, c); err != nil {
			return nil, perhaps(err)
		}
		s.step(ctx)
		c.Pending, c.Left = nil, nil
		err = s.store.save(ctx, conversationValue(conv), revision, c)
		switch {
		case err == nil:
			return c, nil
		case !errors.Is(err, errConflict):
			return nil, perhaps(err)
		}
		s.metrics.collisions.Inc() // changed, or cleared, by somebody else
	}
}

// ifNil makes an absent conversation an error.
func ifNil(c *conversation, err error) error {
	if err == nil && c == nil {
		return errNotMember
	}
	return err
}

// tell does the steps. The indexes come first: a fresh socket whose hello misses a change is then still
// reached by access.changed, which follows.
func (s *Service) tell(ctx context.Context, c *conversation) error {
	err := parallel(len(c.Pending), func(i int) error { return s.index(ctx, c, c.Pending[i]) })
	if err != nil {
		return err
	}
	s.step(ctx)
	access := subjects.AccessChangedEvent{Allow: c.memberIDs(), Revision: c.Revision}
	if err := s.publishState(ctx, c, subjects.AccessChanged.Name(), access); err != nil {
		return err
	}
	s.step(ctx)
	news := c.news()
	if err := s.publishState(ctx, c, subjects.ConversationUpdated.Name(), news); err != nil {
		return err
	}
	for user, left := range c.Left {
		s.step(ctx)
		if err := s.publishLeft(ctx, c, user, left, news); err != nil {
			return err
		}
	}
	return nil
}

// publishLeft tells somebody who was taken out, once: behind the newest note to that user, and only if none
// since then is this one.
func (s *Service) publishLeft(ctx context.Context, c *conversation, user string, left departure, news subjects.ConversationEvent) error {
	subject, err := subjects.ConversationUpdated.To(subjects.KindUser).Subject(user)
	if err != nil {
		return err
	}
	name := "left." + digest(user, c.ID) + "." + strconv.FormatInt(left.Revision, 10)
	for {
		newest, _, err := s.store.last(ctx, subjects.StreamLog, subject)
		if err != nil {
			return err
		}
		told := false
		err = s.readUpTo(ctx, newest.seq, func() (uint64, error) {
			reached := left.Behind
			if reached >= newest.seq {
				return reached, nil
			}
			err := s.each(ctx, subjects.StreamLog, subject, left.Behind+1, func(e entry) bool {
				reached, told = e.seq, told || lastHeader(e.header, subjects.HeaderMsgID) == name
				return e.seq < newest.seq
			})
			return reached, err
		})
		if err != nil || told {
			return err
		}
		if _, err = s.store.publish(ctx, subject, name, newest.seq, news); !errors.Is(err, errConflict) {
			return err
		}
		s.metrics.collisions.Inc()
	}
}

func (c *conversation) news() subjects.ConversationEvent {
	v := c.view()
	return subjects.ConversationEvent{
		ConversationID: c.ID, Title: c.Title, MemberIDs: v.MemberIDs, CreatedBy: c.CreatedBy,
		CreatedAt: v.CreatedAt, Revision: c.Revision,
	}
}

// index writes one user's membership as the conversation's revision has it.
func (s *Service) index(ctx context.Context, c *conversation, user string) error {
	at, now := userValue(user), s.options.Now()
	for {
		var u userIndex
		revision, err := s.store.load(ctx, at, &u)
		if err != nil {
			return err
		}
		_, in := c.Members[user]
		if !u.set(c.token, membership{Revision: c.Revision, In: in, At: now.UnixMilli()}) {
			return nil
		}
		u.prune(now)
		if err = s.store.save(ctx, at, revision, u); !errors.Is(err, errConflict) {
			return err
		}
		s.metrics.collisions.Inc()
	}
}

// set enters a membership unless a newer or the same one is known.
func (u *userIndex) set(conv string, m membership) bool {
	if known, ok := u.Conversations[conv]; ok && known.Revision >= m.Revision {
		return false
	}
	if u.Conversations == nil {
		u.Conversations = make(map[string]membership)
	}
	u.Conversations[conv] = m
	return true
}

func (u *userIndex) prune(now time.Time) {
	oldest := now.Add(-keepTombstones).UnixMilli()
	for conv, m := range u.Conversations {
		if !m.In && m.At < oldest {
			delete(u.Conversations, conv)
		}
	}
}

// publishState logs whole state with a revision, once, and never behind newer state: it is published
// only if the newest one on its subject is the one that was found to be older.
func (s *Service) publishState(ctx context.Context, c *conversation, event string, payload any) error {
	subject := eventSubject(c.token, event)
	msgID := strings.ReplaceAll(event, ":", ".") + "." + c.token + "." + strconv.FormatInt(c.Revision, 10)
	for {
		e, found, err := s.store.last(ctx, subjects.StreamLog, subject)
		if err != nil {
			return err
		}
		if found {
			var newest struct {
				Revision int64 `json:"revision"`
			}
			if err := json.Unmarshal(e.data, &newest); err == nil && newest.Revision >= c.Revision {
				return nil
			}
		}
		if _, err = s.store.publish(ctx, subject, msgID, e.seq, payload); !errors.Is(err, errConflict) {
			return err
		}
		s.metrics.collisions.Inc()
	}
}

const outboxBatch = 64

// flushOutbox makes up for writers that died between a change and its announcement: every value that
// is written passes a durable consumer on the bucket.
func (s *Service) flushOutbox(ctx context.Context) error {
	return s.follow(ctx, conversationsStream, outboxConsumer, outboxBatch, func(ctx context.Context, batch []jetstream.Msg) {
		for _, m := range batch {
			s.checkPending(ctx, m)
		}
	})
}

// checkPending looks at one written value. Its writer is given time to finish: then a newer value has
// taken its place, and this one does not come again.
func (s *Service) checkPending(ctx context.Context, m jetstream.Msg) {
	var v struct {
		Pending json.RawMessage `json:"pending"`
	}
	meta, err := m.Metadata()
	if err == nil {
		err = json.Unmarshal(m.Data(), &v)
	}
	switch {
	case err != nil:
		s.bury(ctx, m, err)
		return
	case len(v.Pending) == 0 || string(v.Pending) == "null":
	case meta.NumDelivered == 1:
		s.later(m, s.options.OutboxDelay)
		return
	default:
		if err := s.makeUp(ctx, m.Subject()); err != nil {
			s.log.Warn("an announcement could not be made up, trying again", "error", err)
			s.later(m, s.options.OutboxDelay)
			return
		}
	}
	if err := m.Ack(); err != nil {
		s.log.Warn("a value could not be settled and comes again", "error", err)
	}
}

func (s *Service) later(m jetstream.Msg, delay time.Duration) {
	if err := m.NakWithDelay(delay); err != nil {
		s.log.Warn("a value could not be put off and comes again", "error", err)
	}
}

// makeUp announces what the value under a subject of the bucket says is pending.
func (s *Service) makeUp(ctx context.Context, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.CommandTimeout)
	defer cancel()
	s.metrics.outbox.Inc()
	parts := strings.Split(strings.TrimPrefix(subject, conversationsPrefix), ".")
	switch {
	case len(parts) == 2 && parts[0] == "conv":
		_, err := s.announce(ctx, parts[1])
		return err
	case len(parts) == 3 && parts[0] == "edit":
		number, err := strconv.ParseInt(parts[2], 10, 64)
		if err != nil {
			return err
		}
		return s.announceEdit(ctx, parts[1], number)
	}
	return fmt.Errorf("%s is not a value with announcements", subject)
}

// roomFor checks that users may be in one more conversation.
func (s *Service) roomFor(ctx context.Context, users []string) error {
	return parallel(len(users), func(i int) error {
		u, err := s.userConversations(ctx, users[i])
		if err == nil && len(u) >= s.options.MaxConversations {
			err = subjects.Errorf(subjects.CodeRoomLimit, "a user is in %d conversations already, which is the limit", len(u))
		}
		return err
	})
}

// userConversations lists the conversations a user is in, the newest membership first.
func (s *Service) userConversations(ctx context.Context, user string) ([]string, error) {
	var u userIndex
	if _, err := s.store.load(ctx, userValue(user), &u); err != nil {
		return nil, err
	}
	var list []string
	for conv, m := range u.Conversations {
		if m.In {
			list = append(list, conv)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		if d := u.Conversations[b].At - u.Conversations[a].At; d != 0 {
			return int(min(max(d, -1), 1))
		}
		return strings.Compare(a, b)
	})
	return list, nil
}
