package edge

import (
	"bytes"
	"slices"

	"github.com/lexiflow/realtime/subjects"
)

// lane is a queue of one socket's events that must be dealt with one at a time, in the order in which
// they were sent, although each may wait for the bus. A lane exists while one of its events is under
// way.
type lane struct {
	name    string
	waiting []turn
	bytes   int // of the waiting bodies
}

// turn is an event that waits, with a body of its own.
type turn struct {
	in   incoming
	step func(incoming)
}

// What may wait in one lane: as many events as the rate limit lets through in a minute, and as many
// bytes as a few of the largest.
func (s *Server) laneFull(l *lane, in *incoming) bool {
	return len(l.waiting) >= s.limits.EventsPerMinute*cheapFactor || l.bytes+len(in.body) > 4*s.limits.MaxPayload
}

// laneRooms is the lane of all events that enter or leave rooms.
const laneRooms = "rooms"

// inTurn runs step with the event, at once or when those before it in the lane are done. The step ends
// by calling next, on whatever goroutine.
func (s *Server) inTurn(in *incoming, name string, step func(incoming)) {
	k := in.from
	k.mu.Lock()
	l := k.lane(name)
	if l == nil {
		k.lanes = append(k.lanes, &lane{name: name})
		k.mu.Unlock()
		step(*in)
		return
	}
	full := s.laneFull(l, in)
	if !full {
		waiting := *in
		waiting.body = bytes.Clone(in.body)
		l.bytes += len(in.body)
		l.waiting = append(l.waiting, turn{waiting, step})
	}
	k.mu.Unlock()
	if full {
		r := refuse(subjects.CodeRateLimit, "too many events wait for an answer")
		r.retryAfter = 1
		in.refuse(r)
	}
}

// next takes the lane's next event, or ends the lane.
func (s *Server) next(k *socket, name string) {
	k.mu.Lock()
	l := k.lane(name)
	if l == nil {
		k.mu.Unlock()
		return // the socket is gone
	}
	if len(l.waiting) == 0 {
		k.lanes = slices.DeleteFunc(k.lanes, func(other *lane) bool { return other == l })
		if len(k.lanes) == 0 {
			k.lanes = nil // an idle socket holds nothing
		}
		k.mu.Unlock()
		return
	}
	t := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.bytes -= len(t.in.body)
	k.mu.Unlock()
	t.step(t.in)
}

// lane needs mu.
func (k *socket) lane(name string) *lane {
	for _, l := range k.lanes {
		if l.name == name {
			return l
		}
	}
	return nil
}
