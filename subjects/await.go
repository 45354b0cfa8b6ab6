package subjects

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	awaitAttempt = 20 * time.Second
	awaitPause   = time.Second
)

// AwaitStreams is [EnsureStreams] for who starts along with the bus. A bus that is there but not ready (a
// cluster electing its leader, or with nodes away) is asked again once a second, and log says why; what
// waiting cannot mend is returned, and ctx's error when it ends.
func AwaitStreams(ctx context.Context, js jetstream.JetStream, o StreamOptions, log *slog.Logger) error {
	for {
		try, cancel := context.WithTimeout(ctx, awaitAttempt)
		err := EnsureStreams(try, js, o)
		cancel()
		if err == nil || !passes(err) || ctx.Err() != nil {
			return err
		}
		log.Warn("streams are not ready yet, trying again", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(awaitPause):
		}
	}
}

// Codes of the JetStream API for a cluster that is not whole.
const (
	codeNoPeers  jetstream.ErrorCode = 10005 // no place for all replicas: a node is away, or has not come yet
	codeNoLeader jetstream.ErrorCode = 10008
)

// passes reports errors of a bus that is about to come up.
func passes(err error) bool {
	for _, passing := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrReconnectBufExceeded,
		jetstream.ErrNoStreamResponse,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.Code == http.StatusServiceUnavailable || api.ErrorCode == codeNoLeader || api.ErrorCode == codeNoPeers)
}
