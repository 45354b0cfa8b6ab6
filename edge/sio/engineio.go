package sio

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"
)

// EngineType is the first character of an Engine.IO packet.
type EngineType byte

const (
	Open    EngineType = '0' // server: the handshake
	Close   EngineType = '1' // both: the end of the session
	Ping    EngineType = '2' // server; from a client only as 2probe
	Pong    EngineType = '3' // client; from a server only as 3probe
	Message EngineType = '4' // both: a Socket.IO packet or an attachment
	Upgrade EngineType = '5' // client: commit to the new transport
	Noop    EngineType = '6' // server: finish a held GET
)

const (
	separator    = 0x1e // between the packets of a polling body
	binaryMarker = 'b'  // in text: a binary message in base64
)

// EnginePacket is one Engine.IO packet. Binary is only ever true for Message.
type EnginePacket struct {
	Type   EngineType
	Binary bool
	Data   []byte
}

// Handshake is the content of an open packet.
type Handshake struct {
	SID                       string
	Upgrades                  []string
	PingInterval, PingTimeout time.Duration // whole milliseconds on the wire
	MaxPayload                int           // bytes
}

// Append writes the open packet, with exactly the five keys that clients and the conformance suite know.
func (h Handshake) Append(dst []byte) []byte {
	dst = append(dst, `0{"sid":`...)
	dst = AppendJSONString(dst, h.SID)
	dst = append(dst, `,"upgrades":[`...)
	for i, u := range h.Upgrades {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONString(dst, u)
	}
	dst = append(dst, `],"pingInterval":`...)
	dst = strconv.AppendInt(dst, h.PingInterval.Milliseconds(), 10)
	dst = append(dst, `,"pingTimeout":`...)
	dst = strconv.AppendInt(dst, h.PingTimeout.Milliseconds(), 10)
	dst = append(dst, `,"maxPayload":`...)
	dst = strconv.AppendInt(dst, int64(h.MaxPayload), 10)
	return append(dst, '}')
}

// ParseEngine reads the one packet of a WebSocket text message, whose UTF-8 the WebSocket layer has
// checked. Data is a part of text. A packet of type b is decoded in place: text is overwritten.
func ParseEngine(text []byte) (EnginePacket, error) {
	if len(text) == 0 {
		return EnginePacket{}, ErrEmptyPacket
	}
	switch c := text[0]; {
	case c >= '0' && c <= '6':
		return EnginePacket{Type: EngineType(c), Data: text[1:]}, nil
	case c == binaryMarker:
		data, err := decodeBase64(text[1:])
		return EnginePacket{Type: Message, Binary: true, Data: data}, err
	}
	return EnginePacket{}, ErrEngineType
}

// strictBase64 also refuses stray bits in the last character, so each payload has one spelling.
var strictBase64 = base64.StdEncoding.Strict()

// decodeBase64 decodes within b: output never overtakes input, as it is three quarters as long.
func decodeBase64(b []byte) ([]byte, error) {
	// encoding/base64 skips line breaks, which have no place here.
	if bytes.IndexByte(b, '\n') >= 0 || bytes.IndexByte(b, '\r') >= 0 {
		return nil, ErrBase64
	}
	n, err := strictBase64.Decode(b, b)
	if err != nil {
		return nil, ErrBase64
	}
	return b[:n], nil
}

// AppendPayload adds one packet to a polling body: behind a separator when dst is not empty, and in base64
// when binary. A text packet must not contain the byte 0x1e, which the protocol cannot escape; Socket.IO
// packets do not, since JSON has it escaped.
func AppendPayload(dst []byte, p EnginePacket) []byte {
	if len(dst) > 0 {
		dst = append(dst, separator)
	}
	if p.Binary {
		return base64.StdEncoding.AppendEncode(append(dst, binaryMarker), p.Data)
	}
	return append(append(dst, byte(p.Type)), p.Data...)
}

// PayloadReader takes a polling body apart. It splits as it goes, so a body of a million separators costs
// no memory.
type PayloadReader struct {
	rest []byte
	done bool
}

// NewPayloadReader reads body, which it overwrites where packets are in base64.
func NewPayloadReader(body []byte) PayloadReader { return PayloadReader{rest: body} }

// Next returns the next packet; Data is a part of the body. ok is false at the end of the body and with an
// error. An empty packet is an error, and so is an empty body: it ends the session. There is nothing behind
// an error.
func (r *PayloadReader) Next() (p EnginePacket, ok bool, err error) {
	if r.done {
		return EnginePacket{}, false, nil
	}
	packet := r.rest
	if i := bytes.IndexByte(r.rest, separator); i >= 0 {
		packet, r.rest = r.rest[:i:i], r.rest[i+1:]
	} else {
		r.done = true
	}
	// Nothing below HTTP has looked at the encoding, as the WebSocket layer does for its messages.
	if !utf8.Valid(packet) {
		err = ErrUTF8
	} else {
		p, err = ParseEngine(packet)
	}
	if err != nil {
		r.done = true
		return EnginePacket{}, false, err
	}
	return p, true, nil
}
