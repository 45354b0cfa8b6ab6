package edge

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// crowd is n accounts on other edges, as each of three would tell.
func crowd(a *accounts, n int) {
	users := make([]userShare, n)
	for e := range 3 {
		for i := range users {
			users[i] = userShare{hashOf(fmt.Sprint("user-", e, "-", i)), share{sockets: [nsCount]uint16{1}, rooms: []hash{hash(i)}}}
		}
		a.elsewhere.note(fmt.Sprint("e", e), shareNews{1, 1, partChange, users}, time.Now())
	}
}

// BenchmarkAccountsOpen is what a CONNECT and a join pay for the limits over four edges of 10,000 users.
func BenchmarkAccountsOpen(b *testing.B) {
	a := newAccounts(Limits{}.withDefaults())
	crowd(a, 10_000)
	now := time.Now()
	q := attempt{now, now}
	first, _ := a.open("user-0-7", nsEvents, true, false, q)
	b.ReportAllocs()
	for b.Loop() {
		acc, _ := a.open("user-0-7", nsEvents, false, false, q)
		a.enter(acc, "case.0123456789", q)
		a.leave(acc, "case.0123456789")
		a.close(acc, nsEvents, false)
	}
	a.close(first, nsEvents, true)
}

// BenchmarkShareBurst is 10,000 users who connect to one edge within moments, each with two rooms, until
// two other edges count them: what crosses the bus for it, and how long that takes. What an edge at rest
// costs is in rest-msgs/s.
func BenchmarkShareBurst(b *testing.B) {
	const users = 10_000
	_, nc := startBus(b)
	var messages, bytes atomic.Int64
	count, err := nc.Subscribe(sharePrefix+"a", func(m *nats.Msg) {
		messages.Add(1)
		bytes.Add(int64(len(m.Data)))
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = count.Unsubscribe() }()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var all [3]*accounts
	for i, name := range []string{"a", "b", "c"} {
		all[i] = newAccounts(Limits{Connections: 1 << 20}.withDefaults())
		talk, err := newShareTalk(nc, slog.New(slog.DiscardHandler), all[i], name)
		if err != nil {
			b.Fatal(err)
		}
		go func() { _ = talk.run(ctx) }()
	}
	time.Sleep(2 * time.Second)
	rest := float64(messages.Swap(0)) / 2
	bytes.Store(0)
	for b.Loop() {
		accounts := make([]*account, users)
		for i := range accounts {
			now := time.Now()
			q := attempt{now, now}
			accounts[i], _ = all[0].open(fmt.Sprint("user-", i), nsEvents, true, false, q)
			all[0].enter(accounts[i], "case.all", q)
			all[0].enter(accounts[i], fmt.Sprint("case.", i), q)
		}
		last := hashOf(fmt.Sprint("user-", users-1))
		for _, other := range all[1:] {
			for {
				now := time.Now()
				if other.elsewhere.sockets(last, nsEvents, 0, attempt{now, now}).counted == 1 {
					break
				}
				time.Sleep(time.Millisecond)
			}
		}
		b.StopTimer()
		b.ReportMetric(float64(messages.Load()), "msgs/burst")
		b.ReportMetric(float64(bytes.Load())/users, "B/user")
		for _, acc := range accounts {
			for _, room := range slices.Clone(acc.rooms) {
				all[0].leave(acc, room.name)
			}
			all[0].close(acc, nsEvents, true)
		}
		for !all[1].elsewhere.empty("a") {
			time.Sleep(time.Millisecond)
		}
		messages.Store(0)
		bytes.Store(0)
		b.StartTimer()
	}
	b.ReportMetric(rest, "rest-msgs/s")
}

func (s *shares) empty(edge string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.edges[edge]
	return e == nil || len(e.users) == 0
}
