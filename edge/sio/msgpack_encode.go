package sio

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Packets for socket.io-msgpack-parser. Payloads come as JSON and are transcoded, with the bytes that the
// official encoder would choose: every integer as short as it goes, and every length that [shifts] allows.

// AppendMsgpack writes a packet without attachments: the twin of [AppendPacket].
//
// Numbers are integers up to 2^53 either way, and float64 beyond, as JavaScript would read the JSON; half
// surrogate pairs become U+FFFD. Data that is no JSON, or nested deeper than 1024, becomes nil. The payload is
// at most 2.5 times as long as its JSON and 6 bytes (1.5 is nine, a bracket far inside up to five), as a rule
// a tenth shorter.
func AppendMsgpack(dst []byte, p Packet) []byte {
	fields := 2
	if p.Data != nil {
		fields++
	}
	dst = slices.Grow(dst, len(p.Data)+len(p.Namespace)+headRoom)
	dst = appendMsgpackHead(dst, fields, p.Type, p.Namespace, p.ID, p.HasID)
	if p.Data != nil {
		dst = appendTranscoded(append(dst, msgpackData...), p.Data)
	}
	return dst
}

// appendMsgpackEvent writes an EVENT whose arguments are JSON each.
func appendMsgpackEvent(dst []byte, nsp, name string, args [][]byte) []byte {
	dst = slices.Grow(dst, len(nsp)+len(name)+total(args)+headRoom)
	dst = appendMsgpackHead(dst, 3, Event, nsp, 0, false)
	dst = appendLength(append(dst, msgpackData...), arrayLength, len(args)+1)
	dst = append(appendLength(dst, stringLength, len(name)), name...)
	for _, arg := range args {
		dst = appendTranscoded(dst, arg)
	}
	return dst
}

func appendMsgpackAck(dst []byte, nsp string, id uint64, args [][]byte) []byte {
	dst = slices.Grow(dst, len(nsp)+total(args)+headRoom)
	dst = appendMsgpackHead(dst, 3, Ack, nsp, id, true)
	dst = appendLength(append(dst, msgpackData...), arrayLength, len(args))
	for _, arg := range args {
		dst = appendTranscoded(dst, arg)
	}
	return dst
}

// headRoom is what a packet takes beside its strings and its payload, rounded up.
const headRoom = 48

func total(args [][]byte) (n int) {
	for _, arg := range args {
		n += len(arg)
	}
	return n
}

// msgpackData is the key that a payload follows.
const msgpackData = "\xa4data"

// appendMsgpackHead writes everything before the payload. A field that is absent is not written: the
// official decoder takes nil for a value.
func appendMsgpackHead(dst []byte, fields int, t PacketType, nsp string, id uint64, hasID bool) []byte {
	if hasID {
		fields++
	}
	if nsp == "" {
		nsp = "/"
	}
	dst = appendLength(dst, mapLength, fields)
	dst = append(append(dst, "\xa4type"...), byte(t))
	dst = append(appendLength(append(dst, "\xa3nsp"...), stringLength, len(nsp)), nsp...)
	if hasID {
		dst = appendUint(append(dst, "\xa2id"...), id)
	}
	return dst
}

// appendTranscoded writes one JSON value as MessagePack.
func appendTranscoded(dst, json []byte) []byte {
	p := packer{scanner: newScanner(json, hardDepth), out: dst}
	if !p.value(p.next()) || p.next() != tokenEnd {
		return append(p.out[:len(dst)], 0xc0)
	}
	return p.out
}

// packer writes MessagePack from the tokens of JSON. It recurses as deep as the scanner allows.
type packer struct {
	scanner
	out []byte
}

