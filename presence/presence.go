package presence

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexiflow/realtime/subjects"
)

// name is the micro service's, its queue group and what it says in Lex-Service.
const (
	name    = "presence"
	version = "1.0.0"
)

// Options say how the service behaves. The zero value is what production wants.
type Options struct {
	Grace    time.Duration // for which a lost connection counts as present; default subjects.EdgeLeaseTTL, 5 s
	LeaseTTL time.Duration // of edges' leases; default subjects.EdgeLeaseTTL, at least 1 s
	Keep     time.Duration // how long the offline are remembered; default 24 h

	MaxActivity      int // characters of an activity; default 200
	MaxCustomStatus  int // characters of a custom status; default 140
	MaxAudience      int // users a socket sees without asking; default 400
	MaxSubscriptions int // users a socket may subscribe to; default 400

	Concurrency int // commands and hellos at once; default 256
	Writers     int // records stored at once; default 64

	Logger   *slog.Logger         // default slog.Default()
	Registry *prometheus.Registry // default one of its own
}

func (o Options) withDefaults() Options {
	o.Grace = cmp.Or(o.Grace, subjects.EdgeLeaseTTL)
	o.LeaseTTL = cmp.Or(o.LeaseTTL, subjects.EdgeLeaseTTL)
	o.Keep = cmp.Or(o.Keep, 24*time.Hour)
	o.MaxActivity = cmp.Or(o.MaxActivity, 200)
	o.MaxCustomStatus = cmp.Or(o.MaxCustomStatus, 140)
	o.MaxAudience = cmp.Or(o.MaxAudience, 400)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, 400)
	o.Concurrency = cmp.Or(o.Concurrency, 256)
	o.Writers = cmp.Or(o.Writers, 64)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	return o
}

// A Service is one replica. New wires it, Run runs it once.
type Service struct {
	// Static after New.
	options   Options
	id        string // of this replica
	log       *slog.Logger
	nc        *nats.Conn
	js        jetstream.JetStream
	publisher *subjects.Publisher
	metrics   *metrics
	replicas  *replicas
	audience  *audience
	watchers  *watchers
	slots     chan struct{} // one per command at work
	leases    *leases
	greeter   *subjects.Greeter
	late      subjects.LateLog

	// Static after Run has begun.
	work  context.Context // outlives Run's by the end of what is under way
	store *store
	group sync.WaitGroup

	ready atomic.Bool

	mu sync.Mutex
	// Guarded by mu.
	users       *users
	edges       map[string]*edge
	offlineFrom time.Time // nobody goes offline before
}

