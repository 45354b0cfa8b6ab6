package subjects

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxPayload is the largest event in bytes. It is what an edge delivers by default;
// a larger one would end as a dead letter.
const MaxPayload = 1 << 20

// DefaultTimeout is how long a publish to the log or a request waits whose context
// has no deadline.
const DefaultTimeout = 5 * time.Second

// A Publisher sends events. It may be used concurrently.
type Publisher struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// NewPublisher returns a publisher on a connection that stays the caller's.
func NewPublisher(nc *nats.Conn, js jetstream.JetStream) *Publisher {
	return &Publisher{nc: nc, js: js}
}

// A PublishOption changes one publish.
type PublishOption func(*publishOptions)

type publishOptions struct {
	header nats.Header
	extra  map[string]any
}

// WithMsgID names the message. Within two minutes the log stores a name once and
// answers a repetition with the first one's sequence. A consequence takes a name
// derived from its cause; the default is a random one.
func WithMsgID(id string) PublishOption { return WithHeader(HeaderMsgID, id) }

// WithoutSocket keeps the event from one socket, usually the one that caused it.
func WithoutSocket(sid string) PublishOption { return WithHeader(HeaderExcept, sid) }

// WithoutUser keeps the event from all sockets of a user. An id that cannot be
// escaped excepts nobody.
func WithoutUser(id string) PublishOption {
	room, err := Room(KindUser, id)
	if err != nil {
		return func(*publishOptions) {}
	}
	return WithHeader(HeaderExcept, room)
}

// WithTrace passes a W3C traceparent on.
func WithTrace(traceparent string) PublishOption { return WithHeader(HeaderTrace, traceparent) }

// WithHeader sets a header; an empty value sets none.
func WithHeader(key, value string) PublishOption {
	return func(o *publishOptions) {
		if value != "" {
			o.header[key] = []string{value}
		}
	}
}

// WithExtra adds keys to the payload that its type does not have. A key that the
// payload already has is an error.
func WithExtra(keys map[string]any) PublishOption {
	return func(o *publishOptions) { o.extra = keys }
}

// PublishLog publishes what happened: lex.<kind>.<id>.<event>. It returns when the
// log has stored it, with its sequence. The payload is any JSON object.
//
// UNAVAILABLE means not stored, TIMEOUT perhaps stored: repeat it with the same
// [WithMsgID]. INVALID_INPUT, INVALID_EVENT and MESSAGE_TOO_LARGE are the caller's.
func (p *Publisher) PublishLog(ctx context.Context, kind Kind, id, event string, payload []byte, opts ...PublishOption) (seq uint64, err error) {
	return p.Publish(ctx, Subject{Class: Log, Kind: kind, ID: id, Event: event}, payload, opts...)
}

// PublishState publishes a gauge: state.<kind>.<id>.<event>. It returns as soon as
// the connection has taken it.
func (p *Publisher) PublishState(ctx context.Context, kind Kind, id, event string, payload []byte, opts ...PublishOption) error {
	_, err := p.Publish(ctx, Subject{Class: State, Kind: kind, ID: id, Event: event}, payload, opts...)
	return err
}

// PublishLive publishes what passes: live.<kind>.<id>.<event>. It returns as soon as
// the connection has taken it.
func (p *Publisher) PublishLive(ctx context.Context, kind Kind, id, event string, payload []byte, opts ...PublishOption) error {
	_, err := p.Publish(ctx, Subject{Class: Live, Kind: kind, ID: id, Event: event}, payload, opts...)
	return err
}

// Publish sends payload to s, in the way of its class; see [Publisher.PublishLog].
// The sequence is 0 for a class that is not stored.
func (p *Publisher) Publish(ctx context.Context, s Subject, payload []byte, opts ...PublishOption) (seq uint64, err error) {
	subject, err := Build(s)
	if err != nil {
		return 0, err
	}
	msg, err := p.message(subject, payload, opts)
	if err != nil {
		return 0, err
	}
	if s.Class != Log {
		if err := ctx.Err(); err != nil {
			return 0, publishError(subject, err)
		}
		return 0, publishError(subject, p.nc.PublishMsg(msg))
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	ack, err := p.js.PublishMsg(ctx, msg)
	if err != nil {
		return 0, publishError(subject, err)
	}
	return ack.Sequence, nil
}

// message checks the payload and puts the headers on it.
func (p *Publisher) message(subject string, payload []byte, opts []PublishOption) (*nats.Msg, error) {
	o := publishOptions{header: make(nats.Header, 2)}
	for _, option := range opts {
		option(&o)
	}
	if !isObject(payload) {
		return nil, Errorf(CodeInvalidInput, "the payload for %s is not a JSON object", subject)
	}
	if len(o.extra) > 0 {
		var err error
		if payload, err = addKeys(payload, o.extra); err != nil {
			return nil, Errorf(CodeInvalidInput, "additional keys for %s: %w", subject, err)
		}
	}
	if len(payload) > MaxPayload {
		return nil, Errorf(CodeMessageTooLarge, "the payload for %s has %d bytes, at most %d are delivered", subject, len(payload), MaxPayload)
	}
	if o.header[HeaderMsgID] == nil {
		o.header[HeaderMsgID] = []string{rand.Text()}
	}
	return &nats.Msg{Subject: subject, Header: o.header, Data: payload}, nil
}

// isObject reports whether b is one JSON object and nothing else.
func isObject(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == '{' && json.Valid(b)
}

// addKeys returns a copy of object with further keys.
func addKeys(object []byte, extra map[string]any) ([]byte, error) {
	var known map[string]json.RawMessage
	if err := json.Unmarshal(object, &known); err != nil {
		return nil, err
	}
	for key, value := range extra {
		if _, taken := known[key]; taken {
			return nil, errors.New("the payload has the key " + key + " already")
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		known[key] = raw
	}
	return json.Marshal(known)
}

// Request asks the service behind subject and returns its answer, always within
// ctx or, where ctx has no deadline, [DefaultTimeout]. The service is told until when
// ([SetDeadline]), and does not carry out what it sees later.
//
// All errors are of type [*Error]: UNAVAILABLE if nobody listens or the bus is
// away, so certainly nothing was done; TIMEOUT if it perhaps was; otherwise what
// the service answered. It is never repeated.
func Request(ctx context.Context, nc *nats.Conn, subject string, caller Caller, req []byte) (*nats.Msg, error) {
	// A request made while reconnecting would wait in a buffer and be sent after
	// its caller was told that it timed out.
	if !nc.IsConnected() {
		return nil, Errorf(CodeUnavailable, "%s: not connected to the bus", subject)
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	msg := &nats.Msg{Subject: subject, Header: make(nats.Header, 5), Data: req}
	caller.SetHeaders(msg.Header)
	if deadline, ok := ctx.Deadline(); ok {
		now := time.Now()
		SetDeadline(msg.Header, now, deadline.Sub(now))
	}
	reply, err := nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return nil, AsError(err)
	}
	if err := ErrorOf(reply); err != nil {
		return nil, err
	}
	return reply, nil
}

func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, DefaultTimeout)
}

// publishError gives err the code and the words a client may see, and keeps for the
// logs where the event was going.
func publishError(subject string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: CodeOf(err), Message: MessageOf(err), cause: fmt.Errorf("publishing %s: %w", subject, err)}
}
