package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// probe opens a second transport for a polling session.
func (s *server) probe(q string) *wsClient {
	s.t.Helper()
	c, status := s.dial(strings.Replace(q, "polling", "websocket", 1))
	if status != 101 {
		s.t.Fatalf("upgrade: %d", status)
	}
	return c
}

func TestUpgrade(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		q := s.poll()
		session := s.session()
		get := s.background(q)
		held(t, session)
		c := s.probe(q)
		c.send(opText, "2probe")
		c.wantText("3probe")
		// The held GET ends, so that the client can commit; the session still lives on polling.
		if got := wait(t, get, "answer"); got != "200 6" {
			t.Errorf("held GET: %q", got)
		}
		s.want("GET", q, "", 200, "6")
		s.want("POST", q, "4before", 200, "ok")
		session.Send(Text([]byte("waits")))
		c.send(opText, "5")
		c.wantText("4before", "4waits")
		c.send(opText, "4after")
		c.wantText("4after")
		if session.Transport() != "websocket" {
			t.Error("still on polling")
		}
		// Polling is over, the session is not.
		bad := `{"code":3,"message":"Bad request"}`
		s.want("GET", q, "", 400, bad)
		s.want("POST", q, "4x", 400, bad)
		c.send(opText, "4alive")
		c.wantText("4alive")
		if st := s.Stats(); st.Upgraded != 1 || st.Polling != 0 || st.WebSocket != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// A GET right behind the commit may be handled before it: it must find the session upgraded.
func TestUpgradeOvertaken(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		for range 20 {
			q := s.poll()
			session := s.session()
			c := s.probe(q)
			c.send(opText, "2probe")
			c.wantText("3probe")
			get := s.background(q)
			eventually(t, "the GET is held or answered", func() bool {
				session.mu.Lock()
				defer session.mu.Unlock()
				return session.polling.get != nil || len(get) > 0
			})
			tooLate := len(get) > 0 // by more than noopHold: this machine is busy
			c.send(opText, "5")
			if got := wait(t, get, "answer"); got != `400 {"code":3,"message":"Bad request"}` && !tooLate {
				t.Fatalf("GET: %q", got)
			}
			c.send(opText, "4alive")
			c.wantText("4alive")
		}
	})
}

func TestSecondWebSocket(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		q := s.poll()
		s.session()
		c := s.probe(q)
		c.send(opText, "2probe")
		c.wantText("3probe")
		s.probe(q).wantClose(codeNormal) // while upgrading
		c.send(opText, "5")
		c.send(opText, "4x")
		c.wantText("4x")
		s.probe(q).wantClose(codeNormal) // upgraded
		c.send(opText, "4y")
		c.wantText("4y")
		direct := s.websocket() // never was on polling
		other := s.session()
		s.probe("EIO=4&transport=websocket&sid=" + other.ID()).wantClose(codeNormal)
		direct.send(opText, "4z")
		direct.wantText("4z")
		if n := s.Stats().Refused["second_websocket"]; n != 3 {
			t.Errorf("counted %d", n)
		}
	})
}

// A second transport that fails leaves the session on polling.
func TestFailedProbe(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, UpgradeTimeout: 150 * time.Millisecond})
		q := s.poll()
		session := s.session()
		for name, fail := range map[string]func(c *wsClient){
			"other packet":  func(c *wsClient) { c.send(opText, "4x"); c.wantClose(codeNormal) },
			"binary":        func(c *wsClient) { c.send(opBinary, "2probe"); c.wantClose(codeNormal) },
			"dropped":       func(c *wsClient) { _ = c.nc.Close() },
			"violation":     func(c *wsClient) { c.raw([]byte{0x81, 1, 'a'}); c.wantClose(codeProtocolError) },
			"silence":       func(c *wsClient) { c.wantEOF() },
			"half-way":      func(c *wsClient) { c.send(opText, "2probe"); c.wantText("3probe"); c.wantEOF() },
			"close frame":   func(c *wsClient) { c.send(opClose, "\x03\xe8"); c.wantClose(codeNormal) },
			"other, probed": func(c *wsClient) { c.send(opText, "2probe"); c.send(opText, "4x"); c.wantClose(codeNormal) },
		} {
			fail(s.probe(q))
			eventually(t, name+": the session is free of the probe", func() bool {
				session.mu.Lock()
				defer session.mu.Unlock()
				return session.polling.probe == nil
			})
			s.want("POST", q, "4still here", 200, "ok")
			s.want("GET", q, "", 200, "4still here")
		}
		// WebSocket pings are answered before the upgrade, too.
		c := s.probe(q)
		c.send(opPing, "p")
		if op, data, err := c.next(); op != opPong || string(data) != "p" || err != nil {
			t.Errorf("%d %q %v", op, data, err)
		}
		c.send(opText, "5") // without a probe, as the reference accepts
		c.send(opText, "4done")
		c.wantText("4done")
	})
}

// Frames sent from another goroutine all through an upgrade arrive once and in order.
func TestUpgradeLosesNothing(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		for range 10 {
			q := s.poll()
			session := s.session()
			const total = 500
			var sender sync.WaitGroup
			sender.Go(func() {
				for i := range total {
					session.Send(Text(fmt.Append(nil, i)))
				}
			})
			var got []string
			collect := func(body string) {
				for p := range strings.SplitSeq(body, "\x1e") {
					if p != "6" {
						got = append(got, p)
					}
				}
			}
			_, body, _ := s.do("GET", q, "")
			collect(body)
			c := s.probe(q)
			c.send(opText, "2probe")
			c.wantText("3probe")
			_, body, _ = s.do("GET", q, "")
			collect(body)
			c.send(opText, "5")
			for len(got) < total {
				got = append(got, c.text())
			}
			sender.Wait()
			for i, p := range got {
				if p != fmt.Sprintf("4%d", i) {
					t.Fatalf("message %d is %q", i, p)
				}
			}
			_ = c.nc.Close()
			s.reason(ReasonTransportClose)
		}
	})
}

// A session that ends takes its probe with it.
func TestEndWhileProbing(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		q := s.poll()
		c := s.probe(q)
		c.send(opText, "2probe")
		c.wantText("3probe")
		s.session().Close(ReasonServerClose)
		c.wantClose(codeNormal)
		s.reason(ReasonServerClose)
	})
}

// A POST that is still being read when the WebSocket takes over is answered there.
func TestPostAcrossUpgrade(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		q := s.poll()
		session := s.session()
		nc := s.halfPOST(q)
		defer func() { _ = nc.Close() }()
		eventually(t, "the POST is being read", func() bool {
			session.mu.Lock()
			defer session.mu.Unlock()
			return session.polling.posting
		})
		c := s.probe(q)
		c.send(opText, "5")
		c.send(opText, "4first")
		c.wantText("4first")
		_, _ = nc.Write([]byte("second"))
		c.wantText("4abcsecond")
	})
}
