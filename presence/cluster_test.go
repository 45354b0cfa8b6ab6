package presence

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// gone collects who is announced as offline, how often, at every node: one that dies takes what it has
// not delivered with it. The bucket's sequence tells one announcement from another.
type gone struct {
	mu sync.Mutex
	// Guarded by mu.
	seen  map[string]bool // sequence
	users map[string]int
}

func hearGone(t *testing.T, c *natstest.Cluster, nodes []int) *gone {
	t.Helper()
	g := &gone{seen: map[string]bool{}, users: map[string]int{}}
	for _, i := range nodes {
		nc, err := nats.Connect(c.NodeURL(i), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		subscribe(t, nc, subjects.PresenceUpdate.Filter(), func(m *nats.Msg) {
			p, err := subjects.PresenceUpdate.Decode(m.Data)
			if len(m.Data) == 0 || err != nil || p.Status != subjects.PresenceOffline {
				return
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			if seq := m.Header.Get("Nats-Sequence"); !g.seen[seq] {
				g.seen[seq] = true
				g.users[p.UserID]++
			}
		})
	}
	return g
}

// list names them, with a number where somebody was announced more than once.
func (g *gone) list() (users []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for user, n := range g.users {
		if n > 1 {
			user = fmt.Sprintf("%s ×%d", user, n)
		}
		users = append(users, user)
	}
	slices.Sort(users)
	return users
}

func renew(edges []*fakeEdge, yes bool) {
	for _, e := range edges {
		e.slow.Store(!yes)
	}
}

func suspected(edges []*fakeEdge) (times int) {
	for _, e := range edges {
		times += int(e.probed.Load())
	}
	return times
}

// TestLeadersDie kills, in a cluster with three replicas of everything, the leaders of the leases, of the
// records and of the cluster itself. Every lease runs out meanwhile, and nobody goes offline; then an edge
// dies, and its users go offline once.
func TestLeadersDie(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 3)
	nc := c.Connect()
	js := jetStream(t, nc)
	slow, cancel := context.WithTimeout(t.Context(), time.Minute) // a cluster that has just begun
	defer cancel()
	if err := subjects.AwaitStreams(slow, js, subjects.StreamOptions{Replicas: 3}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		replica(t, c.Connect(), short)
	}
	var edges []*fakeEdge
	var everybody []string
	for i := range 3 {
		e := newFakeEdge(t, c.Connect(), fmt.Sprintf("e%d", i), "x")
		for k := range 5 {
			user := fmt.Sprintf("u%d-%d", i, k)
			e.open(user, "sid-"+user)
			everybody = append(everybody, user)
		}
		edges = append(edges, e)
	}
	online := func() bool {
		reply, err := subjects.Request(t.Context(), nc, subjects.PresenceGet, subjects.Caller{}, marshal(subjects.PresenceGetRequest{UserIDs: everybody}))
		if err != nil {
			return false
		}
		p, err := decodeGet(reply.Data)
		return err == nil && !slices.ContainsFunc(p.Users, func(u subjects.PresenceUpdateEvent) bool { return u.Status != subjects.PresenceOnline })
	}
	eventually(t, "everybody is online", online)
	for _, leader := range []struct {
		of   string
		node func() int
	}{
		{"the leases", func() int { return c.AwaitLeader(js, leaseStream) }},
		{"the records", func() int { return c.AwaitLeader(js, recordStream) }},
		{"the cluster", c.AwaitMeta},
	} {
		node := leader.node()
		g := hearGone(t, c, c.Others(node))
		start := time.Now()
		c.Kill(node)
		before := suspected(edges)
		renew(edges, false) // edges that wait for an answer which does not come any more
		c.AwaitLeader(js, leaseStream)
		c.AwaitLeader(js, recordStream)
		c.AwaitMeta()
		t.Logf("the leader of %s was missed for %v", leader.of, time.Since(start).Round(100*time.Millisecond))
		eventually(t, "every edge is suspected", func() bool {
			return suspected(edges) >= before+2*len(edges) || len(g.list()) > 0
		})
		renew(edges, true)
		<-time.After(2 * (short.LeaseTTL + short.Grace)) // what went wrong would show by then
		if users := g.list(); len(users) > 0 {
			t.Errorf("without the leader of %s, %q are announced as offline", leader.of, users)
		}
		eventually(t, "everybody is online", online)
		c.Restart(node)
		c.AwaitCurrent(js, leaseStream, recordStream, accessStream)
		c.AwaitMeta()
	}
	g := hearGone(t, c, c.Others(-1))
	edges[1].kill()
	eventually(t, "the dead edge's users are offline", func() bool { return len(g.list()) == 5 })
	<-time.After(2 * (short.LeaseTTL + short.Grace))
	if users := g.list(); !slices.Equal(users, everybody[5:10]) {
		t.Errorf("offline are %q, want %q, once each", users, everybody[5:10])
	}
}
