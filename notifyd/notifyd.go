// Package notifyd is notifications to people: it stores what microservices have to
// tell, pushes it to every device, and counts what is unread.
//
//	notify.user.<id>   the work queue NOTIFY: a subjects.Notice to one user
//	notify.many        the same to an audience
//	svc.notify.send    a request that puts either into the queue, or answers why not
//	lex.case.>         what happens to cases, for those who follow them
//	cmd.notification.* what clients ask; hello.notifications greets them
//	                   ↓
//	NOTIFICATIONS      one record per user, changed by compare-and-set
//	                   ↓
//	lex.user.<id>.notification.{new,read,unread,all-read,deleted,count}
//
// # Promises
//
//   - The unread count is the number of unread notifications: it is not kept, it is
//     counted, from the record in which the notifications stand.
//   - Every notice in the queue is stored once and announced once, in the order of the
//     changes, the count behind its cause; wherever a process is killed, however long it
//     stays away, whatever is delivered again.
//   - Who is answered that they follow a case is told of all that happens to it from then
//     on, each event once; and of nothing once the log says that they may not see it any
//     more, whatever the bucket of access lists has heard of that.
//   - What cannot be processed becomes a dead letter with its reason and blocks nothing.
//   - Any number of replicas, none of which relies on being alone.
//
// # Not promised
//
//   - Order among notices to one user that are in the queue together, when there are
//     several replicas.
//   - A publisher's repetition with the same Nats-Msg-Id is recognised among the last
//     128 notices of that user, and in any case while the first is in the queue.
//   - Options.Keep bounds what is kept: beyond it the oldest read notification goes, or
//     else the oldest.
//   - A changed preference reaches other replicas within milliseconds, not at once.
//   - The count that greets a socket is read from the record and sent beside the log:
//     where it crosses a change, the log's own count follows.
//
// # Where to read
//
// stages.go is the way of a notice, record.go what a change is, lanes.go how changes are
// stored, outbox.go how they are announced, audience.go, follow.go and digest.go where
// further notices come from, commands.go and list.go what clients see.
//
// With NATS permissions it needs, beside its subjects and the four buckets' own, the
// rights to read single messages of these buckets and of LEX from their leaders
// ($JS.API.STREAM.MSG.GET), and to purge subjects of KV_NOTIFICATIONS: pages that are
// empty leave no marker.
package notifyd

import (
	"context"
	"crypto/rand"
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

const (
	serviceName    = "notifyd"
	serviceVersion = "1.0.0"
)

// Options are the choices of an installation. Zero fields take the defaults.
type Options struct {
	Keep         int           // notifications kept per user; default 500, at least 100
	MaxFollows   int           // cases a user may follow; default 1,000
	MaxFollowers int           // users who may follow a case; default 2,000
	AudiencePage int           // users told between two notes of how far it came; default 500
	DigestWindow time.Duration // events of one case within it become one notification; default 30 s, negative for none
	OpenCases    bool          // everybody may follow every case, as with --access open

	AckWait    time.Duration // before another replica takes over a message; default 10 s
	SweepEvery time.Duration // how often to look for what killed processes left; default 5 s
	Workers    int           // users whose records are written at a time; default 64
	CacheUsers int           // records kept in memory; default 1,000, of up to 40 KiB each

	Instance string           // this replica; default random
	Now      func() time.Time // default time.Now

	Logger   *slog.Logger         // default slog.Default()
	Registry *prometheus.Registry // default none
}

const (
	leastKeep   = 100 // more than a batch
	settleAfter = 200 * time.Millisecond
	lookEvery   = time.Second
	tickEvery   = 100 * time.Millisecond
	stopTime    = 5 * time.Second
	staleAfter  = 10 * time.Second // without a look at the queue it is not ready
)

func (o Options) withDefaults() Options {
	def(&o.Keep, 500)
	o.Keep = max(o.Keep, leastKeep)
	def(&o.MaxFollows, 1000)
	def(&o.MaxFollowers, 2000)
	def(&o.AudiencePage, 500)
	def(&o.DigestWindow, 30*time.Second)
	def(&o.AckWait, 10*time.Second)
	def(&o.SweepEvery, 5*time.Second)
	def(&o.Workers, 64)
	def(&o.CacheUsers, 1000)
	def(&o.Instance, rand.Text())
	if o.Now == nil {
		o.Now = time.Now
	}
	def(&o.Logger, slog.Default())
	return o
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A Service is one replica. Its methods may be called concurrently; Run once.
type Service struct {
	// Static after construction.
	nc      *nats.Conn
	js      jetstream.JetStream
	options Options
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics

	manySlots chan struct{}
	failures  chan error    // what Run ends with
	unserved  chan struct{} // closed when the micro service has stopped
	busy      atomic.Int64  // requests being answered
	late      subjects.LateLog
	running   atomic.Bool

	// Static after open.
	store       *store
	queue       *queue
	preferences *preferences
	follows     *follows
	digests     *digests
	lanes       *lanes
	cases       jetstream.Consumer

	// Owned by the sweeper.
	swept uint64 // of the bucket: up to it nothing is left to announce

	work context.Context // of goroutines that handlers start; set by Run
	wg   sync.WaitGroup

	mu       sync.Mutex
	stopping bool // guarded by mu
}

// New returns a service on a connection that stays the caller's. It does not use the
// bus yet.
func New(nc *nats.Conn, o Options) (*Service, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("notifyd: %w", err)
	}
	o = o.withDefaults()
	s := &Service{
		nc: nc, js: js, options: o, log: o.Logger.With("service", serviceName), now: o.Now,
		metrics:   newMetrics(o.Registry),
		manySlots: make(chan struct{}, manyAtOnce),
		failures:  make(chan error, 1),
		unserved:  make(chan struct{}),
		queue:     &queue{},
	}
	return s, nil
}

// Ready reports why the service cannot work now, nil if it can.
func (s *Service) Ready() error {
	if !s.running.Load() {
		return errors.New("notifyd has not started, or has ended")
	}
	if !s.nc.IsConnected() {
		return errors.New("notifyd is not connected to NATS")
	}
	if age := time.Since(time.UnixMilli(s.queue.looked.Load())); age > staleAfter {
		return fmt.Errorf("notifyd has not reached the stream %s for %v", subjects.StreamNotify, age.Round(time.Second))
	}
	return nil
}

// Run works until ctx ends, and then returns nil once what it had begun is done. It
// waits for the bus and its streams for as long as it takes. An error says that
// something it needs is gone for good.
func (s *Service) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.work = work
	if err := s.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("notifyd: %w", err)
	}
	var workers sync.WaitGroup
	for range s.options.Workers {
		workers.Go(func() { s.lanes.work(work) })
	}
	stop, err := s.start(ctx)
	if err == nil {
		s.running.Store(true)
		s.log.Info("notifyd works", "instance", s.options.Instance)
		err = s.watch(ctx)
		s.running.Store(false)
	}
	stop()
	late := time.AfterFunc(stopTime, cancel)
	defer late.Stop()
	s.settled()
	s.lanes.close()
	workers.Wait()
	if err != nil {
		return fmt.Errorf("notifyd: %w", err)
	}
	return nil
}

