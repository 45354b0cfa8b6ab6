package edge

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// throttle slows down addresses that keep sending bad tokens (contract 8, B31). Only failures count:
// an office whose hundreds of browsers share one address is not slowed down by its size.
type throttle struct {
	perMinute int

	mu sync.Mutex
	// Guarded by mu.
	addresses map[string]*rate.Limiter
	swept     time.Time
}

const throttleSweep = time.Minute

func newThrottle(perMinute int) *throttle {
	return &throttle{perMinute: perMinute, addresses: make(map[string]*rate.Limiter)}
}

// failed notes a refused token.
func (t *throttle) failed(address string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	l := t.addresses[address]
	if l == nil {
		l = perMinute(t.perMinute)
		t.addresses[address] = l
	}
	l.AllowN(now, 1)
}

// blocked reports whether an address has used up its failures, and for how long.
func (t *throttle) blocked(address string, now time.Time) (wait time.Duration, blocked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.addresses[address]
	if l == nil {
		return 0, false
	}
	missing := 1 - l.TokensAt(now)
	if missing <= 0 {
		return 0, false
	}
	return time.Duration(missing / float64(l.Limit()) * float64(time.Second)), true
}

// sweep forgets addresses that have behaved for long enough to have all their tokens back; needs mu.
func (t *throttle) sweep(now time.Time) {
	if now.Sub(t.swept) < throttleSweep {
		return
	}
	t.swept = now
	for address, l := range t.addresses {
		if l.TokensAt(now) >= float64(l.Burst()) {
			delete(t.addresses, address)
		}
	}
}
