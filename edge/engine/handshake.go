package engine

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/lexiflow/realtime/edge/sio"
)

const (
	transportPolling   = "polling"
	transportWebSocket = "websocket"
)

// refusals are the answers of the protocol (Engine.IO 4, error codes 0 to 5) and of this server.
var refusals = [refusalCount]Refusal{
	refusedTransport: {http.StatusBadRequest, 0, "Transport unknown"},
	refusedSession:   {http.StatusBadRequest, 1, "Session ID unknown"},
	refusedMethod:    {http.StatusBadRequest, 2, "Bad handshake method"},
	refusedRequest:   {http.StatusBadRequest, 3, "Bad request"},
	refusedForbidden: {http.StatusForbidden, 4, "Forbidden"},
	refusedVersion:   {http.StatusBadRequest, 5, "Unsupported protocol version"},
	refusedOrigin:    {http.StatusForbidden, 4, "Forbidden"},
	refusedFull:      {http.StatusServiceUnavailable, 4, "Too many connections"},
	refusedStopped:   {http.StatusServiceUnavailable, 4, "Server is going away"},
}

// refuse counts a refusal and gives its answer.
func (e *Engine) refuse(why refusal) *Refusal {
	e.counters.refused[why].Add(1)
	return &refusals[why]
}

// body is the answer's JSON.
func (r *Refusal) body() []byte {
	b := append([]byte(`{"code":`), strconv.Itoa(r.Code)...)
	b = append(b, `,"message":`...)
	b = sio.AppendJSONString(b, r.Message)
	return append(b, '}')
}

// check applies the protocol's tests to a request in the order of the reference (section 3 of the
// protocol notes). It returns the session that the request belongs to, nil for a new one, and &elsewhere
// for a session that another engine has.
func (e *Engine) check(r *Request, upgrade bool) (*Session, *Refusal) {
	r.Transport = r.Query.Get("transport")
	switch {
	case r.Transport == transportPolling && !e.options.NoPolling:
	case r.Transport == transportWebSocket && !e.options.NoWebSocket:
	default:
		return nil, e.refuse(refusedTransport)
	}
	if !printable(r.Origin) {
		return nil, e.refuse(refusedRequest)
	}
	if !e.originAllowed(r) {
		return nil, e.refuse(refusedOrigin)
	}
	if r.Query.Has("sid") {
		return e.checkSession(r, upgrade)
	}
	switch {
	case r.Method != http.MethodGet:
		return nil, e.refuse(refusedMethod)
	case (r.Transport == transportWebSocket) != upgrade:
		return nil, e.refuse(refusedRequest)
	}
	if e.options.Allow != nil {
		if refused := e.options.Allow(r); refused != nil {
			return nil, e.customized(refused)
		}
	}
	if r.Query.Get("EIO") != "4" {
		return nil, e.refuse(refusedVersion)
	}
	return nil, nil
}

// checkSession finds the session that a request names.
func (e *Engine) checkSession(r *Request, upgrade bool) (*Session, *Refusal) {
	id := r.Query.Get("sid")
	s := e.registry.get(id)
	foreign := s == nil && e.foreign(id)
	if s == nil && !foreign {
		return nil, e.refuse(refusedSession)
	}
	if (r.Transport == transportWebSocket) != upgrade {
		return nil, e.refuse(refusedRequest)
	}
	if foreign {
		return nil, &elsewhere
	}
	return s, nil
}

// customized fills the zero fields of the application's refusal.
func (e *Engine) customized(refused *Refusal) *Refusal {
	e.counters.refused[refusedForbidden].Add(1)
	full := *refused
	if full.Status == 0 {
		full.Status = http.StatusForbidden
	}
	if full.Code == 0 {
		full.Code = refusals[refusedForbidden].Code
	}
	if full.Message == "" {
		full.Message = refusals[refusedForbidden].Message
	}
	return &full
}

func (e *Engine) originAllowed(r *Request) bool {
	return r.Origin == "" || e.options.AllowOrigin == nil || e.options.AllowOrigin(r.Origin, r.Host)
}

// printable reports whether a header value has only bytes that an origin may have.
func printable(value string) bool {
	return strings.IndexFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) < 0
}

// openPacket is the packet that begins a session, without the Engine.IO framing of a transport.
func (s *Session) openPacket(dst []byte, upgrades []string) []byte {
	o := &s.engine.options
	return sio.Handshake{
		SID: string(s.id[:]), Upgrades: upgrades,
		PingInterval: o.PingInterval, PingTimeout: o.PingTimeout, MaxPayload: o.MaxPayload,
	}.Append(dst)
}

// carry makes l the transport of a new session. wire, the answer to the HTTP request if that is still
// to be sent, leaves in one write with the open packet and whatever the Open callback sends. The
// caller must call s.end and flush.
func (s *Session) carry(l link, r *Request, wire []byte) {
	if s.arriving {
		s.arrive(l)
		return
	}
	open := s.openPacket(nil, nil)
	wire = appendHeader(wire, opText, len(open))
	s.link, s.window = l, l.inflates()
	first := &Frame{wire: append(wire, open...)}
	first.pack.Store(first) // not only frames: the answer to a handshake is not compressed
	s.queue.push(first)
	s.start(r)
	s.mu.Lock()
	closing, early := s.closing, s.queue.list
	s.mu.Unlock()
	if closing {
		// The official client notices a close before the open packet only by its timeout of 20 s. The
		// close itself waits for s.end.
		l.direct(early[0].wire)
	}
}
