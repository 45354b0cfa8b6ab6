package edge

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

func TestRecentListCountsOnlyWhereTheLogIsRead(t *testing.T) {
	now := time.Unix(1000, 0)
	admits := accessList{Allow: []string{"u1"}}
	for name, test := range map[string]struct {
		then   func(a *recentAccess)
		fanned uint64
		after  time.Duration
		want   bool
	}{
		"read up to the look":          {fanned: 7, want: true},
		"read beyond it":               {fanned: 9, want: true},
		"behind the look":              {fanned: 6},
		"no look for a while":          {fanned: 7, after: recentLook + 1},
		"kept for long":                {then: func(a *recentAccess) { a.look(7, now.Add(recentAge)) }, fanned: 7, after: recentAge + 1},
		"changed":                      {then: func(a *recentAccess) { a.forget("case.1") }, fanned: 7},
		"another room's change":        {then: func(a *recentAccess) { a.forget("case.2") }, fanned: 7, want: true},
		"another log":                  {then: (*recentAccess).clear, fanned: 7},
		"another log, looked at again": {then: func(a *recentAccess) { a.clear(); a.look(7, now) }, fanned: 7},
		"swept":                        {then: func(a *recentAccess) { a.look(7, now.Add(recentAge+1)) }, fanned: 7},
	} {
		t.Run(name, func(t *testing.T) {
			var a recentAccess
			a.keep("case.1", admits, a.asking(), now)
			if _, ok := a.find("case.1", 7, now); ok {
				t.Fatal("it counts before the first look")
			}
			a.look(7, now)
			if test.then != nil {
				test.then(&a)
			}
			if _, ok := a.find("case.1", test.fanned, now.Add(test.after)); ok != test.want {
				t.Errorf("found %v, want %v", ok, test.want)
			}
		})
	}
}

func TestAnswerUnderWayIsNotKept(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, between := range map[string]func(a *recentAccess){
		"change": func(a *recentAccess) { a.forget("case.1") }, "another log": (*recentAccess).clear,
	} {
		var a recentAccess
		since := a.asking()
		between(&a)
		a.keep("case.1", accessList{}, since, now)
		a.look(0, now)
		if _, ok := a.find("case.1", 0, now); ok {
			t.Errorf("kept over a %s", name)
		}
	}
}

func TestRecentAccessIsBounded(t *testing.T) {
	var a recentAccess
	now := time.Unix(1000, 0)
	a.look(0, now)
	a.keep("long", accessList{Allow: make([]string, recentNames), Deny: []string{"u"}}, 0, now)
	for n := range recentLists + 10 {
		a.keep(fmt.Sprint(n), accessList{}, 0, now)
	}
	if _, ok := a.find("long", 0, now); ok || len(a.lists) != recentLists {
		t.Errorf("%d lists, long kept: %v", len(a.lists), ok)
	}
	if a.look(0, now.Add(recentAge+1)); a.lists != nil {
		t.Error("an edge at rest keeps the map")
	}
}

