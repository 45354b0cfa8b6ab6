package presence

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// BenchmarkBurst connects 10,000 users over four edges at once, with two replicas, and waits until each
// is stored and announced: s/burst is the figure, at most 5. The server, the edges and the replicas share
// this process.
func BenchmarkBurst(b *testing.B) {
	const users, edges = 10_000, 4
	server, nc := bus(b, natsd.Options{})
	s, _ := replica(b, connect(b, server), Options{Logger: quiet})
	replica(b, connect(b, server), Options{Logger: quiet})
	l := listen(b, nc)
	all := make([]*fakeEdge, edges)
	for i := range all {
		all[i] = newFakeEdge(b, nc, fmt.Sprintf("e%d", i), "x")
	}
	n := 0
	for b.Loop() {
		n++
		var burst sync.WaitGroup
		for i, e := range all {
			var events []subjects.ConnEvent
			for k := range users / edges {
				user := fmt.Sprintf("user-%d-%d-%d", n, i, k)
				events = append(events, subjects.ConnEvent{
					Op: subjects.ConnOpen, Socket: "sid-" + user, User: user, Namespace: "/events", Device: "desktop",
				})
			}
			burst.Go(func() { e.batch(events...) })
		}
		burst.Wait()
		for range users {
			<-l.events
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(n), "s/burst")
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.openSockets(); got != n*users {
		b.Errorf("%d sockets are known of %d", got, n*users)
	}
}

// BenchmarkCommands sends 1,000 presence:set-activity a second for as long as it runs, spread over 500
// users, to two replicas: p50-ms and p99-ms are from the request to the ack, without edge and client.
func BenchmarkCommands(b *testing.B) {
	const users = 500
	server, nc := bus(b, natsd.Options{})
	replica(b, connect(b, server), Options{Logger: quiet})
	replica(b, connect(b, server), Options{Logger: quiet})
	l := listen(b, nc)
	e := newFakeEdge(b, nc, "e1", "x")
	for i := range users {
		e.open(fmt.Sprintf("user-%d", i), fmt.Sprintf("sid-%d", i))
	}
	for range users {
		<-l.events
	}
	var mu sync.Mutex
	var took []time.Duration
	var sent sync.WaitGroup
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; b.Loop(); n++ {
		<-tick.C
		sent.Go(func() {
			start := time.Now()
			caller := subjects.Caller{User: fmt.Sprintf("user-%d", n%users), Socket: fmt.Sprintf("sid-%d", n%users)}
			_, err := subjects.PresenceSetActivity.Call(b.Context(), nc, caller, subjects.PresenceActivityRequest{Activity: fmt.Sprint(n)})
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(start))
		})
	}
	sent.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkSettle is the pure part, for a user with four sockets.
func BenchmarkSettle(b *testing.B) {
	s := state{user: "u"}
	for i, namespace := range []string{"/events", "/messaging", "/notifications", "/dashboard"} {
		s, _ = apply(s, opened{socket{edge: "e1", id: fmt.Sprint(i), namespace: namespace, device: "desktop"}}, epoch)
	}
	marks := map[string]mark{"e1": {"x", 7}}
	s, _ = apply(s, settled{marks: marks}, epoch)
	b.ReportAllocs()
	for b.Loop() {
		apply(s, settled{marks: marks}, epoch)
	}
}
