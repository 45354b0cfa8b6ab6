package edge

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// connections tells who is connected to this edge, to whom it may concern: what changed in numbered
// batches, the whole on request, and one lease, which is all that a killed edge leaves behind
// (subjects/connections.go). A heartbeat costs the bus nothing. Methods may be called concurrently.
type connections struct {
	s           *Server
	incarnation string
	at          struct{ batches, whole, alive, lease string } // subjects, and the key of the lease

	mu sync.Mutex
	// Guarded by mu, which is held while a batch is published: batches leave in their order.
	seq     uint64
	pending []subjects.ConnEvent
}

const (
	connEvery  = 250 * time.Millisecond
	leaseEvery = 1500 * time.Millisecond
	connBatch  = 5000 // events of one batch; below 1 MB
)

func newConnections(s *Server) (*connections, error) {
	c := &connections{s: s, incarnation: rand.Text()}
	name := s.options.Name
	var errs [4]error
	c.at.batches, errs[0] = subjects.ConnSubject(name)
	c.at.whole, errs[1] = subjects.EdgeConnectionsSubject(name)
	c.at.alive, errs[2] = subjects.EdgeAliveSubject(name)
	c.at.lease, errs[3] = subjects.LeaseKey(name)
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("the edge's name %.64q cannot be part of a subject: %w", name, err)
		}
	}
	return c, nil
}

