package msgd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// fixture is a real server with the streams, and one connection to it for the test itself.
type fixture struct {
	t      testing.TB
	server *natsd.Server
	nc     *nats.Conn
	js     jetstream.JetStream
}

// newFixture starts a server. prepare may create streams before the others are.
func newFixture(t testing.TB, prepare ...func(jetstream.JetStream)) *fixture {
	t.Helper()
	f := &fixture{t: t}
	f.server, f.nc, f.js = natstest.Server(t, natsd.Options{Listen: "127.0.0.1:0"})
	for _, p := range prepare {
		p(f.js)
	}
	if err := subjects.EnsureStreams(t.Context(), f.js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) connect() (*nats.Conn, jetstream.JetStream) {
	f.t.Helper()
	return natstest.Dial(f.t, f.server)
}

func quiet() *slog.Logger {
	if os.Getenv("MSGD_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

// start runs a replica on a connection of its own until the test ends or stop is called. prepare may
// change it before it runs.
func (f *fixture) start(o Options, prepare ...func(*Service)) (s *Service, stop func()) {
	f.t.Helper()
	nc, _ := f.connect()
	o.Logger = quiet()
	s, err := New(nc, o)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, p := range prepare {
		p(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	done := false
	stop = func() {
		if done {
			return
		}
		done = true
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	}
	f.t.Cleanup(stop)
	f.await("the service is ready", func() bool { return s.Ready() == nil })
	return s, stop
}

// await polls for what other goroutines or processes bring about.
func (f *fixture) await(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			f.t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func as(user string) subjects.Caller {
	return subjects.Caller{User: user, Socket: "sid-" + user, Edge: "e1"}
}

// call sends a command that must succeed.
func call[Req, Resp any](f *fixture, c subjects.Command[Req, Resp], user string, req Req) Resp {
	f.t.Helper()
	resp, err := c.Call(f.t.Context(), f.nc, as(user), req)
	if err != nil {
		f.t.Fatalf("%s by %s: %v", c.Name(), user, err)
	}
	return resp
}

// refused sends a command that must be refused with a code.
func refused[Req, Resp any](f *fixture, c subjects.Command[Req, Resp], user string, req Req, want subjects.Code) {
	f.t.Helper()
	_, err := c.Call(f.t.Context(), f.nc, as(user), req)
	if got := subjects.CodeOf(err); got != want {
		f.t.Errorf("%s by %s: %q (%v), want %q", c.Name(), user, got, err, want)
	}
}

func (f *fixture) conversation(creator string, others ...string) string {
	f.t.Helper()
	return call(f, subjects.ConversationCreate, creator, subjects.ConversationCreateRequest{MemberIDs: append([]string{}, others...)}).ConversationID
}

func (f *fixture) say(user, conv, text string) subjects.MessageEvent {
	f.t.Helper()
	return call(f, subjects.MessageSend, user, subjects.MessageSendRequest{ConversationID: conv, Content: text}).Message
}

// pages reads a whole history, backward.
func (f *fixture) pages(user, conv string, limit int64) (all []subjects.Message) {
	f.t.Helper()
	req := subjects.MessageHistoryRequest{ConversationID: conv, Limit: limit}
	for {
		page := call(f, subjects.MessageHistory, user, req)
		all = append(append([]subjects.Message{}, page.Messages...), all...)
		if !page.HasMore {
			return all
		}
		if len(page.Messages) == 0 {
			f.t.Fatal("an empty page says that there is more")
		}
		req.Before = page.Messages[0].ID
	}
}

func texts(messages []subjects.Message) string {
	var list []string
	for _, m := range messages {
		list = append(list, m.Content)
	}
	return strings.Join(list, " ")
}

// logged returns every message of the log on a subject.
func (f *fixture) logged(subject string) (all []entry) {
	f.t.Helper()
	s := &store{nc: f.nc, js: f.js}
	err := s.scan(f.t.Context(), subjects.StreamLog, subject, 1, func(e entry) bool {
		all = append(all, e)
		return true
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// indexed waits until everything that was logged is folded.
func (f *fixture) indexed() {
	f.t.Helper()
	f.await("the log is folded", func() bool {
		if f.count(subjects.StreamLog) > f.count(subjects.StreamMessages) && f.distinct(subjects.StreamLog) > f.distinct(subjects.StreamMessages) {
			return false
		}
		consumer, err := f.js.Consumer(f.t.Context(), subjects.StreamMessages, foldConsumer)
		if err != nil {
			return false
		}
		info := consumer.CachedInfo()
		return info.NumPending == 0 && info.NumAckPending == 0
	})
}

// distinct counts messages by their name: MESSAGES takes one that is in the log twice, within two
// minutes, only once.
func (f *fixture) distinct(stream string) int {
	f.t.Helper()
	names := map[string]bool{}
	s := &store{nc: f.nc, js: f.js}
	err := s.scan(f.t.Context(), stream, "lex.conversation.>", 1, func(e entry) bool {
		names[e.header.Get(subjects.HeaderMsgID)] = true
		return true
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return len(names)
}

// count is how many messages of conversations a stream has.
func (f *fixture) count(stream string) (n uint64) {
	f.t.Helper()
	st, err := f.js.Stream(f.t.Context(), stream)
	if err != nil {
		f.t.Fatal(err)
	}
	info, err := st.Info(f.t.Context(), jetstream.WithSubjectFilter("lex.conversation.>"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, some := range info.State.Subjects {
		n += some
	}
	return n
}

// listen collects the events on a subject.
func (f *fixture) listen(subject string) <-chan *nats.Msg {
	f.t.Helper()
	c := make(chan *nats.Msg, 1024)
	sub, err := f.nc.ChanSubscribe(subject, c)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.nc.Flush(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = sub.Unsubscribe() })
	return c
}

func (f *fixture) event(c <-chan *nats.Msg) *nats.Msg {
	f.t.Helper()
	select {
	case m := <-c:
		return m
	case <-time.After(10 * time.Second):
		f.t.Fatal("no event")
		return nil
	}
}

// silent asserts that nothing has come, after everything that was asked for before has passed.
func (f *fixture) silent(c <-chan *nats.Msg) {
	f.t.Helper()
	if err := f.nc.Flush(); err != nil {
		f.t.Fatal(err)
	}
	select {
	case m := <-c:
		f.t.Fatalf("an event too many: %s %s", m.Subject, m.Data)
	default:
	}
}

// raw sends a command as a hostile client would.
func (f *fixture) raw(subject, user string, body []byte) (*nats.Msg, error) {
	return subjects.Request(f.t.Context(), f.nc, subject, as(user), body)
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(errors.Join(fmt.Errorf("%T", v), err))
	}
	return b
}
