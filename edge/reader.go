package edge

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// reader brings everything that happens on the bus to one channel, from which one goroutine fans out.
//
// It promises that the log comes in order, once, and without a hole that nobody knows of: sequence.go
// judges every message, by the consumer's own numbering and by what the stream still has. A gap is repaired
// by reading on behind the last message that was in order; one that cannot be, because the log was trimmed
// before this edge had read it, or was replaced by another, is handed on as a delivery that says so. After a
// reconnect, and when nothing comes although the log grows, it begins anew behind the last message seen.
//
// state.> and live.> are core subscriptions: what they carry while NATS is away is gone, so after a
// reconnect or a drop on state.> the edge asks its services again (design 3, Reading).
type reader struct {
	// Static after newReader.
	nc    *nats.Conn
	js    jetstream.JetStream
	log   *slog.Logger
	out   chan delivery
	end   chan struct{} // closed by stop: nobody reads out any more
	stuck chan struct{} // asks for a new consumer

	// Static after start.
	begun    uint64        // log position at which reading began
	prefaced chan struct{} // closed by the fan-out behind the preface

	subs atomic.Pointer[[]*nats.Subscription] // of state.> and live.>, once there; metrics may ask before

	position atomic.Uint64 // log sequence of the last message read
	repairs  atomic.Uint64 // gaps that reading on has closed
	erased   atomic.Uint64 // holes of messages that were erased from the log
	lost     atomic.Uint64 // gaps that could not be closed

	mu sync.Mutex
	// Guarded by mu, which is held while a message of the log is judged and pushed.
	consumer jetstream.ConsumeContext
	epoch    int // of consumer; a late callback of an older one does nothing
	order    sequence
	preface  uint64    // messages still to come that the log had before this edge
	created  time.Time // of the stream
	nothing  uint64    // up to here nothing is left behind the position: it was erased
}

// delivery is one event on its way from the bus to sockets.
type delivery struct {
	class   subjects.Class
	subject string
	payload []byte
	except  string    // Lex-Except: who must not get it
	seq     uint64    // log sequence; 0 for state and live
	at      time.Time // the log's time, or that of arrival

	lost    bool    // no event: the log has lost what stood up to seq, unread
	preface preface // it was in the log before this edge

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

// preface says of a message of the log that it fills the ring and reaches nobody.
type preface uint8

const (
	prefaceNone preface = iota
	prefaceMore
	prefaceLast
)

// backlog is how many deliveries may wait for the fan-out. The log waits behind it; state and live are
// dropped by their subscriptions' own bounds.
const backlog = 4096

// prefaceEvents is how much of the log an edge reads that was there before it: clients that come from an
// edge that has just ended find what they missed in its ring.
const prefaceEvents = 4096

func newReader(nc *nats.Conn, js jetstream.JetStream, log *slog.Logger) *reader {
	return &reader{
		nc: nc, js: js, log: log, out: make(chan delivery, backlog), end: make(chan struct{}), stuck: make(chan struct{}, 1), prefaced: make(chan struct{}),
	}
}

// start begins a little before the newest message; who connects when that is fanned out sees what happens
// from then on.
func (r *reader) start(ctx context.Context) error {
	ends, err := r.ends(ctx)
	if err != nil {
		return err
	}
	r.position.Store(max(ends.last-min(ends.last, prefaceEvents), max(ends.first, 1)-1))
	var subs []*nats.Subscription
	for _, filter := range []string{subjects.AllState, subjects.AllLive} {
		sub, err := r.nc.Subscribe(filter, r.passing)
		if err != nil {
			return fmt.Errorf("subscribe %s: %w", filter, err)
		}
		subs = append(subs, sub)
	}
	r.subs.Store(&subs)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.created = ends.created
	r.begun = r.position.Load()
	if r.preface, err = r.follow(ctx); err == nil && r.preface == 0 {
		r.nothing = ends.last
		close(r.prefaced)
	}
	return err
}

// logEnds is what the stream says of itself.
type logEnds struct {
	first, last uint64
	created     time.Time
}

func (r *reader) ends(ctx context.Context) (logEnds, error) {
	stream, err := r.js.Stream(ctx, subjects.StreamLog)
	if err != nil {
		return logEnds{}, fmt.Errorf("stream %s: %w", subjects.StreamLog, err)
	}
	info := stream.CachedInfo()
	return logEnds{info.State.FirstSeq, info.State.LastSeq, info.Created}, nil
}

// follow creates the consumer at the position, and forgets an older one. An explicit sequence, not "new":
// an ordered consumer that has delivered nothing yet begins there again after a reconnect, so that nothing
// is skipped. It returns how much is there already, and needs mu.
func (r *reader) follow(ctx context.Context) (pending uint64, err error) {
	if r.consumer != nil {
		old := r.consumer
		r.consumer = nil
		go old.Stop() // it may wait for a callback, which waits for mu
	}
	r.epoch++
	epoch := r.epoch
	r.order = sequence{position: r.position.Load()}
	consumer, err := r.js.OrderedConsumer(ctx, subjects.StreamLog, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   r.position.Load() + 1,
	})
	if err != nil {
		return 0, fmt.Errorf("consumer on %s: %w", subjects.StreamLog, err)
	}
	pending = consumer.CachedInfo().NumPending
	r.consumer, err = consumer.Consume(func(m jetstream.Msg) { r.logged(m, epoch) }, jetstream.PullMaxMessages(backlog))
	if err != nil {
		return 0, fmt.Errorf("consume %s: %w", subjects.StreamLog, err)
	}
	return pending, nil
}

