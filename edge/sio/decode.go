package sio

import (
	"bytes"
	"unicode/utf8"
)

// Decoder reads the default parser's packets out of one direction of one connection. The zero value is
// ready, and while no attachment is outstanding it holds nothing but a nil pointer.
//
// After an error the connection is beyond repair and is to be closed: what follows cannot be attributed.
// A Decoder is for one goroutine at a time.
type Decoder struct {
	pending *pending
}

// pending is a binary packet whose attachments are still arriving.
type pending struct {
	packet  Packet
	missing int
	bytes   int // of header and attachments so far, with attachmentCost each
}

// attachmentCost is charged per attachment beside its bytes, so that MaxBytes also bounds what a flood of
// empty ones keeps in slice headers and their growth.
const attachmentCost = 64

// Text decodes a text message. complete is false for the header of a binary packet, which Binary completes.
//
// The packet's Data is part of msg: both are valid until the caller reuses msg or makes the next call.
// Errors are of type [Error].
func (d *Decoder) Text(msg []byte, l Limits) (p Packet, complete bool, err error) {
	l = l.withDefaults()
	if d.pending != nil {
		d.pending = nil
		return Packet{}, false, ErrUnexpectedText
	}
	if len(msg) > l.MaxBytes {
		return Packet{}, false, ErrTooLarge
	}
	p, attachments, e := parse(msg, l)
	if e != 0 {
		return Packet{}, false, e
	}
	if attachments == 0 {
		return p, true, nil
	}
	p.Data = bytes.Clone(p.Data)
	d.pending = &pending{packet: p, missing: attachments, bytes: len(msg)}
	return Packet{}, false, nil
}

// Binary decodes a binary message: the next attachment of the packet whose header came last. complete is
// true with the last one; that attachment is msg itself, the others are copies.
func (d *Decoder) Binary(msg []byte, l Limits) (p Packet, complete bool, err error) {
	l = l.withDefaults()
	w := d.pending
	if w == nil {
		return Packet{}, false, ErrUnexpectedBinary
	}
	w.bytes += len(msg) + attachmentCost
	if w.bytes > l.MaxBytes {
		d.pending = nil
		return Packet{}, false, ErrTooLarge
	}
	w.missing--
	if w.missing > 0 {
		w.packet.Attachments = append(w.packet.Attachments, bytes.Clone(msg))
		return Packet{}, false, nil
	}
	d.pending = nil
	w.packet.Attachments = append(w.packet.Attachments, msg)
	return w.packet, true, nil
}

// Pending tells whether attachments are outstanding.
func (d *Decoder) Pending() bool { return d.pending != nil }

// parse reads <type>[<attachments>-][<namespace>,][<ack id>][<JSON>].
func parse(msg []byte, l Limits) (p Packet, attachments int, e Error) {
	if len(msg) == 0 || msg[0] < '0' || msg[0] > '0'+byte(BinaryAck) {
		return p, 0, ErrPacketType
	}
	p.Type = PacketType(msg[0] - '0')
	rest := msg[1:]
	if p.Type == BinaryEvent || p.Type == BinaryAck {
		if attachments, rest, e = parseAttachments(rest, l.MaxAttachments); e != 0 {
			return p, 0, e
		}
	}
	if p.Namespace, rest, e = parseNamespace(rest, l.Namespaces); e != 0 {
		return p, 0, e
	}
	if p.ID, p.HasID, rest, e = parseAckID(rest); e != 0 {
		return p, 0, e
	}
	p.Data = trimSpace(rest)
	if len(p.Data) == 0 {
		p.Data = nil
		if len(rest) > 0 {
			return p, 0, ErrJSON // space alone is no payload
		}
	}
	return p, attachments, checkPayload(p, attachments, l.MaxDepth)
}

// parseAttachments reads the count. It is compared digit by digit, so no count is too long to be refused.
func parseAttachments(b []byte, limit int) (n int, rest []byte, e Error) {
	for i, c := range b {
		switch {
		case c == '-' && i > 0:
			return n, b[i+1:], 0
		case c < '0' || c > '9' || (i == 0 && c == '0'):
			return 0, nil, ErrAttachments
		}
		if n = n*10 + int(c-'0'); n > limit {
			return 0, nil, ErrAttachments
		}
	}
	return 0, nil, ErrAttachments
}

// parseNamespace takes the name up to the comma or the end, as it is: a query in it is part of the name.
func parseNamespace(b []byte, names []string) (name string, rest []byte, e Error) {
	if len(b) == 0 || b[0] != '/' {
		return "/", b, 0
	}
	raw, rest, _ := bytes.Cut(b, []byte{','})
	if len(raw) == 1 {
		return "/", rest, 0
	}
	if !utf8.Valid(raw) {
		return "", nil, ErrNamespace
	}
	return known(raw, names), rest, 0
}

// known spares the copy of a name that is in the list.
func known(raw []byte, names []string) string {
	for _, name := range names {
		if string(raw) == name {
			return name
		}
	}
	return string(raw)
}

// parseAckID refuses leading zeros, so that the id can be echoed exactly as it came.
func parseAckID(b []byte) (id uint64, ok bool, rest []byte, e Error) {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		if id = id*10 + uint64(b[n]-'0'); id > maxAckID || (n > 0 && b[0] == '0') {
			return 0, false, nil, ErrAckID
		}
		n++
	}
	return id, n > 0, b[n:], 0
}

// checkPayload holds the payload against its type (socketio-protocol 8).
func checkPayload(p Packet, attachments, depth int) Error {
	var first byte
	if len(p.Data) > 0 {
		first = p.Data[0]
	}
	switch p.Type {
	case Connect, Disconnect, ConnectError:
		if p.HasID {
			return ErrAckID
		}
	case Ack, BinaryAck:
		if !p.HasID {
			return ErrAckID
		}
	}
	var shape bool
	switch p.Type {
	case Connect:
		shape = first == 0 || first == '{'
	case Disconnect:
		shape = p.Data == nil
	case ConnectError:
		shape = first == '{'
	default:
		shape = first == '['
	}
	if !shape {
		return ErrPayload
	}
	if p.Data == nil {
		return 0
	}
	if e := check(p.Data, depth, attachments); e != 0 {
		return e
	}
	if p.Type == Event || p.Type == BinaryEvent {
		return checkName(p.Args())
	}
	return 0
}

// checkName looks at the first element of an event: a string that is not reserved, or a number.
func checkName(args Args) Error {
	raw, _, ok := args.Next()
	switch {
	case !ok:
		return ErrPayload
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return 0
	case raw[0] != '"':
		return ErrEventName
	}
	for _, name := range reservedEvents {
		if equalString(raw, name) {
			return ErrReservedEvent
		}
	}
	return 0
}

// reservedEvents are names that client and server emit to themselves; from the wire they would be forged.
var reservedEvents = [...]string{
	"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
}
