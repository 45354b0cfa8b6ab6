package sioclient

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/lexiflow/realtime/edge/sio"
)

// webSocket reads frames straight out of its read buffer: a message that fits is not copied.
type webSocket struct {
	conn net.Conn

	// Owned by the reader.
	in      *bufio.Reader
	max     int
	consume int    // bytes of the last frame, still in the buffer
	large   []byte // of messages that are fragmented or do not fit; dropped with the next

	mu     sync.Mutex // one frame at a time
	closed bool
}

func dialWebSocket(ctx context.Context, u *url.URL, o Options) (*webSocket, error) {
	dialer := ws.Dialer{ReadBufferSize: o.ReadBuffer, WriteBufferSize: defaultReadBuffer}
	if o.Header != nil {
		dialer.Header = ws.HandshakeHeaderHTTP(o.Header)
	}
	conn, in, _, err := dialer.Dial(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("sioclient: connecting to %s: %w", u.Host, err)
	}
	if in == nil { // else the server's first frames are in it
		in = bufio.NewReaderSize(conn, o.ReadBuffer)
	}
	return &webSocket{conn: conn, in: in, max: o.MaxMessage}, nil
}

func (w *webSocket) open() (sio.EnginePacket, error) { return w.next() }

func (w *webSocket) expect(within time.Duration) {
	_ = w.conn.SetReadDeadline(time.Now().Add(within)) // a closed connection says so when read
}

func (w *webSocket) next() (sio.EnginePacket, error) {
	for {
		op, payload, err := w.message()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return sio.EnginePacket{}, ErrPingTimeout
		case errors.Is(err, io.EOF):
			return sio.EnginePacket{}, ErrServerClosed
		case err != nil:
			return sio.EnginePacket{}, fmt.Errorf("sioclient: reading: %w", err)
		}
		switch op {
		case ws.OpText:
			p, err := sio.ParseEngine(payload)
			if err != nil {
				return p, fmt.Errorf("sioclient: decoding a message: %w", err)
			}
			return p, nil
		case ws.OpBinary:
			return sio.EnginePacket{Type: sio.Message, Binary: true, Data: payload}, nil
		case ws.OpPing:
			if err := w.write(context.Background(), ws.OpPong, payload); err != nil {
				return sio.EnginePacket{}, err
			}
		case ws.OpClose:
			return sio.EnginePacket{}, closeReason(payload)
		}
	}
}

// closeReason wraps ErrServerClosed with the code, which tells a limit from a restart.
func closeReason(payload []byte) error {
	if len(payload) < 2 {
		return ErrServerClosed
	}
	return fmt.Errorf("%w: code %d %s", ErrServerClosed, binary.BigEndian.Uint16(payload), payload[2:])
}

// message reads one control frame or one whole message, valid until the next call. A control frame between
// fragments is answered late, which no server minds.
func (w *webSocket) message() (ws.OpCode, []byte, error) {
	var first ws.OpCode
	w.large = nil
	for {
		fin, op, payload, err := w.frame()
		if err != nil {
			return 0, nil, err
		}
		switch {
		case op == ws.OpPing && first != 0:
			if err := w.write(context.Background(), ws.OpPong, payload); err != nil {
				return 0, nil, err
			}
			continue
		case op.IsControl() && (first == 0 || op == ws.OpClose):
			return op, payload, nil
		case op.IsControl():
			continue
		case fin && first == 0:
			return op, payload, nil
		}
		if first == 0 {
			first = op
		}
		if len(w.large)+len(payload) > w.max {
			return 0, nil, errTooLarge
		}
		w.large = append(w.large, payload...)
		if fin {
			return first, w.large, nil
		}
	}
}

var errTooLarge = errors.New("message above MaxMessage")

// frame reads one frame. Frames that fit the buffer are not copied: they are consumed by the next call.
func (w *webSocket) frame() (fin bool, op ws.OpCode, payload []byte, err error) {
	if _, err = w.in.Discard(w.consume); err != nil {
		return false, 0, nil, err
	}
	w.consume = 0
	head, err := w.in.Peek(2)
	if err != nil {
		return false, 0, nil, err
	}
	fin, op = head[0]&0x80 != 0, ws.OpCode(head[0]&0x0f)
	if head[0]&0x70 != 0 || head[1]&0x80 != 0 || op.IsReserved() {
		return false, 0, nil, errors.New("the server violates RFC 6455: reserved bits, or a masked frame")
	}
	size, length := 2, uint64(head[1])
	switch length {
	case 126:
		size = 4
		if head, err = w.in.Peek(size); err == nil {
			length = uint64(binary.BigEndian.Uint16(head[2:]))
		}
	case 127:
		size = 10
		if head, err = w.in.Peek(size); err == nil {
			length = binary.BigEndian.Uint64(head[2:])
		}
	}
	if err != nil {
		return false, 0, nil, err
	}
	payload, err = w.payload(size, length)
	return fin, op, payload, err
}

// payload returns length bytes behind a header of size bytes.
func (w *webSocket) payload(size int, length uint64) ([]byte, error) {
	if length > uint64(w.max) {
		return nil, errTooLarge
	}
	whole := size + int(length)
	if whole <= w.in.Size() {
		b, err := w.in.Peek(whole)
		if err != nil {
			return nil, err
		}
		w.consume = whole
		return b[size:], nil
	}
	if _, err := w.in.Discard(size); err != nil {
		return nil, err
	}
	b := make([]byte, length)
	_, err := io.ReadFull(w.in, b)
	return b, err
}

func (w *webSocket) send(ctx context.Context, p sio.EnginePacket) error {
	if p.Binary {
		return w.write(ctx, ws.OpBinary, p.Data)
	}
	return w.write(ctx, ws.OpText, append([]byte{byte(p.Type)}, p.Data...))
}

// writeTimeout bounds a write whose context has no deadline.
const writeTimeout = 10 * time.Second

func (w *webSocket) write(ctx context.Context, op ws.OpCode, payload []byte) error {
	frame, err := ws.CompileFrame(ws.MaskFrame(ws.NewFrame(op, true, payload)))
	if err != nil {
		return fmt.Errorf("sioclient: writing: %w", err)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(writeTimeout)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	_ = w.conn.SetWriteDeadline(deadline) // a closed connection says so when written
	if _, err := w.conn.Write(frame); err != nil {
		_ = w.conn.Close() // half a frame may be out: nothing can follow it
		return fmt.Errorf("sioclient: writing: %w", err)
	}
	return nil
}

func (w *webSocket) close(farewell bool) {
	if farewell {
		ctx, cancel := context.WithTimeout(context.Background(), farewellTimeout)
		_ = w.write(ctx, ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, "")) // perhaps nobody is there
		cancel()
	}
	_ = w.conn.Close()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
}
