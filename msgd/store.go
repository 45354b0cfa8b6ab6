package msgd

import (
	"bytes"
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

// store is the bus seen as memory: single messages by sequence or subject, and values that change by
// compare-and-set. What decides (who is a member, what is the newest) is asked of the stream's leader;
// what never changes again is taken from any replica. It may be used concurrently.
type store struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// entry is one stored message.
type entry struct {
	subject string
	seq     uint64 // in its stream; for a value of a bucket, the revision
	header  nats.Header
	data    []byte
}

// Names inside the buckets. Tokens are escaped ids.
const (
	conversationsStream = "KV_" + subjects.BucketConversations
	conversationsPrefix = "$KV." + subjects.BucketConversations + "."
	receiptsStream      = "KV_" + subjects.BucketReceipts
	receiptsPrefix      = "$KV." + subjects.BucketReceipts + "."
)

// value names one value of a bucket: its stream and its subject there.
type value struct{ stream, subject string }

func conversationValue(conv string) value {
	return value{conversationsStream, conversationsPrefix + "conv." + conv}
}

func userValue(user string) value {
	return value{conversationsStream, conversationsPrefix + "user." + token(user)}
}

func editValue(conv string, number int64) value {
	return value{conversationsStream, conversationsPrefix + "edit." + conv + "." + strconv.FormatInt(number, 10)}
}

func pageValue(conv string, page int64) value {
	return value{conversationsStream, conversationsPrefix + "page." + conv + "." + strconv.FormatInt(page, 10)}
}

func readValue(conv, user string) value {
	return value{receiptsStream, receiptsPrefix + "read." + conv + "." + token(user)}
}

func deliveredValue(conv, user string) value {
	return value{receiptsStream, receiptsPrefix + "delivered." + conv + "." + token(user)}
}

// token escapes an id that was checked when it entered the service.
func token(id string) string {
	t, err := subjects.Escape(id)
	if err != nil {
		return "=00" // a token that no id has
	}
	return t
}

// eventSubject is where an event of a conversation is logged.
func eventSubject(conv, event string) string {
	return "lex.conversation." + conv + "." + strings.ReplaceAll(event, ":", ".")
}

// errConflict says that somebody was faster: read again.
var errConflict = errors.New("changed by somebody else")

// last asks the leader for the newest message on a subject.
func (s *store) last(ctx context.Context, stream, subject string) (e entry, found bool, err error) {
	return s.leaderGet(ctx, stream, subjects.LeaderQuery{Last: subject})
}

// firstBehind asks the leader for the first message on a subject behind a sequence.
func (s *store) firstBehind(ctx context.Context, stream, subject string, seq uint64) (e entry, found bool, err error) {
	return s.leaderGet(ctx, stream, subjects.LeaderQuery{Seq: seq + 1, Next: subject})
}

// confirm asks the leader for the message at a sequence.
func (s *store) confirm(ctx context.Context, stream string, seq uint64) (e entry, found bool, err error) {
	return s.leaderGet(ctx, stream, subjects.LeaderQuery{Seq: seq})
}

func (s *store) leaderGet(ctx context.Context, stream string, query subjects.LeaderQuery) (e entry, found bool, err error) {
	m, err := subjects.FromLeader(ctx, s.nc, stream, query)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return entry{}, false, nil
	}
	if _, refused := errors.AsType[*jetstream.APIError](err); refused {
		err = unavailable(err)
	}
	if err != nil {
		return entry{}, false, err
	}
	return entry{subject: m.Subject, seq: m.Sequence, header: m.Header, data: m.Data}, true, nil
}

// at reads one message by its sequence from any replica.
func (s *store) at(ctx context.Context, stream string, seq uint64) (e entry, found bool, err error) {
	return s.directGet(ctx, stream, `{"seq":`+strconv.FormatUint(seq, 10)+`}`)
}

// next reads the first message on a subject at or behind a sequence from any replica.
func (s *store) next(ctx context.Context, stream, subject string, from uint64) (e entry, found bool, err error) {
	return s.directGet(ctx, stream, `{"seq":`+strconv.FormatUint(max(from, 1), 10)+`,"next_by_subj":"`+subject+`"}`)
}

func (s *store) directGet(ctx context.Context, stream, request string) (e entry, found bool, err error) {
	m, err := s.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream, []byte(request))
	if err != nil {
		return entry{}, false, fmt.Errorf("reading %s: %w", stream, err)
	}
	return directEntry(stream, m)
}

// directEntry reads an answer to a direct get. The server appends its headers behind those of the
// publisher, who may have forged some of them: the last one counts (nats-facts, finding 3).
func directEntry(stream string, m *nats.Msg) (e entry, found bool, err error) {
	switch status := m.Header.Get("Status"); status {
	case "":
	case "404":
		return entry{}, false, nil
	default:
		return entry{}, false, unavailable(fmt.Errorf("reading %s: status %s", stream, status))
	}
	seq, err := strconv.ParseUint(lastHeader(m.Header, "Nats-Sequence"), 10, 64)
	if err != nil {
		return entry{}, false, fmt.Errorf("reading %s: an answer without a sequence", stream)
	}
	return entry{subject: lastHeader(m.Header, "Nats-Subject"), seq: seq, header: m.Header, data: m.Data}, true, nil
}

