package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const unknownSession = `{"code":1,"message":"Session ID unknown"}`

// background makes a GET and returns where its answer will be.
func (s *server) background(query string) <-chan string {
	c := make(chan string, 1)
	go func() {
		status, body, _, err := s.request("GET", query, "")
		if err != nil {
			body = err.Error()
		}
		c <- fmt.Sprintf("%d %s", status, body)
	}()
	return c
}

// held waits until a GET of the session is held.
func held(t *testing.T, s *Session) {
	t.Helper()
	eventually(t, "a GET is held", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.polling != nil && s.polling.get != nil
	})
}

func TestPolling(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		q := s.poll()
		session := s.session()
		// Several packets in one POST are answered in one GET.
		s.want("POST", q, "4a\x1ebAQID\x1e4é", 200, "ok")
		s.want("GET", q, "", 200, "4a\x1ebAQID\x1e4é")
		// A GET that is held is answered when something is sent.
		get := s.background(q)
		held(t, session)
		session.Send(Text([]byte("late")), Binary([]byte{0xff}))
		if got := wait(t, get, "answer"); got != "200 4late\x1eb/w==" {
			t.Errorf("held GET: %q", got)
		}
		// Unknown content types are text; so is none.
		status, body, head := s.do("POST", q, "4x", "Content-Type", "text/plain;charset=UTF-8")
		if status != 200 || body != "ok" || head.Get("Content-Type") != "text/html" {
			t.Errorf("POST: %d %q %v", status, body, head)
		}
		// Packets that mean nothing from a client are ignored.
		s.want("POST", q, "6\x1e5\x1e0\x1e3", 200, "ok")
		s.want("GET", q, "", 200, "4x")
	})
}

// What ends a polling session, what the client sees of it, and why it ended.
func TestPollingEnds(t *testing.T) {
	for name, c := range map[string]struct {
		do     func(s *server, q string)
		reason Reason
	}{
		"malformed":        {func(s *server, q string) { s.want("POST", q, "abc", 400, "") }, ReasonParseError},
		"empty":            {func(s *server, q string) { s.want("POST", q, "", 400, "") }, ReasonParseError},
		"trailing":         {func(s *server, q string) { s.want("POST", q, "4a\x1e", 400, "") }, ReasonParseError},
		"not UTF-8":        {func(s *server, q string) { s.want("POST", q, "4\xff", 400, "") }, ReasonParseError},
		"base64":           {func(s *server, q string) { s.want("POST", q, "b!", 400, "") }, ReasonParseError},
		"ping":             {func(s *server, q string) { s.want("POST", q, "2", 200, "ok") }, ReasonForbiddenFrame},
		"octet-stream":     {octetStream, ReasonTransportError},
		"second GET":       {secondGET, ReasonTransportError},
		"second POST":      {secondPOST, ReasonTransportError},
		"cancelled GET":    {cancelledGET, ReasonTransportError},
		"cut off POST":     {cutOffPOST, ReasonTransportError},
		"closed, held":     {closedHeld, ReasonTransportClose},
		"closed, not held": {closedNotHeld, ReasonTransportClose},
		"server, held":     {serverHeld, ReasonServerClose},
		"server, not held": {serverNotHeld, ReasonServerClose},
		"server, flushed":  {serverFlushed, ReasonKicked},
	} {
		t.Run(name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, mode Mode) {
				s := serve(t, nil, Options{Mode: mode})
				q := s.poll()
				c.do(s, q)
				s.reason(c.reason)
				s.want("GET", q, "", 400, unknownSession)
				s.want("POST", q, "4x", 400, unknownSession)
				if n := s.Stats().Closed[c.reason.String()]; n != 1 {
					t.Errorf("counted %d closes for %v", n, c.reason)
				}
			})
		})
	}
}

func octetStream(s *server, q string) {
	if status, _, _ := s.do("POST", q, "4x", "Content-Type", "application/octet-stream"); status != 400 {
		s.t.Errorf("%d", status)
	}
}

func secondGET(s *server, q string) {
	first := s.background(q)
	held(s.t, s.session())
	s.want("GET", q, "", 400, "")
	if got := wait(s.t, first, "answer"); got != "200 1" {
		s.t.Errorf("first GET: %q", got)
	}
}