// again reads on behind the last message, through a new consumer.
func (r *reader) again(ctx context.Context) error {
	ends, err := r.ends(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pending, err := r.follow(ctx)
	if err == nil && pending == 0 {
		r.nothing = ends.last
	}
	return err
}

func (r *reader) stop() {
	close(r.end)
	r.mu.Lock()
	if r.consumer != nil {
		r.consumer.Stop()
	}
	r.mu.Unlock()
	for _, sub := range r.passingSubs() {
		_ = sub.Unsubscribe() // fails only when the connection is gone, and the subscription with it
	}
}

// logged takes one message of the log. The sequence is the consumer's: headers can be forged
// (nats-facts, finding 3).
func (r *reader) logged(m jetstream.Msg, epoch int) {
	meta, err := m.Metadata()
	if err != nil {
		return // not from a consumer; the consumer's own numbering shows that one is missing
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if epoch != r.epoch {
		return
	}
	switch r.order.judge(meta.Consumer, meta.Sequence.Consumer, meta.Sequence.Stream) {
	case seqRepeated:
		return
	case seqGap:
		r.repair("the consumer skipped a message")
		return
	case seqHole:
		if r.trimmed(r.order.position + 1) {
			r.lost.Add(1)
			r.push(delivery{class: subjects.Log, seq: meta.Sequence.Stream - 1, lost: true})
		} else {
			r.erased.Add(1)
		}
	case seqNext:
	}
	r.order.took(meta.Sequence.Stream)
	r.position.Store(meta.Sequence.Stream)
	d := delivery{
		class: subjects.Log, subject: m.Subject(), payload: m.Data(), except: m.Headers().Get(subjects.HeaderExcept),
		seq: meta.Sequence.Stream, at: meta.Timestamp,
	}
	if r.preface > 0 {
		d.preface = prefaceMore
		if r.preface--; r.preface == 0 || meta.NumPending == 0 {
			r.preface, d.preface = 0, prefaceLast
		}
	}
	r.push(d)
}

// repair has the log read again behind the last message in order.
func (r *reader) repair(why string) {
	select {
	case r.stuck <- struct{}{}:
		r.log.Warn("reading the log anew", "reason", why, "position", r.position.Load())
		r.repairs.Add(1)
	default: // asked already
	}
}

// trimmed reports whether the log has lost what stood at seq because it was too old or too much, and not
// because somebody erased it: then its first message is a later one. The first sequence only grows, so that
// one not beyond seq now was not when the hole was read. It asks until it has an answer: without one
// there is nothing else to read either.
func (r *reader) trimmed(seq uint64) bool {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		ends, err := r.ends(ctx)
		cancel()
		if err == nil {
			return ends.first > seq
		}
		select {
		case <-r.end:
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// dropped is how many state and live messages were lost because the fan-out was behind.
func (r *reader) dropped() (n int) {
	for _, sub := range r.passingSubs() {
		if d, err := sub.Dropped(); err == nil {
			n += d
		}
	}
	return n
}

func (r *reader) passingSubs() []*nats.Subscription {
	if subs := r.subs.Load(); subs != nil {
		return *subs
	}
	return nil
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

// check compares the log's end with the position, and returns both the end and how much is still to be read.
// A log that ends before the position, or was made at another time, is another one.
func (r *reader) check(ctx context.Context) (replaced bool, end, behind uint64, err error) {
	position := r.position.Load() // first: it moves on while the stream is asked
	ends, err := r.ends(ctx)
	if err != nil {
		return false, 0, 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ends.last < position || !ends.created.Equal(r.created) {
		return true, 0, 0, nil
	}
	return false, ends.last, ends.last - min(ends.last, max(position, r.nothing)), nil
}

// startOver goes on from the end of another log (restored, or made anew), instead of waiting for it to grow
// past the old position.
func (r *reader) startOver(ctx context.Context) error {
	ends, err := r.ends(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.created, r.nothing = ends.created, 0
	r.position.Store(ends.last)
	_, err = r.follow(ctx)
	return err
}

// lag is how many messages of the log this edge has not read yet.
func (r *reader) lag(ctx context.Context) (uint64, error) {
	position := r.position.Load()
	ends, err := r.ends(ctx)
	if err != nil {
		return 0, err
	}
	last := ends.last
	if last < position {
		return 0, errRewound
	}
	return last - position, nil
}

var errRewound = errors.New("the log ends before what was already read")
