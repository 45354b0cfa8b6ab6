package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// pair is two engines, of which the second passes requests on to the first by calling it: what the tests
// below see is what the bus has to keep.
type pair struct {
	owner, other *server
	pack         func() bool // of Depart
	fail         error       // of Take, once the session has left
}

func servePair(t *testing.T, o Options) *pair {
	p := &pair{pack: func() bool { return true }}
	o.Prefix, o.Foreign = "owner-", &Foreign{}
	p.owner = serve(t, nil, o)
	o.Prefix, o.UpgradeTimeout, o.Foreign = "other-", 500*time.Millisecond, &Foreign{
		Poll: func(w http.ResponseWriter, r *http.Request, sid string) { p.owner.ServeSession(w, r, sid) },
		Probe: func(_ context.Context, sid string) (*Handover, error) {
			o := p.owner.Offer(sid)
			if o == nil {
				return nil, errors.New("no such session")
			}
			return &Handover{
				Take: func(ctx context.Context, s *Session, _ *Request) error { return p.take(ctx, o, s) }, Withdraw: o.Withdraw,
			}, nil
		},
	}
	p.other = serve(t, nil, o)
	return p
}

func (p *pair) take(ctx context.Context, o *Offer, s *Session) error {
	for {
		d, again := o.Depart(p.pack)
		switch {
		case d != nil && p.fail != nil:
			return p.fail
		case d != nil:
			return s.Restore(d)
		case !again || ctx.Err() != nil:
			return errors.New("not let go")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestForeignPoll(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		p := servePair(t, Options{Mode: mode})
		q := p.owner.poll()
		session := p.owner.session()
		if !strings.HasPrefix(session.ID(), "owner-") {
			t.Fatalf("id %q", session.ID())
		}
		get := p.other.background(q)
		held(t, session)
		p.other.want("POST", q, "4one\x1ebAQID", 200, "ok")
		if got := wait(t, get, "answer"); got != "200 4one\x1ebAQID" {
			t.Errorf("GET: %q", got)
		}
		p.owner.want("POST", q, "4two", 200, "ok")
		p.other.want("GET", q, "", 200, "4two")
		// A noop on demand, and the session goes on.
		get = p.other.background(q)
		held(t, session)
		p.owner.Release(session.ID())
		if got := wait(t, get, "answer"); got != "200 6" {
			t.Errorf("released GET: %q", got)
		}
		p.other.want("PUT", q, "", 500, "")
		// A second GET ends the session, wherever it comes from.
		get = p.owner.background(q)
		held(t, session)
		if status, _, _ := p.other.do("GET", q, ""); status != 400 {
			t.Errorf("second GET: %d", status)
		}
		if got := wait(t, get, "answer"); got != "200 1" {
			t.Errorf("first GET: %q", got)
		}
		p.owner.reason(ReasonTransportError)
		p.other.want("GET", q, "", 400, `{"code":1,"message":"Session ID unknown"}`)
	})
}

// What cannot be another engine's session is not passed on, and no id that is passed on can mean anything to
// a bus.
func TestForeignIDs(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	s := serve(t, nil, Options{Prefix: "other-", Foreign: &Foreign{
		Poll: func(w http.ResponseWriter, _ *http.Request, sid string) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, sid)
			w.WriteHeader(http.StatusTeapot)
		},
		Probe: func(context.Context, string) (*Handover, error) { return nil, errors.New("not here") },
	}})
	unknown := `{"code":1,"message":"Session ID unknown"}`
	for _, sid := range []string{
		"", "x", "other-AAAAAAAAAAAAAA", "owner-AAAAAAAAAAAAA", "owner-AAAAAAAAAAAAAAA", "owner.AAAAAAAAAAAAAA",
		"*%3E*%3E*%3EAAAAAAAAAAAAAA", "own*r-AAAAAAAAAAAAAA", "owner-AAAAAAA%00AAAAAA", "owner-AAAAAA%20AAAAAAA",
		"owner-%C3%A4%C3%A4AAAAAAAAAAAA", "owner-AAAAAAAA/AAAAA", "owner-%0D%0AAAAAAAAAAAA",
	} {
		s.want("GET", "EIO=4&transport=polling&sid="+sid, "", 400, unknown)
		if _, status := s.dial("EIO=4&transport=websocket&sid=" + sid); status != 400 {
			t.Errorf("WebSocket for %q: %d", sid, status)
		}
	}
	s.want("GET", "EIO=4&transport=websocket&sid=owner-AAAAAAAAAAAAAA", "", 400, `{"code":3,"message":"Bad request"}`)
	mu.Lock()
	if len(asked) != 0 {
		t.Errorf("passed on: %q", asked)
	}
	mu.Unlock()
	for _, q := range []string{"sid=owner-AAAAAAAAAAAAAA&EIO=4&transport=polling", "EIO=4&transport=polling&sid=owner-AAAAAAAAAAAAAA"} {
		s.want("GET", q, "", http.StatusTeapot, "")
		c, status := s.dial(strings.Replace(q, "polling", "websocket", 1))
		if status != http.StatusSwitchingProtocols {
			t.Fatalf("WebSocket: %d", status)
		}
		c.send(opText, "2probe")
		c.wantClose(codeNormal)
	}
}

