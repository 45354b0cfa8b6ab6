package edge

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// take waits for the next event of this name, with its position.
func (b *browser) take(name string) arrival {
	b.t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-b.events:
			if e.name == name {
				return e
			}
		case <-late:
			b.t.Fatalf("no %s", name)
		}
	}
}

// since subscribes to case 123 from a position on.
func (b *browser) since(position uint64) map[string]any {
	b.t.Helper()
	return b.ack("subscribe:case", map[string]any{"caseId": "123", "since": strconv.FormatUint(position, 10)})
}

func TestSubscribeSinceAPosition(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "case:*")
	ack := b.ack("subscribe:case", case123)
	if ack["status"] != "subscribed" || ack["offset"] == nil || ack["recovered"] != nil {
		t.Fatalf("ack %v", ack)
	}
	numbers(t, nc, 0, 10)
	var cursor uint64
	for n := range 4 {
		e := b.take("case:updated")
		if e.data["n"] != float64(n) {
			t.Fatalf("got %v, want n=%d", e.data, n)
		}
		cursor = e.at
	}
	// Another page of the same user, with that cursor; from the ring and, on an edge of its own, from the
	// stream. Then live, without a seam.
	second, late := startEdge(t, nc, Options{})
	for i, at := range []string{url, late} {
		c := connect(t, at, "/events", "u1", "case:*")
		end := logStream(t, s).CachedInfo().State.LastSeq
		eventually(t, "both edges have read it all", func() bool { return s.fanned.Load() == end && second.fanned.Load() == end })
		if ack := c.since(cursor); ack["recovered"] != true || ack["offset"] != fmt.Sprint(end) {
			t.Fatalf("ack %v, want the offset %d", ack, end)
		}
		numbers(t, nc, 10+5*i, 15+5*i)
		position := cursor
		for n := 4; n < 15+5*i; n++ {
			e := c.take("case:updated")
			if e.data["n"] != float64(n) || e.at <= position {
				t.Fatalf("got %v at %d behind %d, want n=%d", e.data, e.at, position, n)
			}
			position = e.at
		}
	}
	// A number does as well, and what is no position is refused.
	c := connect(t, url, "/events", "u2", "case:*")
	if ack := c.ack("subscribe:case", map[string]any{"caseId": "123", "since": cursor}); ack["recovered"] != true {
		t.Fatalf("ack %v", ack)
	}
	for _, bad := range []any{"-1", "x", 1.5, true, map[string]any{}, "99999999999999999999"} {
		if ack := c.ack("subscribe:case", map[string]any{"caseId": "123", "since": bad}); ack["code"] != "INVALID_INPUT" || ack["status"] != "error" {
			t.Errorf("since %v: %v", bad, ack)
		}
	}
	if ack := c.ack("subscribe:case", map[string]any{"caseId": "9", "since": "99999"}); ack["recovered"] != false {
		t.Errorf("a position that the log does not reach: %v", ack)
	}
}

// More than the seam sends at once, while more is published: each once, in order.
func TestSubscribeSinceUnderFire(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	start := s.fanned.Load()
	numbers(t, nc, 0, 1000)
	published := make(chan struct{})
	go func() {
		defer close(published)
		numbers(t, nc, 1000, 2000)
	}()
	b := connect(t, url, "/events", "u1", "case:*")
	if ack := b.since(start); ack["recovered"] != true {
		t.Fatalf("ack %v", ack)
	}
	b.expect(0, 2000)
	<-published
}

func TestSubscribeSinceTooLongAgo(t *testing.T) {
	_, nc := startBus(t)
	s, _ := startEdge(t, nc, Options{})
	numbers(t, nc, 0, 20)
	if err := logStream(t, s).Purge(t.Context(), jetstream.WithPurgeKeep(3)); err != nil {
		t.Fatal(err)
	}
	_, late := startEdge(t, nc, Options{})
	b := connect(t, late, "/events", "u1", "case:*")
	if ack := b.since(1); ack["status"] != "subscribed" || ack["recovered"] != false || ack["offset"] == "1" {
		t.Fatalf("ack %v", ack)
	}
	numbers(t, nc, 20, 23)
	b.expect(20, 23)
}

