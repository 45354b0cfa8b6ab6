package notifyd

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// TestAnyStartOrder starts the service before there are streams, and publishes while
// it is down.
func TestAnyStartOrder(t *testing.T) {
	server, nc, js := natstest.Server(t, natsd.Options{})
	b := &bus{t: t, server: server, nc: nc, js: js}
	said := make(chan string, 100)
	registry := prometheus.NewRegistry()
	s, err := New(nc, Options{Registry: registry, Logger: slog.New(slog.NewTextHandler(lines(said), nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if line := <-said; !strings.Contains(line, "waiting for NATS and its streams") {
		t.Errorf("it says %s", line)
	}
	if s.Ready() == nil {
		t.Error("ready without streams")
	}
	if err := subjects.EnsureStreams(t.Context(), js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("it is ready", func() bool { return s.Ready() == nil })
	checkVisible(t, b)
	cancel()
	if err := <-ended; err != nil || s.Ready() == nil {
		t.Errorf("Run: %v, ready: %v", err, s.Ready())
	}
	if _, err := b.ask("u", "notification:list", ""); subjects.CodeOf(err) != subjects.CodeUnavailable {
		t.Errorf("nobody is there, and it is answered: %v", err)
	}
	b.queue("notify.user.u", noticeJSON("while it was down"), "")
	b.run(Options{})
	b.drained()
	if got := b.titles("u"); got != "while it was down" {
		t.Errorf("u has %q", got)
	}
	families, err := registry.Gather()
	if err != nil || len(families) < 2 {
		t.Errorf("%d metrics, %v", len(families), err)
	}
}

// TestFollowsAreAnsweredLast: an event that comes right behind the answer to a follow is told, so the consumer
// of cases, which begins with what is new, is there before the first follow is taken.
func TestFollowsAreAnsweredLast(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	said := b.runSpied(Options{}).said()
	made, served := strings.Index(said, "$JS.API.CONSUMER.CREATE."+subjects.StreamLog+"."+durableCases), strings.Index(said, "SUB "+subjects.NotificationFollow.Subject())
	if made < 0 || served < made {
		t.Errorf("the consumer is asked for at %d, follows at %d", made, served)
	}
}

// spiedBus remembers what connections that it makes tell the server.
type spiedBus struct {
	*natsd.Server
	mu      sync.Mutex
	written []byte // guarded by mu
}

// runSpied is run for a service on a connection of its own, and returns what hears it.
func (b *bus) runSpied(o Options) *spiedBus {
	b.t.Helper()
	spy := &spiedBus{Server: b.server}
	nc, err := nats.Connect("", nats.InProcessServer(spy))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	(&bus{t: b.t, server: b.server, nc: nc, js: b.js}).run(o)
	return spy
}

func (s *spiedBus) InProcessConn() (net.Conn, error) {
	c, err := s.Server.InProcessConn()
	return &spiedConn{Conn: c, bus: s}, err
}

func (s *spiedBus) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.written)
}

type spiedConn struct {
	net.Conn
	bus *spiedBus
}

func (c *spiedConn) Write(b []byte) (int, error) {
	c.bus.mu.Lock()
	c.bus.written = append(c.bus.written, b...)
	c.bus.mu.Unlock()
	return c.Conn.Write(b)
}

type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}

// checkVisible asks as `nats micro` does.
func checkVisible(t *testing.T, b *bus) {
	t.Helper()
	msg, err := b.nc.Request("$SRV.INFO.notifyd", nil, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(msg.Data, &info); err != nil {
		t.Fatal(err)
	}
	if info.Name != serviceName || len(info.Endpoints) != 12 {
		t.Errorf("%+v", info)
	}
	for _, e := range info.Endpoints {
		if e.QueueGroup != serviceName {
			t.Errorf("%s has the queue group %s", e.Subject, e.QueueGroup)
		}
	}
}

// TestWhatIsGoneForGood ends Run with an error, so that its process is restarted.
func TestWhatIsGoneForGood(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	s, err := New(b.nc, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	b.until("it is ready", func() bool { return s.Ready() == nil })
	if err := b.js.DeleteConsumer(b.ctx(), subjects.StreamNotify, durableUsers); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("its consumer is gone, and Run ends well")
		}
	case <-time.After(20 * time.Second):
		t.Error("its consumer is gone, and it goes on")
	}
}

// TestARecordNobodyCanRead is a dead letter for its user and nobody else.
func TestARecordNobodyCanRead(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	s, _ := b.run(Options{Logger: slog.New(slog.DiscardHandler)})
	if _, err := s.store.kv.Put(b.ctx(), headPrefix+"broken", []byte("{")); err != nil {
		t.Fatal(err)
	}
	b.queue("notify.user.broken", noticeJSON("a"), "")
	b.queue("notify.user.u", noticeJSON("b"), "")
	b.drained()
	if got := b.letters(); got["cannot-process"] != 1 {
		t.Errorf("dead letters: %v", got)
	}
	if n := b.hello("u"); n != 1 {
		t.Errorf("u has %d", n)
	}
	if _, err := b.ask("broken", "notification:mark-all-read", ""); subjects.CodeOf(err) != subjects.CodeInternal {
		t.Errorf("marking in what cannot be read: %v", err)
	}
}

// TestTwoReplicasOneUser lets replicas race for one record.
func TestTwoReplicasOneUser(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	quiet := slog.New(slog.DiscardHandler)
	b.run(Options{Logger: quiet})
	b.run(Options{Logger: quiet})
	const total = 300
	for i := range total {
		b.queue("notify.user.u", noticeJSON("t"), "")
		if i%3 == 0 {
			b.must("u", "notification:mark-all-read", "")
		}
	}
	b.drained()
	b.must("u", "notification:mark-all-read", "")
	all, unread := b.list("u", false)
	if len(all) != total || unread != 0 {
		t.Errorf("%d kept, %d unread", len(all), unread)
	}
	events := b.log("u")
	created := 0
	for _, e := range events {
		if e.name == "notification:new" {
			created++
		}
	}
	if last := events[len(events)-1]; created != total || last.data["count"] != 0.0 {
		t.Errorf("%d announced, the last event is %v", created, last)
	}
}
