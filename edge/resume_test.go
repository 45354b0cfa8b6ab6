package edge

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/edge/sioclient"
	"github.com/lexiflow/realtime/subjects"
)

// numbers publishes events n = from … to-1 to case 123.
func numbers(t testing.TB, nc *nats.Conn, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		publish(t, nc, subjects.KindCase, "123", "case:updated", fmt.Sprintf(`{"n":%d}`, n))
	}
}

// expect takes exactly these numbers, in order, and nothing else of their name.
func (b *browser) expect(from, to int) {
	b.t.Helper()
	for n := from; n < to; n++ {
		if e := b.next("case:updated"); e["n"] != float64(n) {
			b.t.Fatalf("got %v, want n=%d", e["n"], n)
		}
	}
}

func TestResumeOnAnyEdge(t *testing.T) {
	_, nc := startBus(t)
	_, one := startEdge(t, nc, Options{Name: "one"})
	_, two := startEdge(t, nc, Options{Name: "two"})
	token := tokenFor(t, "u1", "case:*")
	b := connect(t, one, "/events", "u1", "case:*")
	first := b
	b.ack("subscribe:case", case123)
	numbers(t, nc, 0, 5)
	b.expect(0, 5)
	// Cut off again and again, on changing edges, with events in between.
	for round, url := range []string{two, one, one, two, two} {
		b.cutOff()
		at := 5 + 10*round
		numbers(t, nc, at, at+5)
		b = b.again(url, "/events", token)
		if b.SID() != first.SID() || b.PID() != first.PID() {
			t.Fatalf("round %d: a fresh session", round)
		}
		// What was missed comes before connected, and once.
		b.expectConnected(at, at+5)
		numbers(t, nc, at+5, at+10)
		b.expect(at+5, at+10)
	}
}

// expectConnected takes events n = from … to-1 and connected among them: what the edge had not read yet
// when the session went live comes behind it.
func (b *browser) expectConnected(from, to int) {
	b.t.Helper()
	n, connected := from, false
	for n < to || !connected {
		select {
		case e := <-b.events:
			switch e.name {
			case "case:updated":
				if e.data["n"] != float64(n) {
					b.t.Fatalf("event %v, want n=%d", e.data["n"], n)
				}
				n++
			case "connected":
				if e.data["recovered"] != true || e.data["missed"].(float64) > float64(n-from) {
					b.t.Fatalf("connected %v after %d events", e.data, n-from)
				}
				connected = true
			}
		case <-time.After(patience):
			b.t.Fatalf("n=%d, connected %v: nothing more comes", n, connected)
		}
	}
}

