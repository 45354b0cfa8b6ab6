package subjects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Reads that see every write that was acknowledged before.
//
// What the client library asks of a bucket or a stream is a direct get (ADR-31), which any replica answers:
// in a cluster one that may be behind, by a moment or by minutes while it catches up. That is good enough
// for what never changes again, and for what a compare-and-set guards. Who decides by what is not there, or
// answers whom it has just answered, asks the stream's leader.

// LeaderQuery names a message: by its sequence, as the last on a subject, or as the first on a subject from
// a sequence on.
type LeaderQuery struct {
	Seq  uint64 `json:"seq,omitempty"`
	Last string `json:"last_by_subj,omitempty"`
	Next string `json:"next_by_subj,omitempty"`
}

// FromLeader reads one message. One that is not there is [jetstream.ErrMsgNotFound]. A ctx without a
// deadline waits for [DefaultTimeout].
func FromLeader(ctx context.Context, nc *nats.Conn, stream string, q LeaderQuery) (*jetstream.RawStreamMsg, error) {
	request, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
	}
	reply, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, request)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", stream, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string `json:"subject"`
			Seq     uint64 `json:"seq"`
			Header  []byte `json:"hdrs"`
			Data    []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("reading %s: %w", stream, err)
	}
	switch m := answer.Message; {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, jetstream.ErrMsgNotFound
	case answer.Error != nil:
		return nil, fmt.Errorf("reading %s: %w", stream, answer.Error)
	case m == nil:
		return nil, fmt.Errorf("reading %s: an answer without a message", stream)
	default:
		raw := &jetstream.RawStreamMsg{Subject: m.Subject, Sequence: m.Seq, Data: m.Data}
		if len(m.Header) > 0 {
			if raw.Header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
				return nil, fmt.Errorf("headers of message %d in %s: %w", m.Seq, stream, err)
			}
		}
		return raw, nil
	}
}

// ValueFromLeader reads a key of a bucket. A key that is not there has no data; its revision, 0 for one that
// never was, is what the next compare-and-set has to name.
func ValueFromLeader(ctx context.Context, nc *nats.Conn, bucket, key string) (data []byte, revision uint64, err error) {
	m, err := FromLeader(ctx, nc, bucketPrefix+bucket, LeaderQuery{Last: "$KV." + bucket + "." + key})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, err
	case m.Header.Get(headerKVOperation) != "" || m.Header.Get(headerMarker) != "":
		return nil, m.Sequence, nil
	default:
		return m.Data, m.Sequence, nil
	}
}

// Headers of a message that says that a key is gone: by the KV interface, and by the server.
const (
	headerKVOperation = "KV-Operation"
	headerMarker      = "Nats-Marker-Reason"
)
