package engine

import (
	"bufio"
	"bytes"
	"compress/flate" // not the package under test
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait of a test for something that must happen.
const patience = 5 * time.Second

// TestMain fails when a goroutine outlives the tests.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before && time.Now().Before(end); {
		runtime.Gosched()
	}
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" // fuzzing leaves a goroutine for signals
	if n := runtime.NumGoroutine(); code == 0 && n > before && !fuzzing {
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "%d goroutines before the tests, %d after:\n%s\n", before, n, buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code) //nolint:forbidigo // TestMain
}

func modes() []Mode {
	if runtime.GOOS == "linux" {
		return []Mode{Epoll, Goroutines}
	}
	return []Mode{Goroutines}
}

// bothModes runs a test over every way to read connections.
func bothModes(t *testing.T, f func(t *testing.T, mode Mode)) {
	t.Helper()
	for _, mode := range modes() {
		t.Run(mode.String(), func(t *testing.T) { f(t, mode) })
	}
}

// recorder is a Handler that echoes and reports.
type recorder struct {
	opened  chan *Session
	closed  chan Reason
	open    func(s *Session, r *Request)
	message func(s *Session, data []byte, binary bool)
}

func newRecorder() *recorder {
	return &recorder{opened: make(chan *Session, 4096), closed: make(chan Reason, 4096)}
}

func (h *recorder) Open(s *Session, r *Request) {
	if r.Query.Get("silent") == "" {
		s.Established()
	}
	if h.open != nil {
		h.open(s, r)
	}
	h.opened <- s
}

func (h *recorder) Message(s *Session, data []byte, binary bool) {
	switch {
	case h.message != nil:
		h.message(s, data, binary)
	case binary:
		s.Send(Binary(data))
	default:
		s.Send(Text(data))
	}
}

func (h *recorder) Close(_ *Session, reason Reason) { h.closed <- reason }

// server is an Engine under test.
type server struct {
	*Engine
	t       *testing.T
	handler *recorder
	addr    string
}

// serve starts an Engine for the length of the test.
func serve(t *testing.T, h *recorder, o Options) *server {
	t.Helper()
	if h == nil {
		h = newRecorder()
	}
	e, err := New(h, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != ErrClosed { //nolint:errorlint // exactly this value is promised
			t.Errorf("Serve returned %v, want ErrClosed", err)
		}
	})
	return &server{Engine: e, t: t, handler: h, addr: l.Addr().String()}
}

func (s *server) url(query string) string {
	return "http://" + s.addr + s.options.Path + "?" + query
}

// session waits for the next Open.
func (s *server) session() *Session { s.t.Helper(); return wait(s.t, s.handler.opened, "Open") }

// reason waits for the next Close and wants this reason.
func (s *server) reason(want Reason) {
	s.t.Helper()
	if got := wait(s.t, s.handler.closed, "Close"); got != want {
		s.t.Errorf("closed for %v, want %v", got, want)
	}
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("unreachable")
	}
}

// eventually waits for a state that nothing signals.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	untilTrue(ctx, ok)
	if !ok() {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// do makes one HTTP request on a connection of its own.
func (s *server) do(method, query, body string, header ...string) (int, string, http.Header) {
	s.t.Helper()
	status, text, h, err := s.request(method, query, body, header...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, query, err)
	}
	return status, text, h
}

func (s *server) request(method, query, body string, header ...string) (int, string, http.Header, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url(query), strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	req.Close = true
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), res.Header, err
}

// want makes a request and compares the answer.
func (s *server) want(method, query, body string, status int, answer string) {
	s.t.Helper()
	if got, text, _ := s.do(method, query, body); got != status || text != answer {
		s.t.Errorf("%s %s %q: %d %q, want %d %q", method, query, body, got, text, status, answer)
	}
}

// poll begins a polling session and returns the query of its requests.
func (s *server) poll() string {
	s.t.Helper()
	status, body, _ := s.do("GET", "EIO=4&transport=polling", "")
	_, rest, ok := strings.Cut(body, `"sid":"`)
	if status != http.StatusOK || !ok {
		s.t.Fatalf("handshake: %d %q", status, body)
	}
	return "EIO=4&transport=polling&sid=" + rest[:20]
}

// wsClient is a WebSocket client that may break any rule.
type wsClient struct {
	t  *testing.T
	nc net.Conn
	br *bufio.Reader

	answer     http.Header // to its handshake
	inflates   bool        // permessage-deflate was agreed on
	compressed int         // messages that came compressed
}

