// Package dashboardd is the service behind /dashboard: it folds the log into numbers, feeds and alerts.
//
// # Promises
//
//   - What a dashboard shows is a function of the log. A replica that was killed at any point and comes
//     back, hours later too, stands where one that never fell stands: state = f(snapshot, events behind
//     it), and a snapshot is f(events up to it).
//   - What goes to the log (activity, alerts) goes there once. The log is its own outbox: the fold reads
//     back what was announced, and every announcement is a compare-and-set on the log, so neither a
//     second replica nor a late retry repeats it.
//   - A viewer sees nothing of a case that the viewer may not see, from the log position of the
//     access:changed on; the firm's totals need the scope dashboard:firm.
//   - One push per scope, type and interval at most, and one per case whatever the number of viewers.
//
// # Not promised
//
//   - A viewer who is let into a case later gets its live events from half a second later on, when its
//     sockets are greeted again, or from the next hello, subscription or refresh where that was lost
//     (subjects/greet.go). Its numbers count at once.
//   - Figures from before the log's first event are not known. A replica whose snapshot ends before the
//     log begins is not ready and says so; Options.AcceptGap starts anyway.
//   - Gauges are state.* events: the latest wins, and one that is lost is repaired by the next.
//
// # How
//
//	follow.go    the log → tally.go, the fold; ready when it has caught up
//	tally.go     (state, event) → state, pure; windows.go, figures.go, feed.go, alerts.go, index.go
//	snapshot.go  the state as shards; store.go keeps them, by compare-and-set and only forward
//	scopes.go    who sees what, and the rooms that make it so; viewers.go knows who there is
//	commands.go  hello and the dashboard:* commands, answered by any replica from its own fold
//	push.go      changed → push, coalesced by coalesce.go; activity.go and announce.go for the log
//	lease.go     which replica pushes, to save work; nothing relies on it
//	health.go    the backbone's own troubles → dashboard:alert
//
// Every replica folds for itself. One writer and readers of its state would need a hand-over with a
// fence for each bit of state, and a reader would answer from a copy that lags; folding costs about as
// much as reading the copy. So replicas differ in nothing but how far they have read, any of them
// answers a command, and the one that holds the lease pushes.
package dashboardd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexiflow/realtime/subjects"
)

// Name is the service's name on the bus and of its queue group.
const Name = "dashboardd"

// Options are the choices of an installation. The zero value is a sound one.
type Options struct {
	// Interval is the least time between two pushes of one type in one scope. Default 1 s.
	Interval time.Duration
	// SnapshotEvery is how often a changed state is stored; what lies behind the last one is folded again
	// after a restart. Default 10 s.
	SnapshotEvery time.Duration
	// LeaseTerm is how long a killed replica's pushes are missed. Default 3 s.
	LeaseTerm time.Duration
	// HealthEvery is how often the backbone is looked at. Default 15 s.
	HealthEvery time.Duration
	// AcceptGap folds what the log still has when its beginning is gone, instead of not being ready. The
	// figures then lack what came before, but for who may see which case.
	AcceptGap bool
	// OpenCases lets everybody see every case, as --access open does at the edge. Lists and tokens then say
	// nothing about cases.
	OpenCases bool
	// Workers bounds the requests answered at once. Default 64.
	Workers int
	// Version is what `nats micro ls` shows, as a semantic version. Default 0.0.0.
	Version string

	// Now is the clock against which deadlines and the last 24 hours are judged when figures are shown.
	// The fold itself goes by the log's time. Default time.Now.
	Now func() time.Time

	Logger   *slog.Logger         // default slog.Default()
	Registry *prometheus.Registry // default one of its own
}

func (o Options) withDefaults() Options {
	o.Interval = orElse(o.Interval, time.Second)
	o.SnapshotEvery = orElse(o.SnapshotEvery, 10*time.Second)
	o.LeaseTerm = orElse(o.LeaseTerm, 3*time.Second)
	o.HealthEvery = orElse(o.HealthEvery, 15*time.Second)
	o.Workers = orElse(o.Workers, 64)
	o.Version = orElse(o.Version, "0.0.0")
	o.Logger = orElse(o.Logger, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	return o
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Service is one replica. Ready may be called concurrently with Run, which is called once.
type Service struct {
	// Static.
	nc      *nats.Conn
	js      jetstream.JetStream
	pub     *subjects.Publisher
	options Options
	log     *slog.Logger
	metrics *metrics
	wake    chan struct{} // something was folded
	touches chan touch    // somebody was answered from a state that may be old by now
	letters chan letter   // refused events on their way to DEADLETTER
	workers chan struct{} // requests in flight
	greeter *subjects.Greeter
	late    subjects.LateLog

	// Owned by Run.
	running    sync.WaitGroup
	service    micro.Service
	closing    *atomic.Bool // the endpoints are being closed by us
	serving    bool
	micro      chan error // the micro service stopped by itself
	logCreated int64

	// Static once the first snapshot was read.
	store   *store
	viewers *viewers
	lease   *lease

	// Owned by the pusher.
	alertsAgain time.Time

	mu sync.RWMutex
	// Guarded by mu.
	tally    *tally // nil until a snapshot was read
	follower int    // the session that may fold; others are late

	readyMu  sync.Mutex
	notReady error // guarded by readyMu
}

var errStarting = errors.New("starting: the log is not read yet")

// New prepares a replica on a connection that stays the caller's. It expects the streams to be there
// when Run is called, and waits for them otherwise.
func New(nc *nats.Conn, o Options) (*Service, error) {
	o = o.withDefaults()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("dashboardd: %w", err)
	}
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, fmt.Errorf("dashboardd: metrics: %w", err)
	}
	return &Service{
		nc: nc, js: js, pub: subjects.NewPublisher(nc, js), options: o, log: o.Logger.With("service", Name), metrics: m,
		wake: make(chan struct{}, 1), touches: make(chan touch, 4096), letters: make(chan letter, 256),
		workers: make(chan struct{}, o.Workers), greeter: subjects.NewGreeter(nc, Name, subjects.NamespaceDashboard), micro: make(chan error, 1), notReady: errStarting,
	}, nil
}

