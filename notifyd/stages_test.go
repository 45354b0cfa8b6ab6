package notifyd

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestWhatPasses: a notice becomes a dead letter for its own fault, not for the bus's.
func TestWhatPasses(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		passes bool
	}{
		"no answer in time":        {context.DeadlineExceeded, true},
		"not connected":            {nats.ErrConnectionReconnecting, true},
		"no stream answers":        {fmt.Errorf("saving: %w", jetstream.ErrNoStreamResponse), true},
		"no leader, no space":      {&jetstream.APIError{Code: 503, ErrorCode: 10023}, true},
		"others are always faster": {errConflict, true},
		"others write the log":     {fmt.Errorf("announcing: %w", errContended), true},
		"refused for what it is":   {&jetstream.APIError{Code: 400, ErrorCode: 10049}, false},
		"a fault of this program":  {errors.New("index out of range"), false},
	} {
		if got := passing(c.err); got != c.passes {
			t.Errorf("%s: passes %t", name, got)
		}
	}
}

func TestBackoff(t *testing.T) {
	last := time.Duration(0)
	for tries := range uint64(100) {
		d := backoff(tries)
		if d < last || d > 20*time.Second || d < 100*time.Millisecond {
			t.Errorf("after %d tries it waits %v", tries, d)
		}
		last = d
	}
}