func TestResumeFromTheStream(t *testing.T) {
	_, nc := startBus(t)
	_, one := startEdge(t, nc, Options{})
	b := connect(t, one, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	b.cutOff() // it has not received a single event
	quiet := connect(t, one, "/events", "u2", "case:*")
	quiet.ack("subscribe:case", map[string]string{"caseId": "quiet"})
	quiet.cutOff()
	const events = 700
	numbers(t, nc, 0, events)
	// An edge that has hardly anything of it in its ring.
	s, late := startEdge(t, nc, Options{})
	onFanOut(s, func() { s.ring.keep(10) })
	again := b.again(late, "/events", tokenFor(t, "u1", "case:*"))
	again.expectConnected(0, events)
	numbers(t, nc, events, events+3)
	again.expect(events, events+3)
	// For rooms that have had nothing no message is read.
	var newest *delivery
	onFanOut(s, func() { newest = s.ring.newest() })
	behind := map[string]uint64{"case.quiet": 0, "user.u2": 0}
	if changed := s.changedRooms(t.Context(), behind, 0, newest); len(changed) != 0 {
		t.Errorf("changed: %v", changed)
	}
	behind["case.123"] = 5
	if changed := s.changedRooms(t.Context(), behind, 5, newest); !slices.Equal(changed, []string{"case.123"}) {
		t.Errorf("changed: %v", changed)
	}
	if again := quiet.again(late, "/events", tokenFor(t, "u2", "case:*")); again.PID() != quiet.PID() {
		t.Error("a fresh session for who has missed nothing")
	}
	// An answer from a server that is behind this edge is no answer.
	ahead := &delivery{subject: "lex.case.123.case.updated", seq: 1 << 40}
	if changed := s.changedRooms(t.Context(), behind, 5, ahead); len(changed) != len(behind) {
		t.Errorf("changed by an answer from behind: %v", changed)
	}
}

func TestResumeUnderFire(t *testing.T) {
	_, nc := startBus(t)
	_, one := startEdge(t, nc, Options{})
	_, two := startEdge(t, nc, Options{})
	token := tokenFor(t, "u1", "case:*")
	b := connect(t, one, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	const events = 2000
	published := make(chan struct{})
	go func() {
		defer close(published)
		numbers(t, nc, 0, events)
	}()
	want := 0
	for round := 0; want < events; round++ {
		// Take some, then lose the connection with more on its way.
		for range 150 {
			if want == events {
				break
			}
			if e := b.next("case:updated"); e["n"] != float64(want) {
				t.Fatalf("round %d: got n=%v, want %d", round, e["n"], want)
			}
			want++
		}
		b.cutOff()
		// What arrived and was not looked at yet counts as received.
		want += drain(t, b, want)
		b = b.again([]string{two, one}[round%2], "/events", token)
	}
	<-published
}

// drain takes what is there already and returns how many numbers from want on it was.
func drain(t *testing.T, b *browser, want int) (n int) {
	t.Helper()
	<-b.Done()
	for {
		select {
		case e := <-b.events:
			if e.name != "case:updated" {
				continue
			}
			if e.data["n"] != float64(want+n) {
				t.Fatalf("got n=%v, want %d", e.data["n"], want+n)
			}
			n++
		default:
			return n
		}
	}
}

func TestWhatIsNoResumption(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{ResumeWindow: time.Minute})
	open := func() *browser {
		b := connect(t, url, "/events", "u1", "case:123")
		b.ack("subscribe:case", case123)
		return b
	}
	fresh := func(t *testing.T, b *browser) {
		t.Helper()
		if e := b.next("connected"); e["recovered"] != false {
			t.Fatalf("recovered: %v", e)
		}
	}
	t.Run("another user", func(t *testing.T) {
		b := open()
		b.cutOff()
		fresh(t, b.again(url, "/events", tokenFor(t, "u2", "case:123")))
	})
	t.Run("another namespace", func(t *testing.T) {
		b := open()
		b.cutOff()
		fresh(t, b.again(url, "/notifications", tokenFor(t, "u1", "case:123")))
	})
	t.Run("left by itself", func(t *testing.T) {
		b := open()
		b.Close()
		eventually(t, "the record is gone", func() bool { return !kept(t, s, b.PID()) })
		fresh(t, b.again(url, "/events", tokenFor(t, "u1", "case:123")))
	})
	t.Run("access has gone", func(t *testing.T) {
		b := open()
		b.cutOff()
		list := subjects.AccessChangedEvent{Deny: []string{"u1"}, Revision: 1}
		if _, err := subjects.AccessChanged.Publish(t.Context(), publisher(t, nc), "123", list); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the edge has read the change", func() bool { _, ok := s.changes.latest("case.123"); return ok })
		fresh(t, b.again(url, "/events", tokenFor(t, "u1", "case:123")))
		list = subjects.AccessChangedEvent{Revision: 2}
		if _, err := subjects.AccessChanged.Publish(t.Context(), publisher(t, nc), "123", list); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the edge has read the end of it", func() bool { l, _ := s.changes.latest("case.123"); return l.Revision == 2 })
	})
	t.Run("the log is trimmed", func(t *testing.T) {
		b := open()
		b.cutOff()
		numbers(t, nc, 0, 10)
		other, late := startEdge(t, nc, Options{})
		onFanOut(other, func() { other.ring.keep(0) })
		stream, err := s.js.Stream(t.Context(), subjects.StreamLog)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context(), jetstream.WithPurgeKeep(2)); err != nil {
			t.Fatal(err)
		}
		fresh(t, b.again(late, "/events", tokenFor(t, "u1", "case:123")))
	})
}

