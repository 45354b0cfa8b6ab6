package engine

import (
	"strconv"
	"sync"

	"github.com/gobwas/httphead"
	"github.com/klauspost/compress/flate"
)

// permessage-deflate (RFC 7692), outbound: what a handshake agrees on, and the compressed form of a
// frame, made once for all who get it.
//
// Neither side takes its window from one message into the next: so compressed bytes can be shared like
// plain ones, an idle connection holds no compressor, and a secret in one message says nothing about
// another (each is compressed alone). Every client inflates the same bytes, whatever window it asked for:
// who has a smaller one gets what cannot reach beyond it, and the rest plain.

const (
	extensionName = "permessage-deflate"
	maxWindow     = 15 // bits of a full window, and what is meant where nothing is said
	minWindow     = 8
)

// negotiation is the agreement of one handshake on the extension.
type negotiation struct {
	window uint8 // bits of the window that the client inflates with; 0 = no extension
}

// offer answers one extension that the client offers, in its order of preference: the first acceptable
// one is taken, what is unknown or malformed is declined. It implements the upgraders' Negotiate.
func (n *negotiation) offer(o httphead.Option) (answer httphead.Option, _ error) {
	if n.window != 0 || string(o.Name) != extensionName {
		return answer, nil
	}
	window, asked, ok := parseOffer(o)
	if !ok {
		return answer, nil
	}
	n.window = window
	answer.Name = []byte(extensionName)
	answer.Parameters.Set([]byte("server_no_context_takeover"), nil)
	answer.Parameters.Set([]byte("client_no_context_takeover"), nil)
	if asked {
		answer.Parameters.Set([]byte("server_max_window_bits"), strconv.AppendUint(nil, uint64(window), 10))
	}
	return answer, nil
}

// parseOffer reads the parameters of an offer (RFC 7692 section 7.1). The client's own window does not
// matter here: whatever is sent is inflated with a full one.
func parseOffer(o httphead.Option) (window uint8, asked, ok bool) {
	window, ok = maxWindow, true
	var seen []string
	o.Parameters.ForEach(func(key, value []byte) bool {
		name := string(key)
		for _, other := range seen {
			ok = ok && other != name
		}
		seen = append(seen, name)
		bits, number := parseWindow(string(value))
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			ok = ok && len(value) == 0
		case "client_max_window_bits":
			ok = ok && (number || len(value) == 0)
		case "server_max_window_bits":
			window, asked = bits, true
			ok = ok && number
		default:
			ok = false
		}
		return ok
	})
	return window, asked, ok
}

func parseWindow(text string) (bits uint8, ok bool) {
	n, err := strconv.ParseUint(text, 10, 8)
	return uint8(n), err == nil && n >= minWindow && n <= maxWindow && text[0] != '0'
}

// packed gives the form of f that goes to a client with this window: f itself where compression is not
// worth it. Whoever needs the compressed form first makes it, and writers do: the fan-out never waits for
// it, and what is dropped before it is written is never compressed.
func (f *Frame) packed(e *Engine, window uint8) *Frame {
	if n := len(f.wire); n < e.options.CompressThreshold || window < maxWindow && n > 1<<window {
		return f
	}
	if p := f.pack.Load(); p != nil {
		return p
	}
	return f.makePack(e)
}

func (f *Frame) makePack(e *Engine) *Frame {
	f.packing.Lock()
	defer f.packing.Unlock()
	if p := f.pack.Load(); p != nil {
		return p
	}
	p := f
	if wire := deflateWire(f.wire, e.options.CompressThreshold); len(wire) < len(f.wire) {
		p = &Frame{wire: wire, key: f.key, class: f.class, plain: int32(len(f.wire))}
		p.pack.Store(p)
		e.counters.compressed.Add(1)
	}
	f.pack.Store(p)
	return p
}

// packAll puts the forms of a list that is about to be written into it.
func packAll(list []*Frame, e *Engine, window uint8) {
	for i, f := range list {
		list[i] = f.packed(e, window)
	}
}

// deflater compresses one message after another. A pool has them, since each is a megabyte of tables.
type deflater struct {
	w   *flate.Writer
	out []byte
}

// deflateLevel is the quickest that finds repeats: for 2 KB of JSON 9 µs to 26 % of the size; level 5 takes
// 15 µs to 24 %, level 9 38 µs to 24 %.
const deflateLevel = 1

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, deflateLevel)
	if err != nil {
		panic(err) // the level is a constant
	}
	return &deflater{w: w}
}}

// Write implements io.Writer.
func (d *deflater) Write(b []byte) (int, error) {
	d.out = append(d.out, b...)
	return len(b), nil
}

// flushMark ends what a flush writes; the sender cuts it off and the receiver puts it back (RFC 7692
// section 7.2.1).
const flushMark = "\x00\x00\xff\xff"

// deflate returns data compressed, valid until the next call.
func (d *deflater) deflate(data []byte) []byte {
	d.out = d.out[:0]
	d.w.Reset(d)
	_, _ = d.w.Write(data) // into memory, cannot fail
	_ = d.w.Flush()
	return d.out[:len(d.out)-len(flushMark)]
}

// deflateWire compresses the messages of whole frames, each that has threshold bytes and gets smaller.
func deflateWire(wire []byte, threshold int) (out []byte) {
	d, _ := deflaters.Get().(*deflater)
	for op, data, rest := nextMessage(wire); op != 0; op, data, rest = nextMessage(rest) {
		first := finBit | op
		if len(data) >= threshold && op&controlBit == 0 {
			if small := d.deflate(data); len(small) < len(data) {
				first, data = first|rsv1Bit, small
			}
		}
		at := len(out)
		if out == nil {
			out = make([]byte, 0, headerSize(len(data))+len(data))
		}
		out = appendHeader(out, op, len(data))
		out[at] = first
		out = append(out, data...)
	}
	if cap(d.out) > keepBuffer {
		d.out = nil
	}
	deflaters.Put(d)
	return out
}

// keepBuffer bounds the buffers that pooled compressors and decompressors keep.
const keepBuffer = 64 << 10
