package engine

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one descriptor that a loop reads. What is not said otherwise is owned by that loop.
type conn struct {
	peer
	loop     *loop
	remote   string
	deadline *connTimer // of the request head, the upgrade or the lingering; nil when there is none
	fd       int32
	state    connState
	dying    bool // no longer watched; to be closed by a later task. Guarded by the session's mu
	abrupt   bool
}

type connState uint8

const (
	stateHead   connState = iota // the request head is arriving
	stateOpen                    // a WebSocket
	stateLinger                  // the close frame is sent; waiting for the peer to go
	stateDead
)

// connTimer is a deadline of a connection. It is allocated while one runs.
type connTimer struct {
	timer
	c         *conn
	at        int64
	cancelled atomic.Bool
}

// expire has the loop look at the connection: only the loop may end it.
func (t *connTimer) expire(now int64) int64 {
	if t.cancelled.Load() {
		return 0
	}
	if now < t.at {
		return t.at
	}
	t.c.loop.post(task{c: t.c, kind: taskTimeout})
	return 0
}

func (c *conn) engine() *Engine { return c.loop.poller.engine }

// setDeadline replaces the connection's deadline; 0 removes it.
func (c *conn) setDeadline(after time.Duration) {
	e := c.engine()
	wheel := e.shards[int(c.fd)%len(e.shards)].wheel
	if c.deadline != nil {
		c.deadline.cancelled.Store(true)
		wheel.cancel(&c.deadline.timer)
		c.deadline = nil
	}
	if after > 0 {
		c.deadline = &connTimer{c: c, at: e.now() + int64(after)}
		wheel.schedule(&c.deadline.timer, c.deadline, c.deadline.at)
	}
}

// timeout ends what took too long.
func (c *conn) timeout() {
	if c.deadline == nil || c.engine().now() < c.deadline.at {
		return // a newer deadline
	}
	switch c.state {
	case stateHead:
		c.engine().counters.refused[refusedHeadTimeout].Add(1)
		c.kill(false)
	case stateOpen:
		if c.role == roleProbe {
			c.engine().counters.refused[refusedUpgradeTimeout].Add(1)
			c.lost(c, ReasonTransportError)
			c.end(codeNormal, false)
		}
	case stateLinger:
		c.kill(false)
	case stateDead:
	}
}

// readable reads once; epoll tells again if there is more.
func (c *conn) readable() {
	n, err := readBytes(int(c.fd), c.loop.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR: //nolint:errorlint // a bare errno
		return
	case n > 0 && err == nil:
		c.handle(c.loop.buf[:n])
		return
	}
	if c.state == stateOpen {
		reason := ReasonTransportClose
		if err != nil {
			reason = ReasonTransportError
		}
		c.lost(c, reason)
	}
	c.kill(false)
}

// handle passes bytes on to what the connection is now.
func (c *conn) handle(data []byte) {
	switch c.state {
	case stateHead:
		c.loop.head.read(c, data)
	case stateOpen:
		c.frames(data)
	case stateLinger, stateDead:
	}
}

// frames feeds the peer and writes what the callbacks sent.
func (c *conn) frames(data []byte) {
	before := c.role
	more, flush := c.received(connSink{c}, data)
	if before != c.role {
		c.setDeadline(0) // it took over: no more upgrade timeout
	}
	if flush {
		c.session.flush(&c.loop.vec)
	}
	if !more {
		c.lost(c, c.reason)
		c.end(c.code, false)
	}
}

// connSink makes a conn the sink of its own input.
type connSink struct{ *conn }

func (c connSink) message(op byte, data []byte) bool { return c.peer.message(c.conn, op, data) }
func (c connSink) control(op byte, data []byte) bool { return c.peer.control(c.conn, op, data) }

