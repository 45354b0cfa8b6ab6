package engine

import (
	"bufio"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// ServeHTTP serves one request of any http.Server: polling, handshakes of both transports, and
// Options.HTTP for what is not under Options.Path. WebSockets are hijacked and, where they have a
// descriptor and the mode has event loops, moved to one.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, e.options.Path) {
		e.options.HTTP.ServeHTTP(w, r)
		return
	}
	request := &Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(),
		Host: r.Host, Origin: r.Header.Get("Origin"),
		Authorization: r.Header.Get("Authorization"), UserAgent: r.UserAgent(), RemoteAddr: r.RemoteAddr,
	}
	e.cors(w.Header(), request)
	if r.Method == http.MethodOptions {
		e.preflight(w, r)
		return
	}
	upgrade := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	s, refused := e.check(request, upgrade)
	switch {
	case refused == &elsewhere:
		e.serveForeign(w, r, request, upgrade)
	case refused != nil:
		if upgrade {
			w.Header().Set("Connection", "close") // a WebSocket client expects nothing more
		}
		writeRefusal(w, refused)
	case upgrade:
		e.hijack(w, r, request, s)
	case s == nil:
		e.handshakePolling(w, request)
	default:
		e.servePolling(w, r, s)
	}
}

// cors lets the pages of an allowed origin read the answers (socketio-protocol 13).
func (e *Engine) cors(h http.Header, r *Request) {
	h.Set("Vary", "Origin")
	if r.Origin != "" && printable(r.Origin) && e.originAllowed(r) {
		h.Set("Access-Control-Allow-Origin", r.Origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

func (e *Engine) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", "GET,POST")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func writeRefusal(w http.ResponseWriter, refused *Refusal) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(refused.Status)
	_, _ = w.Write(refused.body()) // a client that is gone needs no answer
}

// handshakePolling begins a session. Its first answer carries what the Open callback sent, too.
func (e *Engine) handshakePolling(w http.ResponseWriter, r *Request) {
	s, refused := e.begin(strings.Clone(r.RemoteAddr))
	if refused != nil {
		writeRefusal(w, refused)
		return
	}
	s.polling = &polling{}
	var upgrades []string
	if !e.options.NoWebSocket {
		upgrades = []string{transportWebSocket}
	}
	s.start(r)
	s.end()
	body := s.openPacket(nil, upgrades)
	s.mu.Lock()
	if len(s.queue.list) > 0 && !s.closing {
		body = append(append(body, '\x1e'), s.drain()...)
	}
	s.mu.Unlock()
	s.write(w, http.StatusOK, "text/plain; charset=UTF-8", body)
}

// servePolling answers a GET or POST of a session that lives.
func (e *Engine) servePolling(w http.ResponseWriter, r *http.Request, s *Session) {
	var a *answer
	kind := "text/plain; charset=UTF-8"
	switch r.Method {
	case http.MethodGet:
		a = s.poll(r.Context())
	case http.MethodPost:
		a, kind = s.post(w, r), "text/html"
	default:
		e.counters.refused[refusedMethod].Add(1)
		a = &answer{status: http.StatusInternalServerError} // as the reference
	}
	switch {
	case a == nil:
	case a.refused:
		writeRefusal(w, e.refuse(a.refusal))
	default:
		s.write(w, a.status, kind, a.body)
	}
}

// write answers in one piece, and ends the session when the client does not take it within the time
// that it has for a pong.
func (s *Session) write(w http.ResponseWriter, status int, kind string, body []byte) {
	control := http.NewResponseController(w)
	// A ResponseWriter without deadlines has its own rules.
	_ = control.SetWriteDeadline(time.Now().Add(s.engine.options.PingTimeout))
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	if err == nil {
		err = control.Flush()
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.Close(ReasonTransportError)
		return
	}
	_ = control.SetWriteDeadline(time.Time{})
}

// hijack completes a WebSocket handshake that came through net/http.
func (e *Engine) hijack(w http.ResponseWriter, r *http.Request, request *Request, s *Session) {
	first := s == nil
	if first {
		var refused *Refusal
		if s, refused = e.begin(strings.Clone(request.RemoteAddr)); refused != nil {
			writeRefusal(w, refused)
			return
		}
	}
	var agreed negotiation
	upgrader := ws.HTTPUpgrader{}
	if !e.options.NoCompression {
		upgrader.Negotiate = agreed.offer
	}
	nc, rw, _, err := upgrader.Upgrade(r, w)
	if err != nil { // answered by the upgrader
		e.counters.refused[refusedRequest].Add(1)
		if nc != nil {
			_ = nc.Close()
		}
		if first {
			e.ended()
		}
		return
	}
	early, _ := io.ReadAll(io.LimitReader(rw, int64(buffered(rw)))) // from memory, cannot fail
	request.window = agreed.window
	if e.poller == nil || !e.poller.adopt(nc, s, request, first, early) {
		e.adoptStd(nc, s, request, first, early)
	}
}

func buffered(rw *bufio.ReadWriter) int {
	if rw == nil {
		return 0
	}
	return rw.Reader.Buffered()
}

// quietLog gives net/http's complaints about clients to the engine's logger at debug level.
func quietLog(l *slog.Logger) *log.Logger {
	return slog.NewLogLogger(l.Handler(), slog.LevelDebug)
}
