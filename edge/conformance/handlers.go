package main

import (
	"fmt"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sio"
)

// echo sends every Engine.IO message back.
type echo struct{}

// Open joins the session at once: there is nothing above Engine.IO to connect to.
func (echo) Open(s *engine.Session, _ *engine.Request) { s.Established() }

// Message echoes text as text and binary as binary.
func (echo) Message(s *engine.Session, data []byte, binary bool) {
	if binary {
		s.Send(engine.Binary(data))
	} else {
		s.Send(engine.Text(data))
	}
}

// Close has nothing to let go.
func (echo) Close(*engine.Session, engine.Reason) {}

// chat serves the namespaces / and /custom as the Socket.IO suite expects.
type chat struct{}

// connection is a session's state in mode socket.
type connection struct {
	decoder sio.Decoder
	joined  map[string]bool
}

// Open begins with no namespace joined.
func (chat) Open(s *engine.Session, _ *engine.Request) {
	s.App = &connection{joined: map[string]bool{}}
}

// Message acts on the packet that data completes; malformed input ends the session.
func (chat) Message(s *engine.Session, data []byte, binary bool) {
	c, _ := s.App.(*connection)
	decode := c.decoder.Text
	if binary {
		decode = c.decoder.Binary
	}
	p, complete, err := decode(data, sio.Limits{})
	if err == nil && complete {
		err = c.packet(s, p)
	}
	if err != nil {
		s.Close(engine.ReasonParseError)
	}
}

// Close has nothing to let go.
func (chat) Close(*engine.Session, engine.Reason) {}

func (c *connection) packet(s *engine.Session, p sio.Packet) error {
	if p.Type != sio.Connect && !c.joined[p.Namespace] || p.Type == sio.Connect && c.joined[p.Namespace] {
		return fmt.Errorf("packet type %d does not fit namespace %q", p.Type, p.Namespace)
	}
	switch p.Type {
	case sio.Connect:
		c.connect(s, p)
	case sio.Disconnect:
		delete(c.joined, p.Namespace)
	case sio.Event, sio.BinaryEvent:
		return c.event(s, p)
	case sio.ConnectError:
		return fmt.Errorf("CONNECT_ERROR from a client")
	case sio.Ack, sio.BinaryAck: // nothing was asked
	}
	return nil
}

func (c *connection) connect(s *engine.Session, p sio.Packet) {
	if p.Namespace != "/" && p.Namespace != "/custom" {
		s.Send(engine.Text(sio.AppendConnectError(nil, p.Namespace, "Invalid namespace", nil)))
		return
	}
	s.Established()
	c.joined[p.Namespace] = true
	auth := p.Data
	if len(auth) == 0 {
		auth = []byte("{}")
	}
	s.Send(engine.Text(sio.AppendConnectSID(nil, p.Namespace, publicID(s, p.Namespace), "")),
		engine.Text(sio.AppendEvent(nil, p.Namespace, "auth", auth)))
}

// publicID makes a namespace's sid: it must differ from the secret one of Engine.IO.
func publicID(s *engine.Session, namespace string) string {
	return fmt.Sprintf("%s%p", namespace[1:], s)
}

func (c *connection) event(s *engine.Session, p sio.Packet) error {
	name, args, err := p.Event()
	if err != nil {
		return err
	}
	reply := sio.Packet{Namespace: p.Namespace, Attachments: p.Attachments, Data: sio.AppendArgs(nil, args)}
	switch {
	case name == "message":
		reply.Type, reply.Data = sio.Event, withName("message-back", reply.Data)
	case name == "message-with-ack" && p.HasID:
		reply.Type, reply.ID, reply.HasID = sio.Ack, p.ID, true
	default:
		return nil
	}
	if len(p.Attachments) > 0 {
		reply.Type += sio.BinaryEvent - sio.Event
	}
	frames := []*engine.Frame{engine.Text(sio.AppendPacket(nil, reply))}
	for _, a := range p.Attachments {
		frames = append(frames, engine.Binary(a))
	}
	s.Send(frames...)
	return nil
}

// withName puts an event's name before its arguments.
func withName(name string, args []byte) []byte {
	data := sio.AppendJSONString([]byte("["), name)
	if len(args) > len("[]") {
		data = append(data, ',')
	}
	return append(data, args[1:]...)
}
