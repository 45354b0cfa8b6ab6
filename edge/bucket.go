package edge

import "time"

// bucket is a token bucket that holds a minute's worth: a burst after a pause passes, and over any
// boundary of minutes there are at most twice as many, refilling evenly (contract 8, B29). How many that
// is, its owner says with every call. The zero bucket is full.
//
// It is 16 bytes without a pointer, because every connection has three. It has no lock.
type bucket struct {
	used float64 // tokens that are missing at that time
	at   int64   // Unix ns
}

// take takes one token, or says how long until there is one.
func (b *bucket) take(perMinute int, now time.Time) (wait time.Duration, ok bool) {
	if wait := b.wait(perMinute, now); wait > 0 {
		return wait, false
	}
	b.used, b.at = b.missing(perMinute, now)+1, max(b.at, now.UnixNano())
	return 0, true
}

// wait is how long until there is a token; 0 when there is one.
func (b *bucket) wait(perMinute int, now time.Time) time.Duration {
	short := b.missing(perMinute, now) - float64(perMinute-1)
	if short <= 0 {
		return 0
	}
	return time.Duration(short / float64(perMinute) * float64(time.Minute))
}

// missing is what has been taken and has not flowed back; 0 in a full bucket. A clock that goes back gives
// nothing and takes nothing.
func (b *bucket) missing(perMinute int, now time.Time) float64 {
	passed := max(now.UnixNano()-b.at, 0)
	return max(b.used-float64(passed)/float64(time.Minute)*float64(perMinute), 0)
}