// Ready returns nil when this replica has folded the log to its end and answers, and otherwise why not.
func (s *Service) Ready() error {
	s.readyMu.Lock()
	defer s.readyMu.Unlock()
	return s.notReady
}

func (s *Service) setReady(err error) (changed bool) {
	s.readyMu.Lock()
	defer s.readyMu.Unlock()
	changed = (err == nil) != (s.notReady == nil) || err != nil && err.Error() != s.notReady.Error()
	s.notReady = err
	return changed
}

// Run folds, answers and pushes until ctx ends, and returns nil then. It waits for a bus that is away
// and for streams that are not there yet; it returns an error when its connection was closed under it,
// or its endpoints were.
func (s *Service) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		s.unserve()
		s.running.Wait()
	}()
	s.goDo(func() { s.writeLetters(ctx) })
	for {
		err := s.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if s.nc.IsClosed() {
			return fmt.Errorf("dashboardd: the connection was closed: %w", err)
		}
		if errors.Is(err, errMicro) {
			return fmt.Errorf("dashboardd: %w", err)
		}
		if s.setReady(err) {
			s.log.Warn("not ready", "error", err)
		}
		if errors.Is(err, errGap) {
			s.unserve()
			s.drop()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pauseAfter(err)):
		}
	}
}

// pauseAfter is short for what a reconnect mends by itself.
func pauseAfter(err error) time.Duration {
	if errors.Is(err, errReconnect) {
		return 10 * time.Millisecond
	}
	return 500 * time.Millisecond
}

func (s *Service) goDo(f func()) {
	s.running.Go(f)
}

// begin starts what runs beside the fold, once.
func (s *Service) begin(ctx context.Context) {
	if s.serving {
		return
	}
	s.serving = true
	s.goDo(func() { s.watchViewers(ctx) })
	s.goDo(func() { s.lease.run(ctx, func() bool { return s.Ready() == nil }, s.poke) })
	s.goDo(func() { newPusher(s).run(ctx) })
	s.goDo(func() { s.keepSnapshots(ctx) })
	s.goDo(func() { newDoctor(s).run(ctx) })
	s.goDo(func() {
		if err := s.greeter.Run(ctx); err != nil {
			s.failed("greet", err)
		}
	})
}

// watchViewers watches again whenever watching ends.
func (s *Service) watchViewers(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.viewers.watch(ctx)
		if err != nil {
			s.log.Warn("viewers are not watched", "error", err)
			sleep(ctx, time.Second)
		}
	}
}

// keepSnapshots stores the state while this replica holds the lease.
func (s *Service) keepSnapshots(ctx context.Context) {
	tick := time.NewTicker(s.options.SnapshotEvery)
	defer tick.Stop()
	sweep := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.lease.held() || s.Ready() != nil {
			continue
		}
		done, err := s.store.save(ctx, s.logCreated, s.freeze)
		if err != nil {
			s.failed("snapshot", err)
			continue
		}
		if done.seq != 0 {
			s.metrics.snapshots.Inc()
			s.metrics.snapshot.Set(float64(done.bytes))
			s.log.Debug("snapshot written", "seq", done.seq, "shards", done.shards, "bytes", done.bytes)
		}
		if now := time.Now(); now.Sub(sweep) >= sweepRecords {
			sweep = now
			s.viewers.forget(s.options.Now())
			if err := s.sweepOldRecords(ctx, s.options.Now()); err != nil {
				s.failed("sweep", err)
			}
		}
	}
}

// freeze is the tally's changed shards, encoded while it stands still.
func (s *Service) freeze(behind uint64) (seq uint64, at int64, content map[int][]byte, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.tally == nil {
		return 0, 0, nil, nil
	}
	content = make(map[int][]byte)
	for n, part := range s.tally.collect(behind) {
		if content[n], err = part.encode(); err != nil {
			return 0, 0, nil, err
		}
	}
	return s.tally.Seq, s.tally.At, content, nil
}

// drop forgets the state: it has a gap, and a newer snapshot may have none.
func (s *Service) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally = nil
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) failed(reason string, err error) {
	s.metrics.failed.WithLabelValues(reason).Inc()
	s.log.Warn("failed", "reason", reason, "error", err)
}

func (s *Service) nowMillis() int64 { return s.options.Now().UnixMilli() }

func timeOf(ms int64) subjects.Time { return subjects.At(time.UnixMilli(ms)) }

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
