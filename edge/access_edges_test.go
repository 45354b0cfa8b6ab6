package edge

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// Changes of access over several edges, for who is connected and for who comes back.

func changeAccess(t testing.TB, nc *nats.Conn, list subjects.AccessChangedEvent) {
	t.Helper()
	if _, err := subjects.AccessChanged.Publish(t.Context(), publisher(t, nc), "123", list); err != nil {
		t.Fatal(err)
	}
}

// bucketHas waits until ACCESS, which is fed from the log, has this revision: an edge that starts later
// has not read the change itself.
func bucketHas(t testing.TB, nc *nats.Conn, revision int64) {
	t.Helper()
	bucket := bucketOf(t, nc, subjects.BucketAccess)
	eventually(t, "the bucket has the list", func() bool {
		var list subjects.AccessChangedEvent
		entry, err := bucket.Get(t.Context(), "case.123")
		return err == nil && json.Unmarshal(entry.Value(), &list) == nil && list.Revision == revision
	})
}

func TestEvictionHasItsPlaceInTheLogOnEveryEdge(t *testing.T) {
	_, nc := startBus(t)
	_, one := startEdge(t, nc, Options{Name: "one"})
	_, two := startEdge(t, nc, Options{Name: "two"})
	changeAccess(t, nc, subjects.AccessChangedEvent{Allow: []string{"u1", "u2"}, Revision: 1})
	bucketHas(t, nc, 1)
	numbers(t, nc, 0, 1)
	var out, stays []*browser
	for _, url := range []string{one, two} {
		out, stays = append(out, connect(t, url, "/events", "u1", "")), append(stays, connect(t, url, "/events", "u2", ""))
	}
	for _, b := range append(out, stays...) {
		if ack := b.ack("subscribe:case", case123); ack["status"] != "subscribed" {
			t.Fatal(ack)
		}
	}
	numbers(t, nc, 1, 50)
	changeAccess(t, nc, subjects.AccessChangedEvent{Allow: []string{"u2"}, Revision: 2})
	numbers(t, nc, 50, 100)
	for i := range out {
		stays[i].expect(1, 100)
		n := 1
		for e := range out[i].events {
			if e.name == "case:updated" {
				if e.data["n"] != float64(n) {
					t.Fatalf("edge %d: got %v, want %d", i, e.data["n"], n)
				}
				n++
			}
			if e.name == "error" {
				break
			}
		}
		if out[i].ack("ping"); n != 50 {
			t.Errorf("edge %d: %d events before the eviction, want 49", i, n-1)
		}
		for _, name := range out[i].until("pong") {
			if name == "case:updated" {
				t.Errorf("edge %d: an event behind the eviction", i)
			}
		}
	}
}

// TestWalledOffWhileAway takes a user out and lets them in again while they are disconnected: what came
// between is not for them, from whichever edge and from wherever it is replayed.
func TestWalledOffWhileAway(t *testing.T) {
	tests := map[string]struct {
		late   bool // the edge starts afterwards, and has it from the stream
		events int  // between; more than the seam sends by itself, or few
	}{
		"from the ring":         {false, 3},
		"many, from the ring":   {false, seamEvents + 50},
		"from the stream":       {true, 3},
		"many, from the stream": {true, seamEvents + 50},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, nc := startBus(t)
			_, one := startEdge(t, nc, Options{Name: "one"})
			_, two := startEdge(t, nc, Options{Name: "two"})
			changeAccess(t, nc, subjects.AccessChangedEvent{Allow: []string{"u1", "u2"}, Revision: 1})
			b, witness := connect(t, one, "/events", "u1", ""), connect(t, one, "/events", "u2", "")
			for _, b := range []*browser{b, witness} {
				eventually(t, "subscribed", func() bool { return b.ack("subscribe:case", case123)["status"] == "subscribed" })
				b.cutOff()
			}
			changeAccess(t, nc, subjects.AccessChangedEvent{Allow: []string{"u2"}, Revision: 2})
			numbers(t, nc, 0, test.events)
			changeAccess(t, nc, subjects.AccessChangedEvent{Allow: []string{"u1", "u2"}, Revision: 3})
			numbers(t, nc, test.events, test.events+3)
			if test.late {
				bucketHas(t, nc, 3)
				_, two = startEdge(t, nc, Options{Name: "late"})
			}
			again := witness.again(two, "/events", tokenFor(t, "u2", ""))
			again.expectConnected(0, test.events+3)
			out := b.again(two, "/events", tokenFor(t, "u1", ""))
			if out.PID() == b.PID() {
				t.Fatal("it is recovered")
			}
			for _, name := range out.until("connected") {
				if name == "case:updated" {
					t.Fatal("it gets what it must not see")
				}
			}
			if ack := out.ack("subscribe:case", case123); ack["status"] != "subscribed" {
				t.Fatalf("who is in again: %v", ack)
			}
			numbers(t, nc, 9000, 9001)
			out.expect(9000, 9001)
		})
	}
}
