package dashboardd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// Reading the log: one ordered consumer behind the state's sequence, until the connection is lost.

var (
	errReconnect = errors.New("the bus is away: waiting for it")
	errGap       = errors.New("the state does not join the log")
	errMicro     = errors.New("the endpoints stopped")
)

// follow reads a snapshot if there is no state yet, catches up, gets ready, and goes on until something
// ends it.
func (s *Service) follow(ctx context.Context) error {
	if !s.nc.IsConnected() {
		return errReconnect
	}
	away := s.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	defer s.nc.RemoveStatusListener(away)
	if err := s.load(ctx); err != nil {
		return err
	}
	stream, err := s.js.Stream(ctx, subjects.StreamLog)
	if err != nil {
		return fmt.Errorf("stream %s: %w", subjects.StreamLog, err)
	}
	if err := s.joins(ctx, stream.CachedInfo()); err != nil {
		return err
	}
	reading, err := s.consume(ctx)
	if err != nil {
		return err
	}
	defer reading.Stop()
	return s.watchSession(ctx, stream, reading, away)
}

// load opens the bucket and reads the newest snapshot, unless there is a state to go on with.
func (s *Service) load(ctx context.Context) error {
	if s.store == nil {
		store, err := openStore(ctx, s.js)
		if err != nil {
			return err
		}
		s.store = store
		s.viewers = newViewers(store.kv, s.options.Now, s.options.OpenCases)
		s.lease = newLease(store.kv, s.options.LeaseTerm)
	}
	s.mu.RLock()
	loaded := s.tally != nil
	s.mu.RUnlock()
	if loaded {
		return nil
	}
	t, m, err := s.store.load(ctx)
	if err != nil {
		return err
	}
	s.logCreated = m.Log
	s.mu.Lock()
	s.tally = t
	s.mu.Unlock()
	s.log.Info("snapshot read", "seq", t.Seq, "books", len(t.books))
	return nil
}

// joins checks that the log goes on where the state ends.
func (s *Service) joins(ctx context.Context, info *jetstream.StreamInfo) error {
	created := info.Created.UnixMilli()
	s.mu.RLock()
	seq := s.tally.Seq
	s.mu.RUnlock()
	first, last := info.State.FirstSeq, info.State.LastSeq
	switch {
	case s.logCreated != 0 && s.logCreated != created, last < seq:
		return fmt.Errorf("%w: the snapshot is of another log (it ends at %d, this log at %d); remove the key %q of the bucket %s to count this one from its beginning",
			errGap, seq, last, keySnapshot, subjects.BucketDashboard)
	case first > seq+1 && !s.options.AcceptGap:
		return fmt.Errorf("%w: events %d to %d are no longer in the log and the figures lack them; start once with the gap accepted to go on without them",
			errGap, seq+1, first-1)
	case first > seq+1:
		s.log.Warn("events are missing in the figures", "from", seq+1, "to", first-1)
		if err := s.learnAccess(ctx, first-1); err != nil {
			return err
		}
	}
	s.logCreated = created
	return nil
}

// learnAccess takes who may see which case from the bucket ACCESS, where the log no longer tells, and
// puts the state to where the log begins.
func (s *Service) learnAccess(ctx context.Context, seq uint64) error {
	kv, err := s.js.KeyValue(ctx, subjects.BucketAccess)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", subjects.BucketAccess, err)
	}
	w, err := kv.Watch(ctx, string(subjects.KindCase)+".*")
	if err != nil {
		return fmt.Errorf("bucket %s: %w", subjects.BucketAccess, err)
	}
	defer func() { _ = w.Stop() }() // fails only when it has ended already
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.Seq = seq
	for entry := range w.Updates() {
		if entry == nil {
			return nil
		}
		list, err := subjects.AccessChanged.Decode(entry.Value())
		_, id, parseErr := subjects.ParseRoom(entry.Key())
		if entry.Operation() == jetstream.KeyValuePut && err == nil && parseErr == nil {
			s.tally.setAccess(s.tally.open(subjects.KindCase, id, seq), list, 0)
		}
	}
	return fmt.Errorf("bucket %s: the list ended early", subjects.BucketAccess)
}

// consume begins a session: one consumer from the state's sequence on. It reads the whole log, as the
// edges do, although much of it does not concern the fold: with these filters and 90,000 subjects the
// server delivered 150 messages a second, without them more than 50,000.
func (s *Service) consume(ctx context.Context) (jetstream.ConsumeContext, error) {
	s.mu.Lock()
	s.follower++
	number, start := s.follower, s.tally.Seq+1
	s.mu.Unlock()
	consumer, err := s.js.OrderedConsumer(ctx, subjects.StreamLog, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   start,
	})
	if err != nil {
		return nil, fmt.Errorf("consumer on %s: %w", subjects.StreamLog, err)
	}
	reading, err := consumer.Consume(func(m jetstream.Msg) { s.fold(number, m) },
		jetstream.PullMaxMessages(1000),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			s.log.Debug("consumer", "error", err)
		}))
	if err != nil {
		return nil, fmt.Errorf("consume %s: %w", subjects.StreamLog, err)
	}
	return reading, nil
}

