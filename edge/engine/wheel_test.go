package engine

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// dueAt is an expirer that notes when it fired.
type dueAt struct {
	timer
	at, fired int64
	times     int
}

func (d *dueAt) expire(now int64) int64 {
	if now < d.at {
		return d.at
	}
	d.fired, d.times = now, d.times+1
	return 0
}

// turn moves a wheel's time forward by hand.
func turn(w *wheel, clock *atomic.Int64, now int64) {
	clock.Store(now)
	for _, t := range w.collect(now, nil) {
		if at := t.owner.expire(now); at > 0 {
			w.schedule(t, t.owner, at)
		}
	}
}

// However far away a deadline is and however time passes, it is met within one tick and once.
func TestWheelMeetsDeadlines(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var clock atomic.Int64
	clock.Store(12345)
	w := newWheel(time.Second, clock.Load)
	var all []*dueAt
	for now := clock.Load(); now < int64(200*time.Second); {
		if now < int64(100*time.Second) {
			d := &dueAt{at: now + random.Int64N(int64(60*time.Second))}
			w.schedule(&d.timer, d, d.at)
			if random.IntN(4) == 0 { // sooner
				d.at = now + (d.at-now)/2
				w.schedule(&d.timer, d, d.at)
			}
			all = append(all, d)
		}
		step := int64(w.untilNext())
		if random.IntN(3) == 0 {
			step = min(step, random.Int64N(int64(time.Second)))
		}
		if step > int64(time.Minute) {
			break // nothing is set
		}
		now += max(step, 1)
		turn(w, &clock, now)
	}
	for _, d := range all {
		if late := d.fired - d.at; d.times != 1 || late < 0 || late > w.tick+1 {
			t.Fatalf("deadline %v fired %d times, %v late; tick %v", time.Duration(d.at), d.times, time.Duration(late), time.Duration(w.tick))
		}
	}
}

// After a long stop everything that was due fires at once.
func TestWheelCatchesUp(t *testing.T) {
	var clock atomic.Int64
	w := newWheel(time.Second, clock.Load)
	var all []*dueAt
	for i := range 100 {
		d := &dueAt{at: int64(i) * int64(time.Second)}
		w.schedule(&d.timer, d, d.at)
		all = append(all, d)
	}
	turn(w, &clock, int64(50*time.Second))
	for i, d := range all {
		if fired := i <= 50; fired != (d.times == 1) {
			t.Errorf("deadline at %d s fired %d times", i, d.times)
		}
	}
}

func TestWheelCancel(t *testing.T) {
	var clock atomic.Int64
	w := newWheel(time.Second, clock.Load)
	a, b, c := &dueAt{at: 1e9}, &dueAt{at: 1e9}, &dueAt{at: 1e9}
	for _, d := range []*dueAt{a, b, c} {
		w.schedule(&d.timer, d, d.at)
	}
	w.cancel(&b.timer)
	w.schedule(&b.timer, b, b.at) // stays cancelled
	turn(w, &clock, 2e9)
	if a.times != 1 || b.times != 0 || c.times != 1 {
		t.Errorf("fired %d %d %d times", a.times, b.times, c.times)
	}
	if got := w.untilNext(); got != time.Hour {
		t.Errorf("an empty wheel wakes after %v", got)
	}
}

// The running wheel wakes for a deadline that is set while it sleeps.
func TestWheelRuns(t *testing.T) {
	start := time.Now()
	w := newWheel(100*time.Millisecond, func() int64 { return int64(time.Since(start)) })
	done := make(chan struct{})
	go func() { w.run(); close(done) }()
	fired := make(chan int64, 1)
	d := &announcer{fired: fired}
	at := int64(time.Since(start)) + int64(30*time.Millisecond)
	w.schedule(&d.timer, d, at)
	if late := wait(t, fired, "alarm") - at; late < 0 || late > int64(slack) {
		t.Errorf("%v late", time.Duration(late))
	}
	close(w.stop)
	<-done
}

type announcer struct {
	timer
	fired chan int64
}

func (a *announcer) expire(now int64) int64 { a.fired <- now; return 0 }
