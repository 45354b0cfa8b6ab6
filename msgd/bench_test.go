package msgd

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// fill logs n messages as append would, but without waiting for each.
func (f *fixture) fill(conv string, n int, senders ...string) {
	f.t.Helper()
	js, err := jetstream.New(f.nc, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		f.t.Fatal(err)
	}
	p := position{ms: time.Now().UnixMilli()}
	subject := eventSubject(conv, subjects.MessageNew.Name())
	for i := range n {
		p = p.next(time.Now())
		id := newMessageID(p)
		m := subjects.MessageEvent{
			ID: id, ConversationID: conv, Content: fmt.Sprintf("message %d, of the length that people write", p.number),
			SenderID: senders[i%len(senders)], Attachments: subjects.List[string]{}, CreatedAt: subjects.At(time.UnixMilli(p.ms)),
		}
		msg := &nats.Msg{Subject: subject, Header: nats.Header{subjects.HeaderMsgID: {id}}, Data: mustJSON(m)}
		if _, err := js.PublishMsgAsync(msg); err != nil {
			f.t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
}

// percentile reports a share of measured times, in milliseconds.
func percentile(times []time.Duration, share float64) float64 {
	slices.Sort(times)
	return float64(times[min(int(float64(len(times))*share), len(times)-1)].Microseconds()) / 1000
}

// BenchmarkHistory pages through a conversation of 100,000 messages at random places (issue: p99 of a
// page of 50 below 20 ms).
func BenchmarkHistory(b *testing.B) {
	const messages = 100_000
	f := newFixture(b)
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	f.fill(conv, messages, "ann", "bob")
	f.indexed()
	for name, where := range map[string]func() string{
		"anywhere": func() string { return newMessageID(position{number: 51 + rand.Int64N(messages-51)}) },
		"newest":   func() string { return "" },
	} {
		b.Run(name, func(b *testing.B) {
			times := make([]time.Duration, 0, b.N)
			for b.Loop() {
				start := time.Now()
				page := call(f, subjects.MessageHistory, "bob", subjects.MessageHistoryRequest{ConversationID: conv, Before: where(), Limit: 50})
				times = append(times, time.Since(start))
				if len(page.Messages) != 50 {
					b.Fatalf("a page of %d", len(page.Messages))
				}
			}
			b.ReportMetric(percentile(times, .50), "p50-ms")
			b.ReportMetric(percentile(times, .99), "p99-ms")
		})
	}
}

// BenchmarkSend measures a send from the request to the ack: one sender, and many in conversations of
// their own.
func BenchmarkSend(b *testing.B) {
	f := newFixture(b)
	f.start(Options{})
	b.Run("one", func(b *testing.B) {
		conv := f.conversation("ann", "bob")
		times := make([]time.Duration, 0, b.N)
		for i := 0; b.Loop(); i++ {
			start := time.Now()
			call(f, subjects.MessageSend, "ann", subjects.MessageSendRequest{ConversationID: conv, Content: "hello", ClientID: fmt.Sprint(i)})
			times = append(times, time.Since(start))
		}
		b.ReportMetric(percentile(times, .50), "p50-ms")
		b.ReportMetric(percentile(times, .99), "p99-ms")
	})
	b.Run("parallel", func(b *testing.B) {
		convs := make([]string, 64)
		for i := range convs {
			convs[i] = f.conversation("ann", "bob")
		}
		b.SetParallelism(16)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.Int(); pb.Next(); i++ {
				call(f, subjects.MessageSend, "ann", subjects.MessageSendRequest{ConversationID: convs[i%len(convs)], Content: "hello"})
			}
		})
	})
}

// BenchmarkUnread counts a conversation of which nothing was ever read, which is the dearest.
func BenchmarkUnread(b *testing.B) {
	f := newFixture(b)
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	f.fill(conv, 20_000, "ann", "cyd")
	f.indexed()
	for b.Loop() {
		page := call(f, subjects.ConversationList, "ann", subjects.ConversationListRequest{})
		if page.UnreadCount != 10_000 {
			b.Fatalf("%d unread", page.UnreadCount)
		}
	}
}

// BenchmarkHello answers a fresh socket of a user in 100 conversations.
func BenchmarkHello(b *testing.B) {
	f := newFixture(b)
	f.start(Options{})
	for range 100 {
		f.conversation("ann", "bob")
	}
	for b.Loop() {
		if _, err := f.raw(subjects.HelloSubject(subjects.NamespaceMessaging), "ann", nil); err != nil {
			b.Fatal(err)
		}
	}
}
