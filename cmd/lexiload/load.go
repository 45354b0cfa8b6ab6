package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// load is one run.
type load struct {
	// Static.
	config config
	say    func(format string, v ...any)
	id     uint64    // marks this run's events
	start  time.Time // of the run: timestamps in payloads count from here, on the monotonic clock
	rooms  []*room
	shards []shard

	// Owned by run.
	members []*member
	failed  map[string]int // connections that could not be opened, by reason

	slots chan struct{} // with --burst: events that may still be published; nil otherwise
}

// shard keeps what deliveries count, apart from other shards so that readers do not wait for each other.
type shard struct {
	latency    histogram
	unique     atomic.Int64 // deliveries, each counted once
	duplicates atomic.Int64
	disorder   atomic.Int64 // deliveries behind a later one of their room
	foreign    atomic.Int64 // events of another run
	last       atomic.Int64 // when the last delivery came, since start
	_          [64]byte     // a cache line
}

const shardCount = 16

func newLoad(c config, say func(string, ...any)) *load {
	l := &load{
		config: c, say: say, id: uint64(rand.Uint32()), start: time.Now(),
		rooms: make([]*room, c.rooms), shards: make([]shard, shardCount), failed: map[string]int{},
	}
	for i := range l.rooms {
		l.rooms[i] = &room{name: fmt.Sprintf("r%d", i)}
		if c.burst {
			l.rooms[i].missing = make([]atomic.Int64, 2*c.inflight)
		}
	}
	if c.burst {
		l.slots = make(chan struct{}, c.inflight)
	}
	return l
}

// run connects, holds, publishes, and reports. The error is for what keeps a report from being made.
func (l *load) run(ctx context.Context) (*report, error) {
	files := l.config.connections
	if l.config.cycle {
		files = l.config.concurrency
	}
	if err := fileLimit(files + spareFiles); err != nil {
		return nil, err
	}
	var publisher *publisher
	if l.config.publishes() {
		var err error
		if publisher, err = newPublisher(ctx, l); err != nil {
			return nil, err
		}
		defer publisher.close()
	}
	r := &report{}
	watch, err := newWatch(l.config.serverPID, l.config.natsPID)
	if err != nil {
		return nil, err
	}
	before := watch.sample()
	r.Connections = l.ramp(ctx)
	ramped := watch.sample()
	wait(ctx, l.config.settle)
	settled := watch.sample()
	wait(ctx, l.config.idle)
	if l.config.cycle {
		ramped = settled // closing costs too
	}
	r.Connections.measure(before, ramped, settled, watch.sample(), l.config.idle)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("stopped while connecting: %w", context.Cause(ctx))
	}
	if publisher != nil && len(l.members) > 0 {
		from := watch.sample()
		resumed := l.beginKill(ctx)
		events := publisher.run(ctx)
		l.await(ctx, events.Expected)
		r.Resume = resumed()
		r.Events = l.deliveries(events)
		r.Events.measure(from, watch.sample())
	}
	if l.config.command != "" && len(l.members) > 0 {
		r.Commands = l.commands(ctx)
	}
	r.Connections.Dropped = l.dropped()
	return r, watch.err
}

// spareFiles are descriptors beside the connections.
const spareFiles = 64

// await returns when everything expected has arrived, or nothing more does.
func (l *load) await(ctx context.Context, expected int64) {
	const poll = 10 * time.Millisecond
	seen, quiet := int64(-1), time.Duration(0)
	for quiet < l.config.drain && wait(ctx, poll) {
		now := l.unique()
		if now >= expected {
			// Duplicates come behind what they repeat: give them a moment.
			wait(ctx, 20*poll)
			return
		}
		quiet += poll
		if now != seen {
			seen, quiet = now, 0
		}
	}
}

func (l *load) unique() int64 {
	var n int64
	for i := range l.shards {
		n += l.shards[i].unique.Load()
	}
	return n
}

// deliveries adds up what arrived.
func (l *load) deliveries(e published) *eventReport {
	r := &eventReport{
		Published: e.Count, PublishErrors: int(e.errors), PublishSeconds: e.Took.Seconds(), Expected: e.Expected,
	}
	if e.Took > 0 {
		r.PublishRate = float64(e.Count) / e.Took.Seconds()
	}
	var latency histogram
	var last int64
	for i := range l.shards {
		s := &l.shards[i]
		latency.add(&s.latency)
		r.Delivered += s.unique.Load()
		r.Duplicates += s.duplicates.Load()
		r.OutOfOrder += s.disorder.Load()
		r.Foreign += s.foreign.Load()
		last = max(last, s.last.Load())
	}
	r.Lost = r.Expected - r.Delivered
	if took := time.Duration(last) - e.Began; took > 0 {
		r.Seconds = took.Seconds()
		r.DeliveryRate = float64(r.Delivered) / r.Seconds
	}
	r.Latency = latency.summary()
	return r
}

// dropped counts the connections that have ended although this side did not end them.
func (l *load) dropped() int {
	n := 0
	for _, m := range l.members {
		if m.client.Err() != nil {
			n++
		}
	}
	return n
}

// close says goodbye, many at a time.
func (l *load) close() {
	each(l.config.concurrency, len(l.members), func(i int) { l.members[i].client.Close() })
}

// wait sleeps and returns false when the context ended first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
