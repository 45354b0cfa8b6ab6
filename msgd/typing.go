package msgd

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// Who is typing is held in memory alone. Every replica hears the passing events of all of them, so
// that each knows who types where; the one that took the last start says the stop when it is not
// repeated, and another one says it a little later if that one has died. A start that repeats a recent
// one is noted by the replica that took it and not passed on, so with several replicas the stop may
// come early, by the throttle at most; who still types is announced again with the next start.

// typists is that memory: pure bookkeeping over given times. Methods may be called concurrently.
type typists struct {
	throttle, expiry time.Duration

	mu sync.Mutex
	// Guarded by mu.
	typing map[typistKey]*typist
}

type typistKey struct{ conv, user string } // the conversation's token, the user's id

type typist struct {
	said    time.Time // when a start was last passed on
	until   time.Time // when the stop is due, or when this is forgotten
	stopped bool      // the stop was said, and need not be said again
	mine    bool      // this replica passed the start on
}

const (
	maxTypists   = 100_000                // beyond which a start is passed on without being remembered
	strangerWait = time.Second            // how much later another replica says the stop
	typingTick   = 100 * time.Millisecond // how late a stop may be
)

func newTypists(throttle, expiry time.Duration) *typists {
	return &typists{throttle: throttle, expiry: expiry, typing: make(map[typistKey]*typist)}
}

// repeats reports whether a start only repeats one that was passed on a moment ago, and notes it.
func (t *typists) repeats(key typistKey, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.typing[key]
	if one == nil || one.stopped || now.Sub(one.said) >= t.throttle {
		return false
	}
	one.until = now.Add(t.wait(one.mine))
	return true
}

// start notes a start that is passed on, by this replica or by another one.
func (t *typists) start(key typistKey, now time.Time, mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(key, typist{said: now, until: now.Add(t.wait(mine)), mine: mine})
}

// wait is how long after a start the stop is due.
func (t *typists) wait(mine bool) time.Duration {
	if mine {
		return t.expiry
	}
	return t.expiry + strangerWait
}

// stop notes a stop, and reports whether it is to be told: not if somebody has just said it. A stop of
// somebody who is not known to type is told too: the start may still be on its way from another replica.
func (t *typists) stop(key typistKey, now time.Time) (tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.typing[key]
	tell = one == nil || !one.stopped || !now.Before(one.until)
	t.note(key, typist{until: now.Add(t.throttle), stopped: true})
	return tell
}

// note needs mu.
func (t *typists) note(key typistKey, one typist) {
	if _, known := t.typing[key]; known || len(t.typing) < maxTypists {
		t.typing[key] = &one
	}
}

// expired takes out those whose time is over, and returns whom to say a stop for.
func (t *typists) expired(now time.Time) []typistKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []typistKey
	for key, one := range t.typing {
		if now.Before(one.until) {
			continue
		}
		delete(t.typing, key)
		if !one.stopped {
			due = append(due, key)
		}
	}
	return due
}

func (t *typists) count() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.typing {
		if !one.stopped {
			n++
		}
	}
	return n
}

// typingStart answers typing:start. A start that repeats a recent one costs nothing but its ack.
func (s *Service) typingStart(ctx context.Context, who subjects.Caller, req subjects.ConversationRequest) (answer[subjects.Success], error) {
	done := answer[subjects.Success]{ack: subjects.Success{Success: true}}
	if req.ConversationID == "" {
		return answer[subjects.Success]{}, errNoConversation
	}
	key := typistKey{token(req.ConversationID), who.User}
	if s.typists.repeats(key, s.options.Now()) {
		return done, nil
	}
	c, err := s.memberOf(ctx, who, req.ConversationID)
	if err != nil {
		return answer[subjects.Success]{}, err
	}
	s.typists.start(key, s.options.Now(), true)
	s.sayTyping(ctx, c, who.User, true)
	done.join = []string{c.room()} // who types wants to see who answers (contract 8, B17)
	return done, nil
}

// typingStop answers typing:stop.
func (s *Service) typingStop(ctx context.Context, who subjects.Caller, req subjects.ConversationRequest) (answer[subjects.Success], error) {
	c, err := s.memberOf(ctx, who, req.ConversationID)
	if err != nil {
		return answer[subjects.Success]{}, err
	}
	if s.typists.stop(typistKey{c.token, who.User}, s.options.Now()) {
		s.sayTyping(ctx, c, who.User, false)
	}
	return answer[subjects.Success]{ack: subjects.Success{Success: true}}, nil
}

// listenTyping begins to hear what the other replicas pass on.
func (s *Service) listenTyping() (end func(), err error) {
	var heard []*nats.Subscription
	end = func() {
		for _, sub := range heard {
			_ = sub.Unsubscribe() // fails only with the connection
		}
	}
	for _, filter := range []string{subjects.TypingStart.Filter(), subjects.TypingStop.Filter()} {
		sub, err := s.nc.Subscribe(filter, s.hearTyping)
		if err != nil {
			end()
			return nil, err
		}
		heard = append(heard, sub)
	}
	return end, nil
}

// runTyping says the stops that are due, until ctx ends.
func (s *Service) runTyping(ctx context.Context) error {
	tick := time.NewTicker(typingTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.stopExpired(ctx, s.options.Now())
		}
	}
}

// headerReplica marks a typing event with the replica that passed it on, which need not hear itself.
const headerReplica = "Lex-Replica"

// hearTyping notes a typing event of another replica.
func (s *Service) hearTyping(m *nats.Msg) {
	if m.Header.Get(headerReplica) == s.replica {
		return
	}
	rest, _ := strings.CutPrefix(m.Subject, "live.conversation.")
	conv, event, _ := strings.Cut(rest, ".")
	said, err := subjects.TypingStart.Decode(m.Data) // a stop has the same keys
	if err != nil {
		return // not msgd's
	}
	key := typistKey{conv, said.UserID}
	if event == "typing.start" {
		s.typists.start(key, s.options.Now(), false)
	} else {
		s.typists.stop(key, s.options.Now())
	}
}

// stopExpired says the stops that are due at a time.
func (s *Service) stopExpired(ctx context.Context, now time.Time) {
	for _, key := range s.typists.expired(now) {
		s.stopTyping(ctx, key)
	}
	s.metrics.typing.Set(float64(s.typists.count()))
}

func (s *Service) stopTyping(ctx context.Context, key typistKey) {
	id, err := subjects.Unescape(key.conv)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.CommandTimeout)
	defer cancel()
	c, _, err := s.conversation(ctx, id)
	switch {
	case err != nil:
		s.log.Warn("a stop of typing could not be said", "error", err)
	case c != nil:
		s.sayTyping(ctx, c, key.user, false)
	}
}
