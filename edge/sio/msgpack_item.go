package sio

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// item is one value, or the beginning of one that holds others.
type item struct {
	kind kind
	n    uint64 // the number's bits, or how many values follow: for maps, pairs
	body []byte // of strings and binaries
}

type kind uint8

const (
	kindInvalid kind = iota
	kindNil
	kindUndefined
	kindFalse
	kindTrue
	kindUint
	kindNegative // n is an int64 below 0
	kindFloat    // n is a float64
	kindDate     // n is an int64 of milliseconds
	kindString
	kindBinary
	kindArray
	kindMap
)

// undefinedValue is how notepack.io writes undefined: fixext 1 of type 0.
var undefinedValue = []byte{0xd4, 0, 0}

// undefined skips such a value if it comes next.
func (u *unpacker) undefined() bool {
	if !bytes.HasPrefix(u.b[u.pos:], undefinedValue) {
		return false
	}
	u.pos += len(undefinedValue)
	return true
}

// next reads one item. What it announces is there, or the packet is refused: nothing is ever reserved for a
// length because it was named.
func (u *unpacker) next() item {
	c := byte(u.uint(1))
	switch {
	case u.err != 0:
		return item{}
	case c < 0x80:
		return item{kind: kindUint, n: uint64(c)}
	case c < 0x90:
		return u.holds(kindMap, uint64(c&15))
	case c < 0xa0:
		return u.holds(kindArray, uint64(c&15))
	case c < 0xc0:
		return u.string(uint64(c & 31))
	case c >= 0xe0:
		return signed(int64(int8(c)))
	}
	switch c {
	case 0xc0:
		return item{kind: kindNil}
	case 0xc2:
		return item{kind: kindFalse}
	case 0xc3:
		return item{kind: kindTrue}
	case 0xc4, 0xc5, 0xc6:
		return item{kind: kindBinary, body: u.bytes(u.uint(1 << (c - 0xc4)))}
	case 0xc7, 0xc8, 0xc9:
		return u.extension(u.uint(1 << (c - 0xc7)))
	case 0xca:
		f := math.Float32frombits(uint32(u.uint(4)))
		return item{kind: kindFloat, n: math.Float64bits(float64(f))}
	case 0xcb:
		return item{kind: kindFloat, n: u.uint(8)}
	case 0xcc, 0xcd, 0xce, 0xcf:
		return item{kind: kindUint, n: u.uint(1 << (c - 0xcc))}
	case 0xd0, 0xd1, 0xd2, 0xd3:
		width := 1 << (c - 0xd0)
		unused := 64 - 8*width
		return signed(int64(u.uint(width)<<unused) >> unused)
	case 0xd4, 0xd7:
		return u.fixed(c)
	case 0xd9, 0xda, 0xdb:
		return u.string(u.uint(1 << (c - 0xd9)))
	case 0xdc, 0xdd:
		return u.holds(kindArray, u.uint(2<<(c-0xdc)))
	case 0xde, 0xdf:
		return u.holds(kindMap, u.uint(2<<(c-0xde)))
	}
	u.fail(ErrMsgpackType)
	return item{}
}

func signed(n int64) item {
	if n >= 0 {
		return item{kind: kindUint, n: uint64(n)}
	}
	return item{kind: kindNegative, n: uint64(n)}
}

// holds refuses a count that the rest of the message cannot have: a value takes a byte, a pair two.
func (u *unpacker) holds(k kind, n uint64) item {
	least := uint64(1)
	if k == kindMap {
		least = 2
	}
	if n*least > uint64(len(u.b)-u.pos) {
		u.fail(ErrTruncated)
		return item{}
	}
	return item{kind: k, n: n}
}

func (u *unpacker) string(n uint64) item {
	s := u.bytes(n)
	if !utf8.Valid(s) {
		u.fail(ErrUTF8)
		return item{}
	}
	return item{kind: kindString, body: s}
}

// extension accepts an ArrayBuffer, which has type 0.
func (u *unpacker) extension(n uint64) item {
	if u.uint(1) != 0 {
		u.fail(ErrMsgpackType)
		return item{}
	}
	return item{kind: kindBinary, body: u.bytes(n)}
}

// fixed accepts undefined and Date, which have type 0 too.
func (u *unpacker) fixed(c byte) item {
	if u.uint(1) != 0 {
		u.fail(ErrMsgpackType)
		return item{}
	}
	if c == 0xd7 {
		return item{kind: kindDate, n: u.uint(8)}
	}
	if u.uint(1) != 0 {
		u.fail(ErrMsgpackType)
	}
	return item{kind: kindUndefined}
}

// bytes takes a part of the message.
func (u *unpacker) bytes(n uint64) []byte {
	if n > uint64(len(u.b)-u.pos) {
		u.fail(ErrTruncated)
		return nil
	}
	start := u.pos
	u.pos += int(n)
	return u.b[start:u.pos:u.pos]
}

// uint reads a big-endian number of 1, 2, 4 or 8 bytes.
func (u *unpacker) uint(width int) uint64 {
	b := u.bytes(uint64(width))
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
