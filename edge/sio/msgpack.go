package sio

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// The form of socket.io-msgpack-parser 3 (socketio-protocol 12): one binary message is one packet,
//
//	{type: 0-4, nsp: "/ns", data: …, id: 7}   keys in any order, others ignored
//
// It is read in two walks. The first checks the MessagePack and adds up how long the JSON will be, so that
// what is malformed costs no memory; the second writes into memory of that very size.

// DecodeMsgpack decodes one packet. A packet is whole: there is no state between messages.
//
// Data is what the client would have sent as JSON: undefined is left out of objects and null in arrays, a
// Date is its ISO string, NaN and the infinities are null. Binary values are Attachments, which are parts of
// msg, with placeholders in Data; they make an Event a BinaryEvent, an Ack a BinaryAck, and nothing else may
// have them. Refused beside what [Decoder] refuses: keys that are no strings, a key of the packet twice,
// extensions that the official encoder does not write, bytes behind the packet. Errors are of type [Error].
//
// It allocates Data, 24 bytes for each attachment and a namespace that is not known, nothing else. Data is at
// most six times as long as msg, 40 bytes for each attachment aside (false is one byte there, and so is a
// control character), and never longer than MaxBytes.
func DecodeMsgpack(msg []byte, l Limits) (Packet, error) {
	l = l.withDefaults()
	if len(msg) > l.MaxBytes {
		return Packet{}, ErrTooLarge
	}
	u := unpacker{b: msg, limits: l}
	p, nsp, data := u.packet()
	if u.pos < len(msg) {
		u.fail(ErrTrailing)
	}
	if u.err == 0 && data > 0 {
		u.write(&p, data)
	}
	if u.err == 0 {
		u.err = checkPayload(p, len(p.Attachments), l.MaxDepth)
	}
	if u.err != 0 {
		return Packet{}, u.err
	}
	p.Namespace = known(nsp, l.Namespaces)
	return p, nil
}

// unpacker walks over MessagePack and puts JSON.
type unpacker struct {
	b      []byte
	pos    int
	limits Limits
	depth  int
	err    Error // the first one; nothing is read behind it

	// What the first walk measures and the second writes.
	size        int // bytes of JSON
	binaries    int
	out         []byte // nil during the first walk
	attachments [][]byte
}

// packet reads the outer map and returns where its data begins, 0 when there is none.
func (u *unpacker) packet() (p Packet, nsp []byte, data int) {
	top := u.next()
	if top.kind != kindMap {
		u.fail(ErrPacketMap)
		return p, nil, 0
	}
	var seen packetKey
	for range top.n {
		name := u.next()
		if name.kind != kindString {
			u.fail(ErrMsgpackKey)
		}
		key := packetKeyOf(name.body)
		if seen&key != 0 {
			u.fail(ErrMsgpackKey) // decoders differ in which one counts
		}
		if u.err != 0 {
			return p, nil, 0
		}
		seen |= key
		switch key {
		case keyType:
			p.Type = u.packetType()
		case keyNamespace:
			nsp = u.namespace()
		case keyID:
			p.ID, p.HasID = u.ackID()
		case keyData:
			data = u.payload()
		default:
			size, binaries := u.size, u.binaries
			u.value()
			u.size, u.binaries = size, binaries
		}
	}
	switch {
	case seen&keyType == 0:
		u.fail(ErrPacketType)
	case seen&keyNamespace == 0:
		u.fail(ErrNamespace)
	}
	return p, nsp, data
}

// packetKey is a set of the packet's own keys.
type packetKey uint8

const (
	keyType packetKey = 1 << iota
	keyNamespace
	keyID
	keyData
)

func packetKeyOf(name []byte) packetKey {
	switch string(name) {
	case "type":
		return keyType
	case "nsp":
		return keyNamespace
	case "id":
		return keyID
	case "data":
		return keyData
	}
	return 0
}

// packetType has no 5 and 6: binary values need no packet type of their own here.
func (u *unpacker) packetType() PacketType {
	it := u.next()
	if it.kind != kindUint || it.n > uint64(ConnectError) {
		u.fail(ErrPacketType)
		return 0
	}
	return PacketType(it.n)
}

// namespace refuses what the JSON form cannot spell, so that nothing behind depends on the form.
func (u *unpacker) namespace() []byte {
	it := u.next()
	if it.kind != kindString || len(it.body) == 0 || it.body[0] != '/' || bytes.IndexByte(it.body, ',') >= 0 {
		u.fail(ErrNamespace)
	}
	return it.body
}

func (u *unpacker) ackID() (id uint64, ok bool) {
	it := u.next()
	switch {
	case it.kind == kindUndefined:
		return 0, false
	case it.kind != kindUint || it.n > maxAckID:
		u.fail(ErrAckID)
		return 0, false
	}
	return it.n, true
}

// payload measures the data and returns where it begins: never 0, where the packet does.
func (u *unpacker) payload() int {
	start := u.pos
	if u.undefined() {
		return 0
	}
	u.value()
	return start
}

