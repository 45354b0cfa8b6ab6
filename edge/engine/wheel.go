package engine

import (
	"math"
	"math/bits"
	"sync"
	"time"
)

// wheelSlots times the tick is how far the wheel sees; a later deadline is looked at again then.
const wheelSlots = 4096

// expirer is what a timer belongs to. expire acts on what is due at now and returns when to look
// again, 0 for never. It is called without the wheel's lock, and may be called early or in vain:
// the owner knows its deadlines, the wheel only remembers when to ask.
type expirer interface{ expire(now int64) (next int64) }

// timer is one owner's place in a wheel. Its fields belong to the wheel.
type timer struct {
	next, prev *timer
	owner      expirer
	at         int64
	slot       int16
	linked     bool
	dead       bool
}

// wheel is a timing wheel: O(1) to set and to stop, one goroutine for all timers, asleep until the
// next occupied slot. Times are nanoseconds on the engine's clock. A deadline is met at most one tick
// late.
type wheel struct {
	// Static.
	tick  int64
	clock func() int64
	wake  chan struct{}
	stop  chan struct{}

	mu       sync.Mutex
	slots    [wheelSlots]*timer
	occupied [wheelSlots / 64]uint64
	done     int64 // ticks whose slots have been emptied
	sleeping int64 // asleep until this time; 0 = awake
}

// newWheel makes a wheel for deadlines that may be as short as shortest. run must be started.
func newWheel(shortest time.Duration, clock func() int64) *wheel {
	tick := min(max(shortest/100, time.Millisecond), 5*time.Millisecond)
	w := &wheel{tick: int64(tick), clock: clock, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	w.done = clock() / w.tick
	return w
}

// schedule asks for owner to be called at at; if t is set for an earlier time already, it stays so.
// Any goroutine may call it, also with the owner's lock held.
func (w *wheel) schedule(t *timer, owner expirer, at int64) {
	w.mu.Lock()
	if t.dead || t.linked && t.at <= at {
		w.mu.Unlock()
		return
	}
	if t.owner == nil { // never changed later: run reads it without the lock
		t.owner = owner
	}
	w.unlink(t)
	w.link(t, at)
	early := at < w.sleeping
	w.mu.Unlock()
	if early {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// cancel takes t out for good.
func (w *wheel) cancel(t *timer) {
	w.mu.Lock()
	w.unlink(t)
	t.dead = true
	w.mu.Unlock()
}

func (w *wheel) link(t *timer, at int64) {
	due := (at + w.tick - 1) / w.tick
	due = min(max(due, w.done+1), w.done+wheelSlots-1)
	t.at, t.slot, t.linked = at, int16(due%wheelSlots), true
	head := &w.slots[t.slot]
	t.next, t.prev = *head, nil
	if t.next != nil {
		t.next.prev = t
	}
	*head = t
	w.occupied[t.slot/64] |= 1 << (t.slot % 64)
}

func (w *wheel) unlink(t *timer) {
	if !t.linked {
		return
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.slot] = t.next
		if t.next == nil {
			w.occupied[t.slot/64] &^= 1 << (t.slot % 64)
		}
	}
	t.next, t.prev, t.linked = nil, nil, false
}

// collect takes out and appends to due every timer whose time has come.
func (w *wheel) collect(now int64, due []*timer) []*timer {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sleeping = 0
	upto := now / w.tick
	from := max(w.done+1, upto-wheelSlots+1)
	w.done = max(w.done, upto)
	for i := from; i <= upto; i++ {
		for t := w.slots[i%wheelSlots]; t != nil; {
			next := t.next
			w.unlink(t)
			if t.at > now { // it lay beyond the horizon
				w.link(t, t.at)
			} else {
				due = append(due, t)
			}
			t = next
		}
	}
	return due
}

// untilNext notes that the wheel sleeps, and returns for how long: until the next occupied slot.
func (w *wheel) untilNext() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sleeping = math.MaxInt64
	first := int((w.done + 1) % wheelSlots)
	for i := 0; i <= len(w.occupied); i++ {
		word := (first/64 + i) % len(w.occupied)
		bitmap := w.occupied[word]
		if i == 0 {
			bitmap &= ^uint64(0) << (first % 64)
		}
		if bitmap == 0 {
			continue
		}
		slot := word*64 + bits.TrailingZeros64(bitmap)
		ahead := (slot - first + wheelSlots) % wheelSlots
		w.sleeping = (w.done + 1 + int64(ahead)) * w.tick
		break
	}
	if w.sleeping == math.MaxInt64 {
		return time.Hour
	}
	return time.Duration(max(w.sleeping-w.clock(), 0))
}

// run fires timers until stop is closed.
func (w *wheel) run() {
	var due []*timer
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		now := w.clock()
		due = w.collect(now, due[:0])
		for _, t := range due {
			if at := t.owner.expire(now); at > 0 {
				w.schedule(t, t.owner, at)
			}
		}
		clear(due)
		alarm.Reset(w.untilNext())
		select {
		case <-alarm.C:
		case <-w.wake:
		case <-w.stop:
			return
		}
	}
}