func TestForeignUpgrade(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		p := servePair(t, Options{Mode: mode})
		q := p.owner.poll()
		session := p.owner.session()
		get := p.owner.background(q)
		held(t, session)
		c := p.other.probe(q)
		c.send(opPing, "p")
		if op, data, err := c.next(); op != opPong || string(data) != "p" || err != nil {
			t.Fatalf("%d %q %v", op, data, err)
		}
		c.send(opText, "2probe")
		c.wantText("3probe")
		if got := wait(t, get, "answer"); got != "200 6" {
			t.Errorf("held GET: %q", got)
		}
		// Until the commit it lives on polling.
		p.other.want("POST", q, "4before", 200, "ok")
		session.Send(Text([]byte("waits")), Binary([]byte{1, 2}))
		session.Send(Text([]byte("old")).As(Gauge, 7))
		// What follows the commit in one packet is read by the other engine.
		c.raw(append(append(masked(finBit|opText, "5"), masked(finBit|opText, "4behind")...), masked(finBit|opText, "4it")...))
		c.wantText("4before", "4waits")
		if op, data, err := c.next(); op != opBinary || string(data) != "\x01\x02" || err != nil {
			t.Fatalf("%d %q %v", op, data, err)
		}
		c.wantText("4old", "4behind", "4it")
		p.owner.reason(ReasonMoved)
		c.send(opText, "4alive")
		c.wantText("4alive")
		// Afterwards it is a session on WebSocket, for whoever asks.
		bad := `{"code":3,"message":"Bad request"}`
		p.other.want("GET", q, "", 400, bad)
		p.owner.want("GET", q, "", 400, bad)
		p.owner.want("POST", q, "4x", 400, bad)
		p.owner.probe(q).wantClose(codeNormal)
		p.other.probe(q).wantClose(codeNormal)
		c.send(opText, "4still")
		c.wantText("4still")
		if st := p.owner.Stats(); st.Polling != 0 || st.WebSocket != 0 || st.Closed["moved"] != 1 {
			t.Errorf("owner: %+v", st)
		}
		if st := p.other.Stats(); st.Polling != 0 || st.WebSocket != 1 || st.Upgraded != 1 || st.Opened != 0 {
			t.Errorf("other: %+v", st)
		}
		_ = c.nc.Close()
		p.other.reason(ReasonTransportClose)
	})
}

// Frames sent from another goroutine until the session leaves, and from then on at its new place, arrive
// once and in order.
func TestForeignUpgradeLosesNothing(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		p := servePair(t, Options{Mode: mode})
		for range 10 {
			q := p.owner.poll()
			session := p.owner.session()
			var sent int
			var sender sync.WaitGroup
			sender.Go(func() {
				for session.Send(Text(fmt.Append(nil, sent))) {
					if sent++; sent%100 == 0 {
						time.Sleep(time.Millisecond)
					}
				}
			})
			var got []string
			for range 2 {
				_, body, _ := p.other.do("GET", q, "")
				got = append(got, strings.Split(body, "\x1e")...)
			}
			c := p.other.probe(q)
			c.send(opText, "2probe")
			c.wantText("3probe")
			_, body, _ := p.owner.do("GET", q, "")
			got = append(got, strings.Split(body, "\x1e")...)
			c.send(opText, "5")
			p.owner.reason(ReasonMoved)
			sender.Wait()
			for len(got) < sent {
				got = append(got, c.text())
			}
			for i, packet := range got {
				if packet != fmt.Sprintf("4%d", i) {
					t.Fatalf("message %d of %d is %q", i, sent, packet)
				}
			}
			_ = c.nc.Close()
			p.other.reason(ReasonTransportClose)
		}
	})
}