// value writes the value whose first token is t. It returns false for what is no JSON.
func (p *packer) value(t token) bool {
	switch t {
	case tokenObject:
		return p.container(mapLength)
	case tokenArray:
		return p.container(arrayLength)
	case tokenString:
		p.out = appendUnquoted(p.out, p.raw())
	case tokenNumber:
		p.out = appendNumber(p.out, p.raw())
	case tokenTrue:
		p.out = append(p.out, 0xc3)
	case tokenFalse:
		p.out = append(p.out, 0xc2)
	case tokenNull:
		p.out = append(p.out, 0xc0)
	default:
		return false
	}
	return true
}

// What a container holds is moved when its count turns out to take more than one byte. So that no byte of a
// long message moves more often than this, containers further in have room for any count from the start,
// unless what follows is short.
const (
	shifts = 8
	short  = 4 << 10
)

// container writes what follows an opening bracket, and before it how much that is, once it is known.
func (p *packer) container(form lengthForm) bool {
	head := len(p.out)
	room := 1
	if p.depth > shifts && len(p.b)-p.pos > short {
		room = 5
	}
	p.out = append(p.out, "\x00\x00\x00\x00\x00"[:room]...)
	for n := 0; ; n++ {
		t := p.next()
		switch t {
		case tokenObjectEnd, tokenArrayEnd:
			p.lead(form, head, room, n)
			return true
		case tokenKey:
			p.out = appendUnquoted(p.out, p.raw())
			t = p.next()
		}
		if !p.value(t) {
			return false
		}
	}
}

// lead writes the count into the room at head, or makes more.
func (p *packer) lead(form lengthForm, head, room, n int) {
	if room > 1 {
		p.out[head] = form.wide
		binary.BigEndian.PutUint32(p.out[head+1:], uint32(n))
		return
	}
	var scratch [5]byte
	length := appendLength(scratch[:0], form, n)
	p.out[head] = length[0]
	p.out = slices.Insert(p.out, head+1, length[1:]...)
}

// lengthForm says how the length of one type is written.
type lengthForm struct {
	short byte // with the length in its lower bits
	below int  // which lengths are short
	byte1 byte // followed by one byte; 0 where there is no such form
	byte2 byte
	wide  byte // followed by four
}

var (
	stringLength = lengthForm{0xa0, 32, 0xd9, 0xda, 0xdb}
	arrayLength  = lengthForm{0x90, 16, 0, 0xdc, 0xdd}
	mapLength    = lengthForm{0x80, 16, 0, 0xde, 0xdf}
)

func appendLength(dst []byte, form lengthForm, n int) []byte {
	switch {
	case n < form.below:
		return append(dst, form.short|byte(n))
	case n < 1<<8 && form.byte1 != 0:
		return append(dst, form.byte1, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, form.byte2), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, form.wide), uint32(n))
}

// appendNumber writes a valid JSON number as the number that JavaScript reads.
func appendNumber(dst, raw []byte) []byte {
	f, _ := strconv.ParseFloat(string(raw), 64) // beyond the largest it is infinite, as in JavaScript
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(f))
	}
	if f >= 0 {
		return appendUint(dst, uint64(f))
	}
	switch n := int64(f); {
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, 0xd0, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, 0xd1), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(n))
	}
}

func appendUint(dst []byte, n uint64) []byte {
	switch {
	case n < 1<<7:
		return append(dst, byte(n))
	case n < 1<<8:
		return append(dst, 0xcc, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), n)
}

// appendUnquoted writes what a valid JSON string spells.
func appendUnquoted(dst, raw []byte) []byte {
	inner := raw[1 : len(raw)-1]
	n := 0
	plain := true
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' {
			r, size := unescape(inner[i:])
			n += utf8.RuneLen(r)
			i += size - 1
			plain = false
			continue
		}
		n++
	}
	dst = appendLength(dst, stringLength, n)
	if plain {
		return append(dst, inner...)
	}
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' {
			r, size := unescape(inner[i:])
			dst = utf8.AppendRune(dst, r)
			i += size - 1
			continue
		}
		dst = append(dst, inner[i])
	}
	return dst
}
