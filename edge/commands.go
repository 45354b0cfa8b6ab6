package edge

import (
	"bytes"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// Every client event that the edge does not answer itself is a request on cmd.<event>, whose reply is
// the ack. The service decides: it may join or leave the socket, and add events for it alone.

// lane is one socket's commands with the same first token: one at a time, in the order in which they
// were sent, so that "mark read" cannot overtake "mark all read".
type lane struct {
	token   string
	waiting []incoming
}

const maxLane = 64 // commands that may wait in one lane

// forward sends a command, or lets it wait for the one before it.
func (s *Server) forward(in *incoming) {
	token, _, _ := strings.Cut(in.name, ":")
	k := in.from
	k.mu.Lock()
	l := k.lane(token)
	if l == nil {
		k.lanes = append(k.lanes, &lane{token: token})
		k.mu.Unlock()
		s.ask(*in, token)
		return
	}
	full := len(l.waiting) >= maxLane
	if !full {
		waiting := *in
		waiting.body = bytes.Clone(in.body)
		l.waiting = append(l.waiting, waiting)
	}
	k.mu.Unlock()
	if full {
		r := refuse(subjects.CodeRateLimit, "too many commands wait for an answer")
		r.retryAfter = 1
		in.refuse(r)
	}
}

// lane needs mu.
func (k *socket) lane(token string) *lane {
	for _, l := range k.lanes {
		if l.token == token {
			return l
		}
	}
	return nil
}

// ask sends one command now.
func (s *Server) ask(in incoming, token string) {
	subject, err := subjects.CommandSubject(in.name)
	if err != nil {
		in.refuse(refuse(subjects.CodeInvalidEvent, err.Error()))
		s.next(in.from, token)
		return
	}
	header := nats.Header{}
	in.from.caller().SetHeaders(header)
	body := in.body
	in.body = nil // the callback's
	start := time.Now()
	s.requests.do(subject, header, body, s.options.CommandTimeout, once(func(m *nats.Msg, err error) {
		s.metrics.commandTime.Observe(time.Since(start).Seconds())
		s.answer(&in, m, err)
		s.next(in.from, token)
	}))
}

// next sends the lane's next command, or ends the lane.
func (s *Server) next(k *socket, token string) {
	k.mu.Lock()
	l := k.lane(token)
	if l == nil {
		k.mu.Unlock()
		return // the socket is gone
	}
	if len(l.waiting) == 0 {
		k.lanes = withoutLane(k.lanes, l)
		k.mu.Unlock()
		return
	}
	in := l.waiting[0]
	l.waiting = l.waiting[1:]
	k.mu.Unlock()
	s.ask(in, token)
}

func withoutLane(lanes []*lane, gone *lane) []*lane {
	var kept []*lane
	for _, l := range lanes {
		if l != gone {
			kept = append(kept, l)
		}
	}
	return kept
}

// answer applies a reply: join, then ack, then events.
func (s *Server) answer(in *incoming, m *nats.Msg, err error) {
	if err == nil {
		err = subjects.ErrorOf(m)
	}
	if err != nil {
		s.refuseCommand(in, err)
		return
	}
	reply, err := subjects.ParseReply(m)
	if err != nil {
		s.log.Error("reply is not understood", "event", in.name, "error", err)
		s.refuseCommand(in, subjects.Errorf(subjects.CodeInternal, "the service's answer is not understood"))
		return
	}
	s.metrics.commands.WithLabelValues("ok").Inc()
	if afterFirst, ok := subjects.Absorbed(in.name); ok && afterFirst {
		in.from.absorbing.Store(true)
	}
	s.applyRooms(in.from, reply)
	in.ack(reply.Ack)
	in.from.emitAll(reply.Events)
}

// refuseCommand tells who asked. A client that wants no ack and whose service is away is not told: in
// the original such events were ignored in silence, and some old clients show every error.
func (s *Server) refuseCommand(in *incoming, err error) {
	code := subjects.CodeOf(err)
	s.metrics.commands.WithLabelValues(strings.ToLower(string(code))).Inc()
	if !in.wantsAck && code == subjects.CodeUnavailable {
		return
	}
	in.refuse(refuse(code, subjects.MessageOf(err)))
}

// applyRooms joins and leaves what the service named. The room keeps the socket's namespace.
func (s *Server) applyRooms(k *socket, reply subjects.Reply) {
	for _, name := range reply.Join {
		if k.count(roomService) >= s.limits.ServiceRooms {
			s.metrics.refused("service_room_limit")
			s.log.Warn("service joins refused: the socket is at its limit", "limit", s.limits.ServiceRooms)
			break
		}
		k.join(name, roomService)
	}
	for _, name := range reply.Leave {
		k.leave(name, roomService)
	}
}

// emitAll sends a reply's events to this socket alone.
func (k *socket) emitAll(events []subjects.Emit) {
	for _, e := range events {
		k.emit(e.Event, e.Data)
	}
}
