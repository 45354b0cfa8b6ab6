package msgd

import (
	"context"
	"errors"

	"github.com/lexiflow/realtime/subjects"
)

// A watermark says how far somebody has come: it only rises, so repeating it or raising it out of order
// leaves the same.
type watermark struct {
	Number    int64  `json:"number"`
	MessageID string `json:"messageId"`
	At        int64  `json:"at"` // Unix milliseconds
}

// raise lifts a watermark, and returns the highest one known then.
func (s *Service) raise(ctx context.Context, at value, to watermark) (watermark, error) {
	for {
		var have watermark
		revision, err := s.store.load(ctx, at, &have)
		if err != nil || have.Number >= to.Number {
			return have, err
		}
		err = s.store.save(ctx, at, revision, to)
		if !errors.Is(err, errConflict) {
			return to, err
		}
		s.metrics.collisions.Inc()
	}
}

// markRead answers message:read: everything up to this message is read. The log hears of it first; the
// watermark is what the log says (fold.go), raised here at once.
func (s *Service) markRead(ctx context.Context, who subjects.Caller, req subjects.MessageRequest) (answer[subjects.MessageMarkedRead], error) {
	none := answer[subjects.MessageMarkedRead]{}
	c, m, err := s.messageFor(ctx, who, req)
	if err != nil {
		return none, err
	}
	have, err := s.announceRead(ctx, c, who.User, m)
	if err != nil {
		return none, err
	}
	h, err := s.head(ctx, c.token)
	if err != nil {
		return none, perhaps(err)
	}
	count, err := s.unreadBehind(ctx, c, who.User, have, h)
	if err != nil {
		return none, perhaps(err)
	}
	return answer[subjects.MessageMarkedRead]{ack: subjects.MessageMarkedRead{Success: true, UnreadCount: count}}, nil
}

// markDelivered answers message:delivered. It is part of the older clients' dialect, so the socket
// enters its user's room of that dialect, and the author hears of it there.
func (s *Service) markDelivered(ctx context.Context, who subjects.Caller, req subjects.MessageRequest) (answer[subjects.Success], error) {
	c, m, err := s.messageFor(ctx, who, req)
	if err != nil {
		return answer[subjects.Success]{}, err
	}
	done := answer[subjects.Success]{ack: subjects.Success{Success: true}, join: []string{dialectRoom(who.User)}}
	at, now := deliveredValue(c.token, who.User), s.options.Now()
	var have watermark
	if _, err := s.store.load(ctx, at, &have); err != nil {
		return answer[subjects.Success]{}, err
	}
	if have.Number >= m.number {
		return done, nil
	}
	if _, err := s.raise(ctx, at, watermark{m.number, m.message.ID, now.UnixMilli()}); err != nil {
		return answer[subjects.Success]{}, perhaps(err)
	}
	if author := m.message.SenderID; author != who.User {
		s.passing(ctx, subjects.MessageDelivered.Name(), dialectID(author), subjects.MessageDeliveredEvent{
			MessageID: m.message.ID, ConversationID: c.ID, UserID: who.User, DeliveredAt: subjects.At(now),
		})
	}
	return done, nil
}

// messageFor finds the message that a member names.
func (s *Service) messageFor(ctx context.Context, who subjects.Caller, req subjects.MessageRequest) (*conversation, stored, error) {
	if req.ConversationID == "" || req.MessageID == "" {
		return nil, stored{}, errInput
	}
	c, err := s.memberOf(ctx, who, req.ConversationID)
	if err != nil {
		return nil, stored{}, err
	}
	m, err := s.message(ctx, c.token, req.MessageID)
	return c, m, err
}

// unread counts what others wrote behind a member's watermark. A message that was deleted counts until
// it is passed: its place is still there to be seen.
func (s *Service) unread(ctx context.Context, c *conversation, user string, h head) (int64, error) {
	var have watermark
	if _, err := s.store.load(ctx, readValue(c.token, user), &have); err != nil {
		return 0, err
	}
	return s.unreadBehind(ctx, c, user, have, h)
}

func (s *Service) unreadBehind(ctx context.Context, c *conversation, user string, have watermark, h head) (int64, error) {
	lo := max(have.Number, c.Members[user].From) + 1
	if lo > h.number {
		return 0, nil
	}
	known, missing, err := s.places(ctx, c.token, lo, h.number)
	if err != nil {
		return 0, err
	}
	others := map[int64]bool{}
	for _, at := range known {
		if at.sender != user {
			others[at.number] = true
		}
	}
	if len(missing) > 0 {
		err = s.readYoung(ctx, c.token, missing, func(m stored) {
			if m.message.SenderID != user {
				others[m.number] = true
			}
		})
	}
	return int64(len(others)), err
}

// receipts lists how far each member has come.
func (s *Service) receipts(ctx context.Context, c *conversation) ([]subjects.Receipt, error) {
	members := c.memberIDs()
	list := make([]subjects.Receipt, len(members))
	err := parallel(len(members), func(i int) error {
		var read, delivered watermark
		_, err := s.store.load(ctx, readValue(c.token, members[i]), &read)
		if err == nil {
			_, err = s.store.load(ctx, deliveredValue(c.token, members[i]), &delivered)
		}
		list[i] = subjects.Receipt{UserID: members[i], ReadMessageID: read.MessageID, DeliveredMessageID: delivered.MessageID}
		return err
	})
	return list, err
}
