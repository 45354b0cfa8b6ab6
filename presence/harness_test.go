package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// patience bounds every wait; nothing waits that long unless it is broken.
const patience = 20 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// short are the times tests use: a lease is as short as NATS allows.
var short = Options{Grace: 600 * time.Millisecond, LeaseTTL: time.Second, Logger: quiet}

// bus starts a real server with all streams.
func bus(t testing.TB, o natsd.Options) (*natsd.Server, *nats.Conn) {
	t.Helper()
	server, nc, _ := natstest.Bus(t, o)
	return server, nc
}

func connect(t testing.TB, server *natsd.Server) *nats.Conn {
	t.Helper()
	nc, _ := natstest.Dial(t, server)
	return nc
}

func jetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// replica runs a service until the test ends or stop is called, and returns when it is ready.
func replica(t testing.TB, nc *nats.Conn, o Options) (s *Service, stop func()) {
	t.Helper()
	s, err := New(nc, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	t.Cleanup(stop)
	eventually(t, "the replica is ready", func() bool { return s.Ready() == nil })
	return s, stop
}

// eventually polls; it is for what nothing announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// listener collects what presence announces.
type listener struct {
	t      testing.TB
	events chan subjects.PresenceUpdateEvent
}

func listen(t testing.TB, nc *nats.Conn) *listener {
	t.Helper()
	l := &listener{t, make(chan subjects.PresenceUpdateEvent, 100_000)}
	subscribe(t, nc, subjects.PresenceUpdate.Filter(), func(m *nats.Msg) {
		if len(m.Data) == 0 {
			return
		}
		p, err := subjects.PresenceUpdate.Decode(m.Data)
		s, err2 := subjects.Parse(m.Subject)
		if err != nil || err2 != nil || s.ID != p.UserID {
			t.Errorf("announced %s %s: %v, %v", m.Subject, m.Data, err, err2)
		}
		l.events <- p
	})
	return l
}

func subscribe(t testing.TB, nc *nats.Conn, subject string, f func(*nats.Msg)) {
	t.Helper()
	sub, err := nc.Subscribe(subject, f)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
}

// want waits for exactly these announcements, "user status connections", in any order of users and in
// this order for each.
func (l *listener) want(lines ...string) {
	l.t.Helper()
	var got []string
	late := time.After(patience)
	for len(got) < len(lines) {
		select {
		case p := <-l.events:
			got = append(got, line(p))
		case <-late:
			l.t.Fatalf("announced %q, want %q", got, lines)
		}
	}
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		l.t.Fatalf("announced %q, want %q", got, lines)
	}
}

func line(p subjects.PresenceUpdateEvent) string {
	return fmt.Sprintf("%s %s %d", p.UserID, p.Status, p.ActiveConnections)
}

// silent asserts that nothing is announced for a while.
func (l *listener) silent(d time.Duration) {
	l.t.Helper()
	select {
	case p := <-l.events:
		l.t.Fatalf("announced %s", line(p))
	case <-time.After(d):
	}
}

// fakeEdge speaks the protocol of subjects/connections.go. It plays another process.
type fakeEdge struct {
	t           testing.TB
	nc          *nats.Conn
	name        string
	incarnation string
	ttl         time.Duration
	stop        context.CancelFunc
	done        sync.WaitGroup
	subs        []*nats.Subscription
	slow        atomic.Bool  // its lease is not renewed for now
	probed      atomic.Int64 // how often it was asked whether it lives

	mu sync.Mutex
	// Guarded by mu.
	seq     uint64
	sockets map[string]subjects.ConnSocket
	mute    bool // its batches are lost
}

func newFakeEdge(t testing.TB, nc *nats.Conn, name, incarnation string) *fakeEdge {
	t.Helper()
	e := &fakeEdge{t: t, nc: nc, name: name, incarnation: incarnation, ttl: time.Second, sockets: map[string]subjects.ConnSocket{}}
	ctx, cancel := context.WithCancel(t.Context())
	e.stop = cancel
	e.answer(subjects.EdgeConnectionsSubject, func() any { return e.snapshot() })
	e.answer(subjects.EdgeAliveSubject, func() any { e.probed.Add(1); return subjects.EdgeLease{Edge: name, Incarnation: incarnation} })
	e.renew(ctx)
	e.done.Go(func() { e.keepLease(ctx) })
	t.Cleanup(e.kill)
	e.batch()
	return e
}

