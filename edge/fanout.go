package edge

import (
	"bytes"
	"context"
	"hash/fnv"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/subjects"
)

// The one goroutine that turns a subject into frames. It never waits for a socket, and an event for a
// room nobody is in costs the parsing of its subject and a few map misses.

// fanOut delivers until ctx ends.
func (s *Server) fanOut(ctx context.Context) {
	var destination [nsCount]ns
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.mailbox.wake:
			s.mailbox.run()
		case d := <-s.reader.out:
			switch {
			case d.lost:
				s.readOnBehind(d.seq)
			case d.preface != prefaceNone:
				s.preface(&d)
			default:
				s.deliver(&d, destination[:0])
			}
			if d.seq != 0 {
				s.fanned.Store(d.seq)
			}
		}
	}
}

// preface takes a message that was in the log before this edge: for the ring, and for what it says of
// access. It reached clients, or became a dead letter, through the edges that were there.
func (s *Server) preface(d *delivery) {
	if route, err := subjects.ParseRoute(d.subject); err == nil {
		d.room, d.event = route.Room, route.Event()
		if d.event == accessChanged {
			s.noteAccess(d, route)
		}
	}
	s.ring.add(d)
	if d.preface == prefaceLast {
		close(s.reader.prefaced)
	}
}

// deliver sends one event to its room's members in every namespace that carries it.
func (s *Server) deliver(d *delivery, scratch []ns) {
	route, err := subjects.ParseRoute(d.subject)
	if d.class == subjects.Log {
		d.room, d.event = route.Room, route.Event()
		s.ring.add(d)
	}
	if err != nil {
		s.deadLetter(d, "bad-subject", err.Error())
		return
	}
	event := route.Event()
	if event == accessChanged {
		s.applyAccess(d, route)
		return // the lists themselves are no news for those who are in
	}
	if d.class == subjects.State && len(d.payload) == 0 {
		return // a key of a bucket that announces itself is gone
	}
	if !startsObject(d.payload) {
		s.deadLetter(d, "not-an-object", "the payload is not a JSON object")
		return
	}
	m := message{d: d, room: route.Room, event: event}
	for _, n := range destinations(scratch, event) {
		s.hub.with(roomKey{n, route.Room}, func(members []*socket) { m.send(s, n, members) })
		if m.invalid != "" {
			s.deadLetter(d, m.invalid, "the payload cannot be sent")
			return
		}
	}
	s.metrics.delivered(d.class, m.sent)
}

// accessChanged carries whole access lists, which only services and edges may read (design 3, Access).
const accessChanged = "access:changed"

// message is one event while it is sent: its payload is completed once and framed once per namespace and
// form that one of its receivers reads.
type message struct {
	d       *delivery
	room    string
	event   string
	body    []byte // nil until the first namespace with members
	invalid string // the dead letter's reason
	sent    int
}

// send frames the event for one namespace and queues it for each member. It runs under the room's
// stripe, and the engine's Send does not block.
func (m *message) send(s *Server, n ns, members []*socket) {
	if m.body == nil && !m.complete(s.limits.MaxPayload) {
		return
	}
	var frames [sio.Forms]*engine.Frame
	for _, k := range members {
		if m.d.seq != 0 {
			if m.d.seq <= k.delivered {
				continue
			}
			k.delivered = m.d.seq
		}
		if m.d.except != "" && k.excepted(m.d.except) {
			continue
		}
		form := k.client.form
		if frames[form] == nil {
			frames[form] = m.frame(n, form)
		}
		if k.client.session.Send(frames[form]) {
			m.sent++
		}
	}
}

// frame encodes the event for the receivers of one namespace and form. What is in the log carries its
// sequence as a last argument, which the client gives back as its offset (socketio-protocol 11).
func (m *message) frame(n ns, form sio.Form) *engine.Frame {
	args := [][]byte{m.body}
	if m.d.seq != 0 {
		args = append(args, offsetOf(m.d.seq))
	}
	return m.encode(n, form, args)
}