// What was sent behind the session's offset is not proved by it: a cut before the next pong makes a fresh
// session, one behind it does not.
func TestUnprovedSessionIsNotResumed(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{PingInterval: 300 * time.Millisecond})
	numbers(t, nc, 0, 5)
	token := tokenFor(t, "u1", "case:*")
	for _, proved := range []bool{false, true} {
		b := connect(t, url, "/events", "u1", "case:*")
		b.since(0)
		b.expect(0, 5)
		if proved {
			eventually(t, "a pong proves it", func() bool { return !unprovedRecord(t, s, b.PID()) })
		} else if !unprovedRecord(t, s, b.PID()) {
			t.Fatal("the session does not say that it is not proved")
		}
		b.cutOff()
		again := b.again(url, "/events", token)
		if resumed := again.PID() == b.PID(); resumed != proved {
			t.Errorf("proved %v, resumed %v", proved, resumed)
		}
	}
}

func unprovedRecord(t *testing.T, s *Server, pid string) bool {
	t.Helper()
	return readRecord(t, s, pid).Unproved
}

// A change of access holds for what lies before it, too, once it is made.
func TestSinceAndHistoryObeyAccess(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{})
	numbers(t, nc, 0, 5)
	b := connect(t, url, "/events", "u1", "case:*")
	b.since(0)
	b.expect(0, 5)
	if page := b.ack("history", map[string]any{"room": "case:123"}); page["success"] != true {
		t.Fatalf("history %v", page)
	}
	list := subjects.AccessChangedEvent{Deny: []string{"u1"}, Revision: 1}
	if _, err := subjects.AccessChanged.Publish(t.Context(), publisher(t, nc), "123", list); err != nil {
		t.Fatal(err)
	}
	b.next("error")
	if ack := b.since(0); ack["code"] != "FORBIDDEN" {
		t.Errorf("since: %v", ack)
	}
	if page := b.ack("history", map[string]any{"room": "case:123"}); page["code"] != "FORBIDDEN" {
		t.Errorf("history: %v", page)
	}
	// Neither another's room nor one that was not joined.
	for _, room := range []string{"user:u2", "case:7", "conversation:c1", "somewhere"} {
		if page := b.ack("history", map[string]any{"room": room}); page["code"] != "FORBIDDEN" {
			t.Errorf("history of %s: %v", room, page)
		}
	}
}

func TestHistoryPagesBackward(t *testing.T) {
	_, nc := startBus(t)
	s, _ := startEdge(t, nc, Options{})
	const events = 300
	for n := range events {
		name := []string{"case:updated", "document:uploaded", "invoice:sent"}[n%3]
		publish(t, nc, subjects.KindCase, "123", name, fmt.Sprintf(`{"n":%d}`, n))
		publish(t, nc, subjects.KindCase, "124", name, `{}`)
	}
	if err := logStream(t, s).DeleteMsg(t.Context(), logStream(t, s).CachedInfo().State.LastSeq-201); err != nil { // of case 123
		t.Fatal(err)
	}
	erased := events - 1 - 100
	for _, ring := range []uint64{0, 100, ringEvents} {
		t.Run(fmt.Sprintf("%d events in memory", ring), func(t *testing.T) {
			one, url := startEdge(t, nc, Options{})
			onFanOut(one, func() { one.ring.keep(int(ring)) })
			b := connect(t, url, "/events", "u1", "case:*")
			b.ack("subscribe:case", case123)
			want, before := events-1, ""
			for pages := 0; want >= 0; pages++ {
				if pages > events {
					t.Fatal("no end")
				}
				request := map[string]any{"room": "case:123", "limit": 70}
				if before != "" {
					request["before"] = before
				}
				page := b.ack("history", request)
				list, _ := page["events"].([]any)
				for _, item := range slices.Backward(list) {
					if want == erased {
						want--
					}
					e, _ := item.(map[string]any)
					data, _ := e["data"].(map[string]any)
					if data["n"] != float64(want) || data["caseId"] != "123" || data["timestamp"] == nil {
						t.Fatalf("got %v, want n=%d", e, want)
					}
					want--
				}
				before, _ = page["before"].(string)
				if page["complete"] == true {
					break
				}
			}
			if want != -1 {
				t.Errorf("the history ends before n=%d", want)
			}
			for _, bad := range []map[string]any{{"room": "case:123", "limit": 0}, {"room": "case:123", "limit": 201}, {"room": "case:123", "before": "x"}, {}} {
				if page := b.ack("history", bad); page["code"] != "INVALID_INPUT" {
					t.Errorf("%v: %v", bad, page)
				}
			}
		})
	}
}