// run answers, reports and keeps the lease until ctx ends.
func (c *connections) run(ctx context.Context) error {
	for subject, answer := range map[string]func() any{
		c.at.whole: func() any { return c.snapshot() },
		c.at.alive: func() any {
			return subjects.EdgeLease{Edge: c.s.options.Name, Incarnation: c.incarnation}
		},
	} {
		sub, err := c.s.nc.Subscribe(subject, func(m *nats.Msg) {
			_ = m.Respond(mustJSON(answer())) // fails only when the bus is gone, and who asked asks again
		})
		if err != nil {
			return fmt.Errorf("subscribe %s: %w", subject, err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	subject, err := dismissSubject(c.s.options.Name)
	if err != nil {
		return err
	}
	dismissals, err := c.s.nc.Subscribe(subject, c.s.dismissed)
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", subject, err)
	}
	defer func() { _ = dismissals.Unsubscribe() }()
	c.announce()
	c.report(ctx)
	return nil
}

// report publishes what is pending, renews the lease and looks for idle sockets.
func (c *connections) report(ctx context.Context) {
	batch, lease := time.NewTicker(connEvery), time.NewTicker(leaseEvery)
	idle := time.NewTicker(min(max(c.s.options.IdleAfter/4, 50*time.Millisecond), 5*time.Second))
	defer batch.Stop()
	defer lease.Stop()
	defer idle.Stop()
	c.renew(ctx)
	for {
		select {
		case <-ctx.Done():
			c.flush(false) // what the drain has closed
			return
		case <-batch.C:
			c.flush(false)
		case <-lease.C:
			c.renew(ctx)
		case now := <-idle.C:
			c.s.hub.eachSocket(func(k *socket) { c.sweep(k, now) })
		}
	}
}

// renew writes the lease. The key's TTL needs a publish: the KV interface would make it permanent
// (nats-facts 2).
func (c *connections) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	value := mustJSON(subjects.EdgeLease{Incarnation: c.incarnation})
	_, err := c.s.js.Publish(ctx, "$KV."+subjects.BucketEdges+"."+c.at.lease, value, jetstream.WithMsgTTL(subjects.EdgeLeaseTTL))
	if err != nil && ctx.Err() == nil {
		c.s.log.Warn("the lease is not renewed", "error", err)
	}
}

// opened and closed note a socket's beginning and end. clean says that the client left by itself.
func (c *connections) opened(k *socket) {
	e := c.about(subjects.ConnOpen, k, k.since)
	e.Namespace, e.Device = k.ns.String(), k.client.device.String()
	c.note(e)
}

func (c *connections) closed(k *socket, clean bool, now time.Time) {
	e := c.about(subjects.ConnClose, k, now)
	e.Clean = clean
	c.note(e)
}

func (c *connections) about(op subjects.ConnOp, k *socket, at time.Time) subjects.ConnEvent {
	return subjects.ConnEvent{Op: op, Socket: k.id.String(), User: k.user, At: at.UnixMilli()}
}

func (c *connections) note(e subjects.ConnEvent) {
	c.mu.Lock()
	c.pending = append(c.pending, e)
	c.mu.Unlock()
}

// active notes what an event of the client says about the human before it.
func (c *connections) active(k *socket, event string, now time.Time) {
	switch subjects.ActivityOf(event) {
	case subjects.ActivityBeat:
		if k.speaksForItself.Load() {
			return
		}
	case subjects.ActivityActive:
		k.speaksForItself.Store(true)
	case subjects.ActivityIdle:
		k.speaksForItself.Store(true)
		c.turn(k, true, now)
		return
	case subjects.ActivityOther:
	}
	k.activity.Store(now.UnixMilli())
	if k.idle.Load() {
		c.turn(k, false, now)
	}
}

// sweep finds a socket that has become idle.
func (c *connections) sweep(k *socket, now time.Time) {
	if !k.idle.Load() && now.UnixMilli()-k.activity.Load() >= c.s.options.IdleAfter.Milliseconds() {
		c.turn(k, true, now)
	}
}

// turn notes a change between idle and active, once.
func (c *connections) turn(k *socket, idle bool, now time.Time) {
	op := subjects.ConnActive
	if idle {
		op = subjects.ConnIdle
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.idle.Swap(idle) != idle {
		c.pending = append(c.pending, c.about(op, k, now))
	}
}

// announce publishes a batch even when it is empty, so that a gap in the numbers shows.
func (c *connections) announce() { c.flush(true) }

// flush publishes what is pending. While the bus is away batches are counted and not kept: the gap
// makes listeners ask for the whole.
func (c *connections) flush(always bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 || always {
		always = false
		n := min(len(c.pending), connBatch)
		c.seq++
		if c.s.nc.IsConnected() {
			c.publish(c.pending[:n])
		}
		c.pending = c.pending[n:]
	}
	c.pending = nil // an edge at rest keeps no array of its last burst
}

// batch is a [subjects.ConnBatch] whose list, which is never nil here, is encoded once: a marshaller's
// output is read and copied again, and every visit is in two batches.
type batch struct {
	Edge        string               `json:"edge"`
	Incarnation string               `json:"incarnation"`
	Seq         uint64               `json:"seq"`
	Events      []subjects.ConnEvent `json:"events"`
}

// publish needs mu.
func (c *connections) publish(events []subjects.ConnEvent) {
	if err := c.s.nc.Publish(c.at.batches, mustJSON(batch{c.s.options.Name, c.incarnation, c.seq, events})); err != nil {
		c.s.log.Warn("a batch of connections is not sent", "seq", c.seq, "error", err)
	}
}

// snapshot is everybody, behind the batch that it names. What happens meanwhile is in it or in the
// next batch, or in both, which changes nothing.
func (c *connections) snapshot() subjects.ConnSnapshot {
	c.flush(false)
	c.mu.Lock()
	whole := subjects.ConnSnapshot{Edge: c.s.options.Name, Incarnation: c.incarnation, Seq: c.seq}
	c.mu.Unlock()
	c.s.hub.eachSocket(func(k *socket) {
		whole.Sockets = append(whole.Sockets, subjects.ConnSocket{
			Socket: k.id.String(), User: k.user, Namespace: k.ns.String(),
			Device: k.client.device.String(), At: k.since.UnixMilli(), Idle: k.idle.Load(),
		})
	})
	return whole
}

// device is what kind of machine a client's User-Agent names.
type device uint8

const (
	deviceOther device = iota
	deviceDesktop
	deviceMobile
	deviceTablet
)

func (d device) String() string { return [...]string{"other", "desktop", "mobile", "tablet"}[d] }

// deviceOf goes by the words that browsers put there for this purpose.
func deviceOf(userAgent string) device {
	has := func(word string) bool { return strings.Contains(userAgent, word) }
	switch {
	case has("iPad"), has("Tablet"), has("Android") && !has("Mobile"):
		return deviceTablet
	case has("Mobi"), has("iPhone"):
		return deviceMobile
	case has("Windows"), has("Macintosh"), has("X11"), has("Linux"):
		return deviceDesktop
	}
	return deviceOther
}
