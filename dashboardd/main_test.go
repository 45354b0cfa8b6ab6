package dashboardd

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// TestMain is also the replica that the crash test kills: the test binary runs itself with the bus's
// address in this variable.
func TestMain(m *testing.M) {
	if url := os.Getenv(replicaVariable); url != "" {
		if err := runReplica(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // a main function
		}
		return
	}
	os.Exit(m.Run()) //nolint:forbidigo // a main function
}

// bus is a NATS server with the streams and a publisher.
type bus struct {
	t   testing.TB
	srv *natsd.Server
	nc  *nats.Conn
	js  jetstream.JetStream
	pub *subjects.Publisher
}

var silent = slog.New(slog.DiscardHandler)

func startBus(t testing.TB, o natsd.Options, log *jetstream.StreamConfig) *bus {
	t.Helper()
	b := &bus{t: t}
	b.srv, b.nc, b.js = natstest.Server(t, o)
	if log != nil { // EnsureStreams leaves what exists as it is
		if _, err := b.js.CreateStream(t.Context(), *log); err != nil {
			t.Fatal(err)
		}
	}
	if err := subjects.EnsureStreams(t.Context(), b.js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	b.pub = subjects.NewPublisher(b.nc, b.js)
	return b
}

// publish puts "kind id event" into the log and returns its sequence.
func (b *bus) publish(line, payload string, opts ...subjects.PublishOption) uint64 {
	b.t.Helper()
	f := strings.Fields(line)
	seq, err := b.pub.PublishLog(b.t.Context(), subjects.Kind(f[0]), f[1], f[2], []byte(payload), opts...)
	if err != nil {
		b.t.Fatalf("publishing %s: %v", line, err)
	}
	return seq
}

// start runs a replica until the test ends or stop is called.
func (b *bus) start(o Options) (s *Service, stop func()) {
	b.t.Helper()
	if o.Logger == nil {
		o.Logger = silent
	}
	nc, err := b.srv.Connect()
	if err != nil {
		b.t.Fatal(err)
	}
	if s, err = New(nc, o); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("Run: %v", err)
		}
		nc.Close()
	})
	b.t.Cleanup(stop)
	return s, stop
}

// quick is a replica with short times.
func quick() Options {
	return Options{
		Interval: 20 * time.Millisecond, SnapshotEvery: 30 * time.Millisecond, LeaseTerm: 300 * time.Millisecond,
		HealthEvery: 50 * time.Millisecond,
	}
}

// ready starts a replica and waits until it answers.
func (b *bus) ready(o Options) (*Service, func()) {
	b.t.Helper()
	s, stop := b.start(o)
	b.eventually("ready", func() error { return s.Ready() })
	return s, stop
}

// eventually waits until f returns nil.
func (b *bus) eventually(what string, f func() error) {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: %v", what, err)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// client is what an edge is to the service: it asks, joins and hears.
type client struct {
	b      *bus
	caller subjects.Caller

	mu    sync.Mutex
	rooms map[string]bool
	heard []heard
}

type heard struct {
	event   string
	subject string
	data    map[string]any
}

// nobody asks like a socket and hears nothing but replies.
func (b *bus) nobody(user, scope string) *client {
	c := &client{b: b, rooms: map[string]bool{"all.all": true, "user." + user: true}}
	c.caller = subjects.Caller{User: user, Socket: "sid-" + user + fmt.Sprint(time.Now().UnixNano()), Edge: "e1", Scope: scope}
	return c
}

// client listens like a socket of an edge: to the rooms that replies join it to, less Lex-Except. It
// reads lex. events from the stream; a publish that the log refused is heard by core subscribers too.
func (b *bus) client(user, scope string) *client {
	b.t.Helper()
	c := b.nobody(user, scope)
	sub, err := b.nc.Subscribe(subjects.AllState, func(m *nats.Msg) { c.hear(m.Subject, m.Header, m.Data) })
	if err != nil {
		b.t.Fatal(err)
	}
	consumer, err := b.js.OrderedConsumer(b.t.Context(), subjects.StreamLog, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
	if err != nil {
		b.t.Fatal(err)
	}
	reading, err := consumer.Consume(func(m jetstream.Msg) { c.hear(m.Subject(), m.Headers(), m.Data()) })
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = sub.Unsubscribe(); reading.Stop() })
	return c
}

func (c *client) hear(subject string, header nats.Header, data []byte) {
	s, err := subjects.Parse(subject)
	if err != nil || !strings.HasPrefix(s.Event, "dashboard:") {
		return
	}
	room, _ := subjects.Room(s.Kind, s.ID)
	own, _ := subjects.Room(subjects.KindUser, c.caller.User)
	for name := range strings.SplitSeq(header.Get(subjects.HeaderExcept), ",") {
		if name == own {
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rooms[room] {
		c.note(s.Event, subject, data)
	}
}

// note needs mu.
func (c *client) note(event, subject string, body []byte) {
	h := heard{event: event, subject: subject}
	if err := json.Unmarshal(body, &h.data); err != nil {
		c.b.t.Errorf("%s: %v", event, err)
	}
	c.heard = append(c.heard, h)
}

// ask sends a request as the edge does and applies its reply.
func (c *client) ask(subject, body string) (map[string]any, error) {
	msg, err := subjects.Request(c.b.t.Context(), c.b.nc, subject, c.caller, []byte(body))
	if err != nil {
		return nil, err
	}
	reply, err := subjects.ParseReply(msg)
	if err != nil {
		return nil, err
	}
	if got := msg.Header.Get(subjects.HeaderService); got != Name {
		return nil, fmt.Errorf("the reply is by %q", got)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, room := range reply.Join {
		c.rooms[room] = true
	}
	for _, room := range reply.Leave {
		delete(c.rooms, room)
	}
	for _, e := range reply.Events {
		c.note(e.Event, "reply", e.Data)
	}
	var ack map[string]any
	return ack, json.Unmarshal(reply.Ack, &ack)
}

func (c *client) must(subject, body string) map[string]any {
	c.b.t.Helper()
	ack, err := c.ask(subject, body)
	if err != nil {
		c.b.t.Fatalf("%s %s: %v", subject, body, err)
	}
	return ack
}

func (c *client) hello() { c.b.t.Helper(); c.must("hello.dashboard", "") }

// events returns what was heard of one name, oldest first.
func (c *client) events(name string) (out []heard) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.heard {
		if h.event == name {
			out = append(out, h)
		}
	}
	return out
}

// leaveAll forgets the rooms, as an edge does that takes the socket over.
func (c *client) leaveAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rooms = map[string]bool{}
}

func (c *client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = nil
}

// last waits until the newest event of a name has these fields.
func (c *client) last(name string, want map[string]any) map[string]any {
	c.b.t.Helper()
	var data map[string]any
	c.b.eventually(name, func() error {
		all := c.events(name)
		if len(all) == 0 {
			return fmt.Errorf("nothing heard, want %v", want)
		}
		data = all[len(all)-1].data
		for key, value := range want {
			if fmt.Sprint(data[key]) != fmt.Sprint(value) {
				return fmt.Errorf("the last of %d is %v, want %v", len(all), data, want)
			}
		}
		return nil
	})
	return data
}