// asks counts the questions for access lists.
func asks(t *testing.T, nc *nats.Conn) *atomic.Int64 {
	t.Helper()
	var n atomic.Int64
	sub, err := nc.Subscribe(accessGet+">", func(*nats.Msg) { n.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return &n
}

// looked waits for a look at the bus that finds the fan-out at the log's end.
func (s *Server) looked(t *testing.T) {
	t.Helper()
	from := time.Now()
	eventually(t, "the bus was looked at", func() bool {
		a := &s.recent
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.looked.After(from) && s.fanned.Load() >= a.end
	})
}

func status(b *browser) any { return b.ack("subscribe:case", case123)["status"] }

func TestManyJoinsAskOnce(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	changeAccess(t, nc, subjects.AccessChangedEvent{Allow: []string{"u1", "u2"}, Revision: 1})
	bucketHas(t, nc, 1)
	questions := asks(t, nc)
	u1, u2, u3 := connect(t, url, "/events", "u1", ""), connect(t, url, "/events", "u2", ""), connect(t, url, "/events", "u3", "")
	s.looked(t)
	if got := []any{status(u1), status(u2)}; got[0] != "subscribed" || got[1] != "subscribed" {
		t.Fatal(got)
	}
	if n := questions.Load(); n != 1 {
		t.Errorf("%d questions for two who may, want 1", n)
	}
	if status(u3) == "subscribed" {
		t.Error("who may not is in")
	}
	if n := questions.Load(); n != 2 {
		t.Errorf("%d questions, want 2: a list that is kept refuses nobody", n)
	}
	changeAccess(t, nc, subjects.AccessChangedEvent{Allow: []string{"u1", "u3"}, Revision: 2})
	eventually(t, "the edge has read the change", func() bool { l, _ := s.changes.latest("case.123"); return l.Revision == 2 })
	if status(u3) != "subscribed" || status(u2) == "subscribed" {
		t.Error("the list from before the change decides")
	}
}

// An edge that is slow admits by a list that it keeps for two seconds at most. Who was taken out
// meanwhile gets in nowhere then, and nothing behind the change reaches those who did.
func TestSlowEdgeDoesNotTrustItsList(t *testing.T) {
	_, nc := startBus(t)
	one, urlOne := startEdge(t, nc, Options{Name: "one"})
	two, urlTwo := startEdge(t, nc, Options{Name: "two", Limits: Limits{EventsPerMinute: 1_000_000}})
	changeAccess(t, nc, subjects.AccessChangedEvent{Allow: []string{"u1", "u2"}, Revision: 1})
	bucketHas(t, nc, 1)
	var out []*browser
	for _, url := range []string{urlOne, urlTwo} {
		if witness := connect(t, url, "/events", "u2", ""); status(witness) != "subscribed" {
			t.Fatal("the witness is not in")
		}
		out = append(out, connect(t, url, "/events", "u1", ""))
	}
	one.looked(t)
	two.looked(t)
	release := holdFanOut(t, two)
	changeAccess(t, nc, subjects.AccessChangedEvent{Allow: []string{"u2"}, Revision: 2})
	bucketHas(t, nc, 2)
	eventually(t, "the quick edge has read the change", func() bool { l, _ := one.changes.latest("case.123"); return l.Revision == 2 })
	if status(out[0]) == "subscribed" {
		t.Error("the quick edge admits")
	}
	began := time.Now()
	for status(out[1]) == "subscribed" {
		if time.Since(began) > recentLook+2*time.Second {
			t.Fatal("the slow edge still admits by the list that it keeps")
		}
		out[1].ack("unsubscribe:case", case123)
	}
	numbers(t, nc, 0, 3)
	release()
	eventually(t, "the slow edge has read on", func() bool { return two.fanned.Load() >= one.fanned.Load() && one.fanned.Load() >= 5 })
	for i, b := range out {
		b.ack("ping")
		for _, name := range b.until("pong") {
			if name == "case:updated" {
				t.Errorf("edge %d: an event behind the change", i)
			}
		}
	}
}

// Joins and changes at the same time: who was taken out last is in on no edge.
func TestJoinsDuringChanges(t *testing.T) {
	_, nc := startBus(t)
	var edges []*Server
	var browsers []*browser
	for n := range 2 {
		s, url := startEdge(t, nc, Options{Name: fmt.Sprint("e", n), Limits: Limits{EventsPerMinute: 100_000, ConnectionsPerUser: 10}})
		edges = append(edges, s)
		for range 3 {
			browsers = append(browsers, connect(t, url, "/events", "u1", ""))
		}
	}
	for _, s := range edges {
		s.looked(t)
	}
	for round := range int64(15) {
		changeAccess(t, nc, subjects.AccessChangedEvent{Allow: []string{"u1"}, Revision: 2*round + 1})
		var joins sync.WaitGroup
		for _, b := range browsers {
			joins.Go(func() {
				for range 10 {
					b.ack("subscribe:case", case123)
					b.ack("unsubscribe:case", case123)
				}
				b.ack("subscribe:case", case123)
			})
		}
		changeAccess(t, nc, subjects.AccessChangedEvent{Revision: 2*round + 2})
		joins.Wait()
		for i, s := range edges {
			eventually(t, "the edge has read the change", func() bool { l, _ := s.changes.latest("case.123"); return l.Revision == 2*round+2 })
			eventually(t, fmt.Sprintf("nobody is in on edge %d", i), func() bool { return s.hub.count("case.123") == 0 })
		}
	}
}