// open makes the connection a WebSocket of s. wire is the answer to its handshake, early what the
// client sent after it.
func (c *conn) open(s *Session, r *Request, first bool, wire, early []byte) {
	c.session, c.state = s, stateOpen
	if first {
		c.setDeadline(0)
		s.carry(c, r, wire)
		if s.end() {
			s.flush(&c.loop.vec)
		}
	} else {
		if len(wire) > 0 {
			c.direct(wire)
		}
		if !s.attach(c) {
			c.role = roleSpare
			c.engine().counters.refused[refusedSecondSocket].Add(1)
			c.end(codeNormal, false)
			return
		}
		c.role = roleProbe
		c.setDeadline(c.engine().options.UpgradeTimeout)
	}
	if len(early) > 0 && c.state == stateOpen {
		c.frames(early)
	}
}

// kick implements link.
func (c *conn) kick(s *Session) { c.loop.writer.push(s) }

// write implements link.
func (c *conn) write(frames []*Frame, skip int, v *vector) (int, error) {
	return writeFrames(int(c.fd), frames, skip, v)
}

// arm implements link.
func (c *conn) arm(*Session) {
	if !c.dying {
		_ = c.loop.control(unix.EPOLL_CTL_MOD, int(c.fd), unix.EPOLLIN|unix.EPOLLOUT)
	}
}

// writable goes on with a flush that a full socket stopped.
func (c *conn) writable() {
	_ = c.loop.control(unix.EPOLL_CTL_MOD, int(c.fd), unix.EPOLLIN)
	if c.state == stateOpen && c.role == roleCarrier {
		c.session.resume(&c.loop.vec)
	}
}

// direct implements link. A socket that is too full for a few bytes of handshake will not last.
func (c *conn) direct(wire []byte) {
	if n, err := writeBytes(int(c.fd), wire); err != nil || n < len(wire) {
		_ = unix.Shutdown(int(c.fd), unix.SHUT_RDWR)
	}
}

// shut implements link.
func (c *conn) shut(code uint16, abrupt bool) {
	c.loop.post(task{c: c, kind: taskShut, code: code, abrupt: abrupt})
}

// end writes a close frame and lingers until the peer has gone, so that a reset cannot overtake the
// frame; or ends at once, as it may when the peer has said that nothing follows.
func (c *conn) end(code uint16, abrupt bool) {
	if abrupt || c.state == stateDead {
		c.kill(abrupt)
		return
	}
	if c.state == stateLinger {
		return
	}
	whole := true // no frame is half on the wire
	if s := c.session; c.role == roleCarrier && s != nil {
		s.mu.Lock()
		if s.writing {
			s.shutCode = code
			s.mu.Unlock()
			return
		}
		whole = s.queue.sent == 0
		s.mu.Unlock()
	}
	if whole {
		var frame [4]byte
		_, _ = writeBytes(int(c.fd), appendClose(frame[:0], code)) // the peer may be gone
	}
	if c.leaving { // what it sent is read, so that no reset overtakes the answer
		c.kill(false)
		return
	}
	_ = unix.Shutdown(int(c.fd), unix.SHUT_WR)
	c.state = stateLinger
	c.input.part = nil
	c.setDeadline(lingerTime)
}

// kill closes the descriptor, or leaves that to a later task when a writer is using it.
func (c *conn) kill(reset bool) {
	if c.state == stateDead && !c.dying {
		return
	}
	c.setDeadline(0)
	c.state, c.input.part = stateDead, nil
	c.abrupt = c.abrupt || reset
	if s := c.session; s != nil && c.role == roleCarrier {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.writing {
			if !c.dying {
				_ = c.loop.control(unix.EPOLL_CTL_DEL, int(c.fd), 0)
			}
			c.dying, s.shutCode = true, s.reason.closeCode()
			return
		}
	}
	c.dying = false
	if c.abrupt {
		_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	p := c.loop.poller
	p.table.set(int(c.fd), nil)
	_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(c.fd), 0, 0) // as acceptOne; it does not linger
	p.open.Add(-1)
}
