package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/edge/sioclient"
	"github.com/lexiflow/realtime/subjects"
)

// A fleet is many clients that come back as the official one does, with its pid and offset, on whichever
// edge takes them. What they receive is compared with what was published: lost 0, twice 0, out of order 0,
// foreign 0, and no session that had to begin anew.
type fleet struct {
	t     *testing.T
	edges func() []string // where clients may connect now
	boats []*boat
	rooms []string // case ids
}

// boat is one client of a fleet.
type boat struct {
	f     *fleet
	user  string
	token string
	rooms []string

	mu sync.Mutex
	// Guarded by mu.
	got      map[string][]int // numbers by case id, in the order of arrival
	offset   string
	position uint64 // of the last event
	fresh    int    // sessions that began anew
	away     time.Duration
	faults   []string
}

const roomsOfABoat = 3

// launch connects n clients, each to some cases, and keeps them connected until the test ends.
func launch(t *testing.T, edges func() []string, n, rooms int) *fleet {
	t.Helper()
	f := &fleet{t: t, edges: edges}
	for i := range rooms {
		f.rooms = append(f.rooms, fmt.Sprint("r", i))
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var sailing, ready sync.WaitGroup
	for i := range n {
		user := fmt.Sprint("u", i)
		claims := userClaims(user)
		claims.Scope = "case:*"
		b := &boat{f: f, user: user, token: signed(t, claims, time.Now()), got: map[string][]int{}}
		for k := range roomsOfABoat {
			b.rooms = append(b.rooms, f.rooms[(i+k*7)%rooms])
		}
		f.boats = append(f.boats, b)
		ready.Add(1)
		sailing.Go(func() { b.sail(ctx, ready.Done) })
	}
	t.Cleanup(func() { cancel(); sailing.Wait() })
	ready.Wait()
	return f
}

// sail connects again whenever the connection is lost. joined is called once, when the client is in its
// rooms.
func (b *boat) sail(ctx context.Context, joined func()) {
	var last *sioclient.Client
	lost := time.Now()
	for ctx.Err() == nil {
		c, err := b.dial(ctx, last)
		if err != nil {
			if refused, ok := errors.AsType[*sioclient.ConnectError](err); ok {
				b.fault("refused: %v", refused)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(20+rand.IntN(80)) * time.Millisecond): // as the client does that lost its edge
			}
			continue
		}
		if last == nil {
			b.join(ctx, c)
			joined()
		}
		b.mu.Lock()
		if last != nil && c.PID() != last.PID() {
			b.fresh++
		}
		if last != nil {
			b.away = max(b.away, time.Since(lost))
		}
		b.mu.Unlock()
		last = c
		select {
		case <-c.Done():
		case <-ctx.Done():
			c.Close()
		}
		lost = time.Now()
	}
}

func (b *boat) dial(ctx context.Context, last *sioclient.Client) (*sioclient.Client, error) {
	edges := b.f.edges()
	o := sioclient.Options{
		URL: edges[rand.IntN(len(edges))], Namespace: "/events", Token: b.token, OnEvent: b.take,
	}
	if last != nil {
		o.Auth = map[string]any{"pid": last.PID()}
		b.mu.Lock()
		if b.offset != "" {
			o.Auth["offset"] = b.offset
		}
		b.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return sioclient.Dial(ctx, o)
}

func (b *boat) join(ctx context.Context, c *sioclient.Client) {
	for _, id := range b.rooms {
		if err := ask(ctx, c, "subscribe:case", map[string]string{"caseId": id}); err != nil {
			b.fault("subscribe: %v", err)
		}
	}
}

// take notes one event. A connection that is lost may still have had something on its way, so that what
// arrives is taken whichever connection it comes on: the client has it.
func (b *boat) take(name string, args []json.RawMessage) {
	var offset string
	if len(args) > 1 && json.Unmarshal(args[len(args)-1], &offset) == nil {
		b.mu.Lock()
		b.offset = offset
		b.mu.Unlock()
	}
	if name != "case:updated" {
		return
	}
	var e struct {
		N      int    `json:"n"`
		CaseID string `json:"caseId"`
	}
	position, err := strconv.ParseUint(offset, 10, 64)
	if err == nil {
		err = json.Unmarshal(args[0], &e)
	}
	if err != nil {
		b.fault("event: %v", err)
		return
	}
	b.mu.Lock()
	back := position <= b.position
	b.position = max(b.position, position)
	b.got[e.CaseID] = append(b.got[e.CaseID], e.N)
	b.mu.Unlock()
	if back {
		b.fault("case %s, n=%d at %d comes behind a later position", e.CaseID, e.N, position)
	}
}

func (b *boat) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) < 5 {
		b.faults = append(b.faults, fmt.Sprintf(format, args...))
	}
}