func kept(t testing.TB, s *Server, pid string) bool {
	t.Helper()
	bucket, err := s.js.KeyValue(t.Context(), subjects.BucketSessions)
	if err != nil {
		t.Fatal(err)
	}
	_, err = bucket.Get(t.Context(), pid)
	return err == nil
}

func TestExpiredTokenResumesAndOpensNothing(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{})
	expired := sign(t, jwt.SigningMethodHS256, []byte(testSecret), jwt.MapClaims{"sub": "u1", "scope": "case:*", "exp": time.Now().Add(-time.Minute).Unix()})
	b := connect(t, url, "/events", "u1", "case:*")
	b.cutOff()
	again := b.again(url, "/events", expired)
	if e := again.next("connected"); e["recovered"] != true {
		t.Fatalf("an expired token does not resume its own session: %v", e)
	}
	again.Close()
	refusedDial(t, url, expired, nil)
	refusedDial(t, url, expired, map[string]any{"pid": newSocketID().String(), "offset": "1"})
}

func TestResumptionTakesThePlaceOfTheOld(t *testing.T) {
	_, nc := startBus(t)
	s, one := startEdge(t, nc, Options{Limits: Limits{ConnectionsPerUser: 1}})
	_, two := startEdge(t, nc, Options{Limits: Limits{ConnectionsPerUser: 1}})
	token := tokenFor(t, "u1", "case:*")
	old := connect(t, one, "/events", "u1", "case:*")
	// The old transport hangs: it is open still when the client comes back, on its own edge and on another.
	for _, url := range []string{one, two} {
		again := old.again(url, "/events", token)
		if again.SID() != old.SID() {
			t.Fatal("a fresh session")
		}
		select {
		case <-old.Done():
		case <-time.After(patience):
			t.Fatal("the old connection stays")
		}
		old = again
	}
	eventually(t, "the first edge counts nobody", func() bool { clients, _, _ := s.accounts.usage(); return clients == 0 })
}

// A transport that is lost while the session is being written leaves the rooms in the record.
func TestLostWhileSaving(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	var k *socket
	s.hub.eachSocket(func(one *socket) { k = one })
	eventually(t, "nothing is being written", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		idle := !k.saving.busy
		k.saving.busy = true // until wrote, below
		return idle
	})
	b.cutOff()
	eventually(t, "the edge has noticed", k.gone)
	k.mu.Lock()
	revision := k.saving.revision
	k.mu.Unlock()
	s.wrote(k, nil, revision, nil)
	numbers(t, nc, 0, 3)
	again := b.again(url, "/events", tokenFor(t, "u1", "case:*"))
	if again.SID() != b.SID() {
		t.Fatal("a fresh session")
	}
	again.expectConnected(0, 3)
}

// A client that goes while its session is being resumed finds its rooms at the next attempt.
func TestLostWhileResuming(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	b.cutOff()
	eventually(t, "nobody is there", func() bool { clients, _, _ := s.accounts.usage(); return clients == 0 })
	busy, free := make(chan struct{}), make(chan struct{})
	s.mailbox.post(func() { close(busy); <-free }) // no session goes live meanwhile
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = sioclient.Dial(ctx, sioclient.Options{
			URL: url, Namespace: "/events", Token: tokenFor(t, "u1", "case:*"), Auth: map[string]any{"pid": b.PID()},
		})
	}()
	eventually(t, "the session is taken over", func() bool { clients, _, _ := s.accounts.usage(); return clients == 1 })
	cancel()
	<-gone
	eventually(t, "the client is gone", func() bool { return s.engine.Stats().WebSocket == 0 })
	close(free)
	eventually(t, "its place is free", func() bool { clients, _, _ := s.accounts.usage(); return clients == 0 })
	numbers(t, nc, 0, 3)
	again := b.again(url, "/events", tokenFor(t, "u1", "case:*"))
	if again.SID() != b.SID() {
		t.Fatal("a fresh session")
	}
	again.expectConnected(0, 3)
}
