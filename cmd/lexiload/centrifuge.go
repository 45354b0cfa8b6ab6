package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// centrifugeClient speaks as much of Centrifuge's JSON protocol as it takes to be measured beside Socket.IO:
// connect with a token, one subscription, publications, pings. A frame holds one or more messages, a line each.
type centrifugeClient struct {
	conn net.Conn
	done chan struct{}

	// Owned by the reader.
	in   *bufio.Reader
	buf  []byte
	rest []byte // lines of the last frame that were not taken yet

	mu  sync.Mutex // one frame at a time; guards err
	err error
}

const centrifugePath = "/connection/websocket"

// dialCentrifuge connects, and subscribes unless channel is "". onLine sees every line that comes later.
func dialCentrifuge(ctx context.Context, server, token, channel string, onLine func([]byte)) (*centrifugeClient, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Path = "ws", centrifugePath
	conn, in, _, err := ws.Dial(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", u.Host, err)
	}
	c := newCentrifugeClient(conn, conn)
	if in != nil { // the server's first frames are in it
		c.in = in
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = c.call(1, "connect", map[string]string{"token": token})
	if err == nil && channel != "" {
		err = c.call(2, "subscribe", map[string]string{"channel": channel})
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	go c.read(onLine)
	return c, nil
}

func newCentrifugeClient(conn net.Conn, in io.Reader) *centrifugeClient {
	return &centrifugeClient{conn: conn, in: bufio.NewReader(in), done: make(chan struct{})}
}

// call sends a command and waits for its reply. Only for before read has begun.
func (c *centrifugeClient) call(id int, method string, params any) error {
	command, err := json.Marshal(map[string]any{"id": id, method: params})
	if err == nil {
		err = c.write(ws.OpText, command)
	}
	for err == nil {
		var line []byte
		if line, err = c.line(); err != nil {
			break
		}
		var reply struct {
			ID    int
			Error *struct {
				Code    int
				Message string
			}
		}
		if err = json.Unmarshal(line, &reply); err != nil || reply.ID != id {
			continue
		}
		if reply.Error != nil {
			return fmt.Errorf("%s refused with %d %s", method, reply.Error.Code, reply.Error.Message)
		}
		return nil
	}
	return fmt.Errorf("%s: %w", method, err)
}

func (c *centrifugeClient) read(onLine func([]byte)) {
	for {
		line, err := c.line()
		switch {
		case err != nil:
			c.end(err)
			return
		case string(line) == "{}": // a ping, answered alike
			if err := c.write(ws.OpText, line); err != nil {
				c.end(err)
				return
			}
		default:
			onLine(line)
		}
	}
}

// line returns the next message, valid until the next call.
func (c *centrifugeClient) line() ([]byte, error) {
	for len(c.rest) == 0 {
		h, err := ws.ReadHeader(c.in)
		if err != nil {
			return nil, err
		}
		if h.Length > maxSize || !h.Fin || h.Masked {
			return nil, fmt.Errorf("a frame of %d bytes, fin %v, masked %v is not expected", h.Length, h.Fin, h.Masked)
		}
		if cap(c.buf) < int(h.Length) {
			c.buf = make([]byte, h.Length)
		}
		frame := c.buf[:h.Length]
		if _, err := io.ReadFull(c.in, frame); err != nil {
			return nil, err
		}
		switch h.OpCode {
		case ws.OpText:
			c.rest = frame
		case ws.OpPing:
			if err := c.write(ws.OpPong, frame); err != nil {
				return nil, err
			}
		case ws.OpClose:
			return nil, fmt.Errorf("the server closed the connection: %q", frame)
		}
	}
	line, rest, _ := bytes.Cut(c.rest, []byte("\n"))
	c.rest = rest
	return line, nil
}

func (c *centrifugeClient) write(op ws.OpCode, payload []byte) error {
	frame, err := ws.CompileFrame(ws.MaskFrame(ws.NewFrame(op, true, payload)))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(connectTimeout)) // a closed connection says so when written
	_, err = c.conn.Write(frame)
	return err
}

func (c *centrifugeClient) end(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = reason
		close(c.done)
	}
	_ = c.conn.Close()
}

// Done implements connection.
func (c *centrifugeClient) Done() <-chan struct{} { return c.done }

// Err implements connection.
func (c *centrifugeClient) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

var errLeft = errors.New("closed by this client")

// Close implements connection.
func (c *centrifugeClient) Close() {
	_ = c.write(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, "")) // perhaps nobody is there
	c.end(errLeft)
}
