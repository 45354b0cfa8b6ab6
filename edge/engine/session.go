package engine

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"

	"github.com/lexiflow/realtime/edge/sio"
)

// sid is an Engine.IO session id as a map key.
type sid [20]byte

// newSID makes an id that begins with prefix: what is left is random, 84 bits with the longest prefix.
func newSID(prefix string) (id sid) {
	var random [15]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	base64.RawURLEncoding.Encode(id[:], random[:])
	copy(id[:], prefix)
	return id
}

// link is one WebSocket connection, whatever reads it: conn (epoll) or stdConn.
type link interface {
	// kick asks for s.flush soon. Called with s.mu held.
	kick(s *Session)
	// write puts frames on the socket, less the first skip bytes, without blocking for long. n may
	// be short without an error.
	write(frames []*Frame, skip int, v *vector) (n int, err error)
	// arm asks for s.resume when the socket has room again. Called with s.mu held.
	arm(s *Session)
	// direct writes a few bytes outside of any session's queue.
	direct(wire []byte)
	// shut ends the connection with a close frame, or at once. Any goroutine, no lock held.
	shut(code uint16, abrupt bool)
	// inflates gives the window, in bits, that the client inflates with; 0 without permessage-deflate.
	inflates() uint8
}

// Session is one Engine.IO session, on whatever transport it is. All methods may be called
// concurrently, also from within callbacks.
type Session struct {
	App any // the Handler's own; the engine never touches it

	// Static after the handshake.
	engine *Engine
	shard  *shard
	remote string
	opened int64 // on the engine's clock
	id     sid

	in sync.Mutex // held during callbacks; Send and Close never take it

	mu sync.Mutex
	// Guarded by mu.
	link    link     // the WebSocket that carries the session; nil on polling
	polling *polling // nil on WebSocket
	queue   queue
	beat    int64 // the handshake or the last pong: heartbeats count from here
	timer   timer // guarded by its wheel
	reason  Reason
	after   Reason // of CloseAfterFlush; ReasonNone otherwise
	visible bool   // Open has returned
	window  uint8  // of the link, see there
	flags
	proof
}

// proof is what pongs prove: a pong comes behind everything that was queued before its ping. Guarded by
// its session's mu.
type proof struct {
	marked uint64 // Options.Mark when the last ping was queued
	proved uint64 // Options.Mark when the last ping that was answered was queued
	pings  uint32 // queued so far
	ponged uint32 // number of the last one that was answered, from 1; 0 for none
}

// flags of a Session, guarded by its mu.
type flags struct {
	established bool   // Established was called
	pinged      bool   // a ping is out
	batch       bool   // a callback is running: what it sends leaves when it ends
	held        bool   // what is sent waits for a moment, see Hold
	listed      bool   // a writer knows that something waits
	writing     bool   // a writer has taken the queue
	blocked     bool   // the socket is full; the link is armed
	closing     bool   // no more callbacks but Close
	hungUp      bool   // the link has ended or is ending by itself
	arriving    bool   // it came from another engine; see foreign.go
	shutCode    uint16 // the link is to be shut with it by the writer that is writing; 0 otherwise
}

// ID is the Engine.IO sid: 20 characters, secret to its client.
func (s *Session) ID() string { return string(s.id[:]) }

// RemoteAddr is the host:port that the handshake came from.
func (s *Session) RemoteAddr() string { return s.remote }

// Transport is "polling" or "websocket" as of now.
func (s *Session) Transport() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.polling != nil {
		return transportPolling
	}
	return transportWebSocket
}

// Established stops the connect timeout.
func (s *Session) Established() {
	s.mu.Lock()
	s.established = true
	s.mu.Unlock()
}

// Pending is what waits for the client or is being written, in frames and bytes.
func (s *Session) Pending() (frames, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.queue.frames), int(s.queue.bytes)
}

// Pings is how many pings were queued so far. What is queued from now on is before every later one.
func (s *Session) Pings() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pings
}

// Proof is what Options.Mark said when the last ping that the client has answered was queued, and that
// ping's number, 0 without one: what was queued before it has arrived.
func (s *Session) Proof() (mark uint64, ping uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proved, s.ponged
}

// Close ends the session soon, without what still waits. The first reason wins.
func (s *Session) Close(reason Reason) {
	s.mu.Lock()
	s.close(reason)
	s.mu.Unlock()
}

// CloseAfterFlush takes no more frames and ends the session when those waiting are written, at the
// latest after 5 s. On polling they leave with the next GET.
func (s *Session) CloseAfterFlush(reason Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.after != ReasonNone {
		return
	}
	s.after = reason
	if s.polling == nil && s.queue.frames > 0 || s.batch {
		s.beat = s.engine.now() // no more heartbeats: expire counts flushLimit from here
		s.shard.wheel.schedule(&s.timer, s, s.beat+int64(flushLimit))
		return
	}
	s.close(reason)
}

// flushLimit bounds how long CloseAfterFlush waits for a slow reader.
const flushLimit = 5 * time.Second