// open finds streams and buckets, and waits for them.
func (s *Service) open(ctx context.Context) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := s.connect(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		s.log.Info("waiting for NATS and its streams", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (s *Service) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	var err error
	if s.store, err = openStore(ctx, s.js, subjects.BucketNotifications); err != nil {
		return err
	}
	prefs, err := openStore(ctx, s.js, subjects.BucketPreferences)
	if err != nil {
		return err
	}
	following, err := openStore(ctx, s.js, subjects.BucketFollows)
	if err != nil {
		return err
	}
	if _, err = s.js.KeyValue(ctx, subjects.BucketAccess); err != nil {
		return err
	}
	log, err := s.js.Stream(ctx, subjects.StreamLog)
	if err != nil {
		return err
	}
	notify, err := s.js.Stream(ctx, subjects.StreamNotify)
	if err != nil {
		return err
	}
	s.queue.stream, s.queue.metrics = notify, s.metrics
	if err := s.queue.look(ctx); err != nil {
		return err
	}
	s.follows = &follows{store: following}
	s.digests = &digests{
		s: s, window: s.options.DigestWindow, epoch: log.CachedInfo().Created.UnixNano(),
		due: make(map[string]time.Time),
	}
	s.preferences = &preferences{store: prefs, byKey: make(map[string]wishes)}
	out := &outbox{pub: subjects.NewPublisher(s.nc, s.js), js: s.js, log: log}
	s.lanes = newLanes(s.store, out, s.now, s.metrics, settleAfter, s.options.CacheUsers)
	return nil
}

// start begins to listen. What it returns ends that again, also after an error.
func (s *Service) start(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	watching, end := context.WithCancel(ctx)
	stops = append(stops, end)
	ended := make(chan error, 2)
	if err := s.preferences.watch(watching, ended); err != nil {
		return stop, err
	}
	if err := s.digests.watch(watching, ended); err != nil {
		return stop, err
	}
	go func() {
		for range 2 {
			if err := <-ended; err != nil {
				s.fail(err)
			}
		}
	}()
	// Who is told that a case is followed is told of all that happens from then on: the consumer that
	// begins with what is new is there before the first answer.
	consuming, err := s.consumeAll(ctx)
	if err == nil {
		var m micro.Service
		if m, err = s.serve(); err == nil {
			stops = append(stops, func() { _ = m.Stop() }) // the connection's end stops it too
		}
	}
	stops = append(stops, consuming)
	return stop, err
}
