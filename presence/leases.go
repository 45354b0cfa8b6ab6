package presence

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// Who says that an edge is dead. Its lease has run out: a suspicion. Nobody answers at its address. And
// leases could be written for a whole lease's time, by the proof of this replica's own: after a change of
// leader or a restart of NATS every lease has run out, and nobody has died.

// leases are the bucket EDGES, and whether it can be written.
type leases struct {
	js  jetstream.JetStream
	kv  jetstream.KeyValue // nil until the bucket was there once; watchLeases' own
	ttl time.Duration
	key string // of this replica's own

	mu sync.Mutex
	// Guarded by mu.
	good time.Time // since when every write succeeded; zero: the last one failed
	last time.Time // when the last one succeeded
}

const (
	leaseStream  = "KV_" + subjects.BucketEdges
	canaryPrefix = "presence."
	aliveWait    = time.Second
	aliveAgain   = 200 * time.Millisecond
	listEvery    = 2 * time.Second
	forgetDead   = 10 * time.Minute
)

// write proves that leases can be written now, or that they cannot.
func (l *leases) write(ctx context.Context) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.ttl/2)
	defer cancel()
	_, err := l.js.Publish(ctx, "$KV."+subjects.BucketEdges+"."+l.key, []byte("{}"), jetstream.WithMsgTTL(l.ttl))
	if err != nil {
		l.doubt()
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.good.IsZero() {
		l.good = start
	}
	l.last = time.Now()
	return nil
}

// doubt begins anew: from now on every edge gets a lease's time to renew its own.
func (l *leases) doubt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.good = time.Time{}
}

// bucket returns the bucket, nil while it is missing.
func (l *leases) bucket(ctx context.Context) jetstream.KeyValue {
	if l.kv == nil {
		kv, err := l.js.KeyValue(ctx, subjects.BucketEdges)
		if err != nil {
			return nil // write says so
		}
		l.kv = kv
	}
	return l.kv
}

// writable reports whether every edge that lives had the time to renew its lease.
func (l *leases) writable(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.good.IsZero() && now.Sub(l.good) >= l.ttl && now.Sub(l.last) < l.ttl
}

// watchLeases looks after every edge until ctx ends.
func (s *Service) watchLeases(ctx context.Context) {
	look, list := time.NewTicker(s.options.LeaseTTL/10), time.NewTicker(listEvery)
	defer look.Stop()
	defer list.Stop()
	s.listLeases(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-list.C:
			s.listLeases(ctx)
		case <-look.C:
			s.lookAtLeases(ctx)
		}
	}
}

// proveLeases writes this replica's own lease until ctx ends.
func (s *Service) proveLeases(ctx context.Context) {
	tick := time.NewTicker(s.options.LeaseTTL / 5)
	defer tick.Stop()
	for {
		s.prove(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Service) prove(ctx context.Context) {
	if !s.nc.IsConnected() {
		s.leases.doubt()
		return
	}
	err := s.leases.write(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	s.log.Warn("leases cannot be written, so no edge is taken for dead", "error", err)
	s.restoreBucket(ctx)
}

// restoreBucket creates the bucket if it is missing: a single server that restarts has forgotten what was
// in memory, and nobody else looks.
func (s *Service) restoreBucket(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	if _, err := s.js.Stream(ctx, leaseStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return
	}
	if err := subjects.EnsureStreams(ctx, s.js, subjects.StreamOptions{}); err != nil {
		s.log.Error("a missing bucket is not created", "bucket", subjects.BucketEdges, "error", err)
		return
	}
	s.log.Info("a missing bucket is created", "bucket", subjects.BucketEdges)
}

// listLeases finds edges that have not been heard of yet.
func (s *Service) listLeases(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.options.LeaseTTL)
	defer cancel()
	kv := s.leases.bucket(ctx)
	if kv == nil {
		return
	}
	keys, err := kv.ListKeysFiltered(ctx, subjects.LeasePrefix+"*")
	if err != nil {
		return
	}
	for key := range keys.Keys() {
		name, err := subjects.Unescape(strings.TrimPrefix(key, subjects.LeasePrefix))
		if err != nil {
			continue
		}
		s.mu.Lock()
		if e := s.edge(name); e.standing == unheard {
			s.ask(e)
		}
		s.mu.Unlock()
	}
}

// lookAtLeases reads the lease of every edge that is known.
func (s *Service) lookAtLeases(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.options.LeaseTTL)
	defer cancel()
	kv := s.leases.bucket(ctx)
	if kv == nil {
		return
	}
	for _, name := range s.knownEdges() {
		key, err := subjects.LeaseKey(name)
		if err != nil {
			continue
		}
		entry, err := kv.Get(ctx, key)
		switch {
		case err == nil:
			lease, _ := subjects.DecodeEdgeLease(entry.Value()) // what is not one is of no incarnation
			s.leased(name, lease, entry.Revision())
		case errors.Is(err, jetstream.ErrKeyNotFound):
			s.unleased(name)
		}
	}
}

// knownEdges lists the edges, and forgets those that died long ago.
func (s *Service) knownEdges() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, e := range s.edges {
		if e.standing == dead && time.Since(e.heard) > forgetDead {
			delete(s.edges, name)
			continue
		}
		names = append(names, name)
	}
	return names
}

