package notifyd

import (
	"fmt"
	"log/slog"
	"runtime"
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
