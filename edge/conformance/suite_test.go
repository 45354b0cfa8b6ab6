package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/lexiflow/realtime/edge/engine"
)

// These tests ask what the official suites ask (socketio-protocol 15), over both ways to read.

const patience = 3 * time.Second

// suite is one served mode.
type suite struct {
	t          *testing.T
	addr, path string
}

// both runs a test over a mode of the program, read by event loops and by goroutines.
func both(t *testing.T, mode string, f func(t *testing.T, s suite)) {
	t.Helper()
	for _, read := range []engine.Mode{engine.Auto, engine.Goroutines} {
		t.Run(read.String(), func(t *testing.T) {
			t.Parallel()
			handler, path, err := handlerOf(mode)
			if err != nil {
				t.Fatal(err)
			}
			options := optionsFor(path)
			options.Mode = read
			e, err := engine.New(handler, options)
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = e.Serve(l) }()
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				_ = e.Close(ctx)
			})
			f(t, suite{t: t, addr: l.Addr().String(), path: path})
		})
	}
}

func (s suite) get(query string) (int, string) { return s.fetch("GET", query, "") }

// fetch is that of the suites, with a pool of keep-alive connections.
func (s suite) fetch(method, query, body string) (int, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+s.path+"?EIO=4&"+query, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Errorf("%s %s: %v", method, query, err)
		return 0, ""
	}
	defer func() { _ = res.Body.Close() }()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

func (s suite) want(method, query, body string, status int, text string) {
	s.t.Helper()
	if gotStatus, got := s.fetch(method, query, body); gotStatus != status || got != text && text != "*" {
		s.t.Errorf("%s %s %q: %d %q, want %d %q", method, query, body, gotStatus, got, status, text)
	}
}

// polling begins a session by polling and returns the query of its requests.
func (s suite) polling() string {
	s.t.Helper()
	status, body := s.get("transport=polling")
	if status != http.StatusOK {
		s.t.Fatalf("handshake: %d %q", status, body)
	}
	return "transport=polling&sid=" + openPacket(s.t, body, "[websocket]")
}

// openPacket checks a handshake and returns the sid.
func openPacket(t *testing.T, packet, upgrades string) string {
	t.Helper()
	var open map[string]any
	if !strings.HasPrefix(packet, "0") || json.Unmarshal([]byte(packet[1:]), &open) != nil {
		t.Fatalf("open packet %q", packet)
	}
	sid, _ := open["sid"].(string)
	if len(open) != 5 || sid == "" || fmt.Sprint(open["upgrades"]) != upgrades || open["pingInterval"] != 300.0 ||
		open["pingTimeout"] != 200.0 || open["maxPayload"] != 1e6 {
		t.Errorf("open packet %q", packet)
	}
	return sid
}

// socket is a WebSocket client.
type socket struct {
	t  *testing.T
	nc net.Conn
	rw io.ReadWriter
}

func (s suite) dial(query string) (socket, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	nc, br, _, err := ws.Dial(ctx, "ws://"+s.addr+s.path+"?EIO=4&"+query)
	if err != nil {
		return socket{}, err
	}
	s.t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(2 * patience))
	rw := io.ReadWriter(nc)
	if br != nil {
		rw = struct {
			*bufio.Reader
			io.Writer
		}{br, nc}
	}
	return socket{t: s.t, nc: nc, rw: rw}, nil
}

// websocket opens a session on WebSocket and reads the open packet.
func (s suite) websocket() socket {
	s.t.Helper()
	c, err := s.dial("transport=websocket")
	if err != nil {
		s.t.Fatal(err)
	}
	openPacket(s.t, c.text(), "[]")
	return c
}

// connected opens a session on WebSocket and joins the main namespace.
func (s suite) connected() socket {
	c := s.websocket()
	c.send("40")
	if got := c.text(); !strings.HasPrefix(got, `40{"sid":"`) {
		c.t.Fatalf("CONNECT was answered %q", got)
	}
	c.want(`42["auth",{}]`)
	return c
}

func (c socket) send(text string) {
	c.t.Helper()
	if err := wsutil.WriteClientText(c.nc, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c socket) sendBinary(data []byte) {
	c.t.Helper()
	if err := wsutil.WriteClientBinary(c.nc, data); err != nil {
		c.t.Fatal(err)
	}
}

func (c socket) text() string {
	c.t.Helper()
	data, op, err := wsutil.ReadServerData(c.rw)
	if err != nil || op != ws.OpText {
		c.t.Fatalf("got op %d %q %v, want text", op, data, err)
	}
	return string(data)
}

func (c socket) want(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		if got := c.text(); got != text {
			c.t.Fatalf("got %q, want %q", got, text)
		}
	}
}

func (c socket) wantBinary(data []byte) {
	c.t.Helper()
	if got, op, err := wsutil.ReadServerData(c.rw); err != nil || op != ws.OpBinary || !bytes.Equal(got, data) {
		c.t.Fatalf("got op %d %x %v, want binary %x", op, got, err, data)
	}
}

// wantClosed reads whatever else comes until the connection ends, within d.
func (c socket) wantClosed(d time.Duration) {
	c.t.Helper()
	_ = c.nc.SetReadDeadline(time.Now().Add(d))
	for {
		if _, _, err := wsutil.ReadServerData(c.rw); err != nil {
			var timeout net.Error
			if e, ok := err.(net.Error); ok && e.Timeout() { //nolint:errorlint // of the connection itself
				timeout = e
			}
			if timeout != nil {
				c.t.Errorf("not closed within %v", d)
			}
			return
		}
	}
}