func (e *fakeEdge) answer(subject func(string) (string, error), value func() any) {
	e.t.Helper()
	at, err := subject(e.name)
	if err != nil {
		e.t.Fatal(err)
	}
	sub, err := e.nc.Subscribe(at, func(m *nats.Msg) { _ = m.Respond(marshal(value())) })
	if err != nil {
		e.t.Fatal(err)
	}
	if err := e.nc.Flush(); err != nil {
		e.t.Fatal(err)
	}
	e.subs = append(e.subs, sub)
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func (e *fakeEdge) keepLease(ctx context.Context) {
	tick := time.NewTicker(e.ttl / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			e.renew(ctx)
		}
	}
}

func (e *fakeEdge) renew(ctx context.Context) {
	if e.slow.Load() {
		return
	}
	js, err := jetstream.New(e.nc)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, e.ttl)
	defer cancel()
	key, _ := subjects.LeaseKey(e.name)
	// A lease that is not written is what some tests are about.
	_, _ = js.Publish(ctx, "$KV.EDGES."+key, marshal(subjects.EdgeLease{Incarnation: e.incarnation}), jetstream.WithMsgTTL(e.ttl))
}

// noLease lets the lease run out; the edge lives.
func (e *fakeEdge) noLease() {
	e.stop()
	e.done.Wait()
}

// kill ends it as kill -9 does: no lease, no answer, no word.
func (e *fakeEdge) kill() {
	e.noLease()
	for _, sub := range e.subs {
		_ = sub.Unsubscribe()
	}
	_ = e.nc.Flush()
}

func (e *fakeEdge) snapshot() subjects.ConnSnapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := subjects.ConnSnapshot{Edge: e.name, Incarnation: e.incarnation, Seq: e.seq}
	for _, k := range e.sockets {
		s.Sockets = append(s.Sockets, k)
	}
	return s
}

func (e *fakeEdge) batch(events ...subjects.ConnEvent) {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seq++
	for i, c := range events {
		k := e.sockets[c.Socket]
		switch c.Op {
		case subjects.ConnOpen:
			k = subjects.ConnSocket{Socket: c.Socket, User: c.User, Namespace: c.Namespace, Device: c.Device, At: time.Now().UnixMilli()}
		case subjects.ConnClose:
			events[i].User = k.User
			delete(e.sockets, c.Socket)
			continue
		case subjects.ConnIdle, subjects.ConnActive:
			k.Idle = c.Op == subjects.ConnIdle
			events[i].User = k.User
		}
		e.sockets[c.Socket] = k
	}
	if e.mute {
		return
	}
	at, _ := subjects.ConnSubject(e.name)
	err := e.nc.Publish(at, marshal(subjects.ConnBatch{Edge: e.name, Incarnation: e.incarnation, Seq: e.seq, Events: events}))
	if err == nil {
		err = e.nc.Flush()
	}
	if err != nil {
		e.t.Error(err)
	}
}

func (e *fakeEdge) open(user string, sids ...string) {
	e.t.Helper()
	var events []subjects.ConnEvent
	for _, sid := range sids {
		events = append(events, subjects.ConnEvent{Op: subjects.ConnOpen, Socket: sid, User: user, Namespace: "/events", Device: "desktop"})
	}
	e.batch(events...)
}

func (e *fakeEdge) leave(sid string) {
	e.t.Helper()
	e.batch(subjects.ConnEvent{Op: subjects.ConnClose, Socket: sid, Clean: true})
}

func (e *fakeEdge) lose(sid string) {
	e.t.Helper()
	e.batch(subjects.ConnEvent{Op: subjects.ConnClose, Socket: sid})
}

func (e *fakeEdge) turn(sid string, idle bool) {
	e.t.Helper()
	op := subjects.ConnActive
	if idle {
		op = subjects.ConnIdle
	}
	e.batch(subjects.ConnEvent{Op: op, Socket: sid})
}

// says loses batches or not.
func (e *fakeEdge) says(yes bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mute = !yes
}

// get asks svc.presence.get.
func get(t testing.TB, nc *nats.Conn, users ...string) []string {
	t.Helper()
	m, err := subjects.Request(t.Context(), nc, subjects.PresenceGet, subjects.Caller{}, marshal(subjects.PresenceGetRequest{UserIDs: users}))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := decodeGet(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range reply.Users {
		lines = append(lines, line(p))
	}
	return lines
}

func decodeGet(data []byte) (reply subjects.PresenceGetReply, err error) {
	err = json.Unmarshal(data, &reply)
	return reply, err
}
