package notifyd

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// A message of the queue goes through four stages:
//
//	validate   or it becomes a dead letter, and is done with
//	dedup      the record knows the causes it took in, so a repetition changes nothing
//	record     one compare-and-set stores it, with what it announces
//	publish    into the log; only then the message is acknowledged
//
// The last three happen on the user's lane, for all that waits there together.

// delivery is one message on its way.
type delivery struct {
	s      *Service
	msg    jetstream.Msg
	meta   *jetstream.MsgMetadata
	user   string
	notice notice
	cause  cause
	added  bool
}

// receive begins with a message of notify.user.<id>. It must not block.
func (s *Service) receive(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		s.log.Error("a message without metadata", "subject", msg.Subject(), "error", err)
		return
	}
	d := &delivery{s: s, msg: msg, meta: meta}
	if bad := d.validate(); bad != nil {
		s.bury(msg, meta, bad)
		return
	}
	key := strings.TrimPrefix(msg.Subject(), subjects.NotifyUserPrefix)
	s.lanes.do(d.user, key, &op{apply: d.record, done: d.done, bytes: len(d.notice.rest)})
}

func (d *delivery) validate() (bad *invalid) {
	user, err := subjects.Unescape(strings.TrimPrefix(d.msg.Subject(), subjects.NotifyUserPrefix))
	if err != nil {
		return refuse("invalid-user", "the subject does not name a user: %w", err)
	}
	d.user = user
	if _, d.notice, bad = decode(d.msg.Data(), d.meta.Timestamp, maxNotice); bad != nil {
		return bad
	}
	d.cause = d.s.queue.cause(d.meta.Sequence.Stream, d.msg.Headers().Get(subjects.HeaderMsgID))
	return nil
}

func (d *delivery) record(r *record, now time.Time) error {
	quiet := d.s.preferences.quiet(r.key, d.notice, now)
	d.added = r.add(d.cause, d.notice.rest, quiet, d.s.options.Keep)
	return nil
}

func (d *delivery) done(err error) {
	if err != nil {
		d.s.retry(d.msg, d.meta, err)
		return
	}
	if d.added {
		d.s.metrics.processed.WithLabelValues("notice").Inc()
		d.s.metrics.delay.Observe(d.s.now().Sub(d.meta.Timestamp).Seconds())
	} else {
		d.s.metrics.processed.WithLabelValues("repeated").Inc()
	}
	d.s.ack(d.msg)
}

// ack says that a message is done. If that is lost the message comes again and
// changes nothing.
func (s *Service) ack(msg jetstream.Msg) {
	if err := msg.Ack(); err != nil {
		s.log.Debug("acknowledging failed", "error", err)
	}
}

// retry gives a message back for later. What fails for a reason of its own becomes
// a dead letter in the end; what fails because the bus does waits as long as it takes.
func (s *Service) retry(msg jetstream.Msg, meta *jetstream.MsgMetadata, err error) {
	if errors.Is(err, errStopping) || s.work.Err() != nil {
		_ = msg.Nak() // another replica takes it; if not, the ack wait passes
		return
	}
	s.metrics.failed.WithLabelValues(strings.ToLower(string(subjects.CodeOf(err)))).Inc()
	if errors.Is(err, errRecord) || !passing(err) && meta.NumDelivered >= maxTries {
		s.log.Error("a message cannot be processed", "stream", meta.Stream, "stream_seq", meta.Sequence.Stream, "tries", meta.NumDelivered, "error", err)
		s.bury(msg, meta, &invalid{"cannot-process", subjects.AsError(err)})
		return
	}
	s.log.Warn("a message is tried again later", "stream", meta.Stream, "stream_seq", meta.Sequence.Stream, "tries", meta.NumDelivered, "error", err)
	if err := msg.NakWithDelay(backoff(meta.NumDelivered)); err != nil {
		s.log.Debug("giving a message back failed", "error", err)
	}
}

const maxTries = 12

// passing reports what is the fault of the moment: of the bus, of JetStream, or of
// others who write the same.
func passing(err error) bool {
	var api *jetstream.APIError
	return subjects.CodeOf(err) != subjects.CodeInternal || errors.As(err, &api) && api.Code >= http.StatusInternalServerError
}

// backoff grows from 100 ms to 20 s.
func backoff(tries uint64) time.Duration {
	return min(100*time.Millisecond<<min(tries, 10), 20*time.Second)
}

// bury makes a message a dead letter and ends it. It blocks nobody: many bad messages
// wait for each other, and good ones pass them.
func (s *Service) bury(msg jetstream.Msg, meta *jetstream.MsgMetadata, bad *invalid) {
	s.background(func(ctx context.Context) {
		original := &nats.Msg{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data()}
		origin := s.queue.origin(meta)
		if err := subjects.DeadLetterFrom(ctx, s.js, bad.reason, original, origin); err != nil {
			s.log.Warn("a dead letter is tried again later", "reason", bad.reason, "error", err)
			_ = msg.NakWithDelay(backoff(meta.NumDelivered)) // if that is lost, the ack wait passes
			return
		}
		s.metrics.failed.WithLabelValues(bad.reason).Inc()
		s.log.Warn("refused and put into DEADLETTER", "reason", bad.reason, "stream", meta.Stream, "stream_seq", meta.Sequence.Stream, "bytes", len(msg.Data()))
		s.ack(msg)
	})
}
