package engine

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lexiflow/realtime/edge/sio"
)

// polling is what a session has on the polling transport, guarded by the session's mu.
type polling struct {
	get     *waiter // the GET that is held
	posting bool    // a POST is being read or handled
	probe   link    // the WebSocket that may take over
	probed  bool    // its probe was answered: GETs end with a noop
	// After the session's end one more GET may be told of it.
	tail      tail
	tailUntil int64
}

// waiter is a GET that is held until something waits for the client.
type waiter struct {
	ready  chan struct{} // capacity 1
	answer *answer       // what to answer; nil = what waits
}

// answer is an HTTP response, or a refusal.
type answer struct {
	status  int
	body    []byte
	refused bool
	refusal refusal
}

// tail is the last word for a GET that comes after the end.
type tail uint8

const (
	tailNone  tail = iota
	tailNoop       // the client said 1: its GET may have been overtaken by that POST
	tailClose      // the server closed: the client must learn it from a GET
	tailMoved      // it goes on in another engine, on a WebSocket: GETs and POSTs are refused as after an upgrade
)

const (
	noopTail  = 150 * time.Millisecond
	closeTail = 30 * time.Second
	noopHold  = 100 * time.Millisecond // a GET that follows the probe: the commit may be behind it
)

// signal lets the held GET go and fetch what waits.
func (p *polling) signal() {
	if p.get != nil {
		select {
		case p.get.ready <- struct{}{}:
		default:
		}
	}
}

// give lets the held GET go with this answer.
func (p *polling) give(a *answer) {
	p.get.answer = a
	p.signal()
}

// end tells the held GET, or keeps the news for the next. Called with the session's mu held, when it
// begins to close.
func (p *polling) end(s *Session) {
	last, linger := tailClose, time.Duration(0)
	switch s.reason {
	case ReasonTransportClose:
		last, linger = tailNoop, noopTail
	case ReasonSlowReader, ReasonConnectTimeout, ReasonServerClose, ReasonDrain, ReasonKicked:
		linger = closeTail
	}
	switch {
	case p.get != nil:
		if p.get.answer == nil {
			body, more := s.lastWords(last)
			if more && linger > 0 {
				p.tail, p.tailUntil = last, s.engine.now()+int64(linger)
			}
			p.give(&answer{status: http.StatusOK, body: body})
		}
	case linger > 0:
		p.tail, p.tailUntil = last, s.engine.now()+int64(linger)
	}
}

// lastWords is what a GET gets of a session that has ended; more says that the end itself is for the next
// one. What still waits goes without it: the official client handles the close of a payload before the
// events in front of it, keeps those for its next connection and asks for them again with its old offset,
// so that it would have them twice. Called with mu held.
func (s *Session) lastWords(last tail) (body []byte, more bool) {
	switch {
	case last == tailNoop:
		return noopFrame.appendPolling(nil), false
	case s.after != ReasonNone && len(s.queue.list) > 0:
		return s.drain(), true
	}
	return closeFrame.appendPolling(nil), false
}

// drain takes everything that waits as one payload. Called with mu held.
func (s *Session) drain() (body []byte) {
	list, _ := s.queue.take()
	bytes := 0
	for _, f := range list {
		body = f.appendPolling(body)
		bytes += len(f.wire)
	}
	c := &s.engine.counters
	c.writes.Add(1)
	c.framesOut.Add(uint64(len(list)))
	c.bytesOut.Add(uint64(len(body)))
	s.queue.wrote(list, 0, bytes)
	return body
}

