package engine

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Opcodes, header bits and close codes of RFC 6455, sections 5.2 and 7.4.1.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa

	finBit     = 0x80
	rsvBits    = 0x70
	rsv1Bit    = 0x40 // of a message's first frame: it is compressed (RFC 7692 section 6)
	controlBit = 0x08
	maskBit    = 0x80

	maxFrameHead = 14
	maxControl   = 125

	codeNormal        = 1000
	codeGoingAway     = 1001
	codeProtocolError = 1002
	codeNoStatus      = 1005
	codeBadPayload    = 1007
	codeTooLarge      = 1009
)

// A client may cut a message into as many frames as it likes while they carry something: the count
// is bounded by freeFragments plus one for every fragmentBytes bytes, so that empty frames cannot
// keep a loop busy for free.
const (
	freeFragments = 1024
	fragmentBytes = 16
)

// rules are what one client may send.
type rules struct {
	limit   int  // bytes of a message, inflated
	deflate bool // permessage-deflate was agreed on
}

// sink takes what an input finds. data is valid only during the call; false stops the input.
type sink interface {
	message(op byte, data []byte) bool
	control(op byte, data []byte) bool
}

// input turns the bytes of one client into messages and control frames. It parses and unmasks in
// place; only what a read cut in two is copied, into a partial that exists as long as it is needed.
// However the same bytes are cut, the same messages come out.
type input struct{ part *partial }

// partial is what is known of a frame or message that has not ended yet.
type partial struct {
	head     [maxFrameHead]byte // of a header that a read cut in two
	headSize int

	frame   frameHead // the frame whose payload is arriving
	inFrame bool
	got     int // bytes of its payload so far

	op        byte // of the message in pieces; 0 = none
	deflated  bool
	data      []byte
	fragments int

	control [maxControl]byte // payload of a control frame cut in two
}

type frameHead struct {
	fin      bool
	deflated bool
	op       byte
	mask     [4]byte
	size     int
}

func (h frameHead) isControl() bool { return h.op&controlBit != 0 }

// parseHead reads a client's frame header and returns its length, 0 when b ends before it does.
// A code other than 0 is the violation found.
func parseHead(b []byte, deflate bool) (h frameHead, n int, code uint16) {
	if len(b) < 2 {
		return h, 0, 0
	}
	h.fin, h.op = b[0]&finBit != 0, b[0]&0x0f
	reserved := b[0] & rsvBits
	if deflate && reserved == rsv1Bit && (h.op == opText || h.op == opBinary) {
		h.deflated, reserved = true, 0
	}
	size := int(b[1] &^ maskBit)
	switch {
	case reserved != 0, b[1]&maskBit == 0:
		return h, 0, codeProtocolError
	case h.op > opBinary && h.op < opClose, h.op > opPong:
		return h, 0, codeProtocolError
	case h.isControl() && (!h.fin || size > maxControl):
		return h, 0, codeProtocolError
	}
	n = 2
	switch size {
	case 126:
		if len(b) < 4 {
			return h, 0, 0
		}
		size, n = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		if len(b) < 10 {
			return h, 0, 0
		}
		long := binary.BigEndian.Uint64(b[2:])
		if long >= 1<<31 {
			if long >= 1<<63 {
				return h, 0, codeProtocolError
			}
			return h, 0, codeTooLarge
		}
		size, n = int(long), 10
	}
	if len(b) < n+4 {
		return h, 0, 0
	}
	copy(h.mask[:], b[n:])
	h.size = size
	return h, n + 4, 0
}

// feed consumes data. It returns 0, or the close code of the violation that ends the connection.
func (in *input) feed(data []byte, may rules, to sink) uint16 {
	for len(data) > 0 {
		if in.part != nil && in.part.inFrame {
			rest, code, more := in.payload(data, may, to)
			if code != 0 || !more {
				return code
			}
			data = rest
			continue
		}
		h, rest, code := in.header(data, may.deflate)
		if code != 0 {
			return code
		}
		if rest == nil {
			return 0
		}
		if code := in.admit(h, may.limit); code != 0 {
			return code
		}
		data = rest
		whole := len(data) >= h.size && h.op != opContinuation && h.fin
		if !whole {
			in.start(h)
			if h.size == 0 { // an empty fragment ends at once; feed's loop would wait for a byte
				if code, more := in.finish(may, to); code != 0 || !more {
					return code
				}
			}
			continue
		}
		body := data[:h.size]
		data = data[h.size:]
		unmask(body, h.mask, 0)
		if code, more := deliver(h.op, h.deflated, body, may.limit, to); code != 0 || !more {
			return code
		}
	}
	return 0
}