// A WebSocket elsewhere that fails leaves the session on polling.
func TestFailedForeignProbe(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		p := servePair(t, Options{Mode: mode})
		q := p.owner.poll()
		session := p.owner.session()
		for name, fail := range map[string]func(c *wsClient){
			"other packet": func(c *wsClient) { c.send(opText, "4x"); c.wantClose(codeNormal) },
			"binary":       func(c *wsClient) { c.send(opBinary, "2probe"); c.wantClose(codeNormal) },
			"dropped":      func(c *wsClient) { _ = c.nc.Close() },
			"not masked":   func(c *wsClient) { c.raw([]byte{0x81, 1, 'a'}); c.wantClose(codeNormal) },
			"fragment":     func(c *wsClient) { c.raw(masked(opText, "2probe")); c.wantClose(codeNormal) },
			"too long":     func(c *wsClient) { c.raw(masked(finBit|opText, strings.Repeat("2", 200))); c.wantClose(codeNormal) },
			"silence":      func(c *wsClient) { c.wantClose(codeNormal) },
			"half-way":     func(c *wsClient) { c.send(opText, "2probe"); c.wantText("3probe"); _ = c.nc.Close() },
			"probed, late": func(c *wsClient) { c.send(opText, "2probe"); c.wantText("3probe"); c.wantClose(codeNormal) },
		} {
			fail(p.other.probe(q))
			eventually(t, name+": the session is free of the probe", func() bool {
				session.mu.Lock()
				defer session.mu.Unlock()
				return session.polling.probe == nil
			})
			p.other.want("POST", q, "4still here", 200, "ok")
			p.other.want("GET", q, "", 200, "4still here")
		}
		// While one WebSocket may take it no other does, here or there.
		c := p.other.probe(q)
		c.send(opText, "2probe")
		c.wantText("3probe")
		p.owner.probe(q).wantClose(codeNormal)
		second := p.other.probe(q)
		second.send(opText, "2probe")
		second.wantClose(codeNormal)
		c.send(opText, "5")
		c.send(opText, "4done")
		c.wantText("4done")
	})
}

// Whoever says no after the commit costs the connection, and nothing is left of the session.
func TestFailedForeignCommit(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		p := servePair(t, Options{Mode: mode})
		q := p.owner.poll()
		p.owner.session()
		p.fail = errors.New("lost on the way")
		c := p.other.probe(q)
		c.send(opText, "5") // without a probe, as the reference accepts
		c.wantClose(codeNormal)
		p.owner.reason(ReasonMoved)
		p.other.reason(ReasonTransportError)
		eventually(t, "the place is free", func() bool {
			p.other.mu.Lock()
			defer p.other.mu.Unlock()
			return p.other.open == 0
		})
		if st := p.other.Stats(); st.WebSocket != 0 {
			t.Errorf("%+v", st)
		}
		// The owner refuses: it stays there.
		q = p.owner.poll()
		session := p.owner.session()
		p.pack = func() bool { return false }
		c = p.other.probe(q)
		c.send(opText, "5")
		c.wantClose(codeNormal)
		p.other.reason(ReasonTransportError)
		if !p.owner.Has(session.ID()) || session.Transport() != "polling" {
			t.Error("the session is gone")
		}
	})
}

// A heartbeat goes on where it was: a ping that is out is answered at the new place, and one that was
// answered is not due at once.
func TestHeartbeatMoves(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		p := servePair(t, Options{Mode: mode, PingInterval: 300 * time.Millisecond, PingTimeout: 300 * time.Millisecond})
		q := p.owner.poll()
		session := p.owner.session()
		eventually(t, "a ping is out", func() bool {
			session.mu.Lock()
			defer session.mu.Unlock()
			return session.pinged
		})
		c := p.other.probe(q)
		c.send(opText, "5")
		c.wantText("2")
		c.send(opText, "3")
		pong := time.Now()
		c.wantText("2")
		if d := time.Since(pong); d < 250*time.Millisecond {
			t.Errorf("the next ping came after %v", d)
		}
		p.owner.reason(ReasonMoved)
		p.other.reason(ReasonPingTimeout)
	})
}

func TestPrefixIsChecked(t *testing.T) {
	for _, o := range []Options{{Prefix: "short"}, {Prefix: "wild*."}, {Foreign: &Foreign{}}} {
		if e, err := New(newRecorder(), o); err == nil {
			t.Errorf("Prefix %q is accepted", o.Prefix)
			_ = e.Close(t.Context())
		}
	}
}
