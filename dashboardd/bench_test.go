package dashboardd

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// busyFirm is a log of a firm with that many cases, each with ten events.
func busyFirm(cases int) []event {
	s := newStory()
	for i := range cases {
		in := fmt.Sprintf("case %d ", i)
		s.add(in+"case:created", `{"caseId":"c","caseNumber":"2026-17","title":"Doe v. Roe","clientId":"c1","createdBy":"u1"}`).
			add(in+"access:changed", `{"allow":["u1","u2","u3","u4","u5"],"deny":["u9"],"revision":1}`)
		for n := range 3 {
			s.add(in+"task:created", fmt.Sprintf(`{"taskId":"t%d-%d","title":"File the motion","assignedTo":"u1","priority":"high","createdBy":"u1"}`, i, n))
		}
		s.add(in+"task:completed", fmt.Sprintf(`{"taskId":"t%d-0","title":"File the motion","completedBy":"u2"}`, i)).
			add(in+"deadline:approaching", fmt.Sprintf(`{"deadlineId":"d%d","description":"Answer due","dueDate":"2026-11-29","severity":"urgent"}`, i)).
			add(in+"document:uploaded", `{"documentId":"d","fileName":"motion.pdf","fileSize":12345,"mimeType":"application/pdf","uploadedBy":"u3"}`).
			add(in+"docket:entry:added", `{"entryId":"e","entryNumber":4,"description":"Motion to dismiss","filedDate":"2026-11-20"}`).
			add(in+"case:status:changed", `{"caseNumber":"2026-17","oldStatus":"open","newStatus":"discovery","changedBy":"u1"}`)
	}
	return s.events
}

// BenchmarkFold is the pure fold: how fast a log is read again, without NATS.
func BenchmarkFold(b *testing.B) {
	events := busyFirm(1000)
	b.ReportAllocs()
	for b.Loop() {
		t := newTally()
		for _, e := range events {
			if err := t.apply(e); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(events)*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkSnapshot writes all of a firm of 10,000 cases; only changed shards are written otherwise.
func BenchmarkSnapshot(b *testing.B) {
	t := newTally()
	for _, e := range busyFirm(10_000) {
		if err := t.apply(e); err != nil {
			b.Fatal(err)
		}
	}
	bytes := 0
	for b.Loop() {
		bytes = 0
		for _, part := range t.collect(0) {
			data, err := part.encode()
			if err != nil {
				b.Fatal(err)
			}
			bytes += len(data)
		}
	}
	b.ReportMetric(float64(bytes), "bytes")
}

// BenchmarkNumbers asks for the totals of a firm with 10,000 cases.
func BenchmarkNumbers(b *testing.B) {
	t := newTally()
	for _, e := range busyFirm(10_000) {
		if err := t.apply(e); err != nil {
			b.Fatal(err)
		}
	}
	now := day0.Add(30 * time.Hour).UnixMilli()
	for name, v := range map[string]viewer{"all": {User: "boss", All: true}, "member of every case": {User: "u1"}, "stranger": {User: "x"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				t.viewer(v, now)
			}
		})
	}
	b.Run("firm", func(b *testing.B) {
		for b.Loop() {
			t.firm(now)
		}
	})
}

// BenchmarkCommand is request → reply over the bus, at 1,000 a second while the log is busy; what the
// edge adds is measured with lexiload.
func BenchmarkCommand(b *testing.B) {
	bus := startBus(b, natsd.Options{Listen: "127.0.0.1:0"}, nil)
	for _, e := range busyFirm(500) {
		if _, err := bus.pub.PublishLog(b.Context(), e.Kind, e.ID, e.Name, e.Data); err != nil {
			b.Fatal(err)
		}
	}
	bus.ready(Options{})
	nc, err := nats.Connect(bus.srv.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	for name, request := range map[string]struct{ subject, body string }{
		"subscribe": {cmdSubscribe, `{"types":["metrics"]}`}, "refresh": {cmdRefresh, `{}`}, "hello": {"hello.dashboard", ``},
	} {
		b.Run(name, func(b *testing.B) {
			var mu sync.Mutex
			var took []time.Duration
			var asked sync.WaitGroup
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			n := 0
			for b.Loop() {
				<-tick.C
				n++
				caller := subjects.Caller{User: fmt.Sprintf("u%d", n%5), Socket: fmt.Sprintf("s%d", n), Scope: "case:7"}
				asked.Go(func() {
					start := time.Now()
					if _, err := subjects.Request(b.Context(), nc, request.subject, caller, []byte(request.body)); err != nil {
						b.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					took = append(took, time.Since(start))
				})
			}
			asked.Wait()
			slices.Sort(took)
			for name, part := range map[string]float64{"p50-ms": 0.5, "p99-ms": 0.99} {
				b.ReportMetric(float64(took[int(part*float64(len(took)-1))].Microseconds())/1e3, name)
			}
		})
	}
}

// BenchmarkPush is from the ack of a publish to the arrival of the case's numbers, after quiet.
func BenchmarkPush(b *testing.B) {
	bus := startBus(b, natsd.Options{}, nil)
	o := Options{Interval: time.Millisecond, LeaseTerm: 300 * time.Millisecond}
	bus.ready(o)
	arrived := make(chan time.Time, 16)
	sub, err := bus.nc.Subscribe("state.dashboard."+mustEscape(b, roomEveryStats)+".>", func(*nats.Msg) { arrived <- time.Now() })
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	bus.publish("case 7 case:created", `{}`)
	<-arrived
	var sum time.Duration
	for b.Loop() {
		<-time.After(3 * time.Millisecond) // quiet
		start := time.Now()
		bus.publish("case 7 memo:sent", `{}`)
		sum += (<-arrived).Sub(start)
	}
	b.ReportMetric(float64(sum.Microseconds())/1e3/float64(b.N), "ms")
}

func mustEscape(b *testing.B, id string) string {
	b.Helper()
	token, err := subjects.Escape(id)
	if err != nil {
		b.Fatal(err)
	}
	return token
}

// BenchmarkCatchUp starts a replica without a snapshot on a log of 100,000 events.
func BenchmarkCatchUp(b *testing.B) {
	bus := startBus(b, natsd.Options{}, nil)
	for _, e := range busyFirm(10_000) {
		subject, err := subjects.Log.Subject(e.Kind, e.ID, e.Name)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := bus.js.PublishAsync(subject, e.Data); err != nil {
			b.Fatal(err)
		}
	}
	<-bus.js.PublishAsyncComplete()
	for b.Loop() {
		_, stop := bus.ready(Options{LeaseTerm: time.Hour, SnapshotEvery: time.Hour})
		stop()
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
