package notifyd

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// bus is a real NATS server with all streams, and what a test does on it.
type bus struct {
	t      testing.TB
	server *natsd.Server
	nc     *nats.Conn
	js     jetstream.JetStream
}

// startBus starts a server. A duplicate window makes the streams forget message ids
// sooner than in two minutes.
func startBus(t testing.TB, o natsd.Options, window time.Duration) *bus {
	t.Helper()
	server, nc, js := natstest.Bus(t, o)
	if window > 0 {
		for _, name := range []string{subjects.StreamLog, subjects.StreamNotify} {
			stream, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			config := stream.CachedInfo().Config
			config.Duplicates = window
			if _, err := js.UpdateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &bus{t: t, server: server, nc: nc, js: js}
}

// run runs a service until the returned function is called, or the test ends.
func (b *bus) run(o Options) (s *Service, stop func()) {
	b.t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(b.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	s, err := New(b.nc, o)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				b.t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			b.t.Error("Run does not end")
		}
	}
	b.t.Cleanup(stop)
	b.until("the service is ready", func() bool { return s.Ready() == nil })
	return s, stop
}

// until polls a condition that nothing announces.
func (b *bus) until(what string, ok func() bool) {
	b.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("not in 20 s: %s", what)
		}
	}
}

func (b *bus) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	b.t.Cleanup(cancel)
	return ctx
}

// notice is a payload for the queue.
func noticeJSON(title string) []byte {
	return fmt.Appendf(nil, `{"type":"case_update","title":%q,"message":"m","priority":"low","metadata":{"k":%q}}`, title, title)
}

// queue publishes to the queue; an empty id is no message id.
func (b *bus) queue(subject string, data []byte, id string) {
	b.t.Helper()
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	if id != "" {
		msg.Header.Set(subjects.HeaderMsgID, id)
	}
	if _, err := b.js.PublishMsg(b.ctx(), msg); err != nil {
		b.t.Fatal(err)
	}
}

// drained waits until the queue is empty.
func (b *bus) drained() {
	b.t.Helper()
	stream, err := b.js.Stream(b.ctx(), subjects.StreamNotify)
	if err != nil {
		b.t.Fatal(err)
	}
	b.until("the queue is empty", func() bool {
		info, err := stream.Info(b.ctx())
		return err == nil && info.State.Msgs == 0
	})
}

// ask sends a command as an edge would.
func (b *bus) ask(user, event, body string) (ack map[string]any, err error) {
	b.t.Helper()
	subject, err := subjects.CommandSubject(event)
	if err != nil {
		b.t.Fatal(err)
	}
	reply, err := subjects.Request(b.ctx(), b.nc, subject, subjects.Caller{User: user, Scope: "case:c1 case:c2"}, []byte(body))
	if err != nil {
		return nil, err
	}
	parsed, err := subjects.ParseReply(reply)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(parsed.Ack, &ack); err != nil {
		b.t.Fatal(err)
	}
	return ack, nil
}

func (b *bus) must(user, event, body string) map[string]any {
	b.t.Helper()
	ack, err := b.ask(user, event, body)
	if err != nil {
		b.t.Fatalf("%s %s: %v", event, body, err)
	}
	return ack
}

// stored is one line of a list.
type stored struct {
	ID, Title, Type, UserID, Message, CreatedAt, ReadAt, RelatedEntityID string
	Priority                                                             string
	Read                                                                 bool
	Metadata                                                             map[string]any
}

// list reads a user's whole list, page by page, newest first.
func (b *bus) list(user string, unreadOnly bool) (all []stored, unread int) {
	b.t.Helper()
	for cursor := ""; ; {
		body := fmt.Sprintf(`{"cursor":%q,"limit":37,"unreadOnly":%t}`, cursor, unreadOnly)
		msg, err := subjects.Request(b.ctx(), b.nc, subjects.NotificationList.Subject(), subjects.Caller{User: user}, []byte(body))
		if err != nil {
			b.t.Fatal(err)
		}
		var page struct {
			Notifications []stored
			NextCursor    string
			UnreadCount   int
		}
		if err := json.Unmarshal(msg.Data, &page); err != nil {
			b.t.Fatalf("%s: %v", msg.Data, err)
		}
		all, unread = append(all, page.Notifications...), page.UnreadCount
		if cursor = page.NextCursor; cursor == "" {
			return all, unread
		}
	}
}

// hello returns the count that greets a user.
func (b *bus) hello(user string) int {
	b.t.Helper()
	msg, err := subjects.Request(b.ctx(), b.nc, subjects.HelloSubject(subjects.NamespaceNotifications), subjects.Caller{User: user, Socket: "s"}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if got := msg.Header.Get(subjects.HeaderService); got != serviceName {
		b.t.Errorf("hello is answered by %q", got)
	}
	reply, err := subjects.ParseReply(msg)
	if err != nil || len(reply.Events) != 1 || reply.Events[0].Event != "notification:count" {
		b.t.Fatalf("hello: %+v, %v", reply, err)
	}
	var e subjects.NotificationCountEvent
	if err := json.Unmarshal(reply.Events[0].Data, &e); err != nil || e.UserID != user {
		b.t.Fatalf("hello: %s, %v", reply.Events[0].Data, err)
	}
	return int(e.Count)
}

// logged is one event of the log.
type logged struct {
	name string
	data map[string]any
	seq  uint64
}

func (l logged) String() string { return fmt.Sprintf("%s%v", l.name, l.data) }

// log reads all events of a user, in order.
func (b *bus) log(user string) (events []logged) {
	b.t.Helper()
	key, err := subjects.Escape(user)
	if err != nil {
		b.t.Fatal(err)
	}
	b.eachLogged("lex.user."+key+".>", func(_ string, l logged) { events = append(events, l) })
	return events
}

func (b *bus) eachLogged(filter string, f func(user string, l logged)) {
	b.t.Helper()
	stream, err := b.js.Stream(b.ctx(), subjects.StreamLog)
	if err != nil {
		b.t.Fatal(err)
	}
	consumer, err := stream.CreateConsumer(b.ctx(), jetstream.ConsumerConfig{
		FilterSubject: filter, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for left := consumer.CachedInfo().NumPending; left > 0; {
		batch, err := consumer.Fetch(int(left), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			b.t.Fatal(err)
		}
		for m := range batch.Messages() {
			subject, err := subjects.Parse(m.Subject())
			if err != nil {
				b.t.Fatal(err)
			}
			meta, err := m.Metadata()
			if err != nil {
				b.t.Fatal(err)
			}
			l := logged{name: subject.Event, seq: meta.Sequence.Stream}
			if err := json.Unmarshal(m.Data(), &l.data); err != nil {
				b.t.Fatal(err)
			}
			f(subject.ID, l)
			left--
		}
		if batch.Error() != nil {
			b.t.Fatal(batch.Error())
		}
	}
}

// letters returns the dead letters' reasons and how often they occur.
func (b *bus) letters() map[string]int {
	b.t.Helper()
	stream, err := b.js.Stream(b.ctx(), subjects.StreamDeadLetter)
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := stream.Info(b.ctx(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		b.t.Fatal(err)
	}
	reasons := map[string]int{}
	for subject, n := range info.State.Subjects {
		reasons[subject[len(subjects.DeadLetterPrefix):]] = int(n)
	}
	return reasons
}