// header reads the next frame's header from what was kept and from data. rest is what follows it in
// data, nil when the header is not complete yet.
func (in *input) header(data []byte, deflate bool) (h frameHead, rest []byte, code uint16) {
	if in.part == nil || in.part.headSize == 0 {
		h, n, code := parseHead(data, deflate)
		if n == 0 && code == 0 {
			in.ensure()
			in.part.headSize = copy(in.part.head[:], data)
			return h, nil, 0
		}
		return h, data[n:len(data):len(data)], code
	}
	had := in.part.headSize
	in.part.headSize += copy(in.part.head[had:], data)
	h, n, code := parseHead(in.part.head[:in.part.headSize], deflate)
	if n == 0 {
		return h, nil, code
	}
	in.part.headSize = 0
	in.release()
	return h, data[n-had : len(data) : len(data)], code
}

// admit checks a frame against the message that it continues or begins.
func (in *input) admit(h frameHead, limit int) uint16 {
	if h.isControl() {
		return 0
	}
	inMessage := in.part != nil && in.part.op != 0
	if inMessage != (h.op == opContinuation) {
		return codeProtocolError
	}
	total, deflated := h.size, h.deflated
	if inMessage {
		total, deflated = total+len(in.part.data), in.part.deflated
		if in.part.fragments > freeFragments+len(in.part.data)/fragmentBytes {
			return codeTooLarge
		}
	}
	if deflated {
		limit = compressedLimit(limit)
	}
	if total > limit {
		return codeTooLarge
	}
	return 0
}

// start notes a frame whose payload cannot be used in place.
func (in *input) start(h frameHead) {
	in.ensure()
	in.part.frame, in.part.inFrame, in.part.got = h, true, 0
	if !h.isControl() {
		in.part.fragments++
		if h.op != opContinuation {
			in.part.op, in.part.deflated = h.op, h.deflated
		}
	}
}

// payload consumes the bytes of data that belong to the frame that is arriving.
func (in *input) payload(data []byte, may rules, to sink) (rest []byte, code uint16, more bool) {
	n := min(in.part.frame.size-in.part.got, len(data))
	body := data[:n]
	unmask(body, in.part.frame.mask, in.part.got)
	if in.part.frame.isControl() {
		copy(in.part.control[in.part.got:], body)
	} else {
		in.part.data = append(in.part.data, body...)
	}
	in.part.got += n
	if in.part.got < in.part.frame.size {
		return nil, 0, true
	}
	code, more = in.finish(may, to)
	return data[n:], code, more
}

// finish ends the frame that has arrived, and with its last frame the message.
func (in *input) finish(may rules, to sink) (code uint16, more bool) {
	p := in.part
	p.inFrame = false
	if p.frame.isControl() {
		body := p.control
		in.release()
		return deliver(p.frame.op, false, body[:p.frame.size], may.limit, to)
	}
	if !p.frame.fin {
		return 0, true
	}
	op, deflated, data := p.op, p.deflated, p.data
	p.op, p.deflated, p.data, p.fragments = 0, false, nil, 0
	in.release()
	return deliver(op, deflated, data, may.limit, to)
}

// deliver gives a whole message or control frame to the sink.
func deliver(op byte, deflated bool, data []byte, limit int, to sink) (code uint16, more bool) {
	if op&controlBit != 0 {
		return 0, to.control(op, data)
	}
	if deflated {
		z, _ := inflaters.Get().(*inflater)
		defer z.release()
		if data, code = z.inflate(data, limit); code != 0 {
			return code, false
		}
	}
	if op == opText && !utf8.Valid(data) {
		return codeBadPayload, false
	}
	return 0, to.message(op, data)
}

// unmask undoes the client's masking of a payload's bytes from position at.
func unmask(data []byte, mask [4]byte, at int) { ws.Cipher(data, mask, at) }

func (in *input) ensure() {
	if in.part == nil {
		in.part = new(partial)
	}
}

// release drops the partial when nothing is unfinished, so that an idle connection holds none.
func (in *input) release() {
	if p := in.part; !p.inFrame && p.op == 0 && p.headSize == 0 {
		in.part = nil
	}
}

// closePayload checks the payload of a client's close frame and returns the code to answer with
// (RFC 6455 sections 5.5.1 and 7.4).
func closePayload(data []byte) uint16 {
	if len(data) == 0 {
		return codeNoStatus
	}
	if len(data) == 1 || !utf8.Valid(data[2:]) {
		return codeProtocolError
	}
	code := binary.BigEndian.Uint16(data)
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return code
	}
	return codeProtocolError
}

// appendClose appends a close frame; codeNoStatus makes it an empty one.
func appendClose(dst []byte, code uint16) []byte {
	if code == codeNoStatus {
		return appendHeader(dst, opClose, 0)
	}
	return binary.BigEndian.AppendUint16(appendHeader(dst, opClose, 2), code)
}

// reasonOf names the violation behind a close code that feed returned.
func reasonOf(code uint16) Reason {
	switch code {
	case codeBadPayload:
		return ReasonParseError
	case codeTooLarge:
		return ReasonMessageTooLarge
	default:
		return ReasonForbiddenFrame
	}
}
