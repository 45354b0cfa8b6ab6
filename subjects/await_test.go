package subjects

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestPasses(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"no leader":       {&jetstream.APIError{Code: 503, ErrorCode: 10008}, true},
		"a node is away":  {fmt.Errorf("stream X: %w", &jetstream.APIError{Code: 400, ErrorCode: 10005, Description: "no suitable peers for placement, peer offline"}), true},
		"nobody answers":  {fmt.Errorf("x: %w", nats.ErrNoResponders), true},
		"took too long":   {context.DeadlineExceeded, true},
		"another storage": {errors.New("exists with storage memory"), false},
		"not allowed":     {&jetstream.APIError{Code: 400, ErrorCode: 10052}, false},
	} {
		if got := passes(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
