package edge

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// Every client event that the edge does not answer itself is a request on cmd.<event>, whose reply is
// the ack. The service decides: it may join or leave the socket, and add events for it alone.

// forward sends a command when the socket's commands with the same first token before it are answered,
// so that "mark read" cannot overtake "mark all read".
func (s *Server) forward(in *incoming) {
	token, _, _ := strings.Cut(in.name, ":")
	s.inTurn(in, token, func(in incoming) { s.ask(in, token) })
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
	subjects.SetDeadline(header, start, s.options.CommandTimeout)
	s.requests.do(subject, header, body, s.options.CommandTimeout, once(func(m *nats.Msg, err error) {
		s.metrics.commandTime.Observe(time.Since(start).Seconds())
		s.answer(&in, m, err, func() { s.next(in.from, token) })
	}))
}

// answer applies a reply: join, then ack, then events; then it calls done.
func (s *Server) answer(in *incoming, m *nats.Msg, err error, done func()) {
	reply, err := s.readReply(in, m, err)
	if err != nil {
		s.refuseCommand(in, err)
		done()
		return
	}
	s.metrics.commands.WithLabelValues("ok").Inc()
	if afterFirst, ok := subjects.Absorbed(in.name); ok && afterFirst {
		in.from.absorbing.Store(true)
	}
	s.applyRooms(in.from, reply)
	s.kept(in.from, len(reply.Join)+len(reply.Leave) > 0, func(err error) {
		if err != nil { // the command is done; its rooms are asked for again by hello
			s.log.Warn("rooms of a reply are not kept", "event", in.name, "error", err)
		}
		in.ack(reply.Ack)
		in.from.emitAll(reply.Events)
		done()
	})
}

func (s *Server) readReply(in *incoming, m *nats.Msg, err error) (subjects.Reply, error) {
	if err == nil {
		err = subjects.ErrorOf(m)
	}
	if err != nil {
		return subjects.Reply{}, err
	}
	reply, err := subjects.ParseReply(m)
	if err != nil {
		s.log.Error("reply is not understood", "event", in.name, "error", err)
		return reply, subjects.Errorf(subjects.CodeInternal, "the service's answer is not understood")
	}
	return reply, nil
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
		if s.outdated(k, name) {
			k.leave(name, roomService)
		}
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
