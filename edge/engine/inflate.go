package engine

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
)

// permessage-deflate (RFC 7692), inbound. A message is inflated when it is whole, with a decompressor
// from a pool that goes back at once; the limit on messages applies to what comes out, so a bomb costs
// what a message of MaxPayload costs.

// inflater inflates one message after another.
type inflater struct {
	source bytes.Reader
	flate  io.Reader // a flate.Resetter
	in     []byte    // the message with inflateEnd behind it
	out    []byte
}

var inflaters = sync.Pool{New: func() any { return &inflater{flate: flate.NewReader(bytes.NewReader(nil))} }}

// inflateEnd goes behind a message: the mark that its sender has cut off, and a last, empty block, so
// that the decompressor ends instead of asking for more.
const inflateEnd = flushMark + "\x01\x00\x00\xff\xff"

// inflate returns what data is compressed of, valid until release, or the close code of what is wrong.
func (z *inflater) inflate(data []byte, limit int) ([]byte, uint16) {
	if len(data) == 0 {
		return nil, 0 // strictly it takes a byte (RFC 7692 section 7.2.3.6), but what is meant is clear
	}
	z.in = append(append(z.in[:0], data...), inflateEnd...)
	z.source.Reset(z.in)
	resetter, _ := z.flate.(flate.Resetter)
	_ = resetter.Reset(&z.source, nil) // cannot fail
	z.out = z.out[:0]
	for {
		if len(z.out) == cap(z.out) {
			z.out = slices.Grow(z.out, max(4*len(data), 512, len(z.out)/2))
		}
		n, err := z.flate.Read(z.out[len(z.out):cap(z.out)])
		z.out = z.out[:len(z.out)+n]
		switch {
		case len(z.out) > limit:
			return nil, codeTooLarge
		case errors.Is(err, io.EOF):
			return z.out, z.rest()
		case err != nil:
			return nil, codeBadPayload
		}
	}
}

// rest checks what is behind the block that said it was the last: nothing, when that was ours. A sender
// may end its message with such a block and one zero byte (RFC 7692 section 7.2.3.4).
func (z *inflater) rest() uint16 {
	left := z.in[len(z.in)-z.source.Len():]
	if len(left) == 0 || string(left) == inflateEnd || string(left) == "\x00"+inflateEnd {
		return 0
	}
	return codeBadPayload
}

// release gives the inflater back to the pool, without what a large message has made it hold.
func (z *inflater) release() {
	if cap(z.in) > keepBuffer {
		z.in = nil
	}
	if cap(z.out) > keepBuffer {
		z.out = nil
	}
	inflaters.Put(z)
}

// compressedLimit bounds a message before it is inflated: what a compressor cannot make smaller grows
// a little.
func compressedLimit(limit int) int { return limit + limit/16 + 64 }
