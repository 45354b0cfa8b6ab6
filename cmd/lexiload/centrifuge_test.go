package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// centrifugeServer answers one client: the bytes of the protocol as the library puts them on the wire. The
// library itself is in a module of its own; `make bench` meets it.
func centrifugeServer(t *testing.T, serve func(conn net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		if _, err := ws.Upgrade(conn); err == nil {
			serve(conn)
		}
	}()
	return "http://" + l.Addr().String()
}

// exchange reads one message, which must contain want, and answers.
func exchange(conn net.Conn, want string, answers ...string) error {
	got, err := wsutil.ReadClientText(conn)
	if err != nil || !strings.Contains(string(got), want) {
		return fmt.Errorf("got %s, want %s: %w", got, want, err)
	}
	for _, answer := range answers {
		if err := wsutil.WriteServerText(conn, []byte(answer)); err != nil {
			return err
		}
	}
	return nil
}

func TestCentrifugeClient(t *testing.T) {
	served := make(chan error, 1)
	url := centrifugeServer(t, func(conn net.Conn) {
		err := exchange(conn, `"connect":{"token":"t"}`, "{}", `{"id":1,"connect":{"client":"c"}}`)
		if err == nil { // the ping before the reply is left to the server to forgive
			err = exchange(conn, `"subscribe":{"channel":"case:r0"}`, `{"id":2,"subscribe":{}}`+"\n"+`{"push":1}`)
		}
		if err == nil {
			err = wsutil.WriteServerText(conn, []byte("{}\n"+`{"push":2}`+"\n"))
		}
		if err == nil {
			err = exchange(conn, "{}", `{"push":3}`)
		}
		served <- err
		_, _ = io.Copy(io.Discard, conn)
	})
	lines := make(chan string, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := dialCentrifuge(ctx, url, "t", "case:r0", func(line []byte) { lines <- string(line) })
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		want := fmt.Sprintf(`{"push":%d}`, n+1)
		select {
		case got := <-lines:
			if got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("%s is missing; the server: %v", want, <-served)
		}
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if c.Err() != nil {
		t.Errorf("ended by %v", c.Err())
	}
	c.Close()
	<-c.Done()
}

func TestCentrifugeRefused(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"with an error": func(conn net.Conn) { _ = exchange(conn, "connect", `{"id":1,"error":{"code":101,"message":"no"}}`) },
		"with a close":  func(conn net.Conn) { _ = ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(3500, "no"))) },
		"with no JSON":  func(conn net.Conn) { _ = exchange(conn, "connect", `no`) },
		"with a huge frame": func(conn net.Conn) {
			_ = ws.WriteHeader(conn, ws.Header{Fin: true, OpCode: ws.OpText, Length: 1 << 40})
		},
		"with a masked frame":  func(conn net.Conn) { _ = ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame([]byte("{}")))) },
		"by leaving":           func(net.Conn) {},
		"with nothing at all":  func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
		"with another's reply": func(conn net.Conn) { _ = exchange(conn, "connect", `{"id":7}`) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c, err := dialCentrifuge(ctx, centrifugeServer(t, serve), "t", "", nil)
			if err == nil {
				c.Close()
				t.Fatal("connected")
			}
		})
	}
}

// However a server cuts its messages into frames, the same lines come out, and nothing panics.
func FuzzCentrifugeLines(f *testing.F) {
	frame := func(parts ...string) []byte {
		var b bytes.Buffer
		for _, part := range parts {
			_ = ws.WriteFrame(&b, ws.NewTextFrame([]byte(part)))
		}
		return b.Bytes()
	}
	f.Add(frame("{}\n{}", `{"push":{}}`))
	f.Add(frame("", "\n", "a\n\nb"))
	f.Add([]byte{0x81, 0x7f, 0xff})
	f.Fuzz(func(t *testing.T, wire []byte) {
		server, client := net.Pipe()
		defer func() { _ = server.Close() }()
		go func() { _, _ = io.Copy(io.Discard, server) }()
		c := newCentrifugeClient(client, bytes.NewReader(wire))
		total := 0
		for {
			line, err := c.line()
			if err != nil {
				break
			}
			if bytes.IndexByte(line, '\n') >= 0 {
				t.Fatalf("a line with an end in it: %q", line)
			}
			if total += len(line); total > len(wire) {
				t.Fatalf("%d bytes of lines in %d bytes", total, len(wire))
			}
		}
	})
}