// fold takes one message. The sequence is the consumer's: headers can be forged (nats-facts, finding
// 3). The Msg-Id is the publisher's own and means only what the publisher made of it.
func (s *Service) fold(number int, m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		return // not from a consumer; the ordered consumer has counted it as a gap
	}
	subject, err := subjects.Parse(m.Subject())
	e := event{
		Seq: meta.Sequence.Stream, At: meta.Timestamp.UnixMilli(),
		Kind: subject.Kind, ID: subject.ID, Name: subject.Event,
		MsgID: m.Headers().Get(subjects.HeaderMsgID), Mark: m.Headers().Get(headerMark), Data: m.Data(),
	}
	if err != nil {
		e.Kind, e.Name = "", "" // the edge writes the dead letter
	}
	s.mu.Lock()
	if s.follower != number || s.tally == nil {
		s.mu.Unlock()
		return // a message of a session that has ended would open a gap
	}
	err = s.tally.apply(e)
	s.mu.Unlock()
	s.metrics.processed.Inc()
	s.metrics.lag.Set(float64(meta.NumPending))
	if err != nil {
		s.refuse(e, m, err)
	}
	s.poke()
}

// How often a session looks where it stands.
const (
	checkStarting = 20 * time.Millisecond
	checkRunning  = 5 * time.Second
)

// watchSession gets ready when the log was read to its end, and returns when the session cannot go on.
func (s *Service) watchSession(ctx context.Context, stream jetstream.Stream, reading jetstream.ConsumeContext, away <-chan nats.Status) error {
	every := checkStarting
	for {
		caughtUp, err := s.position(ctx, stream)
		if err != nil {
			return err
		}
		if every == checkRunning {
			if err := s.behind(caughtUp); s.setReady(err) {
				s.log.Warn("lag", "error", err)
			}
		}
		if caughtUp && every == checkStarting {
			every = checkRunning
			if err := s.serve(ctx); err != nil {
				return err
			}
			if s.setReady(nil) {
				s.log.Info("ready", "seq", s.seq())
			}
			s.begin(ctx)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-away:
			return errReconnect
		case err := <-s.micro:
			return fmt.Errorf("%w: %w", errMicro, err)
		case <-reading.Closed():
			return errors.New("the consumer on the log was closed")
		case <-time.After(every):
		}
	}
}

// position looks where the state stands in the log, and reports whether there is nothing more to read.
func (s *Service) position(ctx context.Context, stream jetstream.Stream) (caughtUp bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	log, err := stream.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", subjects.StreamLog, err)
	}
	seq := s.seq()
	if log.State.FirstSeq > seq+1 {
		return false, fmt.Errorf("%w: the log has lost events that were not read yet, up to %d", errGap, log.State.FirstSeq-1)
	}
	s.metrics.lag.Set(float64(log.State.LastSeq - min(seq, log.State.LastSeq)))
	return seq >= log.State.LastSeq, nil
}

// maxBehind is how old the fold may be and still push: well below the log's memory of Msg-Ids, because
// what is not read back yet would be announced again.
const maxBehind = 30 * time.Second

// behind is why a replica that reads too slowly is not ready.
func (s *Service) behind(caughtUp bool) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if late := time.Since(time.UnixMilli(s.tally.At)); !caughtUp && late > maxBehind {
		return fmt.Errorf("behind the log by %s", late.Round(time.Second))
	}
	return nil
}

func (s *Service) seq() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.tally == nil {
		return 0
	}
	return s.tally.Seq
}

// letter is a refused event on its way to DEADLETTER.
type letter struct {
	reason string
	msg    *nats.Msg
	origin string
}

// refuse counts an event that is not understood. Those that no client sees, and that no edge looks at,
// become dead letters here; all others are the edge's.
func (s *Service) refuse(e event, m jetstream.Msg, err error) {
	reason := "event"
	switch {
	case e.Kind == subjects.KindMetric:
		reason = "bad-metric"
	case e.Name == systemAlertName:
		reason = "bad-alert"
	}
	s.metrics.failed.WithLabelValues(reason).Inc()
	s.log.Debug("event refused", "seq", e.Seq, "reason", reason, "error", err)
	if reason == "event" {
		return
	}
	select {
	case s.letters <- letter{reason, &nats.Msg{Subject: m.Subject(), Data: m.Data()}, fmt.Sprintf("%s.%d", subjects.StreamLog, e.Seq)}:
	default:
		s.metrics.failed.WithLabelValues("letter_dropped").Inc()
	}
}

func (s *Service) writeLetters(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-s.letters:
			if err := subjects.DeadLetterFrom(ctx, s.js, l.reason, l.msg, l.origin); err != nil && ctx.Err() == nil {
				s.failed("letter", err)
			}
		}
	}
}
