package dashboardd

import "time"

// coalescer decides when something may be pushed: at once after a quiet interval, otherwise when the
// interval since its last push is over; never twice within one. It is a function of the times given to
// it and not safe for concurrent use.
type coalescer struct {
	every time.Duration
	due   map[push]time.Time // waiting, and from when on it may go
	last  map[push]time.Time // pushed less than an interval ago
	swept time.Time
}

// push is one gauge or feed of one scope.
type push struct {
	what  string // a dashboard type
	about string // a scope of metrics, or a book's key
}

func newCoalescer(every time.Duration) *coalescer {
	return &coalescer{every: every, due: make(map[push]time.Time), last: make(map[push]time.Time)}
}

// mark says that p has changed.
func (c *coalescer) mark(p push, now time.Time) {
	if _, waits := c.due[p]; waits {
		return
	}
	at := now
	if last, ok := c.last[p]; ok && last.Add(c.every).After(now) {
		at = last.Add(c.every)
	}
	c.due[p] = at
}

// take returns what may go now, and holds it to have gone.
func (c *coalescer) take(now time.Time) []push {
	var ready []push
	for p, at := range c.due {
		if !at.After(now) {
			ready = append(ready, p)
			delete(c.due, p)
			c.last[p] = now
		}
	}
	if now.Sub(c.swept) >= c.every {
		c.swept = now
		for p, at := range c.last {
			if now.Sub(at) >= c.every {
				delete(c.last, p)
			}
		}
	}
	return ready
}

// next returns when something waiting may go; false when nothing waits.
func (c *coalescer) next() (at time.Time, ok bool) {
	for _, due := range c.due {
		if !ok || due.Before(at) {
			at, ok = due, true
		}
	}
	return at, ok
}
