package main

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// Real edges that are killed, drained and stopped under a fleet (fleet_test.go). CHAOS_ROUNDS
// sets the number of rounds.

func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("CHAOS_ROUNDS")); err == nil {
		return n
	}
	return 3
}

// quay is NATS and some edges, each on an address of its own that stays over restarts.
type quay struct {
	t         *testing.T
	variables []string
	natsURL   string
	natsArgs  []string
	nats      *process
	nc        *nats.Conn
	js        jetstream.JetStream

	mu sync.Mutex
	// Guarded by mu.
	edges map[string]*process // by address; nil while it is down
}

func openQuay(t *testing.T, edges int) *quay {
	t.Helper()
	q := &quay{t: t, edges: map[string]*process{}}
	address := natstest.FreeAddress(t)
	q.natsURL, q.natsArgs = "nats://"+address, []string{"nats", "--nats-listen", address, "--data-dir", t.TempDir()}
	q.startNATS()
	q.variables = []string{"JWT_SECRET=" + testSecret, "LEXIFLOW_NATS=" + q.natsURL, "LEXIFLOW_DRAIN_TIMEOUT=1s"}
	var err error
	if q.nc, err = subjects.Connect(t.Context(), subjects.ConnectOptions{URL: q.natsURL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.nc.Close)
	if q.js, err = jetstream.New(q.nc); err != nil {
		t.Fatal(err)
	}
	for range edges {
		q.start(natstest.FreeAddress(t))
	}
	return q
}

func (q *quay) startNATS() {
	q.t.Helper()
	q.nats = start(q.t, nil, q.natsArgs...)
	q.nats.says(saysNATS)
}

func (q *quay) start(address string) {
	q.t.Helper()
	p := start(q.t, slices.Clone(q.variables), "edge", "--listen", address)
	p.says(saysURL)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.edges[address] = p
}

// down says that an edge takes no clients any more, as a balancer notices.
func (q *quay) down(address string) *process {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.edges[address]
	q.edges[address] = nil
	return p
}

// urls are the edges that a balancer would choose from.
func (q *quay) urls() (list []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for address, p := range q.edges {
		if p != nil {
			list = append(list, "http://"+address)
		}
	}
	return list
}

func (q *quay) addresses() (list []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for address := range q.edges {
		list = append(list, address)
	}
	slices.Sort(list)
	return list
}

// TestKilledEdgesLoseNothing kills one of two edges (-9) again and again, at random moments of a fleet
// that is busy; every other time the edge was stopped for a moment before, which is how a machine dies that
// is short of memory.
func TestKilledEdgesLoseNothing(t *testing.T) {
	q := openQuay(t, 2)
	f := launch(t, q.urls, 40, 12)
	stop := f.publishing(q.js, 300)
	for round := range rounds() {
		address := q.addresses()[rand.IntN(2)]
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond) // the moment is what is random here
		p := q.down(address)
		if round%2 == 1 {
			if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond) // stopped, with events on their way to it
		}
		p.kill()
		q.start(address)
	}
	f.check(stop())
}

// TestDrainedEdgesLoseNothing has each edge drained in turn (SIGTERM) under load, with two of them: every
// client is back on the other one within five seconds, for the hooks give up after six.
func TestDrainedEdgesLoseNothing(t *testing.T) {
	q := openQuay(t, 2)
	f := launch(t, q.urls, 40, 12)
	stop := f.publishing(q.js, 300)
	for round := range rounds() {
		address := q.addresses()[round%2]
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond) // the moment is what is random here
		q.down(address).stop()
		q.start(address)
	}
	f.check(stop())
	if away := f.longestAway(); away > 5*time.Second {
		t.Errorf("a client was away for %v", away)
	}
}

// TestRollingRestart restarts every process, one after another, under a fleet: NATS, the edges, the
// services. Clients notice a delay.
func TestRollingRestart(t *testing.T) {
	q := openQuay(t, 2)
	o := &office{natsURL: q.natsURL, variables: q.variables, nc: q.nc}
	services := map[string]*process{}
	for _, name := range []string{"presence", "notifyd", "msgd", "dashboardd"} {
		services[name] = o.serve(t, name)
	}
	f := launch(t, q.urls, 30, 10)
	stop := f.publishing(q.js, 200)
	for _, address := range q.addresses() {
		q.down(address).stop()
		q.start(address)
	}
	for name, p := range services {
		p.stop()
		services[name] = o.serve(t, name)
	}
	q.nats.stop()
	q.startNATS()
	awaitConnected(t, q.nc)
	f.check(stop())
	// The services work again, all of them.
	o.url = q.urls()[0]
	notified := o.dial(t, "/notifications", "ann")
	notified.does(t, "notification:list", map[string]any{})
	o.dial(t, "/messaging", "ann").does(t, "conversation:list", map[string]any{})
	o.dial(t, "/events", "ann").does(t, "presence:set-status", map[string]any{"status": "busy"})
	o.dial(t, "/dashboard", "ann").does(t, "dashboard:subscribe", map[string]any{"types": []string{"metrics"}})
}

func awaitConnected(t *testing.T, nc *nats.Conn) {
	t.Helper()
	for late := time.Now().Add(patience); !nc.IsConnected(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("not connected to NATS again: %v", nc.LastError())
		}
	}
}
