package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

func TestMain(m *testing.M) {
	natstest.Main()
	m.Run()
}

// holdFanOut stops the fan-out until the returned function is called: an edge that is slow.
func holdFanOut(t *testing.T, s *Server) (release func()) {
	held, free := make(chan struct{}), make(chan struct{})
	s.mailbox.post(func() { close(held); <-free })
	<-held
	release = sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	return release
}

func logStream(t *testing.T, s *Server) jetstream.Stream {
	t.Helper()
	stream, err := s.js.Stream(t.Context(), subjects.StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// gaps are the counters of the reader: repaired, erased, lost.
func gaps(s *Server) [3]uint64 {
	return [3]uint64{s.reader.repairs.Load(), s.reader.erased.Load(), s.reader.lost.Load()}
}

// An edge that is slow for a while reads on where it was, also when there is more than fits anywhere on
// the way.
func TestSlowEdgeSkipsNothing(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	release := holdFanOut(t, s)
	const events = 3*backlog + 100
	flood(t, nc, events)
	release()
	for n := 0; n < events; n += everyNth {
		if e := b.next("case:updated"); e["n"] != float64(n) {
			t.Fatalf("got %v, want n=%d", e["n"], n)
		}
	}
	if got := gaps(s); got != [3]uint64{} {
		t.Errorf("gaps %v", got)
	}
}

// everyNth event of a flood is for case 123, so that its clients are not the slow ones.
const everyNth = 20

// flood publishes numbers quickly.
func flood(t *testing.T, nc *nats.Conn, events int) {
	t.Helper()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(256))
	if err != nil {
		t.Fatal(err)
	}
	for n := range events {
		subject := "lex.case.123.case.updated"
		if n%everyNth != 0 {
			subject = "lex.case.other.case.updated"
		}
		for {
			_, err := js.PublishAsync(subject, fmt.Appendf(nil, `{"n":%d}`, n))
			if err == nil {
				break
			}
			if !errors.Is(err, jetstream.ErrTooManyStalledMsgs) { // a busy machine
				t.Fatal(err)
			}
		}
	}
	<-js.PublishAsyncComplete()
}

// Messages that somebody erases leave holes in the log's numbers: they are told from a loss, in the
// middle and at the end, live and for a session that is resumed.
func TestErasedIsNotLost(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	away := connect(t, url, "/events", "u2", "case:*")
	away.ack("subscribe:case", case123)
	away.cutOff()
	stream := logStream(t, s)
	first := stream.CachedInfo().State.LastSeq
	release := holdFanOut(t, s)
	const events = 3*backlog - 3*backlog%everyNth + 1 // the last one is for case 123
	flood(t, nc, events)
	erased := map[int]bool{}
	for range 20 {
		n := 2*backlog + 10 + everyNth*rand.IntN(backlog/everyNth/2) // not read yet
		if !erased[n] {
			erased[n] = true
			if err := stream.DeleteMsg(t.Context(), first+1+uint64(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	erased[events-1] = true // the tail: nothing comes behind it to show the hole
	if err := stream.DeleteMsg(t.Context(), first+events); err != nil {
		t.Fatal(err)
	}
	release()
	resumed := away.again(url, "/events", tokenFor(t, "u2", "case:*"))
	for _, who := range []*browser{b, resumed} {
		for n := 0; n < events; n += everyNth {
			if erased[n] {
				continue
			}
			if e := who.next("case:updated"); e["n"] != float64(n) {
				t.Fatalf("got %v, want n=%d", e["n"], n)
			}
		}
	}
	if got := gaps(s); got[0] != 0 || got[1] == 0 || got[2] != 0 {
		t.Errorf("gaps %v", got)
	}
	// An edge that starts on a log whose end was erased is ready, and hears what comes.
	_, late := startEdge(t, nc, Options{})
	c := connect(t, late, "/events", "u3", "case:*")
	c.ack("subscribe:case", case123)
	numbers(t, nc, 0, 3)
	c.expect(0, 3)
}

// What is trimmed before an edge has read it cannot be given to anybody: the clients are sent away, and
// come back to fresh sessions.
func TestTrimmedUnreadEndsSessions(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	release := holdFanOut(t, s)
	flood(t, nc, 4*backlog)
	if err := logStream(t, s).Purge(t.Context(), jetstream.WithPurgeKeep(5)); err != nil {
		t.Fatal(err)
	}
	release()
	select {
	case <-b.Done():
	case <-time.After(2 * patience):
		t.Fatal("the client stays although it has missed something")
	}
	again := b.again(url, "/events", tokenFor(t, "u1", "case:*"))
	if again.PID() == b.PID() {
		t.Fatal("a partial session")
	}
	if got := gaps(s); got[2] != 1 {
		t.Errorf("gaps %v", got)
	}
	again.ack("subscribe:case", case123)
	numbers(t, nc, 0, 3)
	again.expect(0, 3)
}

// A reader to which nothing comes any more, for whatever reason, begins anew by itself.
func TestStuckReaderBeginsAnew(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	numbers(t, nc, 0, 3)
	b.expect(0, 3)
	s.reader.mu.Lock()
	s.reader.consumer.Stop()
	s.reader.mu.Unlock()
	numbers(t, nc, 3, 10)
	b.expect(3, 10)
	if got := gaps(s); got[0] == 0 {
		t.Errorf("gaps %v", got)
	}
}

// An edge that is behind another does not deliver again what its client has from the other.
func TestLaggingEdgeRepeatsNothing(t *testing.T) {
	_, nc := startBus(t)
	_, one := startEdge(t, nc, Options{Name: "one"})
	slow, two := startEdge(t, nc, Options{Name: "two"})
	b := connect(t, one, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	release := holdFanOut(t, slow)
	numbers(t, nc, 0, 20)
	b.expect(0, 20)
	b.cutOff()
	resumed := make(chan *browser, 1)
	go func() { resumed <- b.again(two, "/events", tokenFor(t, "u1", "case:*")) }()
	numbers(t, nc, 20, 25)
	eventually(t, "the CONNECT has come", func() bool {
		clients, _, _ := slow.accounts.usage()
		return clients == 1
	})
	release()
	b = <-resumed
	b.expect(20, 25)
	numbers(t, nc, 25, 30)
	b.expect(25, 30)
}

// TestLeaderChange kills the log's leader in a cluster of three under load: what was acked arrives once and
// in order, while the client stays connected.
func TestLeaderChange(t *testing.T) {
	cluster := natstest.Start(t, 3)
	dial := func() *nats.Conn {
		nc, err := subjects.Connect(t.Context(), subjects.ConnectOptions{URL: cluster.URL(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	nc := dial()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	slow, cancel := context.WithTimeout(t.Context(), time.Minute) // a cluster that has just begun
	defer cancel()
	if err := subjects.AwaitStreams(slow, js, subjects.StreamOptions{Replicas: 3}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	s, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	pub := publisher(t, dial())
	put := func(n int) {
		t.Helper()
		for { // as a microservice does: repeated under the same name until it is acked
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := pub.PublishLog(ctx, subjects.KindCase, "123", "case:updated",
				fmt.Appendf(nil, `{"n":%d}`, n), subjects.WithMsgID(fmt.Sprint("number-", n)))
			cancel()
			if err == nil {
				return
			}
			if t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	}
	const events = 100
	for n := range events {
		if n == events/2 {
			cluster.Kill(cluster.AwaitLeader(js, subjects.StreamLog))
		}
		put(n)
	}
	for n := range events {
		e, ok := b.await("case:updated", time.Minute) // electing takes seconds
		if !ok || e["n"] != float64(n) {
			t.Fatalf("got %v, want n=%d", e, n)
		}
	}
	if got := gaps(s); got[2] != 0 {
		t.Errorf("gaps %v", got)
	}
}
