package msgd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// Reading messages by number: those the index knows from their places in MESSAGES, the younger ones
// from MESSAGES behind the last indexed one and from the tail of the log behind its last origin.

// stored is a message as it was sent.
type stored struct {
	position
	message subjects.MessageEvent
}

// decodeMessage reads a message that msgd published; ok is false for everything else.
func decodeMessage(data []byte) (m stored, ok bool) {
	if err := json.Unmarshal(data, &m.message); err != nil {
		return stored{}, false
	}
	m.position, ok = parseMessageID(m.message.ID)
	return m, ok
}

// head is the end of a conversation.
type head struct {
	position
	seq    uint64  // in the log, of the newest message there; 0 if the log has none (any more)
	newest *stored // nil if there is none, or if somebody else's was published behind it
}

// head asks the leader for the newest message. The log forgets after days, MESSAGES does not.
func (s *Service) head(ctx context.Context, conv string) (head, error) {
	subject := eventSubject(conv, subjects.MessageNew.Name())
	e, found, err := s.store.last(ctx, subjects.StreamLog, subject)
	if err != nil {
		return head{}, err
	}
	h := head{seq: e.seq}
	if !found {
		if e, found, err = s.store.last(ctx, subjects.StreamMessages, subject); err != nil || !found {
			return head{}, err
		}
	}
	if m, ok := decodeMessage(e.data); ok {
		h.position, h.newest = m.position, &m
		return h, nil
	}
	return s.headBehind(ctx, conv, h)
}

// headBehind finds the last message of msgd when something else was published on its subject, which
// only an operator's hand can do: it reads on from the end of the index.
func (s *Service) headBehind(ctx context.Context, conv string, h head) (head, error) {
	s.log.Warn("a message was published past msgd; it is no part of the history", "conversation", conv)
	end := int64(1)
	for { // double until a page is missing, then take the last indexed one before that
		p, err := s.page(ctx, conv, pageOf(end))
		if err != nil {
			return head{}, err
		}
		if len(p.Seqs) == 0 {
			break
		}
		end += max(end, pageSize)
	}
	from, err := s.indexedBefore(ctx, conv, end)
	if err != nil {
		return head{}, err
	}
	h.number = from.number
	err = s.behind(ctx, conv, from, func(m stored) (more bool) {
		if m.number > h.number {
			h.position = m.position
		}
		return true
	})
	if err != nil || h.number == 0 || h.ms != 0 {
		return h, err
	}
	last, err := s.read(ctx, conv, h.number, h.number)
	if err == nil && len(last) == 1 {
		h.position = last[0].position
	}
	return h, err
}

// behind calls f with every message of msgd behind a place, in order, until f wants no more: first what
// MESSAGES has, then the log behind the origin of the last of those. A message may come twice.
func (s *Service) behind(ctx context.Context, conv string, from place, f func(stored) (more bool)) error {
	return s.eachBehind(ctx, eventSubject(conv, subjects.MessageNew.Name()), from, func(e entry) bool {
		m, ok := decodeMessage(e.data)
		return !ok || f(m)
	})
}

// eachBehind does so with whatever is on a subject of conversations.
func (s *Service) eachBehind(ctx context.Context, subject string, from place, f func(entry) (more bool)) error {
	origin, stopped := from.origin, false
	see := func(e entry) bool {
		stopped = !f(e)
		return !stopped
	}
	err := s.each(ctx, subjects.StreamMessages, subject, from.seq+1, func(e entry) bool {
		origin = max(origin, e.origin())
		return see(e)
	})
	if err != nil || stopped {
		return err
	}
	return s.each(ctx, subjects.StreamLog, subject, origin+1, see)
}

// each reads the first few messages one by one, which is how many there nearly always are, and the rest
// by a consumer.
func (s *Service) each(ctx context.Context, stream, subject string, from uint64, f func(entry) (more bool)) error {
	const few = 24
	for range few {
		e, found, err := s.store.next(ctx, stream, subject, from)
		if err != nil || !found || !f(e) {
			return err
		}
		from = e.seq + 1
	}
	return s.store.scan(ctx, stream, subject, from, f)
}