func secondPOST(s *server, q string) {
	nc := s.halfPOST(q)
	session := s.session()
	eventually(s.t, "the first POST is being read", func() bool {
		session.mu.Lock()
		defer session.mu.Unlock()
		return session.polling.posting
	})
	s.want("POST", q, "4b", 400, "")
	_ = nc.Close()
}

// halfPOST sends half of a POST.
func (s *server) halfPOST(q string) net.Conn {
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = fmt.Fprintf(nc, "POST /socket.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4abc", q)
	return nc
}

func cancelledGET(s *server, q string) {
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "GET", s.url(q), nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
			_ = res.Body.Close()
		}
	}()
	held(s.t, s.session())
	cancel()
	<-done
}

func cutOffPOST(s *server, q string) { _ = s.halfPOST(q).Close() }

func closedHeld(s *server, q string) {
	get := s.background(q)
	held(s.t, s.session())
	s.want("POST", q, "1", 200, "ok")
	if got := wait(s.t, get, "answer"); got != "200 6" {
		s.t.Errorf("held GET: %q", got)
	}
}

// The GET may be overtaken by the POST that closes: it is answered all the same, once.
func closedNotHeld(s *server, q string) {
	s.want("POST", q, "1", 200, "ok")
	s.want("POST", q, "4x", 400, unknownSession)
	s.want("GET", q, "", 200, "6")
}

func serverHeld(s *server, q string) {
	get := s.background(q)
	session := s.session()
	held(s.t, session)
	session.Close(ReasonServerClose)
	if got := wait(s.t, get, "answer"); got != "200 1" {
		s.t.Errorf("held GET: %q", got)
	}
}

func serverNotHeld(s *server, q string) {
	session := s.session()
	session.Send(Text([]byte("lost")))
	session.Close(ReasonServerClose)
	s.want("GET", q, "", 200, "1")
}

func serverFlushed(s *server, q string) {
	session := s.session()
	session.Send(Text([]byte("last")))
	session.CloseAfterFlush(ReasonKicked)
	if session.Send(Text([]byte("late"))) {
		s.t.Error("took a frame after CloseAfterFlush")
	}
	// The official client handles the close of a payload before its events.
	s.want("GET", q, "", 200, "4last")
	s.want("GET", q, "", 200, "1")
}

func TestPollingMaxPayload(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, MaxPayload: 1000})
		q := s.poll()
		s.want("POST", q, "4"+strings.Repeat("x", 999), 200, "ok")
		s.want("POST", q, "4"+strings.Repeat("x", 1000), 413, "")
		// Without Content-Length.
		req, _ := http.NewRequest("POST", s.url(q), struct{ io.Reader }{bytes.NewReader(bytes.Repeat([]byte("4"), 5000))})
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil || res.StatusCode != 413 {
			t.Errorf("%v %v", res, err)
		} else {
			_ = res.Body.Close()
		}
		// As in the reference the session stays.
		s.want("GET", q, "", 200, "4"+strings.Repeat("x", 999))
		if n := s.Stats().Refused["body_too_large"]; n != 2 {
			t.Errorf("counted %d", n)
		}
	})
}

// What Open sends is in the answer to the handshake.
func TestPollingHandshakeCarries(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		h := newRecorder()
		h.open = func(s *Session, _ *Request) { s.Send(Text([]byte("first"))) }
		s := serve(t, h, Options{Mode: mode})
		if _, body, _ := s.do("GET", "EIO=4&transport=polling", ""); !strings.HasSuffix(body, "}\x1e4first") {
			t.Errorf("%q", body)
		}
		c, _ := s.dial("EIO=4&transport=websocket")
		c.text()
		c.wantText("4first")
	})
}

// A slow body must not hold a session's POST for ever.
func TestPollingSlowBody(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, HandshakeTimeout: 100 * time.Millisecond})
		nc := s.halfPOST(s.poll())
		defer func() { _ = nc.Close() }()
		_ = nc.SetDeadline(time.Now().Add(patience))
		if answer, err := io.ReadAll(nc); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) {
			t.Errorf("%q %v", answer, err)
		}
		s.reason(ReasonTransportError)
	})
}
