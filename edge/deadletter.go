package edge

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// deadLetters keep what cannot be delivered, with the reason, without making the fan-out wait for the
// bus. More than their bound at once are counted and not kept: the log still has them.
type deadLetters chan deadLetter

type deadLetter struct {
	reason   string
	original *nats.Msg
	origin   string // names the message, so that several edges leave one letter
}

const deadLetterBound = 256

// deadLetter counts, logs once and hands over.
func (s *Server) deadLetter(d *delivery, reason, why string) {
	s.metrics.deadLetters.WithLabelValues(reason).Inc()
	s.log.Warn("event goes to DEADLETTER", "subject", d.subject, "reason", reason, "why", why, "bytes", len(d.payload))
	letter := deadLetter{reason, &nats.Msg{Subject: d.subject, Data: d.payload}, d.origin()}
	select {
	case s.dead <- letter:
	default:
		s.metrics.deadLetters.WithLabelValues("not-kept").Inc()
	}
}

// keepDeadLetters stores them until ctx ends.
func (s *Server) keepDeadLetters(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-s.dead:
			attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
			if err := subjects.DeadLetterFrom(attempt, s.js, l.reason, l.original, l.origin); err != nil && ctx.Err() == nil {
				s.log.Error("dead letter is not stored", "reason", l.reason, "error", err)
			}
			cancel()
		}
	}
}