func (m *message) encode(n ns, form sio.Form, args [][]byte) *engine.Frame {
	f := frame(form, form.AppendEvent(nil, n.String(), m.event, args...))
	switch m.d.class {
	case subjects.State:
		return f.As(engine.Gauge, gaugeKey(n, m.room, m.event))
	case subjects.Live:
		return f.As(engine.Passing, 0)
	}
	return f
}

// missedFrame is an event of the log for this socket alone, at a session offset that may be further on
// than the event: then the event's own position comes before it, as a second argument. It is nil for an
// event that the socket would not have got.
func (k *socket) missedFrame(d *delivery, offset uint64) *engine.Frame {
	m, ok := k.missedMessage(d)
	if !ok {
		return nil
	}
	args := [][]byte{m.body, offsetOf(d.seq)}
	if offset != d.seq {
		args = append(args, offsetOf(offset))
	}
	return m.encode(k.ns, k.client.form, args)
}

// missedMessage completes an event of the log, unless it was not for this socket.
func (k *socket) missedMessage(d *delivery) (m message, ok bool) {
	var scratch [nsCount]ns
	if d.event == accessChanged || !slices.Contains(destinations(scratch[:0], d.event), k.ns) ||
		d.except != "" && k.excepted(d.except) {
		return m, false
	}
	m = message{d: d, room: d.room, event: d.event}
	return m, m.complete(k.client.server.limits.MaxPayload) // where not, its dead letter was made when it came
}

// complete checks the payload and adds what contract 1.1 adds: timestamp, and caseId in case rooms,
// each only when absent. All other bytes stay as they were.
func (m *message) complete(limit int) bool {
	payload := bytes.TrimSpace(m.d.payload)
	switch {
	case len(payload) > limit:
		m.invalid = "too-large"
		return false
	case !utf8.Valid(payload) || !sio.ValidJSON(payload, maxDepth) || !sio.IsObject(payload):
		m.invalid = "not-an-object"
		return false
	}
	extra := make([]byte, 0, 128)
	if _, ok := sio.Field(payload, "timestamp"); !ok {
		extra = append(extra, `,"timestamp":"`...)
		extra = m.d.at.UTC().AppendFormat(extra, isoLayout)
		extra = append(extra, '"')
	}
	if id, ok := strings.CutPrefix(m.room, "case."); ok {
		if _, has := sio.Field(payload, "caseId"); !has {
			extra = appendCaseID(extra, id)
		}
	}
	m.body = insert(payload, extra)
	return true
}

// maxDepth bounds the nesting of JSON from the bus, as sio's default does for that from clients.
const maxDepth = 128

func appendCaseID(dst []byte, token string) []byte {
	id, err := subjects.Unescape(token)
	if err != nil {
		return dst // ParseRoute has checked it
	}
	dst = append(dst, `,"caseId":`...)
	return sio.AppendJSONString(dst, id)
}

// insert puts members, each with a comma before it, at the end of an object.
func insert(object, members []byte) []byte {
	if len(members) == 0 {
		return object
	}
	head := bytes.TrimRight(object[:len(object)-1], " \t\r\n")
	if bytes.HasSuffix(head, []byte("{")) && len(head) == 1 {
		members = members[1:]
	}
	body := make([]byte, 0, len(head)+len(members)+1)
	body = append(body, head...)
	body = append(body, members...)
	return append(body, '}')
}

// excepted reports whether Lex-Except names this socket: its id, or "user.<id>".
func (k *socket) excepted(list string) bool {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if token, ok := strings.CutPrefix(name, "user."); ok {
			if user, err := subjects.Unescape(token); err == nil && user == k.user {
				return true
			}
		} else if name == string(k.id[:]) {
			return true
		}
	}
	return false
}

// gaugeKey tells the engine which waiting frame a newer one replaces.
func gaugeKey(n ns, room, event string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte{byte(n)})
	_, _ = h.Write([]byte(room))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(event))
	return h.Sum64()
}

// startsObject is the cheap check that every event gets, also for rooms that are empty here.
func startsObject(payload []byte) bool {
	payload = bytes.TrimLeft(payload, " \t\r\n")
	return len(payload) > 0 && payload[0] == '{'
}
