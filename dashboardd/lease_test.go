package dashboardd

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

func TestLeaseHasOneHolder(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	kv, err := b.js.KeyValue(t.Context(), subjects.BucketDashboard)
	if err != nil {
		t.Fatal(err)
	}
	const term = 300 * time.Millisecond
	able := func() bool { return true }
	run := func() (l *lease, stop func()) {
		l = newLease(kv, term)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { l.run(ctx, able, func() {}); close(done) }()
		return l, func() { cancel(); <-done }
	}
	first, stopFirst := run()
	held := func(l *lease) func() error {
		return func() error {
			if !l.held() {
				return errors.New("not held")
			}
			return nil
		}
	}
	b.eventually("the first takes it", held(first))
	second, stopSecond := run()
	defer stopSecond()
	for range 20 {
		if first.held() && second.held() {
			t.Fatal("two holders")
		}
		<-time.After(term / 10)
	}
	if !first.held() {
		t.Fatal("lost without a reason")
	}
	stopFirst() // gives it up
	start := time.Now()
	b.eventually("the second takes it", held(second))
	if took := time.Since(start); took > term {
		t.Errorf("a lease given up is taken after %v", took)
	}
}

func TestLeaseOfTheDeadIsTaken(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	kv, err := b.js.KeyValue(t.Context(), subjects.BucketDashboard)
	if err != nil {
		t.Fatal(err)
	}
	dead, heir := newLease(kv, time.Minute), newLease(kv, time.Minute)
	dead.attempt(t.Context())
	heir.attempt(t.Context())
	if !dead.held() || heir.held() {
		t.Fatal("the first attempt does not win")
	}
	entry, err := kv.Get(t.Context(), keyLease)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		after time.Duration
		want  bool
	}{"within the term": {59 * time.Second, false}, "after it": {61 * time.Second, true}} {
		if got := heir.mayTake(entry, heir.seenAt.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	// Whoever wrote in between is alive.
	if _, err := kv.Update(t.Context(), keyLease, []byte(`{"holder":"x"}`), entry.Revision()); err != nil {
		t.Fatal(err)
	}
	if entry, err = kv.Get(t.Context(), keyLease); err != nil {
		t.Fatal(err)
	}
	if heir.mayTake(entry, heir.seenAt.Add(2*time.Minute)) {
		t.Error("taken from somebody who has just written")
	}
	if _, err := kv.Update(t.Context(), keyLease, []byte(`{}`), 1); !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		t.Errorf("no compare-and-set: %v", err)
	}
}