// poll answers one GET: at once when something waits, else when something does. nil means that the
// client has gone.
func (s *Session) poll(ctx context.Context) *answer {
	s.mu.Lock()
	if a := s.admit(true); a != nil {
		s.mu.Unlock()
		return a
	}
	p := s.polling
	if len(s.queue.list) > 0 && !s.batch {
		defer s.mu.Unlock()
		return &answer{status: http.StatusOK, body: s.drain()}
	}
	w := &waiter{ready: make(chan struct{}, 1)}
	p.get = w
	var hold <-chan time.Time
	if p.probed {
		hold = time.After(noopHold)
	}
	s.mu.Unlock()

	gone := false
	select {
	case <-w.ready:
	case <-hold:
	case <-ctx.Done():
		gone = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.get = nil
	switch {
	case gone:
		s.close(ReasonTransportError)
		return nil
	case w.answer != nil:
		return w.answer
	case len(s.queue.list) == 0:
		return &answer{status: http.StatusOK, body: noopFrame.appendPolling(nil)}
	}
	return &answer{status: http.StatusOK, body: s.drain()}
}

// admit refuses a GET or POST that the session cannot take now, and says a closed session's last
// word. Called with mu held.
func (s *Session) admit(get bool) *answer {
	p, now := s.polling, s.engine.now()
	switch {
	case s.closing && p != nil && p.tail == tailMoved && now < p.tailUntil:
		return &answer{refused: true, refusal: refusedRequest}
	case s.closing && get && p != nil && p.tail != tailNone && now < p.tailUntil:
		body, more := s.lastWords(p.tail)
		if !more {
			p.tail = tailNone
			s.forget()
		}
		return &answer{status: http.StatusOK, body: body}
	case s.closing:
		return &answer{refused: true, refusal: refusedSession}
	case p == nil:
		return &answer{refused: true, refusal: refusedRequest}
	case now >= s.deadline():
		// The wheel may be a tick late; a request must not see the difference.
		s.close(ReasonPingTimeout)
		return &answer{refused: true, refusal: refusedSession}
	case get && p.get != nil:
		p.give(&answer{status: http.StatusOK, body: closeFrame.appendPolling(nil)})
		s.close(ReasonTransportError)
		return &answer{status: http.StatusBadRequest}
	case !get && p.posting:
		s.close(ReasonTransportError)
		return &answer{status: http.StatusBadRequest}
	}
	return nil
}

// post handles the packets of one POST completely, replies included.
func (s *Session) post(w http.ResponseWriter, r *http.Request) *answer {
	s.mu.Lock()
	if a := s.admit(false); a != nil {
		s.mu.Unlock()
		return a
	}
	p := s.polling
	p.posting = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		p.posting = false
		s.mu.Unlock()
	}()

	body, a := s.body(w, r)
	if a != nil {
		return a
	}
	s.begin()
	err := s.packets(body)
	s.end()
	s.kickOff() // a WebSocket may have taken over meanwhile
	if err != nil {
		s.Close(ReasonParseError)
		return &answer{status: http.StatusBadRequest}
	}
	return &answer{status: http.StatusOK, body: []byte("ok")}
}

// packets acts on the packets of a POST body until one ends the session.
func (s *Session) packets(body []byte) error {
	if s.isClosing() {
		return nil
	}
	for packets := sio.NewPayloadReader(body); ; {
		p, ok, err := packets.Next()
		if err != nil || !ok {
			return err
		}
		if !s.packet(p) {
			return nil
		}
	}
}

// body reads a POST body within MaxPayload and HandshakeTimeout.
func (s *Session) body(w http.ResponseWriter, r *http.Request) ([]byte, *answer) {
	o := &s.engine.options
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) == "application/octet-stream" {
		// As the reference: binary payloads travel as base64 text.
		s.Close(ReasonTransportError)
		return nil, &answer{status: http.StatusBadRequest}
	}
	if r.ContentLength > int64(o.MaxPayload) {
		return nil, s.tooLarge(w)
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(o.HandshakeTimeout)) // a ResponseWriter without deadlines has its own rules
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(o.MaxPayload)+1))
	if err != nil {
		s.Close(ReasonTransportError)
		unread(w)
		return nil, &answer{status: http.StatusBadRequest}
	}
	s.engine.counters.bytesIn.Add(uint64(len(body)))
	if len(body) > o.MaxPayload {
		return nil, s.tooLarge(w)
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

// tooLarge refuses a POST; the session stays, as in the reference.
func (s *Session) tooLarge(w http.ResponseWriter) *answer {
	unread(w)
	s.engine.counters.refused[refusedBodyTooLarge].Add(1)
	return &answer{status: http.StatusRequestEntityTooLarge}
}

// unread ends the connection after the answer: net/http would else wait for the rest of the body.
func unread(w http.ResponseWriter) { w.Header().Set("Connection", "close") }
