package edge

import (
	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sio"
)

// The one place that knows in which form a client reads and writes. JSON and MessagePack clients share
// namespaces, rooms and services: before decode and behind frame everything is the same JSON.

// decode reads one Engine.IO message. A client's first one decides its form for good, before there is a
// socket of it that anything could be sent to; nothing else announces it (socketio-protocol 12).
func (c *client) decode(data []byte, binary bool) (p sio.Packet, complete bool, err error) {
	if !c.heard {
		c.heard, c.form = true, sio.FormOf(binary)
	}
	limits := c.server.packetLimits
	switch {
	case c.form == sio.MessagePack && binary:
		p, err = sio.DecodeMsgpack(data, limits)
		return p, err == nil, err
	case c.form == sio.MessagePack:
		return p, false, sio.ErrUnexpectedText
	case binary:
		return c.decoder.Binary(data, limits)
	}
	return c.decoder.Text(data, limits)
}

// send queues a packet in the client's form for it alone.
func (c *client) send(packet []byte) { c.session.Send(frame(c.form, packet)) }

// frame wraps a packet for every client of its form: all bytes of MessagePack are binary messages.
func frame(f sio.Form, packet []byte) *engine.Frame {
	if f == sio.MessagePack {
		return engine.Binary(packet)
	}
	return engine.Text(packet)
}
