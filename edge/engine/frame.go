package engine

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/lexiflow/realtime/edge/sio"
)

// Class says what may happen to a frame that waits for a slow reader.
type Class uint8

// Classes of frames.
const (
	Stored  Class = iota // never dropped: when the queue overflows the session is closed, to resume
	Gauge                // replaced while it waits by a newer frame with the same key
	Passing              // dropped first: at once when a quarter of the queue is used
)

// Frame is one or more Engine.IO messages, framed once for all their receivers. It is immutable and
// may be sent to any number of sessions from any goroutine.
type Frame struct {
	wire  []byte // whole, unmasked WebSocket frames
	key   uint64
	class Class
	pong  bool  // a WebSocket pong, of which at most one waits
	plain int32 // of a compressed form: the size of the frame that it stands for; see deflate.go

	packing sync.Mutex
	// Guarded by packing until it is set.
	pack atomic.Pointer[Frame] // the compressed form, or the frame itself where there is none
}

// Text makes a Stored frame of one text message (a Socket.IO packet without the Engine.IO type,
// which is put before it). packet is copied.
func Text(packet []byte) *Frame {
	wire := make([]byte, 0, headerSize(len(packet)+1)+1+len(packet))
	wire = appendHeader(wire, opText, len(packet)+1)
	wire = append(wire, byte(sio.Message))
	return &Frame{wire: append(wire, packet...)}
}

// Binary makes a Stored frame of one binary message. data is copied.
func Binary(data []byte) *Frame {
	wire := make([]byte, 0, headerSize(len(data))+len(data))
	return &Frame{wire: append(appendHeader(wire, opBinary, len(data)), data...)}
}

// As gives a frame of the same bytes with another class. key tells Gauges apart and means nothing to
// the other classes.
func (f *Frame) As(class Class, key uint64) *Frame {
	return &Frame{wire: f.wire, key: key, class: class}
}

// Size is the number of bytes that the frame takes on a WebSocket, uncompressed.
func (f *Frame) Size() int { return len(f.wire) }

// weight is what the frame counts for while it waits: compressed or not the same, since a queue may hold
// the one form in the place of the other.
func (f *Frame) weight() int32 {
	if f.plain != 0 {
		return f.plain
	}
	return int32(len(f.wire))
}

// join makes one frame of several, so that a class which allows drops cannot tear a packet from its
// attachments. Class and key are those of the first.
func join(frames []*Frame) *Frame {
	joined := &Frame{class: frames[0].class, key: frames[0].key}
	for _, f := range frames {
		joined.wire = append(joined.wire, f.wire...)
	}
	return joined
}

// packet makes a frame of an Engine.IO control packet such as "2".
func packet(text string) *Frame {
	return &Frame{wire: append(appendHeader(nil, opText, len(text)), text...)}
}

// Frames that are the same for everybody.
var (
	pingFrame  = packet("2")
	closeFrame = packet("1") // polling only
	noopFrame  = packet("6")
)

// headerSize is the length of the header of an unmasked frame with that payload.
func headerSize(payload int) int {
	switch {
	case payload <= 125:
		return 2
	case payload <= 0xffff:
		return 4
	default:
		return 10
	}
}

// appendHeader appends the header of an unmasked, final frame (RFC 6455 section 5.2).
func appendHeader(dst []byte, op byte, payload int) []byte {
	dst = append(dst, finBit|op)
	switch headerSize(payload) {
	case 2:
		return append(dst, byte(payload))
	case 4:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(payload))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(payload))
	}
}

// nextMessage cuts the first message off frames of our own; op is 0 when none is left.
func nextMessage(wire []byte) (op byte, data, rest []byte) {
	if len(wire) == 0 {
		return 0, nil, nil
	}
	op, head, size := wire[0]&0x0f, 2, int(wire[1])
	switch size {
	case 126:
		head, size = 4, int(binary.BigEndian.Uint16(wire[2:]))
	case 127:
		head, size = 10, int(binary.BigEndian.Uint64(wire[2:]))
	}
	return op, wire[head : head+size], wire[head+size:]
}

// appendPolling appends the frame's messages to a polling payload. The wire bytes are the only copy
// of a message, so they are read back here: polling is the rare transport. Compressed forms exist only
// behind the queue of a WebSocket.
func (f *Frame) appendPolling(body []byte) []byte {
	for op, data, rest := nextMessage(f.wire); op != 0; op, data, rest = nextMessage(rest) {
		switch op {
		case opText:
			body = sio.AppendPayload(body, sio.EnginePacket{Type: sio.EngineType(data[0]), Data: data[1:]})
		case opBinary:
			body = sio.AppendPayload(body, sio.EnginePacket{Type: sio.Message, Binary: true, Data: data})
		}
	}
	return body
}