// onFanOut runs f on the goroutine that owns the ring, when that has what was there before the edge.
func onFanOut(s *Server, f func()) {
	<-s.reader.prefaced
	done := make(chan struct{})
	s.mailbox.post(func() { f(); close(done) })
	<-done
}

// keep leaves the newest n events.
func (r *ring) keep(n int) {
	for len(r.events) > n {
		r.drop()
	}
}

func readRecord(t *testing.T, s *Server, pid string) (record sessionRecord) {
	t.Helper()
	bucket, err := s.js.KeyValue(t.Context(), subjects.BucketSessions)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(t.Context(), pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(entry.Value(), &record); err != nil {
		t.Fatal(err)
	}
	return record
}

// A client that has received nothing for long resumes behind its last pong: what was trimmed before that
// was proved to concern nobody.
func TestPongsProveThePosition(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{PingInterval: 300 * time.Millisecond, ResumeWindow: 2 * time.Second})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	for range 20 {
		publish(t, nc, subjects.KindCase, "other", "case:updated", `{}`)
	}
	eventually(t, "the record has the proof", func() bool { return readRecord(t, s, b.PID()).Proved >= 20 })
	b.cutOff()
	numbers(t, nc, 0, 3)
	if err := logStream(t, s).Purge(t.Context(), jetstream.WithPurgeKeep(3)); err != nil {
		t.Fatal(err)
	}
	late, other := startEdge(t, nc, Options{})
	onFanOut(late, func() { late.ring.keep(0) })
	again := b.again(other, "/events", tokenFor(t, "u1", "case:*"))
	if again.PID() != b.PID() {
		t.Fatal("a fresh session")
	}
	again.expectConnected(0, 3)
}

// What happened while a user was walled off is not for them, before and behind it is.
func TestSinceAndHistoryLeaveOutWhatWasWalledOff(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	start := s.fanned.Load()
	allow := func(revision int64, users ...string) {
		t.Helper()
		changeAccess(t, nc, subjects.AccessChangedEvent{Allow: users, Revision: revision})
	}
	numbers(t, nc, 0, 3) // nobody is admitted yet
	allow(1, "u1", "u2")
	in := logStream(t, s).CachedInfo().State.LastSeq
	numbers(t, nc, 3, 6)
	allow(2, "u2")
	numbers(t, nc, 6, 9)
	allow(3, "u1", "u2")
	numbers(t, nc, 9, 12)
	eventually(t, "the edge has read it all", func() bool { return s.fanned.Load() == logStream(t, s).CachedInfo().State.LastSeq })
	for user, c := range map[string]struct {
		since     uint64
		recovered bool
		history   []float64
	}{
		"u1": {in, false, []float64{3, 4, 5, 9, 10, 11}},
		"u2": {in, true, []float64{3, 4, 5, 6, 7, 8, 9, 10, 11}},
	} {
		b := connect(t, url, "/events", user, "")
		if ack := b.since(start); ack["recovered"] != false {
			t.Errorf("%s since before they were let in: %v", user, ack)
		}
		if ack := b.since(c.since); ack["recovered"] != c.recovered {
			t.Errorf("%s: %v", user, ack)
		}
		for _, limit := range []int{4, 50} {
			var got []float64
			for before := ""; ; {
				request := map[string]any{"room": "case:123", "limit": limit}
				if before != "" {
					request["before"] = before
				}
				page := b.ack("history", request)
				list, _ := page["events"].([]any)
				var part []float64
				for _, e := range list {
					data, _ := e.(map[string]any)["data"].(map[string]any)
					n, _ := data["n"].(float64)
					part = append(part, n)
				}
				got = append(part, got...)
				if before, _ = page["before"].(string); page["complete"] == true {
					break
				}
			}
			if !slices.Equal(got, c.history) {
				t.Errorf("history of %s in pages of %d: %v, want %v", user, limit, got, c.history)
			}
		}
	}
}
