package dashboardd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// A replica that was stopped between looking and publishing, for longer than the log remembers
// Msg-Ids, is refused by the log.
func TestStaleAnnouncementIsRefused(t *testing.T) {
	b := startBus(t, natsd.Options{}, &jetstream.StreamConfig{
		Name: subjects.StreamLog, Subjects: []string{subjects.AllLog}, AllowDirect: true, Duplicates: 100 * time.Millisecond,
	})
	kv, err := b.js.KeyValue(t.Context(), subjects.BucketDashboard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(t.Context(), keyLease, []byte(`{"holder":"somebody"}`)); err != nil {
		t.Fatal(err)
	}
	o := quick()
	o.LeaseTerm = time.Hour // it pushes nothing by itself
	s, _ := b.ready(o)
	folded := func(seq uint64) {
		b.eventually("folded", func() error {
			if at := s.seq(); at < seq {
				return fmt.Errorf("at %d", at)
			}
			return nil
		})
	}
	folded(b.publish("case 7 case:created", `{}`))
	stale, ok := s.due("case.7")
	if !ok {
		t.Fatal("nothing is due")
	}
	if n, ok := s.announce(t.Context(), "case.7"); n != 1 || !ok {
		t.Fatalf("announced %d, %v", n, ok)
	}
	<-time.After(300 * time.Millisecond) // the log's own clock
	if s.announceRoom(t.Context(), stale) {
		t.Fatal("the log took it twice")
	}
	// A wall that went up in between.
	folded(b.publish("case 7 memo:sent", `{}`))
	if stale, ok = s.due("case.7"); !ok {
		t.Fatal("nothing is due")
	}
	b.publish("case 7 access:changed", `{"allow":[],"deny":["u1"],"revision":1}`)
	if s.announceEvery(t.Context(), stale) {
		t.Fatal("the log took it without the wall")
	}
	coverage(t, b)
}

// The log forgets what is old; the compare-and-set then names what the log still has.
func TestAnnouncesAfterTheLogHasForgotten(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	s, _ := b.ready(quick())
	told := func(n uint64) {
		b.eventually("announced", func() error {
			s.mu.RLock()
			defer s.mu.RUnlock()
			b := s.tally.books["case.7"]
			if b == nil || b.Feed.Told != n || b.Feed.ToldAll != n {
				return errors.New("not yet")
			}
			return nil
		})
	}
	b.publish("case 7 access:changed", `{"allow":[],"deny":[],"revision":1}`)
	b.publish("case 7 case:created", `{}`)
	told(1)
	stream, err := b.js.Stream(t.Context(), subjects.StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.publish("case 7 memo:sent", `{}`)
	told(2)
}

// A wall that is too long for a header keeps the event from everybody whom it might concern.
func TestWallTooLongForAHeader(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.ready(quick())
	b.publish("case 7 access:changed", `{"allow":["u1"],"deny":[`+strings.ReplaceAll(numbered(6000), "user", "a-long-name-of-a-user-")+`],"revision":1}`)
	b.publish("case 7 case:created", `{}`)
	b.eventually("the case's own room is told", func() error {
		told := coverage(t, b)
		if told[everyRoom] != 0 {
			t.Fatal("the viewers of all cases are told without the wall")
		}
		if told["case.7"] != 1 {
			return errors.New("not yet")
		}
		return nil
	})
}

func TestExceptNamesUsers(t *testing.T) {
	b := &book{id: "7", Access: access{Deny: []string{"a@b", "c"}, Former: map[string]int64{"f": 1, "scoped": 1}}}
	known := newViewers(nil, time.Now, false)
	known.note(viewer{User: "scoped", Cases: []string{"7"}}, time.Now())
	if got, want := b.walls(known), (walls{room: "user.a=40b,user.c,user.f", every: "user.a=40b,user.c"}); got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
}
