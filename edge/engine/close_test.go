package engine

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestEngineClose(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		var clients []*wsClient
		for range 20 {
			clients = append(clients, s.websocket())
		}
		q := s.poll()
		for range 21 {
			s.session()
		}
		get := s.background(q)
		eventually(t, "a GET is held", func() bool {
			n := 0
			for session := range s.Sessions {
				session.mu.Lock()
				if session.polling != nil && session.polling.get != nil {
					n++
				}
				session.mu.Unlock()
			}
			return n == 1
		})
		closed := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			closed <- s.Close(ctx)
		}()
		for _, c := range clients {
			c.wantClose(codeGoingAway)
			_ = c.nc.Close()
		}
		if got := wait(t, get, "answer"); got != "200 1" {
			t.Errorf("held GET: %q", got)
		}
		if err := wait(t, closed, "end of Close"); err != nil {
			t.Error(err)
		}
		for range 21 {
			s.reason(ReasonDrain)
		}
		for range s.Sessions {
			t.Error("a session is left")
		}
		if _, err := net.Dial("tcp", s.addr); err == nil {
			t.Error("still listening")
		}
	})
}

// Close does not wait for a handler that blocks longer than its context.
func TestEngineCloseIsBounded(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		h := newRecorder()
		release := make(chan struct{})
		h.message = func(*Session, []byte, bool) { <-release }
		e, err := New(h, Options{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = e.Serve(l) }()
		s := &server{Engine: e, t: t, handler: h, addr: l.Addr().String()}
		c := s.websocket()
		c.send(opText, "4x")
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		closed := make(chan error, 1)
		go func() { closed <- e.Close(ctx) }()
		<-ctx.Done()
		close(release)
		if err := wait(t, closed, "end of Close"); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		s.reason(ReasonDrain)
	})
}

// After StopAccepting sessions go on and handshakes are refused in words.
func TestStopAccepting(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		c := s.websocket()
		idle, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = idle.Close() }()
		eventually(t, "both are accepted", func() bool { return s.Stats().Accepted == 2 })
		s.StopAccepting()
		late := s.over(idle)
		late.raw([]byte(handshakeHead("/socket.io/?EIO=4&transport=websocket", s.addr)))
		if line, err := late.br.ReadString('\n'); err != nil || line != "HTTP/1.1 503 Service Unavailable\r\n" {
			t.Errorf("%q %v", line, err)
		}
		c.send(opText, "4x")
		c.wantText("4x")
		if _, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			t.Error("still listening")
		}
	})
}

func TestOptionErrors(t *testing.T) {
	for name, o := range map[string]Options{
		"path":       {Path: "socket.io"},
		"duration":   {PingTimeout: -1},
		"number":     {QueueBytes: -1},
		"transports": {NoPolling: true, NoWebSocket: true},
	} {
		if _, err := New(newRecorder(), o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("accepted no handler")
	}
	if m, err := ParseMode("goroutines"); m != Goroutines || err != nil {
		t.Error(m, err)
	}
	if _, err := ParseMode("threads"); err == nil {
		t.Error("accepted an unknown mode")
	}
}

// A process without descriptors waits instead of spinning.
func TestBackoff(t *testing.T) {
	var b backoff
	o, _ := Options{}.withDefaults()
	if b.wait(o.Logger, net.ErrClosed) {
		t.Error("waits for what does not pass")
	}
	start := time.Now()
	for range 3 {
		if !b.wait(o.Logger, &net.OpError{Op: "accept", Err: syscall.EMFILE}) {
			t.Error("gave up")
		}
	}
	if took := time.Since(start); took < 60*time.Millisecond {
		t.Errorf("three waits took %v", took)
	}
}

// descriptors counts this process's open files.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// Whatever way connections end, their descriptors come back.
func TestDescriptors(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has no numbers to count
	}
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, UpgradeTimeout: 100 * time.Millisecond, HandshakeTimeout: 100 * time.Millisecond})
		s.poll() // whatever is made once
		before := descriptors(t)
		var group sync.WaitGroup
		for i := range 80 {
			group.Go(func() {
				nc, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = nc.Close() }()
				c := s.over(nc)
				query := []string{"EIO=4&transport=websocket", "EIO=3&transport=websocket", "EIO=4&transport=polling&sid=x"}[i%3]
				switch i % 8 {
				case 0: // nothing
				case 1:
					_, _ = nc.Write([]byte("GET /socket"))
				case 2:
					_, _ = nc.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
				case 3:
					_, _ = nc.Write(append([]byte(handshakeHead("/socket.io/?"+query, "x")), masked(0x88, "")...))
				default:
					_, _ = nc.Write(append([]byte(handshakeHead("/socket.io/?"+query, "x")), masked(0x83, "")...))
				}
				for {
					if _, err := c.br.ReadByte(); err != nil {
						return
					}
				}
			})
		}
		group.Wait()
		eventually(t, "as many descriptors as before", func() bool { return descriptors(t) <= before })
	})
}