// publishing publishes numbers to the fleet's rooms, each until it is acked, at about rate events/s, until
// the returned function is called, which returns how many each room got.
func (f *fleet) publishing(js jetstream.JetStream, rate int) (stop func() map[string]int) {
	quit, counts := make(chan struct{}), make(chan map[string]int)
	go func() {
		sent := map[string]int{}
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-quit:
				counts <- sent
				return
			case <-tick.C:
			}
			id := f.rooms[rand.IntN(len(f.rooms))]
			subject, _ := subjects.CaseUpdated.Subject(id)
			name := fmt.Sprintf("fleet-%s-%d", id, sent[id])
			for attempt := 0; ; attempt++ {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				_, err := js.Publish(ctx, subject, fmt.Appendf(nil, `{"n":%d}`, sent[id]), jetstream.WithMsgID(name))
				cancel()
				if err == nil {
					break
				}
				if attempt > 60 {
					f.t.Errorf("publishing: %v", err)
					break
				}
			}
			sent[id]++
		}
	}()
	return func() map[string]int { close(quit); return <-counts }
}

// check waits until everybody has the last event of each of its rooms, and compares.
func (f *fleet) check(sent map[string]int) {
	f.t.Helper()
	late := time.Now().Add(patience)
	received := 0
	for _, b := range f.boats {
		for !b.hasAll(sent) && time.Now().Before(late) {
			time.Sleep(10 * time.Millisecond)
		}
		b.mu.Lock()
		for id, got := range b.got {
			if !slices.Contains(b.rooms, id) {
				f.t.Errorf("%s got %d events of %s, where it is not", b.user, len(got), id)
			}
		}
		for _, id := range b.rooms {
			b.compare(id, sent[id])
			received += len(b.got[id])
		}
		if b.fresh > 0 {
			f.t.Errorf("%s had %d fresh sessions", b.user, b.fresh)
		}
		for _, fault := range b.faults {
			f.t.Errorf("%s: %s", b.user, fault)
		}
		b.mu.Unlock()
	}
	f.t.Logf("%d clients received %d events; the longest was away for %v", len(f.boats), received, f.longestAway().Round(time.Millisecond))
}

func (b *boat) hasAll(sent map[string]int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range b.rooms {
		if got := b.got[id]; sent[id] > 0 && (len(got) == 0 || got[len(got)-1] != sent[id]-1) {
			return false
		}
	}
	return true
}

// compare needs mu.
func (b *boat) compare(id string, sent int) {
	got := b.got[id]
	for n := range max(len(got), sent) {
		switch {
		case n >= len(got):
			b.f.t.Errorf("%s lost the last %d events of %s", b.user, sent-len(got), id)
			return
		case got[n] != n:
			b.f.t.Errorf("%s, case %s: n=%d where n=%d belongs", b.user, id, got[n], n)
			return
		}
	}
}

// longestAway is for how long a client was without a connection at most.
func (f *fleet) longestAway() (away time.Duration) {
	for _, b := range f.boats {
		b.mu.Lock()
		away = max(away, b.away)
		b.mu.Unlock()
	}
	return away
}