// close begins the end: from here on nothing is sent, and no callback but Close follows, which the
// shard's reaper makes. Called with mu held.
func (s *Session) close(reason Reason) {
	if s.closing {
		return
	}
	s.closing, s.reason = true, reason
	if s.polling != nil {
		s.polling.end(s)
	}
	s.shard.reap(s)
}

// finish makes the Close callback and lets go of the transport. The reaper calls it once.
func (s *Session) finish() {
	e := s.engine
	e.counters.closed[s.reason].Add(1) // first: who hears of the end finds it counted
	s.in.Lock()
	e.handler.Close(s, s.reason)
	s.in.Unlock()

	s.mu.Lock()
	l, hungUp, lingers := s.link, s.hungUp, false
	if p := s.polling; p != nil {
		e.counters.polling.Add(-1)
		l, lingers = p.probe, p.tail != tailNone
		p.probe = nil
	} else {
		e.counters.websocket.Add(-1)
	}
	if !lingers {
		s.queue.drop()
	}
	s.mu.Unlock()

	if l != nil && !hungUp {
		l.shut(s.reason.closeCode(), s.reason.abrupt())
	}
	if lingers {
		s.shard.wheel.schedule(&s.timer, s, s.polling.tailUntil)
	} else {
		s.forget()
	}
	e.ended()
}

// forget removes what still points to the session.
func (s *Session) forget() {
	s.engine.registry.remove(s)
	s.shard.wheel.cancel(&s.timer)
}

// begin and finish of a callback or of a batch of them. What is sent in between leaves in one write
// after end.
func (s *Session) begin() {
	s.in.Lock()
	s.mu.Lock()
	s.batch = true
	s.mu.Unlock()
}

// end is the other side of begin. It returns whether the caller, who reads the link, should flush.
func (s *Session) end() (flush bool) {
	s.mu.Lock()
	s.batch = false
	if s.polling != nil {
		s.wake()
	} else {
		flush = len(s.queue.list) > 0
	}
	if s.after != ReasonNone && (s.queue.frames == 0 || s.polling != nil) {
		s.close(s.after)
	}
	s.mu.Unlock()
	s.in.Unlock()
	return flush
}

// packet acts on one Engine.IO packet, within begin and end. It returns false when the session does
// not want more.
func (s *Session) packet(p sio.EnginePacket) bool {
	s.engine.counters.framesIn.Add(1)
	switch p.Type {
	case sio.Message:
		s.engine.handler.Message(s, p.Data, p.Binary)
	case sio.Pong:
		s.pong()
	case sio.Ping: // as in peer.message
		s.Close(ReasonForbiddenFrame)
	case sio.Close:
		s.Close(ReasonTransportClose)
	case sio.Open, sio.Upgrade, sio.Noop: // harmless here, ignored by the reference
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closing
}

// pong restarts the heartbeat. One that answers no ping changes nothing.
func (s *Session) pong() {
	s.mu.Lock()
	if s.pinged {
		s.pinged, s.beat = false, s.engine.now()
		s.proved, s.ponged = s.marked, s.pings
		s.shard.wheel.schedule(&s.timer, s, s.nextDeadline())
	}
	s.mu.Unlock()
}

// deadline is when the session ends without a pong. Called with mu held.
func (s *Session) deadline() int64 {
	return s.beat + int64(s.engine.options.PingInterval+s.engine.options.PingTimeout)
}

// lateness is how late a ping may leave before its deadline moves too: a process that was stopped
// for a while must not lose all its clients at once.
const lateness = int64(50 * time.Millisecond)

// expire sends pings and ends what has timed out.
func (s *Session) expire(now int64) (next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.engine.options
	switch {
	case s.closing:
		if s.polling != nil && s.polling.tail != tailNone && now < s.polling.tailUntil {
			return s.polling.tailUntil
		}
		s.engine.registry.remove(s)
		return 0
	case s.after != ReasonNone:
		if limit := s.beat + int64(flushLimit); now < limit {
			return limit
		}
		s.close(s.after)
		return 0
	case !s.established && now >= s.opened+int64(o.ConnectTimeout):
		s.close(ReasonConnectTimeout)
		return 0
	case s.pinged && now >= s.deadline():
		s.close(ReasonPingTimeout)
		return 0
	}
	if due := s.beat + int64(o.PingInterval); !s.pinged && now >= due {
		if now > due+lateness {
			s.beat += now - due
		}
		s.pinged = true
		s.marked = o.Mark()
		s.pings++
		s.queue.push(pingFrame)
		s.wake()
	}
	return s.nextDeadline()
}

// nextDeadline is when expire has something to do. Called with mu held.
func (s *Session) nextDeadline() int64 {
	next := s.beat + int64(s.engine.options.PingInterval)
	if s.pinged {
		next = s.deadline()
	}
	if !s.established {
		next = min(next, s.opened+int64(s.engine.options.ConnectTimeout))
	}
	return next
}
