package edge

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/subjects"
)

// incoming is one event of a client on its way to whoever answers it.
type incoming struct {
	from *socket
	name string
	// body is the payload as Nest maps it (contract 0.8): one argument is itself, none is {}, several
	// are an array. Valid during the callback only.
	body []byte

	ackID    uint64
	wantsAck bool
}

// ack answers the event, if the client asked for an answer.
func (in *incoming) ack(value json.RawMessage) {
	if in.wantsAck {
		c := in.from.client
		c.owed.Add(-1)
		c.send(c.form.AppendAck(nil, in.from.ns.String(), in.ackID, value))
	}
}

// refuse answers the event with a "no". Who asked for an ack gets it there; who did not gets an
// `error` event, and for some codes the contract wants both.
func (in *incoming) refuse(r *refusal) {
	in.from.client.server.metrics.refused(r.reason())
	in.ack(r.ack(in.name))
	if !in.wantsAck || alsoAsEvent(r.code, in.name) {
		in.from.emit("error", r.event(time.Now()))
	}
}

// refuseFor refuses with what an error says to clients.
func (in *incoming) refuseFor(err error) {
	in.refuse(refuse(subjects.CodeOf(err), subjects.MessageOf(err)))
}

// alsoAsEvent follows contract 1.0: the room limit is announced for join_room but not for
// subscribe:case, invalid input for both.
func alsoAsEvent(code subjects.Code, event string) bool {
	switch code {
	case subjects.CodeInvalidInput:
		return true
	case subjects.CodeRoomLimit:
		return !strings.HasSuffix(event, ":case")
	}
	return false
}

// event takes one EVENT from a client: rate, name, namespace, then whoever answers it.
func (s *Server) event(k *socket, p sio.Packet) {
	name, args, err := p.Event()
	if err != nil {
		k.client.drop(malformed(err), engine.ReasonParseError)
		return
	}
	in := incoming{from: k, name: name, ackID: p.ID, wantsAck: p.HasID}
	if in.wantsAck {
		k.client.owed.Add(1)
	}
	s.metrics.events.Inc()
	now := time.Now()
	if wait, ok := s.admit(k, name, now); !ok {
		in.refuseRate(wait, now)
		return
	}
	if no := checkEvent(k.ns, name, p); no != nil {
		in.refuse(no)
		return
	}
	s.connections.active(k, name, now)
	in.body = bodyOf(args)
	s.dispatch(&in)
}

// checkEvent refuses names that cannot become a subject, names of other namespaces and attachments,
// which a JSON command cannot carry.
func checkEvent(n ns, name string, p sio.Packet) *refusal {
	switch {
	case !subjects.ValidEvent(name):
		return refuse(subjects.CodeInvalidEvent, "the event name is not valid: letters, digits, _ and - in parts joined by colons, 128 bytes at most")
	case !ofEveryNamespace(name) && !n.mayEmit(name):
		return refuse(subjects.CodeInvalidEvent, name+" belongs to "+strings.Join(subjects.Namespaces(name), " and "))
	case len(p.Attachments) > 0:
		return refuse(subjects.CodeInvalidInput, name+" carries binary attachments: send JSON")
	}
	return nil
}

// ofEveryNamespace names the events that are about the connection and not about what it carries.
func ofEveryNamespace(event string) bool {
	return event == "ping" || event == "auth:refresh" || event == "history"
}

// bodyOf maps arguments to one JSON value.
func bodyOf(args sio.Args) []byte {
	first, rest, ok := args.Next()
	if !ok {
		return []byte("{}")
	}
	if _, _, more := rest.Next(); !more {
		return first
	}
	return sio.AppendArgs(nil, args)
}

// dispatch finds who answers: the edge itself for rooms and pings, a service for all else.
func (s *Server) dispatch(in *incoming) {
	switch in.name {
	case "subscribe:case":
		s.inTurn(in, laneRooms, s.subscribeCase)
	case "unsubscribe:case":
		s.inTurn(in, laneRooms, s.unsubscribeCase)
	case "join_room", "join-room":
		s.inTurn(in, laneRooms, s.joinRoom)
	case "leave_room", "leave-room":
		s.inTurn(in, laneRooms, s.leaveRoom)
	case "send_message":
		s.inTurn(in, laneRooms, s.sendMessage)
	case "history":
		s.inTurn(in, laneRooms, s.history)
	case "auth:refresh":
		s.refreshAuth(in)
	case "ping":
		in.ack(acknowledged)
		in.from.emit("pong", mustJSON(timestamped{iso(time.Now())}))
	default:
		if afterFirst, ok := subjects.Absorbed(in.name); ok && (!afterFirst || in.from.absorbing.Load()) {
			in.ack(acknowledged)
			return
		}
		s.forward(in)
	}
}

var acknowledged = json.RawMessage(`{"success":true}`)

type timestamped struct {
	Timestamp string `json:"timestamp"`
}

// admit takes one token from the socket's bucket and one from its user's ceiling.
func (s *Server) admit(k *socket, name string, now time.Time) (wait time.Duration, ok bool) {
	k.lastEvent.Store(now.UnixMilli())
	if cheap(name) {
		return k.cheapBucket.take(s.limits.EventsPerMinute*cheapFactor, now)
	}
	if wait, ok = k.bucket.take(s.limits.EventsPerMinute, now); !ok {
		return wait, false
	}
	return s.accounts.take(k.account, now)
}

// cheap names the class of contract 8, B29.
func cheap(event string) bool {
	return event == "ping" || event == "presence:heartbeat" || event == "typing" || strings.HasPrefix(event, "typing:")
}

// refuseRate acks every refused event, and emits the error event at most once a second.
func (in *incoming) refuseRate(wait time.Duration, now time.Time) {
	r := refuse(subjects.CodeRateLimit, "too many events: slow down")
	r.retryAfter = wholeSeconds(wait)
	in.from.client.server.metrics.refused(r.reason())
	in.ack(r.ack(in.name))
	if now.Sub(in.from.lastRefused) >= time.Second {
		in.from.lastRefused = now
		in.from.emit("error", r.event(now))
	}
}
