package msgd

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// thread is what this replica knows of a conversation's end. It may be outdated: the expected sequence
// of the next publish says so, and then refresh reads what is new. Whoever holds the lock owns it.
type thread struct {
	lock

	// Owned by the holder of lock.
	head  head
	known bool // head was read once

	// sent holds the clientIds of the last day, complete up to head while sentKnown is set.
	sent      map[string]sentMessage // by digest of user and clientId
	sentKnown bool
	pruned    time.Time
}

type sentMessage struct {
	number int64
	ms     int64
}

// cached are the conversations about which this replica knows something that it would have to read
// again. Methods may be called concurrently.
type cached[T any] struct {
	fresh func() *T

	mu sync.Mutex
	// Guarded by mu.
	byConversation map[string]*T
}

const (
	maxCached   = 4096 // beyond which some are forgotten; who needs them reads them again
	catchUp     = 1024 // new messages that are read one by one before the day is read again
	dayBatch    = 256
	pruneThread = 10 * time.Minute
)

func newCached[T any](fresh func() *T) *cached[T] {
	return &cached[T]{fresh: fresh, byConversation: make(map[string]*T)}
}

// get returns what is known of a conversation. Two callers may hold different ones around the time one is
// forgotten: the log decides between them as between replicas.
func (c *cached[T]) get(conv string) *T {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.byConversation[conv]; found != nil {
		return found
	}
	for old := range c.byConversation {
		if len(c.byConversation) < maxCached {
			break
		}
		delete(c.byConversation, old)
	}
	fresh := c.fresh()
	c.byConversation[conv] = fresh
	return fresh
}

// lock is of capacity 1 and taken by sending, so that waiting for it ends with its context.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

func newThread() *thread { return &thread{lock: newLock()} }

// acquire takes the lock, or gives up with ctx.
func (l lock) acquire(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the conversation: %w", ctx.Err())
	}
}

func (l lock) release() { <-l }

// sentKey names a clientId of a user.
func sentKey(user, clientID string) string { return digest(user, clientID) }

// refresh reads the conversation's end again, and the clientIds of what is new.
func (s *Service) refresh(ctx context.Context, conv string, t *thread) error {
	h, err := s.head(ctx, conv)
	if err != nil {
		return err
	}
	before := t.head.number
	if t.sentKnown && h.number > before {
		if h.number-before > catchUp {
			t.sentKnown = false
		} else if err := s.noteSent(ctx, conv, t, before+1, h.number); err != nil {
			t.sentKnown = false
			return err
		}
	}
	t.head, t.known = h, true
	return nil
}

// learnSent reads the clientIds of the last day, backward from the head.
func (s *Service) learnSent(ctx context.Context, conv string, t *thread) error {
	t.sent = make(map[string]sentMessage)
	oldest := s.options.Now().Add(-s.options.Remember).UnixMilli()
	for hi := t.head.number; hi > 0; hi -= dayBatch {
		lo := max(1, hi-dayBatch+1)
		messages, err := s.read(ctx, conv, lo, hi)
		if err != nil {
			return err
		}
		for _, m := range messages {
			t.note(m)
		}
		if len(messages) > 0 && messages[0].ms < oldest {
			break
		}
	}
	t.sentKnown = true
	return nil
}

func (s *Service) noteSent(ctx context.Context, conv string, t *thread, lo, hi int64) error {
	messages, err := s.read(ctx, conv, lo, hi)
	for _, m := range messages {
		t.note(m)
	}
	return err
}

// note remembers a message's clientId. The first one counts, should there ever be two.
func (t *thread) note(m stored) {
	if m.message.ClientID == "" || t.sent == nil {
		return
	}
	key := sentKey(m.message.SenderID, m.message.ClientID)
	if first, ok := t.sent[key]; !ok || m.number < first.number {
		t.sent[key] = sentMessage{m.number, m.ms}
	}
}

// prune forgets clientIds that are older than promised.
func (t *thread) prune(now time.Time, remember time.Duration) {
	if now.Sub(t.pruned) < pruneThread {
		return
	}
	t.pruned = now
	oldest := now.Add(-remember).UnixMilli()
	for key, m := range t.sent {
		if m.ms < oldest {
			delete(t.sent, key)
		}
	}
}

// advance notes a message that this replica has published at a sequence of the log.
func (t *thread) advance(m stored, seq uint64) {
	t.head = head{position: m.position, seq: seq, newest: &m}
	t.note(m)
}
