package notifyd

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// left is a record as a process leaves it that is killed right after storing it: two
// notifications and one mark, nothing announced.
func left(t *testing.T, b *bus) (*store, *outbox, *record) {
	t.Helper()
	s, err := openStore(b.ctx(), b.js, subjects.BucketNotifications)
	if err != nil {
		t.Fatal(err)
	}
	log, err := b.js.Stream(b.ctx(), subjects.StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	r := newRecord("u", "u")
	for i := range 3 {
		r.add(cause{name: uint64(i + 1)}, fmt.Appendf(nil, `{"title":"%d","type":"a"}`, i), false, 500)
	}
	if err := r.mark(r.id(1), true, noon); err != nil {
		t.Fatal(err)
	}
	r.seal()
	if err := s.save(b.ctx(), r); err != nil {
		t.Fatal(err)
	}
	return s, &outbox{pub: subjects.NewPublisher(b.nc, b.js), js: b.js, log: log}, r
}

const leftEvents = "new new new read 2"

// forget waits until the log has forgotten the message ids it knows.
func forget(window time.Duration) {
	// The log looks by the clock, and a little later than that.
	<-time.After(window + 300*time.Millisecond)
}

// TestWhateverAKilledProcessHadAnnounced stops between any two events, and starts
// again after the log has forgotten their ids.
func TestWhateverAKilledProcessHadAnnounced(t *testing.T) {
	const window = 200 * time.Millisecond
	for done := range 6 {
		t.Run(fmt.Sprint(done, " events"), func(t *testing.T) {
			b := startBus(t, natsd.Options{}, window)
			_, out, r := left(t, b)
			for i := range done {
				if err := out.announce(b.ctx(), r, i); err != nil {
					t.Fatal(err)
				}
			}
			forget(window)
			s, _ := b.run(Options{SweepEvery: 50 * time.Millisecond})
			b.until("it is announced and says so", func() bool {
				now, err := s.store.load(b.ctx(), "u", "u", true)
				return err == nil && !now.pending()
			})
			if got := names(b.log("u")); got != leftEvents {
				t.Errorf("the log says %q, want %q", got, leftEvents)
			}
			checkFold(t, b, map[string]int{"u": 2})
			if n := b.hello("u"); n != 2 {
				t.Errorf("%d unread", n)
			}
		})
	}
}

// TestAProcessThatSleptForHours has a record in hand that others have finished and
// changed since.
func TestAProcessThatSleptForHours(t *testing.T) {
	const window = 100 * time.Millisecond
	b := startBus(t, natsd.Options{}, window)
	store, out, slept := left(t, b)
	if err := out.announce(b.ctx(), slept, 0); err != nil {
		t.Fatal(err)
	}
	slept.sent++ // it falls asleep in the middle of flush
	awake, err := store.load(b.ctx(), "u", "u", true)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := out.flush(b.ctx(), awake); err != nil {
			t.Fatal(err)
		}
		awake.announced()
		awake.add(cause{}, []byte(`{"title":"later","type":"a"}`), false, 500)
		awake.seal()
		if err := store.save(b.ctx(), awake); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.flush(b.ctx(), awake); err != nil {
		t.Fatal(err)
	}
	const want = leftEvents + " new 3 new 4 new 5"
	forget(window)
	if err := out.flush(b.ctx(), slept); err != nil {
		t.Fatal(err)
	}
	if got := names(b.log("u")); got != want {
		t.Errorf("the log says %q, want %q", got, want)
	}
	slept.announced()
	slept.add(cause{}, []byte(`{"title":"too late","type":"a"}`), false, 500)
	if err := store.save(b.ctx(), slept); !errors.Is(err, errConflict) {
		t.Errorf("it could store an old record: %v", err)
	}
}

// TestOthersWriteTheSameSubject: somebody publishes by hand what is ours.
func TestOthersWriteTheSameSubject(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	_, out, r := left(t, b)
	pub := subjects.NewPublisher(b.nc, b.js)
	for range 2 {
		if _, err := pub.PublishLog(b.ctx(), subjects.KindUser, "u", "notification:new", []byte(`{"id":"x"}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.flush(b.ctx(), r); err != nil {
		t.Fatal(err)
	}
	if got, want := names(b.log("u")), "new new "+leftEvents; got != want {
		t.Errorf("the log says %q, want %q", got, want)
	}
}

// TestTheLogLosesItsPast as it does after three days.
func TestTheLogLosesItsPast(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	b.run(Options{})
	b.queue("notify.user.u", noticeJSON("a"), "")
	b.drained()
	log, err := b.js.Stream(b.ctx(), subjects.StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Purge(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.queue("notify.user.u", noticeJSON("b"), "")
	b.drained()
	if got := names(b.log("u")); got != "new 2" {
		t.Errorf("the log says %q", got)
	}
}
