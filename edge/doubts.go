package edge

import (
	"sync"
	"time"
)

// doubts are the CONNECTs and joins for which there is no place by what other edges said, but not for
// certain (shares.go). Each is tried again when an edge was heard and at every tick, in the order in
// which they were asked, until it is settled: within shareSilence there is no doubt left. There are at
// most as many as clients that have not been answered. Methods may be called concurrently.
type doubts struct {
	wake chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	waiting []doubt
}

// doubt is one of them. try runs on the goroutine of the talk and must not block.
type doubt struct {
	asked time.Time
	try   func(attempt) (settled bool)
}

func newDoubts() *doubts { return &doubts{wake: make(chan struct{}, 1)} }

func (d *doubts) add(asked time.Time, try func(attempt) (settled bool)) {
	d.mu.Lock()
	d.waiting = append(d.waiting, doubt{asked, try})
	d.mu.Unlock()
}

// whenSettled tries now, and as long as there is a doubt again; see doubts.
func (s *Server) whenSettled(try func(attempt) (settled bool)) {
	if now := time.Now(); !try(attempt{now, now}) {
		s.metrics.doubts.Inc()
		s.talk.doubts.add(now, try)
	}
}

// look asks for a retry when somebody waits for news.
func (d *doubts) look() {
	d.mu.Lock()
	n := len(d.waiting)
	d.mu.Unlock()
	if n == 0 {
		return
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// retry is called by one goroutine.
func (d *doubts) retry(now time.Time) {
	d.mu.Lock()
	waiting := d.waiting
	d.waiting = nil
	d.mu.Unlock()
	left := waiting[:0]
	for _, w := range waiting {
		if !w.try(attempt{w.asked, now}) {
			left = append(left, w)
		}
	}
	clear(waiting[len(left):])
	d.mu.Lock()
	d.waiting = append(left, d.waiting...)
	d.mu.Unlock()
}

func (d *doubts) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}