// readUpTo reads again until read has seen the message at a sequence of the log, which its leader has: a
// replica that answers for it may be behind.
func (s *Service) readUpTo(ctx context.Context, seq uint64, read func() (reached uint64, err error)) error {
	for {
		reached, err := read()
		if err != nil || reached >= seq {
			return err
		}
		if err := pause(ctx, rereadWait); err != nil {
			return err
		}
	}
}

// logged is where an entry of the log, or of MESSAGES, stands in the log.
func (e entry) logged() uint64 {
	if origin := e.origin(); origin != 0 {
		return origin
	}
	return e.seq
}

// rereadWait is how long a reader waits for a replica that has not yet what its leader has acked.
const rereadWait = 20 * time.Millisecond

// read returns the messages lo to hi, in order. A number that an operator has erased is left out. The
// caller knows that there is a message hi.
func (s *Service) read(ctx context.Context, conv string, lo, hi int64) ([]stored, error) {
	if lo > hi {
		return nil, nil
	}
	known, missing, err := s.places(ctx, conv, lo, hi)
	if err != nil {
		return nil, err
	}
	found := make([]*stored, hi-lo+1)
	err = parallel(len(known), func(i int) (err error) {
		found[known[i].number-lo], err = s.readAt(ctx, known[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		if err := s.readYoung(ctx, conv, missing, func(m stored) { found[m.number-lo] = &m }); err != nil {
			return nil, err
		}
	}
	messages := make([]stored, 0, len(found))
	for _, m := range found {
		if m != nil {
			messages = append(messages, *m)
		}
	}
	return messages, nil
}

// readAt reads an indexed message; nil says that it was erased. A replica may lag behind the index, so
// only the leader's word makes a message absent.
func (s *Service) readAt(ctx context.Context, at place) (*stored, error) {
	e, found, err := s.store.at(ctx, subjects.StreamMessages, at.seq)
	if err == nil && !found {
		e, found, err = s.store.confirm(ctx, subjects.StreamMessages, at.seq)
	}
	if err != nil || !found {
		return nil, err
	}
	m, ok := decodeMessage(e.data)
	if !ok || m.number != at.number {
		return nil, fmt.Errorf("message %d of MESSAGES is not the number %d that the index says", at.seq, at.number)
	}
	return &m, nil
}

// readYoung finds messages that are not indexed yet. It ends when it has seen the last of them or a
// later one, and otherwise waits: the leader has it, so it is on its way to the replica that was asked.
func (s *Service) readYoung(ctx context.Context, conv string, missing []int64, keep func(stored)) error {
	from, err := s.indexedBefore(ctx, conv, missing[0])
	if err != nil {
		return err
	}
	for {
		last := int64(0)
		err := s.behind(ctx, conv, from, func(m stored) (more bool) {
			if _, wanted := slices.BinarySearch(missing, m.number); wanted {
				keep(m)
			}
			last = max(last, m.number)
			return last < missing[len(missing)-1]
		})
		if err != nil || last >= missing[len(missing)-1] {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for message %d: %w", missing[len(missing)-1], ctx.Err())
		case <-time.After(rereadWait):
		}
	}
}

// message reads one message by its id; errNoMessage if it is not the id of one in this conversation.
func (s *Service) message(ctx context.Context, conv, id string) (stored, error) {
	p, ok := parseMessageID(id)
	if !ok {
		return stored{}, errNoMessage
	}
	known, _, err := s.places(ctx, conv, p.number, p.number)
	if err != nil {
		return stored{}, err
	}
	if len(known) == 0 { // young, or invented
		h, err := s.head(ctx, conv)
		switch {
		case err != nil:
			return stored{}, err
		case p.number > h.number:
			return stored{}, errNoMessage
		case h.newest != nil && h.newest.message.ID == id:
			return *h.newest, nil
		}
	}
	messages, err := s.read(ctx, conv, p.number, p.number)
	switch {
	case err != nil:
		return stored{}, err
	case len(messages) == 0 || messages[0].message.ID != id:
		return stored{}, errNoMessage
	}
	return messages[0], nil
}
