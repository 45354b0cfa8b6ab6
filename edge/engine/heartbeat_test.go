package engine

import (
	"sync/atomic"
	"testing"
	"time"
)

const (
	beatInterval = 300 * time.Millisecond
	beatTimeout  = 200 * time.Millisecond

	// slack is generous: the machine that tests may be busy. The precision itself is the wheel's test.
	slack = 300 * time.Millisecond
)

// near wants an event between at and at + slack after start.
func near(t *testing.T, what string, start time.Time, at time.Duration) {
	t.Helper()
	if took := time.Since(start); took < at-2*time.Millisecond || took > at+slack {
		t.Errorf("%s after %v, want %v", what, took, at)
	}
}

func TestHeartbeatWebSocket(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		t.Parallel()
		s := serve(t, nil, Options{Mode: mode, PingInterval: beatInterval, PingTimeout: beatTimeout})
		start := time.Now()
		c := s.websocket()
		for range 3 { // the next ping counts from the pong
			c.wantText("2")
			near(t, "ping", start, beatInterval)
			c.send(opText, "3")
			start = time.Now()
		}
		c.wantText("2")
		c.send(opText, "4traffic is no pong")
		c.wantText("4traffic is no pong")
		c.wantEOF()
		near(t, "timeout", start, beatInterval+beatTimeout)
		s.reason(ReasonPingTimeout)
	})
}

func TestHeartbeatPolling(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		t.Parallel()
		s := serve(t, nil, Options{Mode: mode, PingInterval: beatInterval, PingTimeout: beatTimeout})
		start := time.Now()
		q := s.poll()
		s.want("GET", q, "", 200, "2")
		near(t, "ping", start, beatInterval)
		start = time.Now()
		s.want("POST", q, "3", 200, "ok")
		s.want("GET", q, "", 200, "2")
		near(t, "second ping", start, beatInterval)
		s.reason(ReasonPingTimeout) // no pong, no GET
		near(t, "timeout", start, beatInterval+beatTimeout)
		s.want("GET", q, "", 400, unknownSession)
	})
}

// A request compares the exact deadline: it must not depend on when the wheel turns.
func TestPollingTimeoutIsExact(t *testing.T) {
	s := serve(t, nil, Options{Mode: Goroutines, PingInterval: beatInterval, PingTimeout: beatTimeout})
	session, _ := s.begin("")
	session.polling = &polling{}
	session.start(&Request{})
	session.end()
	session.shard.wheel.cancel(&session.timer) // the wheel never comes
	at := session.opened + int64(beatInterval+beatTimeout)
	for now := s.now(); now < at; now = s.now() {
		session.mu.Lock()
		a := session.admit(false)
		session.mu.Unlock()
		if a != nil && s.now() < at {
			t.Fatalf("refused %v early", time.Duration(at-now))
		}
		time.Sleep(time.Duration(min(at-now, int64(20*time.Millisecond)))) // nothing to wait for but time
	}
	session.mu.Lock()
	a := session.admit(false)
	session.mu.Unlock()
	if a == nil || a.refusal != refusedSession {
		t.Errorf("admitted after the deadline: %+v", a)
	}
	s.reason(ReasonPingTimeout)
}

func TestConnectTimeout(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		t.Parallel()
		s := serve(t, nil, Options{Mode: mode, ConnectTimeout: 100 * time.Millisecond})
		s.websocket() // stays
		start := time.Now()
		never, _ := s.dial("EIO=4&transport=websocket&silent=1")
		never.wantClose(codeNormal)
		near(t, "timeout", start, 100*time.Millisecond)
		s.reason(ReasonConnectTimeout)
		if st := s.Stats(); st.WebSocket != 1 {
			t.Errorf("%d sessions left", st.WebSocket)
		}
	})
}

// Pongs that nobody asked for change nothing.
func TestUnsolicitedPong(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		t.Parallel()
		s := serve(t, nil, Options{Mode: mode, PingInterval: beatInterval, PingTimeout: beatTimeout})
		start := time.Now()
		c := s.websocket()
		for range 5 {
			c.send(opText, "3")
		}
		c.wantText("2")
		near(t, "ping", start, beatInterval)
	})
}

// A pong proves what was queued before its ping, and nothing that came between the two.
func TestPongProves(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		var sent atomic.Uint64
		sent.Store(7)
		s := serve(t, nil, Options{Mode: mode, PingInterval: beatInterval, PingTimeout: 10 * time.Second, Mark: sent.Load})
		c := s.websocket()
		session := s.session()
		if mark, ping := session.Proof(); mark != 0 || ping != 0 {
			t.Errorf("before any pong: %d, ping %d", mark, ping)
		}
		c.wantText("2")
		sent.Store(8)
		if n := session.Pings(); n != 1 {
			t.Errorf("%d pings", n)
		}
		c.send(opText, "3")
		eventually(t, "the pong is seen", func() bool { mark, ping := session.Proof(); return mark == 7 && ping == 1 })
		c.send(opText, "3") // answers nothing
		c.wantText("2")
		c.send(opText, "3")
		eventually(t, "the second pong is seen", func() bool { mark, ping := session.Proof(); return mark == 8 && ping == 2 })
	})
}
