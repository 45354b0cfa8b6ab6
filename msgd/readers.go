package msgd

import (
	"context"
	"errors"
	"fmt"

	"github.com/lexiflow/realtime/subjects"
)

// A read receipt goes to the log, and the watermark is what the log says (fold.go). So that no receipt
// is there twice, also when its writer died behind it and everybody was away for a day, it is published
// as a message is (send.go): only if the newest receipt of the conversation is the one known here. Then
// what is known of the reader is complete, and the receipt is news or not needed.

// readers is what this replica knows of a conversation's receipts. Whoever holds the lock owns it.
type readers struct {
	lock

	// Owned by the holder of lock.
	head   uint64               // sequence in the log of the newest receipt; 0 if the log has none
	known  bool                 // head was read once, and what was not folded then
	read   map[string]watermark // by user, complete up to head for those who are in folded
	folded map[string]bool      // users whose watermark was read since
}

func newReaders() *readers {
	return &readers{lock: newLock(), read: make(map[string]watermark), folded: make(map[string]bool)}
}

// announceRead puts a receipt into the log unless the user has come that far already, raises the
// watermark, and returns the highest one known then.
func (s *Service) announceRead(ctx context.Context, c *conversation, user string, m stored) (watermark, error) {
	now := s.options.Now()
	to, err := s.publishRead(ctx, c, watermark{m.number, m.message.ID, now.UnixMilli()}, subjects.MessageReadEvent{
		MessageID: m.message.ID, ConversationID: c.ID, UserID: user, ReadAt: subjects.At(now),
	})
	if err != nil {
		return to, err
	}
	s.step(ctx)
	have, err := s.raise(ctx, readValue(c.token, user), to)
	return have, perhaps(err)
}

// publishRead returns how far the log says that the user has come, which is to or further.
func (s *Service) publishRead(ctx context.Context, c *conversation, to watermark, receipt subjects.MessageReadEvent) (watermark, error) {
	r := s.readers.get(c.token)
	if err := r.acquire(ctx); err != nil {
		return to, err
	}
	defer r.release()
	subject := eventSubject(c.token, subjects.MessageRead.Name())
	name := "read." + receipt.MessageID + "." + digest(receipt.UserID)
	if err := s.learnReader(ctx, c.token, r, receipt.UserID); err != nil {
		return to, err
	}
	for {
		if have := r.read[receipt.UserID]; have.Number >= to.Number {
			return have, nil
		}
		seq, err := s.store.publish(ctx, subject, name, r.head, receipt)
		switch {
		case err == nil:
			r.head = seq
			r.read[receipt.UserID] = to
			return to, nil
		case !errors.Is(err, errConflict):
			return to, err // it is perhaps there: the next one conflicts, and reads it
		}
		s.metrics.collisions.Inc()
		if err := s.refreshReaders(ctx, c.token, r); err != nil {
			return to, err
		}
	}
}

// learnReader makes complete what is known of a user. What is folded is in RECEIPTS; it is read after
// all the rest is known, so that nothing falls between.
func (s *Service) learnReader(ctx context.Context, conv string, r *readers, user string) error {
	if !r.known {
		if err := s.learnReaders(ctx, conv, r); err != nil {
			return err
		}
	}
	if r.folded[user] {
		return nil
	}
	var folded watermark
	if _, err := s.store.load(ctx, readValue(conv, user), &folded); err != nil {
		return err
	}
	r.folded[user] = true
	r.note(user, folded)
	return nil
}

// learnReaders reads the receipts that are perhaps not folded yet: those behind the place up to which
// every message of MESSAGES is.
func (s *Service) learnReaders(ctx context.Context, conv string, r *readers) error {
	folded, err := s.folded(ctx)
	if err != nil {
		return err
	}
	subject := eventSubject(conv, subjects.MessageRead.Name())
	newest, _, err := s.store.last(ctx, subjects.StreamLog, subject)
	if err != nil {
		return err
	}
	err = s.readUpTo(ctx, newest.seq, func() (uint64, error) {
		reached := folded.origin
		err := s.eachBehind(ctx, subject, folded, func(e entry) bool {
			r.see(e)
			reached = max(reached, e.logged())
			return true
		})
		return reached, err
	})
	r.head, r.known = newest.seq, err == nil
	return err
}

// refreshReaders reads what others have published since.
func (s *Service) refreshReaders(ctx context.Context, conv string, r *readers) error {
	subject := eventSubject(conv, subjects.MessageRead.Name())
	newest, found, err := s.store.last(ctx, subjects.StreamLog, subject)
	if err != nil {
		return err
	}
	if found {
		err = s.readUpTo(ctx, newest.seq, func() (uint64, error) {
			reached := r.head
			err := s.each(ctx, subjects.StreamLog, subject, r.head+1, func(e entry) bool {
				r.see(e)
				reached = e.seq
				return e.seq < newest.seq
			})
			return reached, err
		})
	}
	if err == nil {
		r.head = newest.seq
	}
	return err
}

// folded is the place in MESSAGES, and in the log, up to which everything is folded.
func (s *Service) folded(ctx context.Context) (place, error) {
	consumer, err := s.js.Consumer(ctx, subjects.StreamMessages, foldConsumer)
	if err != nil {
		return place{}, fmt.Errorf("consumer %s: %w", foldConsumer, err)
	}
	seq := consumer.CachedInfo().AckFloor.Stream
	if seq == 0 {
		return place{}, nil
	}
	e, found, err := s.store.confirm(ctx, subjects.StreamMessages, seq)
	if err != nil || !found { // erased by an operator: read from the beginning
		return place{}, err
	}
	return place{seq: e.seq, origin: e.origin()}, nil
}

// see takes a receipt of the log. What is not understood is fold's to bury.
func (r *readers) see(e entry) {
	receipt, err := subjects.MessageRead.Decode(e.data)
	if p, ok := parseMessageID(receipt.MessageID); ok && err == nil {
		r.note(receipt.UserID, watermark{p.number, receipt.MessageID, receipt.ReadAt.UnixMilli()})
	}
}

func (r *readers) note(user string, w watermark) {
	if w.Number > r.read[user].Number {
		r.read[user] = w
	}
}
