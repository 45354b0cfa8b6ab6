package edge

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// reader brings everything that happens on the bus to one channel, from which one goroutine fans out.
//
// The log comes through one ordered consumer: in order, and complete by the consumer's own delivery
// sequence; after a reconnect it goes on behind the last message seen. state.> and live.> are core
// subscriptions: what they carry while NATS is away is gone, so after a reconnect or a drop on state.>
// the edge asks its services again (design 3, Reading).
type reader struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	out chan delivery
	end chan struct{} // closed by stop: nobody reads out any more

	position atomic.Uint64 // log sequence of the last message read
	consumer jetstream.ConsumeContext
	subs     []*nats.Subscription
}

// delivery is one event on its way from the bus to sockets.
type delivery struct {
	class   subjects.Class
	subject string
	payload []byte
	except  string    // Lex-Except: who must not get it
	seq     uint64    // log sequence; 0 for state and live
	at      time.Time // the log's time, or that of arrival

	// Set by the fan-out for what is in the log.
	room  string
	event string
}

// origin names the message on the bus: all edges read the same log, while state and live messages have
// no name but their content.
func (d *delivery) origin() string {
	if d.seq != 0 {
		return subjects.StreamLog + "." + strconv.FormatUint(d.seq, 10)
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(d.subject))
	_, _ = h.Write(d.payload)
	return "passing." + strconv.FormatUint(h.Sum64(), 36)
}

// backlog is how many deliveries may wait for the fan-out. The log waits behind it; state and live are
// dropped by their subscriptions' own bounds.
const backlog = 4096

func newReader(nc *nats.Conn, js jetstream.JetStream) *reader {
	return &reader{nc: nc, js: js, out: make(chan delivery, backlog), end: make(chan struct{})}
}

// start begins behind the newest message: who connects from now on sees what happens from now on.
func (r *reader) start(ctx context.Context) error {
	stream, err := r.js.Stream(ctx, subjects.StreamLog)
	if err != nil {
		return fmt.Errorf("stream %s: %w", subjects.StreamLog, err)
	}
	r.position.Store(stream.CachedInfo().State.LastSeq)
	for _, filter := range []string{subjects.AllState, subjects.AllLive} {
		sub, err := r.nc.Subscribe(filter, r.passing)
		if err != nil {
			return fmt.Errorf("subscribe %s: %w", filter, err)
		}
		r.subs = append(r.subs, sub)
	}
	return r.follow(ctx)
}

// follow creates the consumer at the position. An explicit sequence, not "new": an ordered consumer
// that has delivered nothing yet begins there again after a reconnect, so that nothing is skipped.
func (r *reader) follow(ctx context.Context) error {
	consumer, err := r.js.OrderedConsumer(ctx, subjects.StreamLog, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   r.position.Load() + 1,
	})
	if err != nil {
		return fmt.Errorf("consumer on %s: %w", subjects.StreamLog, err)
	}
	r.consumer, err = consumer.Consume(r.logged, jetstream.PullMaxMessages(backlog))
	if err != nil {
		return fmt.Errorf("consume %s: %w", subjects.StreamLog, err)
	}
	return nil
}

func (r *reader) stop() {
	close(r.end)
	if r.consumer != nil {
		r.consumer.Stop()
	}
	for _, sub := range r.subs {
		_ = sub.Unsubscribe() // fails only when the connection is gone, and the subscription with it
	}
}

// logged takes one message of the log. The sequence is the consumer's: headers can be forged
// (nats-facts, finding 3).
func (r *reader) logged(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		return // not from a consumer; the ordered consumer has counted it as a gap
	}
	r.position.Store(meta.Sequence.Stream)
	r.push(delivery{
		class: subjects.Log, subject: m.Subject(), payload: m.Data(), except: m.Headers().Get(subjects.HeaderExcept),
		seq: meta.Sequence.Stream, at: meta.Timestamp,
	})
}

// dropped is how many state and live messages were lost because the fan-out was behind.
func (r *reader) dropped() (n int) {
	for _, sub := range r.subs {
		if d, err := sub.Dropped(); err == nil {
			n += d
		}
	}
	return n
}

// passing takes one message of state.> or live.>.
func (r *reader) passing(m *nats.Msg) {
	class := subjects.Live
	if len(m.Subject) > 0 && m.Subject[0] == 's' {
		class = subjects.State
	}
	r.push(delivery{
		class: class, subject: m.Subject, payload: m.Data, except: m.Header.Get(subjects.HeaderExcept), at: time.Now(),
	})
}

func (r *reader) push(d delivery) {
	select {
	case r.out <- d:
	case <-r.end:
	}
}

// rewound checks, after a reconnect, whether the log ends before what was already read: then it is
// another log (restored, or made anew), and reading goes on from its end instead of waiting for it to
// grow past the old position.
func (r *reader) rewound(ctx context.Context) (bool, error) {
	stream, err := r.js.Stream(ctx, subjects.StreamLog)
	if err != nil {
		return false, err
	}
	last := stream.CachedInfo().State.LastSeq
	if last >= r.position.Load() {
		return false, nil
	}
	r.consumer.Stop()
	r.position.Store(last)
	return true, r.follow(ctx)
}

// lag is how many messages of the log this edge has not read yet.
func (r *reader) lag(ctx context.Context) (uint64, error) {
	stream, err := r.js.Stream(ctx, subjects.StreamLog)
	if err != nil {
		return 0, err
	}
	last, position := stream.CachedInfo().State.LastSeq, r.position.Load()
	if last < position {
		return 0, errRewound
	}
	return last - position, nil
}

var errRewound = errors.New("the log ends before what was already read")