// leased notes that an edge has a lease.
func (s *Service) leased(name string, lease subjects.EdgeLease, revision uint64) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.edge(name)
	if revision == e.lease {
		return
	}
	e.lease, e.heard = revision, now
	switch {
	case e.standing != heard, e.incarnation != lease.Incarnation, now.Sub(e.asked) > askAgain:
		s.ask(e)
	}
}

// unleased notes that an edge has none and has it asked.
func (s *Service) unleased(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.edge(name)
	if e.standing == dead || e.probing {
		return
	}
	e.probing = true
	writable := s.leases.writable(time.Now())
	s.group.Go(func() { s.probe(e, writable) })
}

// probe asks an edge twice whether it lives, and takes it for dead if nobody answers and leases could be
// written all the time.
func (s *Service) probe(e *edge, writable bool) {
	incarnation, err := s.askAlive(e.name)
	if err != nil {
		select {
		case <-s.work.Done():
		case <-time.After(aliveAgain):
			incarnation, err = s.askAlive(e.name)
		}
	}
	if b, found := s.probed(e, incarnation, err, writable); found {
		s.say(b)
	}
}

// probed takes the answer, or that there is none. It returns what the other replicas have to be told.
func (s *Service) probed(e *edge, incarnation string, err error, writable bool) (b beacon, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.probing = false
	switch {
	case s.work.Err() != nil:
	case err == nil:
		e.heard = time.Now()
		if e.standing != heard || e.incarnation != incarnation {
			s.ask(e)
		}
	case writable && s.nc.IsConnected():
		s.bury(e)
		return beacon{Dead: e.name, Was: e.incarnation}, true
	}
	return beacon{}, false
}

func (s *Service) askAlive(name string) (incarnation string, err error) {
	subject, err := subjects.EdgeAliveSubject(name)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(s.work, aliveWait)
	defer cancel()
	m, err := subjects.Request(ctx, s.nc, subject, subjects.Caller{}, nil)
	if err != nil {
		return "", err
	}
	lease, err := subjects.DecodeEdgeLease(m.Data)
	return lease.Incarnation, err
}

// bury takes an edge for dead. Its sockets were lost when it was last heard of, so their grace is over or
// nearly so. It needs mu.
func (s *Service) bury(e *edge) {
	if e.standing == dead {
		return
	}
	then := e.heard
	if then.IsZero() {
		then = time.Now().Add(-s.options.Grace)
	}
	s.log.Info("edge is gone", "edge", e.name, "sockets", len(e.sockets), "unheard_for", time.Since(then).Round(time.Millisecond))
	s.metrics.buried.Inc()
	e.standing, e.lease, e.later = dead, 0, nil
	s.lose(e, then)
}

// toldDead believes another replica, unless the edge was heard of just now.
func (s *Service) toldDead(name, incarnation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.edges[name]
	if e != nil && e.incarnation == incarnation && time.Since(e.heard) > s.options.LeaseTTL/4 {
		s.bury(e)
	}
}