// New wires the service to a connection that the caller owns.
func New(nc *nats.Conn, o Options) (*Service, error) {
	o = o.withDefaults()
	if o.LeaseTTL < time.Second {
		return nil, fmt.Errorf("presence: a lease of %v is shorter than the second NATS needs", o.LeaseTTL)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	id := rand.Text()[:12]
	s := &Service{
		options: o, id: id, log: o.Logger.With("service", name), nc: nc, js: js,
		publisher: subjects.NewPublisher(nc, js),
		replicas:  newReplicas(id), audience: newAudience(), watchers: newWatchers(),
		slots:   make(chan struct{}, o.Concurrency),
		leases:  &leases{js: js, ttl: o.LeaseTTL, key: canaryPrefix + id},
		greeter: subjects.NewGreeter(nc, name, greeted...),
		users:   newUsers(), edges: make(map[string]*edge),
	}
	if s.metrics, err = newMetrics(s, o.Registry); err != nil {
		return nil, fmt.Errorf("presence: metrics: %w", err)
	}
	return s, nil
}

// Ready returns nil when everything is known that answers need, and otherwise what is missing.
func (s *Service) Ready() error {
	switch {
	case !s.nc.IsConnected():
		return errors.New("not connected to NATS")
	case !s.ready.Load():
		return errors.New("still reading who is connected")
	}
	return nil
}

// Run serves until ctx ends and then returns nil, after what is under way is done. It waits for streams
// that are missing. An error says that something it needs ended by itself.
func (s *Service) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer s.group.Wait()
	defer stop()
	s.work = work
	if err := s.awaitStore(ctx); err != nil {
		return ended(ctx, err)
	}
	failed, err := s.start(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	service, stopped, err := s.serve(work)
	if err != nil {
		return err
	}
	s.ready.Store(true)
	s.log.Info("presence serves", "replica", s.id)
	select {
	case <-ctx.Done():
	case err = <-failed:
	case <-stopped:
		err = errors.New("presence: the micro service stopped by itself")
	}
	s.ready.Store(false)
	_ = service.Stop() // fails only when the connection is gone
	s.finish()
	return ended(ctx, err)
}

// finishWait bounds how long a stop waits for commands at work.
const finishWait = 5 * time.Second

// finish returns when no command is at work.
func (s *Service) finish() {
	late := time.After(finishWait)
	for range cap(s.slots) {
		select {
		case s.slots <- struct{}{}:
		case <-late:
			s.log.Warn("stopping with commands at work")
			return
		}
	}
}

// ended makes the end of ctx no error.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// awaitStore waits until the bucket is there.
func (s *Service) awaitStore(ctx context.Context) error {
	tick := time.NewTicker(retryAfter)
	defer tick.Stop()
	for said := false; ; said = true {
		store, err := newStore(ctx, s.js, s.options.Keep)
		if err == nil {
			s.store = store
			return nil
		}
		if !said {
			s.log.Warn("waiting for the bucket", "bucket", subjects.BucketPresence, "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// start begins to hear replicas, buckets and edges, and returns when enough is known to answer. What it
// started ends with work; the channel tells what ended before.
func (s *Service) start(ctx context.Context) (<-chan error, error) {
	status := s.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED)
	s.group.Go(func() { s.watchBus(s.work, status) })
	others, err := s.nc.Subscribe(replicaPrefix+"*", s.heardReplica)
	if err != nil {
		return nil, fmt.Errorf("presence: %w", err)
	}
	s.atEnd(others)
	s.group.Go(func() { s.beacons(s.work) })

	failed := make(chan error, 3)
	for _, f := range []struct {
		stream, prefix string
		take           func(stored)
	}{
		{recordStream, recordPrefix, s.presenceStored},
		{accessStream, accessPrefix, s.accessStored},
	} {
		consuming, err := follow(ctx, s.js, f.stream, f.prefix, f.take)
		if err != nil {
			return nil, fmt.Errorf("presence: %w", err)
		}
		s.group.Go(func() {
			select {
			case <-s.work.Done():
				consuming.Stop()
			case <-consuming.Closed():
				failed <- fmt.Errorf("presence: reading %s ended by itself", f.stream)
			}
		})
	}

	messages := make(chan *nats.Msg, 8192)
	reports, err := s.nc.ChanSubscribe(subjects.AllConn, messages)
	if err != nil {
		return nil, fmt.Errorf("presence: %w", err)
	}
	s.atEnd(reports)
	s.group.Go(func() { s.batches(s.work, messages) })
	s.group.Go(func() { s.proveLeases(s.work) })
	s.group.Go(func() { s.watchLeases(s.work) })
	if err := s.awaitEdges(ctx); err != nil {
		return nil, err
	}
	s.settleFrom(time.Now())
	s.group.Go(func() { s.settleAll(s.work) })
	s.group.Go(func() { s.sweepWatches(s.work) })
	s.group.Go(func() {
		if err := s.greeter.Run(s.work); err != nil {
			failed <- fmt.Errorf("presence: greeting again: %w", err)
		}
	})
	return failed, nil
}

// atEnd ends a subscription with the work.
func (s *Service) atEnd(sub *nats.Subscription) {
	context.AfterFunc(s.work, func() { _ = sub.Unsubscribe() }) // fails only when the connection is gone
}

// presenceStored tells records and watches apart.
func (s *Service) presenceStored(m stored) {
	if strings.HasPrefix(m.subject, watchPrefix) {
		s.watchStored(m)
		return
	}
	s.recordStored(m)
}

// edgesPatience is how long a start waits for edges to say who is connected. It is longer than other
// replicas need to be heard, so that nobody acts who is not the first.
const edgesPatience = 3 * time.Second

// awaitEdges returns when every edge with a lease has said who is connected, or after a while: those that
// do not answer hold up their own users alone.
func (s *Service) awaitEdges(ctx context.Context) error {
	start := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			waited := now.Sub(start)
			if waited > edgesPatience || waited > beaconEvery+beaconEvery/4 && s.allHeard() {
				return nil
			}
		}
	}
}

func (s *Service) allHeard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.edges {
		if e.standing == unheard {
			return false
		}
	}
	return true
}

// settleFrom lets every user be looked at, and nobody go offline for a grace: a client may be on its way
// from one edge to another, and neither has said so here.
func (s *Service) settleFrom(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offlineFrom = now.Add(s.options.Grace)
	for id, u := range s.users.all {
		if u.state.record.counted.Connections > 0 || len(u.state.sockets) > 0 {
			s.users.settleAt(u, now.Add(s.patience(id)))
		}
	}
}

// watchBus follows the connection: what was said while it was broken has to be asked for.
func (s *Service) watchBus(ctx context.Context, status chan nats.Status) {
	defer s.nc.RemoveStatusListener(status)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-status:
			if now != nats.CONNECTED {
				s.leases.doubt()
				continue
			}
			s.settleFrom(time.Now())
			s.askAll()
		}
	}
}

// serve adds the micro service. The channel is closed when it has stopped.
func (s *Service) serve(ctx context.Context) (micro.Service, <-chan struct{}, error) {
	stopped := make(chan struct{})
	service, err := micro.AddService(s.nc, micro.Config{
		Name: name, Version: version, QueueGroup: name,
		Description: "who is online, away, busy or offline",
		DoneHandler: func(micro.Service) { close(stopped) },
	})
	if err != nil {
		return nil, nil, fmt.Errorf("presence: micro service: %w", err)
	}
	for subject, handle := range s.endpoints() {
		err := service.AddEndpoint(strings.ReplaceAll(subject, ".", "-"), s.bounded(ctx, handle),
			micro.WithEndpointSubject(subject), micro.WithEndpointPendingLimits(64<<10, 64<<20))
		if err != nil {
			_ = service.Stop()
			return nil, nil, fmt.Errorf("presence: endpoint %s: %w", subject, err)
		}
	}
	return service, stopped, nil
}
