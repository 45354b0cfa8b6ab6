package notifyd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// The bucket NOTIFICATIONS, by key:
//
//	head.<user>          the record
//	page.<user>.<page>   bodies of older notifications, written once
//	known.<user>         empty, written once: the order in which users were met
//	many.<sequence>      how far an audience has been told
//
// A record that announces something has the header Lex-Pending until it is known to
// be announced, so that what a killed process left behind is found by headers alone.
const (
	headPrefix  = "head."
	pagePrefix  = "page."
	knownPrefix = "known."
	manyPrefix  = "many."

	headerPending = "Lex-Pending"
)

// errConflict says that the record is not the one that was read.
var errConflict = subjects.Errorf(subjects.CodeConflict, "somebody else was faster, try again")

// store is the bucket. Its methods may be called concurrently.
type store struct {
	js     jetstream.JetStream
	bucket string
	kv     jetstream.KeyValue
	stream jetstream.Stream // of the bucket
	prefix string           // of the bucket's subjects
}

func openStore(ctx context.Context, js jetstream.JetStream, bucket string) (*store, error) {
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bucket, err)
	}
	stream, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bucket, err)
	}
	return &store{js: js, bucket: bucket, kv: kv, stream: stream, prefix: "$KV." + bucket + "."}, nil
}

// get reads a key as the bucket's leader has it: nobody is told less than what was stored before they asked,
// and nothing is passed over because it seems to matter to nobody. Without data the key is not there.
func (s *store) get(ctx context.Context, key string) (data []byte, rev uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	return subjects.ValueFromLeader(ctx, s.js.Conn(), s.bucket, key)
}

// near reads a key from any replica, which costs less and may be behind: only for what a compare-and-set
// follows.
func (s *store) near(ctx context.Context, key string) (data []byte, rev uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	entry, err := s.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	return entry.Value(), entry.Revision(), nil
}

// read is get or near.
func (s *store) read(ctx context.Context, key string, exactly bool) (data []byte, rev uint64, err error) {
	if exactly {
		return s.get(ctx, key)
	}
	return s.near(ctx, key)
}

// load reads a user's record, an empty one if there is none: exactly, or as any replica has it.
func (s *store) load(ctx context.Context, user, key string, exactly bool) (*record, error) {
	data, rev, err := s.read(ctx, headPrefix+key, exactly)
	if err != nil {
		return nil, err
	}
	if data == nil {
		r := newRecord(user, key)
		r.rev = rev
		return r, nil
	}
	return parse(user, key, rev, data)
}

// save stores a record if it is still the one that was loaded. After any error but
// [errConflict] it is perhaps stored.
func (s *store) save(ctx context.Context, r *record) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	if r.rev == 0 {
		if err := s.meet(ctx, r.key); err != nil {
			return err
		}
	}
	header := nats.Header{}
	if r.pending() {
		header[headerPending] = []string{"1"}
	}
	rev, err := s.put(ctx, headPrefix+r.key, data, header, r.rev)
	if err != nil {
		return err
	}
	r.rev, r.changed, r.unsettled = rev, false, false
	return nil
}

// put writes a key that still has the revision rev, or, with 0, is not there. A request that was
// stopped behind its reading is over (subjects.InTime).
func (s *store) put(ctx context.Context, key string, data []byte, header nats.Header, rev uint64) (uint64, error) {
	if err := subjects.InTime(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	msg := &nats.Msg{Subject: s.prefix + key, Data: data, Header: header}
	ack, err := s.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(rev))
	if subjects.IsConflict(err) {
		return 0, errConflict
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// meet notes that there is such a user, once.
func (s *store) meet(ctx context.Context, key string) error {
	_, err := s.put(ctx, knownPrefix+key, nil, nats.Header{}, 0)
	if errors.Is(err, errConflict) {
		return nil
	}
	return err
}

// remove takes keys away without leaving a marker.
func (s *store) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	return s.stream.Purge(ctx, jetstream.WithPurgeSubject(s.prefix+key))
}

// putPage writes a page. Writing it again writes the same.
func (s *store) putPage(ctx context.Context, key string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	_, err := s.kv.Put(ctx, key, data)
	return err
}

// bodies reads a page: its notifications' bodies by id. A page is written once, so any replica that has it
// will do. One that is removed is [jetstream.ErrKeyNotFound].
func (s *store) bodies(ctx context.Context, key string) (map[string]json.RawMessage, error) {
	data, _, err := s.near(ctx, key)
	if err == nil && data == nil {
		data, _, err = s.get(ctx, key)
	}
	if err == nil && data == nil {
		err = jetstream.ErrKeyNotFound
	}
	if err != nil {
		return nil, err
	}
	found := make(map[string]json.RawMessage, pageItems)
	for line := range bytes.Lines(data) {
		body := bytes.TrimSuffix(line, []byte{'\n'})
		id, _, ok := bytes.Cut(bytes.TrimPrefix(body, []byte(`{"id":"`)), []byte{'"'})
		if !ok {
			return nil, fmt.Errorf("%w: page %s", errRecord, key)
		}
		found[string(id)] = body
	}
	return found, nil
}

// headers reads keys under prefix from a place in the bucket on, without values, and
// calls f for each until it returns false or there are no more. It returns where to
// go on.
func (s *store) headers(ctx context.Context, prefix string, from uint64, f func(key string, m jetstream.Msg, seq uint64, at time.Time) bool) (next uint64, err error) {
	config := jetstream.ConsumerConfig{
		FilterSubject: s.prefix + prefix + "*", HeadersOnly: true,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 10 * time.Second,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
	}
	consumer, err := s.stream.CreateConsumer(ctx, config)
	if err != nil {
		return from, err
	}
	defer func() { _ = s.stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name) }() // it ends by itself too
	for left := consumer.CachedInfo().NumPending; left > 0; {
		batch, err := consumer.Fetch(int(min(left, 500)), jetstream.FetchMaxWait(subjects.DefaultTimeout))
		if err != nil {
			return from, err
		}
		n := uint64(0)
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return from, err
			}
			n++
			left = meta.NumPending
			if !f(m.Subject()[len(s.prefix+prefix):], m, meta.Sequence.Stream, meta.Timestamp) {
				return meta.Sequence.Stream, nil
			}
			from = meta.Sequence.Stream + 1
		}
		if err := batch.Error(); err != nil {
			return from, err
		}
		if n == 0 {
			return from, nil
		}
	}
	return from, nil
}
