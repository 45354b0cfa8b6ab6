package notifyd

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// BenchmarkStoredAndPushed is from the queue to the log on one core, NATS included:
// each notification is stored and announced with its count. The queue is filled
// first; every operation is one notification.
func BenchmarkStoredAndPushed(b *testing.B) {
	for _, users := range []int{1, 100, 10000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) { benchPush(b, users, 0) })
	}
	// Nobody gets two at a time, and everybody has as many as are kept.
	b.Run("users=2000/kept=500", func(b *testing.B) { benchPush(b, 2000, 500) })
}

func benchPush(b *testing.B, users, kept int) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	bus := startBus(b, natsd.Options{}, 0)
	prefill(b, bus, users, kept)
	fill(b, bus, users)
	stream, err := bus.js.Stream(b.Context(), subjects.StreamNotify)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	cpu := cpuTime()
	_, stop := bus.run(Options{Logger: slog.New(slog.DiscardHandler)})
	for {
		info, err := stream.Info(bus.ctx())
		if err != nil {
			b.Fatal(err)
		}
		if info.State.Msgs == 0 {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	stop()
	b.StopTimer()
	spent := cpuTime() - cpu
	log, err := bus.js.Stream(b.Context(), subjects.StreamLog)
	if err != nil {
		b.Fatal(err)
	}
	info, err := log.Info(bus.ctx(), jetstream.WithSubjectFilter("lex.user.*.notification.new"))
	if err != nil {
		b.Fatal(err)
	}
	pushed := uint64(0)
	for _, n := range info.State.Subjects {
		pushed += n
	}
	if pushed != uint64(b.N) {
		b.Fatalf("%d of %d were pushed", pushed, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "notifications/s")
	b.ReportMetric(float64(b.N)/spent.Seconds(), "notifications/cpu-s")
}

// prefill gives every user a record with so many notifications, half of them read.
func prefill(b *testing.B, bus *bus, users, kept int) {
	b.Helper()
	if kept == 0 {
		return
	}
	s, err := openStore(b.Context(), bus.js, subjects.BucketNotifications)
	if err != nil {
		b.Fatal(err)
	}
	n, bad := decodeNotice(benchNotice)
	if bad != nil {
		b.Fatal(bad)
	}
	for u := range users {
		r := newRecord(fmt.Sprintf("u%d", u), fmt.Sprintf("u%d", u))
		for i := range kept {
			r.add(cause{name: uint64(i + 1)}, n.rest, true, kept)
			r.items[i].readAt = int64(i%2) * (1_700_000_000_000 + int64(i)*60_000)
			r.rev = 1 // or nothing would be cut
			page, data := r.cut()
			if page != 0 && u == 0 {
				if err := s.putPage(b.Context(), r.pageKey(page), data); err != nil {
					b.Fatal(err)
				}
			}
		}
		r.rev, r.counted = 0, false
		if err := s.save(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func decodeNotice(body []byte) (notice, *invalid) {
	_, n, bad := decode(body, time.Now(), maxNotice)
	return n, bad
}

var benchNotice = []byte(`{"type":"document_uploaded","title":"Brief uploaded","message":"Jane Doe has uploaded brief.pdf to Doe v. Roe","priority":"medium","metadata":{"documentId":"d-4711","caseId":"c-0815","fileName":"brief.pdf"},"actionUrl":"/cases/c-0815/documents/d-4711","relatedEntityId":"d-4711","relatedEntityType":"document"}`)

// fill puts b.N notices for so many users in turn into the queue.
func fill(b *testing.B, bus *bus, users int) {
	b.Helper()
	for i := range b.N {
		if _, err := bus.js.PublishAsync(fmt.Sprintf("notify.user.u%d", i%users), benchNotice, jetstream.WithMsgID(fmt.Sprint(i))); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 999 {
			<-bus.js.PublishAsyncComplete()
		}
	}
	<-bus.js.PublishAsyncComplete()
}

// BenchmarkCommand marks one notification read and unread, over NATS inside the
// process, at 1,000 commands a second: about what an edge sees of the service.
func BenchmarkCommand(b *testing.B) {
	bus := startBus(b, natsd.Options{}, 0)
	bus.run(Options{Logger: slog.New(slog.DiscardHandler)})
	const users = 100
	bodies := make([]string, users)
	for u := range users {
		bus.queue(fmt.Sprintf("notify.user.u%d", u), benchNotice, "")
	}
	bus.drained()
	for u := range users {
		all, _ := bus.list(fmt.Sprintf("u%d", u), false)
		bodies[u] = fmt.Sprintf(`{"notificationId":%q}`, all[0].ID)
	}
	commands := []string{subjects.NotificationMarkRead.Subject(), subjects.NotificationMarkUnread.Subject()}
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	b.ResetTimer()
	for i := range b.N {
		<-tick.C
		wg.Go(func() {
			u := i % users
			start := time.Now()
			_, err := subjects.Request(b.Context(), bus.nc, commands[i/users%2], subjects.Caller{User: fmt.Sprintf("u%d", u)}, []byte(bodies[u]))
			if err != nil {
				b.Error(err)
			}
			took[i] = time.Since(start)
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(took[b.N/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(took[b.N*99/100].Seconds()*1000, "p99-ms")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
}

// BenchmarkCaseEvents reads events of cases that nobody follows, and of cases that
// somebody does, on one core, NATS included.
func BenchmarkCaseEvents(b *testing.B) {
	for _, followed := range []bool{false, true} {
		b.Run(fmt.Sprintf("followed=%t", followed), func(b *testing.B) { benchCases(b, followed) })
	}
}

func benchCases(b *testing.B, followed bool) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const cases = 100
	bus := startBus(b, natsd.Options{}, 0)
	quiet := slog.New(slog.DiscardHandler)
	_, stop := bus.run(Options{Logger: quiet, OpenCases: true})
	if followed {
		for i := range cases {
			bus.must("u", subjects.NotificationFollow.Name(), fmt.Sprintf(`{"caseId":"c%d"}`, i))
		}
	}
	stop()
	for i := range b.N {
		if _, err := bus.js.PublishAsync(fmt.Sprintf("lex.case.c%d.document.uploaded", i%cases), []byte(`{"documentId":"d1","fileName":"a.pdf"}`)); err != nil {
			b.Fatal(err)
		}
	}
	<-bus.js.PublishAsyncComplete()
	consumer, err := bus.js.Consumer(bus.ctx(), subjects.StreamLog, durableCases)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	cpu := cpuTime()
	bus.run(Options{Logger: quiet, OpenCases: true})
	bus.until("all are read", func() bool {
		info, err := consumer.Info(bus.ctx())
		return err == nil && info.NumPending == 0 && info.NumAckPending == 0
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/(cpuTime()-cpu).Seconds(), "events/cpu-s")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkList reads pages of 50 of 500 that are kept, from the oldest end too.
func BenchmarkList(b *testing.B) {
	bus := startBus(b, natsd.Options{}, 0)
	bus.run(Options{Logger: slog.New(slog.DiscardHandler)})
	for range 500 {
		bus.queue("notify.user.u", benchNotice, "")
	}
	bus.drained()
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for i := range b.N {
		start := time.Now()
		body := fmt.Appendf(nil, `{"limit":50,"cursor":"%d"}`, 60+i*37%440)
		if _, err := subjects.Request(b.Context(), bus.nc, subjects.NotificationList.Subject(), subjects.Caller{User: "u"}, body); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(start)
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(took[b.N*99/100].Seconds()*1000, "p99-ms")
}