// dial sends a WebSocket handshake and returns the client behind it with the HTTP status.
func (s *server) dial(query string, header ...string) (*wsClient, int) {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(2 * patience))
	c := &wsClient{t: s.t, nc: nc, br: bufio.NewReader(nc)}
	c.raw([]byte(handshakeHead(s.options.Path+"?"+query, s.addr, header...)))
	res, err := http.ReadResponse(c.br, &http.Request{Method: http.MethodGet})
	if err != nil {
		s.t.Fatalf("handshake %s: %v", query, err)
	}
	c.answer = res.Header
	c.inflates = res.Header.Get("Sec-Websocket-Extensions") != ""
	return c, res.StatusCode
}

func handshakeHead(uri, host string, header ...string) string {
	head := "GET " + uri + " HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n"
	for i := 0; i+1 < len(header); i += 2 {
		head += header[i] + ": " + header[i+1] + "\r\n"
	}
	return head + "\r\n"
}

// websocket opens a session on WebSocket.
func (s *server) websocket(header ...string) *wsClient {
	s.t.Helper()
	c, status := s.dial("EIO=4&transport=websocket", header...)
	if status != http.StatusSwitchingProtocols {
		s.t.Fatalf("handshake: %d", status)
	}
	if open := c.text(); !strings.HasPrefix(open, `0{"sid":"`) {
		s.t.Fatalf("open packet %q", open)
	}
	return c
}

func (c *wsClient) raw(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// send writes one final, masked frame.
func (c *wsClient) send(op byte, payload string) { c.t.Helper(); c.raw(masked(finBit|op, payload)) }

// masked builds a client's frame with this first byte.
func masked(first byte, payload string) []byte {
	frame := appendHeader(nil, 0, len(payload))
	frame[0] = first
	frame[1] |= maskBit
	mask := [4]byte{1, 2, 3, 4}
	frame = append(frame, mask[:]...)
	start := len(frame)
	frame = append(frame, payload...)
	unmask(frame[start:], mask, 0)
	return frame
}

// next reads one frame of the server, which must be final and unmasked.
func (c *wsClient) next() (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.br, head[:]); err != nil {
		return 0, nil, err
	}
	deflated := c.inflates && head[0]&(rsvBits|controlBit) == rsv1Bit
	if head[0]&^0x0f != finBit && !deflated || head[1]&maskBit != 0 {
		return 0, nil, fmt.Errorf("frame header %x", head)
	}
	size := int(head[1])
	switch size {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(c.br, b[:])
		size = int(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(c.br, b[:])
		size = int(binary.BigEndian.Uint64(b[:]))
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(c.br, payload)
	if deflated && err == nil {
		c.compressed++
		payload, err = io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader(inflateEnd))))
	}
	return head[0] & 0x0f, payload, err
}

// text reads a text message.
func (c *wsClient) text() string {
	c.t.Helper()
	op, payload, err := c.next()
	if err != nil || op != opText {
		c.t.Fatalf("got op %d %q, %v; want text", op, payload, err)
	}
	return string(payload)
}

// wantText reads messages and compares them.
func (c *wsClient) wantText(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.text(); got != w {
			c.t.Fatalf("got %q, want %q", got, w)
		}
	}
}

// wantClose reads until the close frame, which must have this code, and the end of the connection.
func (c *wsClient) wantClose(code uint16) {
	c.t.Helper()
	for {
		op, payload, err := c.next()
		if err != nil {
			c.t.Fatalf("no close frame with %d: %v", code, err)
		}
		if op != opClose {
			continue
		}
		if want := appendClose(nil, code)[2:]; !bytes.Equal(payload, want) {
			c.t.Errorf("close payload %x, want %x (%d)", payload, want, code)
		}
		break
	}
	c.wantEOF()
}

// wantEOF wants the connection to end.
func (c *wsClient) wantEOF() {
	c.t.Helper()
	if n, err := io.Copy(io.Discard, c.br); err != nil && !isReset(err) {
		c.t.Fatalf("connection did not end: %d more bytes, %v", n, err)
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset by peer") }

// over makes a client of a connection to another listener.
func (s *server) over(nc net.Conn) *wsClient {
	_ = nc.SetDeadline(time.Now().Add(2 * patience))
	return &wsClient{t: s.t, nc: nc, br: bufio.NewReader(nc)}
}
