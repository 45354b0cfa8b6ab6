// Package msgd keeps conversations: who is in them, what was said, how far each member has read.
//
// # Promises
//
//   - A message that was acked is in the log once and in the history at once, and stays, whatever dies
//     when. A clientId that is sent again within a day gives the first message back.
//   - Messages of a conversation are numbered 1, 2, 3 … in the order of the log. Their ids sort by time.
//   - Only members read, write or see typing. A change of members is in the log, as whole state, before
//     it is acked; nobody who was taken out writes or reads after that ack.
//   - A read receipt is in the log once, and a member's receipts rise.
//   - An unread count is the number of messages by others behind the member's read watermark.
//   - Any number of replicas may run; none relies on being alone.
//
// # Not promised
//
//   - Typing and delivery events pass: they may be lost, they are never stored, and what a replica knows
//     of who is typing dies with it (another one says the stop).
//   - A command is carried out before its caller gives up, or never, only while the clocks of edges and
//     services agree (subjects/deadline.go).
//   - TIMEOUT means "perhaps done". With a clientId, asking again is safe; edits, deletions, receipts and
//     changes of members are safe to repeat in any case.
//   - Text is passed unchanged: clients escape it (contract 8, B14).
//
// # How a message is kept
//
// The log decides. A message is published with the sequence of the conversation's newest message as
// the expected one (send.go), so that of two writers one wins, the loser reads what it missed, and
// numbers have no gaps: no lock, no second record, nothing to repair. What is known of a conversation's
// end is a cache (thread.go) that a lost race corrects.
//
// MESSAGES is the log's copy that stays. fold.go follows it and writes down, per 128 messages, where
// they are (pages.go): a function of the log, so any replica may do it, twice if need be. history.go
// reads a page of that index, the messages at those places, and what is younger than the index from
// MESSAGES and the tail of the log.
//
// Members and edits are values changed by compare-and-set (conversations.go, edit.go). The value holds
// what must still be announced and is cleared when the log has it; outbox.go makes up for those who
// died in between, from a durable consumer on the bucket itself.
package msgd

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
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexiflow/realtime/subjects"
)

// Name is the service's name on the bus.
const Name = "msgd"

// Options are the choices of an installation. Zero fields take the defaults.
type Options struct {
	Version string // shown by `nats micro info`; default "0.0.0"

	MaxContent       int // characters of a message; default 10,000
	MaxMembers       int // of a conversation; default 500
	MaxConversations int // of a user; default 5,000
	MaxVersions      int // of a message; default 64
	HelloRooms       int // conversations a fresh socket is joined to, the last active first; default 800

	TypingExpiry   time.Duration // after which a start that is not repeated is stopped; default 5 s
	TypingThrottle time.Duration // between two starts that are passed on; default 2 s

	Remember       time.Duration // how long a clientId is known; default 25 h, at least 24 h
	Concurrency    int           // commands in work at once; default 256
	CommandTimeout time.Duration // for one command; default 4.5 s, below the edge's 5 s
	OutboxDelay    time.Duration // after which another replica announces what its writer did not; default 2 s

	Logger   *slog.Logger         // default slog.Default()
	Registry *prometheus.Registry // default: one of its own
	Now      func() time.Time     // default time.Now
}

const leastRemember = 24 * time.Hour

func (o Options) withDefaults() Options {
	o.Version = orElse(o.Version, "0.0.0")
	o.MaxContent = orElse(o.MaxContent, 10_000)
	o.MaxMembers = orElse(o.MaxMembers, 500)
	o.MaxConversations = orElse(o.MaxConversations, 5_000)
	o.MaxVersions = orElse(o.MaxVersions, 64)
	o.HelloRooms = orElse(o.HelloRooms, 800)
	o.TypingExpiry = orElse(o.TypingExpiry, 5*time.Second)
	o.TypingThrottle = orElse(o.TypingThrottle, 2*time.Second)
	o.Remember = max(orElse(o.Remember, 25*time.Hour), leastRemember)
	o.Concurrency = orElse(o.Concurrency, 256)
	o.CommandTimeout = orElse(o.CommandTimeout, 4500*time.Millisecond)
	o.OutboxDelay = orElse(o.OutboxDelay, 2*time.Second)
	o.Logger = orElse(o.Logger, slog.Default())
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Now == nil {
		o.Now = time.Now
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

// A Service answers the commands of conversations. Run runs it; Ready may be called concurrently.
type Service struct {
	// Static after New.
	options Options
	nc      *nats.Conn
	js      jetstream.JetStream
	log     *slog.Logger
	store   *store
	events  *subjects.Publisher
	metrics *metrics
	slots   chan struct{} // one per command in work

	replica string // a random name among the replicas

	threads *cached[thread]
	readers *cached[readers]
	pages   *pageCache
	typists *typists

	counts  commandCounts
	late    subjects.LateLog
	ended   chan struct{} // closed when no command is taken any more
	started atomic.Bool
	state   atomic.Pointer[error] // of the last look at the consumers; see watch.go

	dies func(context.Context) // for tests: called between any two steps of a change, where a process may die
}

// New makes a service on a connection that stays the caller's. Nothing happens before Run.
func New(nc *nats.Conn, o Options) (*Service, error) {
	if nc == nil {
		return nil, errors.New("msgd needs a NATS connection")
	}
	o = o.withDefaults()
	if o.TypingThrottle >= o.TypingExpiry {
		return nil, fmt.Errorf("typing throttle %v: must be below the expiry of %v, or typing would flicker", o.TypingThrottle, o.TypingExpiry)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("msgd: %w", err)
	}
	return &Service{
		options: o, nc: nc, js: js, log: o.Logger.With("service", Name),
		store:   &store{nc: nc, js: js},
		events:  subjects.NewPublisher(nc, js),
		metrics: newMetrics(o.Registry),
		slots:   make(chan struct{}, o.Concurrency),
		ended:   make(chan struct{}),
		replica: rand.Text(),
		threads: newCached(newThread),
		readers: newCached(newReaders),
		pages:   newPageCache(),
		typists: newTypists(o.TypingThrottle, o.TypingExpiry),
	}, nil
}

// Run waits for the streams, then serves until ctx ends, and returns nil after the commands in work are
// answered. An error is something that waiting does not mend.
func (s *Service) Run(ctx context.Context) error {
	if err := s.awaitStreams(ctx); err != nil {
		return ignoreEnd(ctx, err)
	}
	deaf, err := s.listenTyping()
	if err != nil {
		return fmt.Errorf("msgd: %w", err)
	}
	defer deaf()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var tasks sync.WaitGroup
	task := func(name string, run func(context.Context) error) {
		tasks.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("msgd: %s: %w", name, err))
			}
		})
	}
	task("fold", s.fold)
	task("outbox", s.flushOutbox)
	task("typing", s.runTyping)
	task("watch", s.watch)
	task("commands", s.serve)
	<-ctx.Done()
	tasks.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// step marks a place between two steps that a crash may part.
func (s *Service) step(ctx context.Context) {
	if s.dies != nil {
		s.dies(ctx)
	}
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Ready returns nil while commands are answered and the log is followed, and otherwise what is missing.
func (s *Service) Ready() error {
	switch {
	case !s.nc.IsConnected():
		return errors.New("not connected to NATS")
	case !s.started.Load():
		return errors.New("not answering commands: waiting for the streams")
	}
	if err := s.state.Load(); err != nil {
		return *err
	}
	return nil
}
