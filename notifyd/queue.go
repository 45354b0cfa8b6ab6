package notifyd

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// queue is what is known about the stream NOTIFY: which queue it is, and how far all
// of it is done. It may be used concurrently.
type queue struct {
	stream  jetstream.Stream
	metrics *metrics

	state  atomic.Pointer[queueState]
	looked atomic.Int64 // when, ms since 1970 by this process's clock
}

type queueState struct {
	epoch int64  // when the stream was created
	floor uint64 // everything up to it was acknowledged and is gone
}

// look asks the stream. A work queue removes what is acknowledged, so its first
// message tells the floor for all consumers together.
func (q *queue) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	info, err := q.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", subjects.StreamNotify, err)
	}
	q.state.Store(&queueState{epoch: info.Created.UnixNano(), floor: max(info.State.FirstSeq, 1) - 1})
	q.metrics.lag.WithLabelValues(subjects.StreamNotify).Set(float64(info.State.Msgs))
	q.looked.Store(time.Now().UnixMilli())
	return nil
}

func (q *queue) cause(seq uint64, id string) cause {
	state := q.state.Load()
	return cause{seq: seq, epoch: state.epoch, floor: state.floor, name: nameOf(id)}
}

// origin names a message for its dead letter.
func (q *queue) origin(meta *jetstream.MsgMetadata) string {
	return fmt.Sprintf("%s.%d", meta.Stream, meta.Sequence.Stream)
}

// consumers of the queue. Notices to one user and to audiences are told apart, so that
// neither waits for the other.
const (
	durableUsers = "notifyd"
	durableMany  = "notifyd-many"
)
