package edge

import (
	"sync"
	"time"
)

// throttle slows down addresses that keep sending bad tokens (contract 8, B31). Only failures count:
// an office whose hundreds of browsers share one address is not slowed down by its size.
type throttle struct {
	perMinute int

	mu sync.Mutex
	// Guarded by mu.
	addresses map[string]*bucket
	swept     time.Time
}

const throttleSweep = time.Minute

func newThrottle(perMinute int) *throttle {
	return &throttle{perMinute: perMinute, addresses: make(map[string]*bucket)}
}

// failed notes a refused token.
func (t *throttle) failed(address string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	b := t.addresses[address]
	if b == nil {
		b = new(bucket)
		t.addresses[address] = b
	}
	b.take(t.perMinute, now)
}

// blocked reports whether an address has used up its failures, and for how long.
func (t *throttle) blocked(address string, now time.Time) (wait time.Duration, blocked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.addresses[address]
	if b == nil {
		return 0, false
	}
	wait = b.wait(t.perMinute, now)
	return wait, wait > 0
}

// sweep forgets addresses that have behaved for long enough to have all their tokens back; needs mu.
func (t *throttle) sweep(now time.Time) {
	if now.Sub(t.swept) < throttleSweep {
		return
	}
	t.swept = now
	for address, b := range t.addresses {
		if b.missing(t.perMinute, now) == 0 {
			delete(t.addresses, address)
		}
	}
}
