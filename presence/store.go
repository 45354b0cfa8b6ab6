package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// A record is one message in the bucket PRESENCE. Its body is what viewers see, because the bucket
// publishes it by storing it; what only this service may know is in a header, which no client gets.

const (
	recordPrefix  = "$KV." + subjects.BucketPresence + "."
	recordStream  = "KV_" + subjects.BucketPresence
	accessPrefix  = "$KV." + subjects.BucketAccess + "."
	accessStream  = "KV_" + subjects.BucketAccess
	headerPrivate = "Lex-Presence"
	headerTTL     = "Nats-TTL"
	headerExpect  = "Nats-Expected-Last-Subject-Sequence"
)

// private is the header's content.
type private struct {
	Said    said    `json:"said"`
	Counted counted `json:"counted"`
}

// errConflict says that somebody else stored the key in between: read it and decide again.
var errConflict = errors.New("stored by somebody else in between")

// store is the bucket. Its methods may be called concurrently.
type store struct {
	js   jetstream.JetStream
	keep time.Duration // how long an offline record stays
}

func newStore(ctx context.Context, js jetstream.JetStream, keep time.Duration) (*store, error) {
	if _, err := js.Stream(ctx, recordStream); err != nil {
		return nil, fmt.Errorf("bucket %s: %w", subjects.BucketPresence, err)
	}
	return &store{js: js, keep: keep}, nil
}

// saveRecord stores r if the key is still at revision, and thereby announces it.
func (s *store) saveRecord(ctx context.Context, r record, revision uint64) (uint64, error) {
	key, err := subjects.Escape(r.public.UserID)
	if err != nil {
		return 0, err
	}
	body, err := json.Marshal(r.public)
	if err != nil {
		return 0, err
	}
	hidden, err := json.Marshal(private{r.said, r.counted})
	if err != nil {
		return 0, err
	}
	msg := &nats.Msg{Subject: recordPrefix + key, Data: body, Header: nats.Header{headerPrivate: {string(hidden)}}}
	ttl := time.Duration(0)
	if r.counted.Connections == 0 {
		ttl = s.keep
	}
	return s.save(ctx, msg, revision, ttl)
}

// save stores msg if its key is still at revision; 0 is a key that is not there. ttl 0 keeps it for ever.
// A command that was stopped behind its reading is over (subjects.InTime).
func (s *store) save(ctx context.Context, msg *nats.Msg, revision uint64, ttl time.Duration) (uint64, error) {
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header[headerExpect] = []string{strconv.FormatUint(revision, 10)}
	if ttl > 0 {
		msg.Header[headerTTL] = []string{max(ttl, time.Second).String()} // NATS takes no less
	}
	if err := subjects.InTime(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	ack, err := s.js.PublishMsg(ctx, msg)
	switch {
	case subjects.IsConflict(err):
		return 0, errConflict
	case err != nil:
		return 0, fmt.Errorf("store %s: %w", msg.Subject, err)
	}
	return ack.Sequence, nil
}

// load reads what is stored under a subject now, as the bucket's leader has it. A key that is not there has no data; its revision is
// what the next save has to name.
func (s *store) load(ctx context.Context, subject string) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	msg, err := subjects.FromLeader(ctx, s.js.Conn(), recordStream, subjects.LeaderQuery{Last: subject})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return stored{subject: subject}, nil
	}
	if err != nil {
		return stored{}, fmt.Errorf("read %s: %w", subject, err)
	}
	return stored{subject: subject, header: msg.Header, data: msg.Data, revision: msg.Sequence}, nil
}

// stored is one message of a bucket. Without data the key is gone.
type stored struct {
	subject  string
	header   nats.Header
	data     []byte
	revision uint64
}

// record reads a record. A key that is gone is the zero record.
func (m stored) record() (user string, r record, err error) {
	user, err = subjects.Unescape(strings.TrimPrefix(m.subject, recordPrefix))
	if err != nil || len(m.data) == 0 {
		return user, record{}, err
	}
	if err := json.Unmarshal(m.data, &r.public); err != nil {
		return user, record{}, fmt.Errorf("%s: %w", m.subject, err)
	}
	var hidden private
	if err := json.Unmarshal([]byte(m.header.Get(headerPrivate)), &hidden); err != nil {
		return user, record{}, fmt.Errorf("%s: header %s: %w", m.subject, headerPrivate, err)
	}
	r.public.UserID = user
	r.said, r.counted = hidden.Said, hidden.Counted
	return user, r, nil
}

// follow gives the last message of every key below prefix to take, then every further one, until ctx
// ends. It returns when the present has been read. take is called by one goroutine at a time.
func follow(ctx context.Context, js jetstream.JetStream, stream, prefix string, take func(stored)) (jetstream.ConsumeContext, error) {
	consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{prefix + ">"},
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	read := make(chan struct{})
	waiting := consumer.CachedInfo().NumPending > 0
	if !waiting {
		close(read)
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			return // not a message of a stream
		}
		take(stored{m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream})
		if waiting && meta.NumPending == 0 {
			waiting = false
			close(read)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	select {
	case <-read:
		return consuming, nil
	case <-ctx.Done():
		consuming.Stop()
		return nil, ctx.Err()
	}
}
