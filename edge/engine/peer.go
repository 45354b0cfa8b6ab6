package engine

import "github.com/lexiflow/realtime/edge/sio"

// role is what a WebSocket is to its session.
type role uint8

const (
	roleCarrier role = iota // it carries the session
	roleProbe               // it may take over a polling session
	roleSpare               // one too many: the handshake is completed, then it is closed
)

// peer is the reading side of a WebSocket, the same for both modes. It is owned by the goroutine
// that reads.
type peer struct {
	input   input
	session *Session
	role    role
	begun   bool   // within Session.begin and end
	window  uint8  // see link.inflates; static after the handshake
	leaving bool   // the client has sent its close frame: nothing follows it
	reason  Reason // why the connection ends; ReasonNone while it does not
	code    uint16 // the close code to end it with
}

// received handles bytes from the client. The caller flushes the session if flush says so, and then,
// unless there is more to come, calls lost with p.reason and ends the connection with p.code.
func (p *peer) received(to sink, data []byte) (more, flush bool) {
	e := p.session.engine
	e.counters.bytesIn.Add(uint64(len(data)))
	if p.role == roleCarrier {
		p.session.begin()
		p.begun = true
		if p.session.isClosing() {
			data = nil
		}
	}
	if code := p.input.feed(data, rules{e.options.MaxPayload, p.window != 0}, to); code != 0 {
		p.fail(code, reasonOf(code))
	}
	if p.begun {
		p.begun = false
		flush = p.session.end()
	}
	return p.reason == ReasonNone, flush
}

// fail notes why the connection ends; the first reason stands. It returns false for sinks to return.
func (p *peer) fail(code uint16, reason Reason) bool {
	if p.reason == ReasonNone {
		p.code, p.reason = code, reason
	}
	return false
}

// lost tells the session that this connection is ending by itself.
func (p *peer) lost(l link, reason Reason) {
	s := p.session
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.link == l:
		s.hungUp = true
		s.close(reason)
	case s.polling != nil && s.polling.probe == l:
		s.polling.probe, s.polling.probed = nil, false
	}
}

// message handles one whole message.
func (p *peer) message(l link, op byte, data []byte) bool {
	switch p.role {
	case roleProbe:
		return p.probing(l, op, data)
	case roleSpare:
		return true
	}
	packet := sio.EnginePacket{Type: sio.Message, Binary: true, Data: data}
	if op == opText {
		var err error
		if packet, err = sio.ParseEngine(data); err != nil {
			return p.fail(codeNormal, ReasonParseError)
		}
		if packet.Type == sio.Ping { // only servers ping in Engine.IO 4
			return p.fail(codeProtocolError, ReasonForbiddenFrame)
		}
	}
	return p.session.packet(packet)
}

// probing handles a message of a WebSocket that has not taken over yet.
func (p *peer) probing(l link, op byte, data []byte) bool {
	switch {
	case op == opText && string(data) == "2probe":
		// In this order: a GET that follows the answer must not be taken for one that was held before.
		p.session.probed(l)
		l.direct(probeAnswer.wire)
		return true
	case op == opText && string(data) == "5": // accepted without a probe, as in the reference
		p.session.begin()
		p.begun = true
		if p.session.commit(l) {
			p.role = roleCarrier
			return true
		}
	}
	return p.fail(codeNormal, ReasonTransportClose)
}

var probeAnswer = packet("3probe")

// control handles a control frame.
func (p *peer) control(l link, op byte, data []byte) bool {
	switch op {
	case opPing:
		if p.role == roleCarrier {
			p.session.pongBack(data)
		} else {
			l.direct(append(appendHeader(nil, opPong, len(data)), data...))
		}
	case opClose:
		p.leaving = true
		code := closePayload(data)
		if code == codeProtocolError {
			return p.fail(code, ReasonForbiddenFrame)
		}
		return p.fail(code, ReasonTransportClose)
	}
	return true
}

// attach makes l the session's probe, if it is on polling and has none.
func (s *Session) attach(l link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.polling == nil || s.polling.probe != nil {
		return false
	}
	s.polling.probe = l
	return true
}

// probed lets GETs end, so that the client can commit.
func (s *Session) probed(l link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.polling; p != nil && p.probe == l {
		p.probed = true
		if p.get != nil && p.get.answer == nil {
			p.signal() // with nothing waiting that is a noop
		}
	}
}

// commit moves the session to l: from here on what waits goes there, in order.
func (s *Session) commit(l link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.polling
	if s.closing || p == nil || p.probe != l {
		return false
	}
	if p.get != nil && p.get.answer == nil {
		// No client that waits for its GET commits, so this one overtook the commit.
		p.give(&answer{refused: true, refusal: refusedRequest})
	}
	s.polling, s.link, s.window = nil, l, l.inflates()
	c := &s.engine.counters
	c.polling.Add(-1)
	c.websocket.Add(1)
	c.upgraded.Add(1)
	return true
}

// inflates implements link.
func (p *peer) inflates() uint8 { return p.window }

func (s *Session) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}