// write is the second walk, over the data alone.
func (u *unpacker) write(p *Packet, data int) {
	switch {
	case u.binaries == 0:
	case p.Type == Event:
		p.Type = BinaryEvent
	case p.Type == Ack:
		p.Type = BinaryAck
	default:
		u.fail(ErrPayload)
		return
	}
	u.out = make([]byte, 0, u.size)
	if u.binaries > 0 {
		u.attachments = make([][]byte, 0, u.binaries)
	}
	u.pos, u.size, u.binaries = data, 0, 0
	u.value()
	p.Data, p.Attachments = u.out, u.attachments
}

func (u *unpacker) fail(e Error) {
	if u.err == 0 {
		u.err = e
	}
	u.pos = len(u.b)
}

// value walks over one value. It recurses, at most MaxDepth deep.
func (u *unpacker) value() {
	var scratch [32]byte // longer than any number or date
	switch it := u.next(); it.kind {
	case kindNil, kindUndefined:
		u.text("null")
	case kindFalse:
		u.text("false")
	case kindTrue:
		u.text("true")
	case kindUint:
		u.put(strconv.AppendUint(scratch[:0], it.n, 10))
	case kindNegative:
		u.put(strconv.AppendInt(scratch[:0], int64(it.n), 10))
	case kindFloat:
		u.put(appendFloat(scratch[:0], math.Float64frombits(it.n)))
	case kindDate:
		u.put(appendDate(scratch[:0], int64(it.n)))
	case kindString:
		u.quote(it.body)
	case kindBinary:
		u.attach(it.body)
	case kindArray:
		u.array(it.n)
	case kindMap:
		u.object(it.n)
	}
}

func (u *unpacker) array(n uint64) {
	if !u.enter() {
		return
	}
	u.text("[")
	for i := range n {
		if i > 0 {
			u.text(",")
		}
		if u.value(); u.err != 0 {
			return
		}
	}
	u.text("]")
	u.depth--
}

func (u *unpacker) object(n uint64) {
	if !u.enter() {
		return
	}
	u.text("{")
	comma := ""
	for range n {
		key := u.next()
		if key.kind != kindString {
			u.fail(ErrMsgpackKey)
			return
		}
		if u.undefined() {
			continue
		}
		u.text(comma)
		comma = ","
		u.quote(key.body)
		u.text(":")
		if u.value(); u.err != 0 {
			return
		}
	}
	u.text("}")
	u.depth--
}

func (u *unpacker) enter() bool {
	if u.depth >= u.limits.MaxDepth {
		u.fail(ErrDepth)
		return false
	}
	u.depth++
	return true
}

// attach leaves a placeholder, as the JSON form has it.
func (u *unpacker) attach(body []byte) {
	if u.binaries >= u.limits.MaxAttachments {
		u.fail(ErrAttachments)
		return
	}
	var scratch [20]byte
	u.text(`{"_placeholder":true,"num":`)
	u.put(strconv.AppendInt(scratch[:0], int64(u.binaries), 10))
	u.text("}")
	u.binaries++
	if u.out != nil {
		u.attachments = append(u.attachments, body)
	}
}

func (u *unpacker) text(s string) {
	u.grow(len(s))
	if u.out != nil {
		u.out = append(u.out, s...)
	}
}

func (u *unpacker) put(b []byte) {
	u.grow(len(b))
	if u.out != nil {
		u.out = append(u.out, b...)
	}
}

func (u *unpacker) quote(s []byte) {
	if u.out == nil {
		u.grow(quotedLen(s))
		return
	}
	u.out = appendQuoted(u.out, s)
}

func (u *unpacker) grow(n int) {
	if u.size += n; u.size > u.limits.MaxBytes {
		u.fail(ErrTooLarge)
	}
}

// appendFloat writes numbers as JavaScript does, and what is no number as null, as JSON.stringify does: a
// client that computes 0/0 must not lose its connection in one form and keep it in the other.
func appendFloat(dst []byte, f float64) []byte {
	switch a := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, "null"...)
	case a == 0:
		return append(dst, '0') // also for -0
	case a >= 1e-6 && a < 1e21:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	default:
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
}

// appendDate writes Date.prototype.toJSON: milliseconds, six digits and a sign for years that four do not
// hold, null for what is no Date.
func appendDate(dst []byte, ms int64) []byte {
	const furthest = 8_640_000_000_000_000
	if ms > furthest || ms < -furthest {
		return append(dst, "null"...)
	}
	t := time.UnixMilli(ms).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = append(dst, '"')
	switch {
	case year < 0:
		dst = appendDigits(append(dst, '-'), -year, 6)
	case year > 9999:
		dst = appendDigits(append(dst, '+'), year, 6)
	default:
		dst = appendDigits(dst, year, 4)
	}
	dst = appendDigits(append(dst, '-'), int(month), 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), hour, 2)
	dst = appendDigits(append(dst, ':'), minute, 2)
	dst = appendDigits(append(dst, ':'), second, 2)
	dst = appendDigits(append(dst, '.'), t.Nanosecond()/1e6, 3)
	return append(dst, 'Z', '"')
}

// appendDigits writes n with leading zeros. (time.AppendFormat would move the caller's buffer to the heap.)
func appendDigits(dst []byte, n, width int) []byte {
	for range width {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; n > 0; i-- {
		dst[i] = '0' + byte(n%10)
		n /= 10
	}
	return dst
}
