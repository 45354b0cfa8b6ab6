package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// stdConn is a WebSocket read by a goroutine of its own: Mode Goroutines, and connections without a
// descriptor (TLS). A second goroutine writes, as long as there is something to write.
type stdConn struct {
	peer
	nc     net.Conn
	engine *Engine
	ending atomic.Bool // shut was called: the reader only waits for the end
}

// adoptStd takes over a connection whose WebSocket handshake is done. early is what the client has
// sent after it. It reads on a goroutine of its own, so that net/http's buffers go.
func (e *Engine) adoptStd(nc net.Conn, s *Session, r *Request, first bool, early []byte) {
	c := &stdConn{nc: nc, engine: e, peer: peer{session: s, window: r.window}}
	e.mu.Lock()
	e.conns[c] = struct{}{}
	e.mu.Unlock()
	if first {
		s.carry(c, r, nil)
		if s.end() {
			s.kickOff()
		}
	} else {
		c.begin(s)
	}
	go c.run(early)
}

func (c *stdConn) run(early []byte) {
	c.read(early)
	_ = c.nc.Close()
	c.engine.mu.Lock()
	delete(c.engine.conns, c)
	c.engine.mu.Unlock()
}

// begin gives a WebSocket for an existing session its role.
func (c *stdConn) begin(s *Session) {
	if s.attach(c) {
		c.role = roleProbe
		_ = c.nc.SetReadDeadline(time.Now().Add(c.engine.options.UpgradeTimeout))
		return
	}
	c.role = roleSpare
	c.engine.counters.refused[refusedSecondSocket].Add(1)
	c.shut(codeNormal, false)
}

// read feeds the peer until the connection ends.
func (c *stdConn) read(early []byte) {
	buf := make([]byte, 4096)
	for data := early; ; {
		if len(data) > 0 && !c.ending.Load() {
			c.handle(data)
		}
		n, err := c.nc.Read(buf)
		data = buf[:n]
		if err == nil {
			continue
		}
		if !c.ending.Load() {
			c.failed(err)
		}
		return
	}
}

// handle gives bytes to the peer, and ends the connection when they call for it.
func (c *stdConn) handle(data []byte) {
	before := c.role
	more, flush := c.received(c.sink(), data)
	if before != c.role { // it took over: no more upgrade timeout
		_ = c.nc.SetReadDeadline(time.Time{})
		if c.ending.Load() {
			_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
		}
	}
	if more {
		if flush {
			c.session.kickOff()
		}
		return
	}
	if flush { // what was sent before the end goes before the close frame
		_ = c.nc.SetWriteDeadline(time.Now().Add(lingerTime))
		c.session.flushAll()
	}
	c.lost(c, c.reason)
	c.end(c.code, false)
}

// failed tells the session how the connection was lost.
func (c *stdConn) failed(err error) {
	reason := ReasonTransportError
	if errors.Is(err, io.EOF) {
		reason = ReasonTransportClose
	}
	if c.role == roleProbe && isTimeout(err) {
		c.engine.counters.refused[refusedUpgradeTimeout].Add(1)
	}
	c.lost(c, reason)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// stdSink makes a stdConn the sink of its own input.
type stdSink struct{ *stdConn }

func (c *stdConn) sink() sink { return stdSink{c} }

func (c stdSink) message(op byte, data []byte) bool { return c.peer.message(c.stdConn, op, data) }
func (c stdSink) control(op byte, data []byte) bool { return c.peer.control(c.stdConn, op, data) }

// flushAll writes what waits, or waits for who is writing it. The caller has set a write deadline.
func (s *Session) flushAll() {
	ctx, cancel := context.WithTimeout(context.Background(), lingerTime)
	defer cancel()
	untilTrue(ctx, func() bool {
		s.flush(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.closing || s.queue.frames == 0
	})
}

func (c *stdConn) kick(s *Session) { go s.flush(nil) }

func (c *stdConn) write(frames []*Frame, skip int, _ *vector) (int, error) {
	buffers := make(net.Buffers, len(frames))
	for i, f := range frames {
		buffers[i] = f.wire
	}
	buffers[0] = buffers[0][skip:]
	n, err := buffers.WriteTo(c.nc)
	return int(n), err
}

// arm is never needed: write blocks.
func (c *stdConn) arm(*Session) {}

func (c *stdConn) direct(wire []byte) { _, _ = c.nc.Write(wire) } // the reader notices a lost peer

// shut may be called from anywhere; writing the close frame may block, so it has its own goroutine.
func (c *stdConn) shut(code uint16, abrupt bool) {
	if abrupt {
		c.end(code, true)
		return
	}
	go c.end(code, false)
}

// end writes the close frame and lets the reader linger for the peer's, or closes at once.
func (c *stdConn) end(code uint16, abrupt bool) {
	if abrupt {
		c.ending.Store(true)
		if tcp, ok := c.nc.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.nc.Close()
		return
	}
	deadline := time.Now().Add(lingerTime)
	s := c.session
	s.mu.Lock()
	if s.link == link(c) && s.writing {
		s.shutCode = code
		_ = c.nc.SetWriteDeadline(deadline)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	if c.ending.Swap(true) {
		return
	}
	_ = c.nc.SetDeadline(deadline)
	_, _ = c.nc.Write(appendClose(nil, code))
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// closeStd waits until these connections have ended, or ctx has, and closes the rest.
func (e *Engine) closeStd(ctx context.Context) {
	untilTrue(ctx, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.conns) == 0
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		_ = c.nc.Close()
	}
}

// untilTrue asks every few milliseconds, as http.Server.Shutdown does.
func untilTrue(ctx context.Context, done func() bool) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