func lastHeader(h nats.Header, key string) string {
	if v := h[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// origin is the sequence in the log of a message that MESSAGES has taken from there.
func (e entry) origin() uint64 {
	fields := strings.Fields(lastHeader(e.header, "Nats-Stream-Source"))
	if len(fields) < 2 {
		return 0
	}
	seq, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return seq
}

// scan calls f with every message on a subject from a sequence on, in order, until f wants no more or
// there are none. It costs a consumer: for many messages. The entries have neither header nor life
// beyond f.
func (s *store) scan(ctx context.Context, stream, subject string, from uint64, f func(entry) (more bool)) error {
	consumer, err := s.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		FilterSubject: subject, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("scanning %s: %w", stream, err)
	}
	defer func() {
		// It ends by itself after InactiveThreshold; this only frees it sooner.
		_ = s.js.DeleteConsumer(context.WithoutCancel(ctx), stream, consumer.CachedInfo().Name)
	}()
	for {
		batch, err := consumer.FetchNoWait(512)
		if err != nil {
			return fmt.Errorf("scanning %s: %w", stream, err)
		}
		n := 0
		for m := range batch.Messages() {
			n++
			meta, err := m.Metadata()
			if err != nil {
				continue // not from a consumer
			}
			if !f(entry{subject: m.Subject(), seq: meta.Sequence.Stream, header: m.Headers(), data: m.Data()}) {
				return nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case batch.Error() != nil:
			return fmt.Errorf("scanning %s: %w", stream, batch.Error())
		case n == 0:
			return nil
		}
	}
}

// lastOf reads the newest message of many subjects at once from any replica; absent ones are missing
// in the result, which is keyed by subject.
func (s *store) lastOf(ctx context.Context, stream string, list []string) (map[string]entry, error) {
	if len(list) == 0 {
		return nil, nil
	}
	request, err := json.Marshal(map[string]any{"multi_last": list})
	if err != nil {
		return nil, err
	}
	inbox := s.nc.NewInbox()
	answers := make(chan *nats.Msg, len(list)+1) // SubscribeSync would reserve half a megabyte
	sub, err := s.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	if err := s.nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, request); err != nil {
		return nil, err
	}
	found := make(map[string]entry, len(list))
	for {
		var m *nats.Msg
		select {
		case m = <-answers:
		case <-ctx.Done():
			return nil, fmt.Errorf("reading %s: %w", stream, ctx.Err())
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			e, _, err := directEntry(stream, m)
			if err != nil {
				return nil, err
			}
			found[e.subject] = e
		case "204", "404": // the end; nothing at all
			return found, nil
		default:
			return nil, unavailable(fmt.Errorf("reading %s: status %s", stream, status))
		}
	}
}

// load reads a value and its revision, 0 where there is none, into v.
func (s *store) load(ctx context.Context, at value, v any) (revision uint64, err error) {
	e, found, err := s.last(ctx, at.stream, at.subject)
	if err != nil || !found || len(e.data) == 0 {
		return e.seq, err
	}
	if err := json.Unmarshal(e.data, v); err != nil {
		return 0, fmt.Errorf("%s is damaged: %w", at.subject, err)
	}
	return e.seq, nil
}

// save writes a value if it still has the revision, errConflict if not, and if ctx allows: a command
// that was stopped behind its reading is over (subjects.InTime).
func (s *store) save(ctx context.Context, at value, revision uint64, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := subjects.InTime(ctx); err != nil {
		return fmt.Errorf("writing %s: %w", at.subject, err)
	}
	if _, err := s.js.Publish(ctx, at.subject, body, jetstream.WithExpectLastSequencePerSubject(revision)); err != nil {
		return fmt.Errorf("writing %s: %w", at.subject, asConflict(err))
	}
	return nil
}

// publish logs an event if the newest one on its subject is still the one at expect, and if ctx allows,
// as in save.
func (s *store) publish(ctx context.Context, subject, msgID string, expect uint64, payload any) (seq uint64, err error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // text passes unchanged; clients escape (contract 8, B14)
	if err := encoder.Encode(payload); err != nil {
		return 0, err
	}
	if err := subjects.InTime(ctx); err != nil {
		return 0, fmt.Errorf("publishing %s: %w", subject, err)
	}
	m := &nats.Msg{Subject: subject, Header: nats.Header{subjects.HeaderMsgID: {msgID}}, Data: bytes.TrimSpace(body.Bytes())}
	ack, err := s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(expect))
	if err != nil {
		return 0, fmt.Errorf("publishing %s: %w", subject, asConflict(err))
	}
	return ack.Sequence, nil
}

// asConflict recognises a lost compare-and-set.
func asConflict(err error) error {
	if subjects.IsConflict(err) {
		return errConflict
	}
	return err
}

// unavailable marks a failure of the bus that passes by itself.
func unavailable(err error) error {
	return fmt.Errorf("%w: %w", subjects.Errorf(subjects.CodeUnavailable, "the store does not answer now"), err)
}
