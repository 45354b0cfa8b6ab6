package dashboardd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// A replica whose snapshot ends before the log begins says so and answers nothing.
func TestBehindTheLogIsNotReady(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.publish("case 7 case:created", `{}`)
	b.publish("case 7 access:changed", `{"allow":["u1"],"deny":[],"revision":1}`)
	b.eventually("the bucket has the list", func() error {
		kv, err := b.js.KeyValue(t.Context(), subjects.BucketAccess)
		if err == nil {
			_, err = kv.Get(t.Context(), "case.7")
		}
		return err
	})
	stream, err := b.js.Stream(t.Context(), subjects.StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.publish("case 8 case:created", `{}`)
	s, stop := b.start(quick())
	b.eventually("it says so", func() error {
		if err := s.Ready(); !errors.Is(err, errGap) || !strings.Contains(err.Error(), "events 1 to 2") {
			return fmt.Errorf("ready: %w", err)
		}
		return nil
	})
	if _, err := b.client("u1", "").ask("hello.dashboard", ""); subjects.CodeOf(err) != subjects.CodeUnavailable {
		t.Fatalf("answers %v", err)
	}
	stop()
	o := quick()
	o.AcceptGap = true
	b.ready(o)
	boss, member := b.client("boss", "dashboard:firm"), b.client("u1", "")
	boss.hello()
	member.hello()
	boss.last("dashboard:metrics", map[string]any{"activeCases": 1})
	if !member.rooms["case.7"] {
		t.Fatalf("access from before the gap is lost: %v", member.rooms)
	}
}

// Another log under an old snapshot is no continuation of it.
func TestSnapshotOfAnotherLogIsNotUsed(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	for range 5 {
		b.publish("case 7 case:created", `{}`)
	}
	_, stop := b.ready(quick())
	b.snapshotAt(5)
	stop()
	if err := b.js.DeleteStream(t.Context(), subjects.StreamLog); err != nil {
		t.Fatal(err)
	}
	if err := subjects.EnsureStreams(t.Context(), b.js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	s, _ := b.start(quick())
	b.eventually("it says so", func() error {
		if err := s.Ready(); !errors.Is(err, errGap) || !strings.Contains(err.Error(), "another log") {
			return fmt.Errorf("ready: %w", err)
		}
		return nil
	})
}

// snapshotAt waits for a snapshot at or behind a sequence.
func (b *bus) snapshotAt(seq uint64) (m manifest) {
	b.t.Helper()
	store, err := openStore(b.t.Context(), b.js)
	if err != nil {
		b.t.Fatal(err)
	}
	b.eventually("a snapshot", func() error {
		var err error
		m, _, err = store.manifest(b.t.Context())
		if err == nil && m.Seq < seq {
			err = fmt.Errorf("it is at %d", m.Seq)
		}
		return err
	})
	return m
}

func TestRestartGoesOnFromTheSnapshot(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	for i := range 300 {
		b.publish(fmt.Sprintf("case %d case:created", i), `{}`)
	}
	_, stop := b.ready(quick())
	b.snapshotAt(300)
	stop()
	for i := range 100 {
		b.publish(fmt.Sprintf("case %d case:deleted", i), `{}`)
	}
	registry := prometheus.NewRegistry()
	o := quick()
	o.Registry = registry
	s, _ := b.ready(o)
	boss := b.client("boss", "dashboard:firm")
	boss.hello()
	boss.last("dashboard:metrics", map[string]any{"activeCases": 200, "recentActivity": 400})
	// The log holds announcements too, which are folded as well; events of the snapshot are not.
	if n := counter(t, registry, "lexiflow_dashboardd_processed_total"); n >= float64(s.seq()) {
		t.Fatalf("%v events were folded again", n)
	}
	// What no manifest names is gone.
	b.publish("case 1 case:created", `{}`)
	m := b.snapshotAt(s.seq() + 1)
	b.eventually("old shards are swept", func() error {
		stream, err := b.js.Stream(t.Context(), "KV_DASHBOARD")
		if err != nil {
			return err
		}
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(bucketSubject+keyShard+">"))
		if err != nil {
			return err
		}
		if m = b.snapshotAt(m.Seq); len(info.State.Subjects) > shards {
			return fmt.Errorf("%d keys", len(info.State.Subjects))
		}
		return nil
	})
}

func counter(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// NATS goes and comes back on the same data; what is published then is folded as if nothing had been.
func TestOutlivesTheBus(t *testing.T) {
	dir := t.TempDir()
	srv, err := natsd.Start(t.Context(), natsd.Options{DataDir: dir, Listen: natstest.FreeAddress(t), Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	dial := func() *nats.Conn {
		nc, err := nats.Connect(srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	b := &bus{t: t, nc: dial()}
	if b.js, err = jetstream.New(b.nc); err != nil {
		t.Fatal(err)
	}
	b.pub = subjects.NewPublisher(b.nc, b.js)
	if err := subjects.EnsureStreams(t.Context(), b.js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	o := quick()
	o.Logger = silent
	s, err := New(dial(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for range 3 {
		b.eventually("ready", func() error { return s.Ready() })
		b.publish("case 7 document:uploaded", `{}`)
		address := srv.Addr().String()
		srv.Close()
		b.eventually("it says so", func() error {
			if err := s.Ready(); err == nil {
				return errors.New("ready")
			}
			return nil
		})
		if srv, err = natsd.Start(t.Context(), natsd.Options{DataDir: dir, Listen: address, Logger: silent}); err != nil {
			t.Fatal(err)
		}
		b.eventually("connected", func() error { return b.nc.FlushTimeout(time.Second) })
	}
	b.eventually("all is counted and told once", func() error {
		boss := b.nobody("boss", "dashboard:firm")
		if _, err := boss.ask(cmdRefresh, ""); err != nil {
			return err
		}
		if m := boss.events("dashboard:metrics"); len(m) != 1 || m[0].data["recentActivity"] != 3.0 {
			return fmt.Errorf("shown %v", m)
		}
		if n := coverage(t, b)["case.7"]; n != 3 {
			return fmt.Errorf("told %d", n)
		}
		return nil
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	srv.Close()
}

func TestStartsBeforeTheStreams(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	if err := b.js.DeleteStream(t.Context(), "KV_DASHBOARD"); err != nil {
		t.Fatal(err)
	}
	s, _ := b.start(quick())
	b.eventually("it waits and says so", func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "DASHBOARD") {
			return fmt.Errorf("ready: %w", err)
		}
		return nil
	})
	if err := subjects.EnsureStreams(t.Context(), b.js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually("ready", func() error { return s.Ready() })
}

func TestVisibleToNATSMicroAndPrometheus(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	o := quick()
	o.Version, o.Registry = "1.2.3", prometheus.NewRegistry()
	b.ready(o)
	b.client("u1", "").hello()
	msg, err := b.nc.Request("$SRV.INFO."+Name, nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(msg.Data, &info); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range info.Endpoints {
		if e.QueueGroup != Name {
			t.Errorf("%s has the queue group %q", e.Subject, e.QueueGroup)
		}
		got = append(got, e.Subject)
	}
	want := []string{"hello.dashboard", cmdSubscribe, cmdUnsubscribe, cmdRefresh}
	if info.Version != "1.2.3" || !reflect.DeepEqual(got, want) {
		t.Fatalf("version %s, endpoints %v", info.Version, got)
	}
	if counter(t, o.Registry, "lexiflow_dashboardd_commands_total") != 1 {
		t.Fatal("the hello is not counted")
	}
	for _, name := range []string{"processed_total", "lag", "holder", "snapshots_total"} {
		families, err := o.Registry.Gather()
		found := err == nil
		for _, f := range families {
			if found = f.GetName() == "lexiflow_dashboardd_"+name; found {
				break
			}
		}
		if !found {
			t.Errorf("no metric %s", name)
		}
	}
}

// A firm that uses the log for other things alone does not fall behind it.
func TestIdleStateMovesUpWithTheLog(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.publish("case 7 case:created", `{}`)
	for range 50 {
		b.publish("conversation c message:new", `{}`)
	}
	s, _ := b.ready(quick())
	m := b.snapshotAt(51)
	if m.Seq < 51 || s.seq() < 51 {
		t.Fatalf("the snapshot is at %d, the state at %d", m.Seq, s.seq())
	}
}
