package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets of constant relative width: 32 per power of two, so that a figure is
// at most 3.1 % off, in 9 KiB whatever is recorded. Values beyond 2^41 ns (36 min) count as that. Safe for
// concurrent use.
type histogram struct {
	buckets [bucketCount]atomic.Int64
	total   atomic.Int64
	highest atomic.Int64
}

const (
	subBits     = 5
	subBuckets  = 1 << subBits
	maxExponent = 41
	bucketCount = (maxExponent - subBits + 1) * subBuckets
)

// bucketOf: below 32 ns each value is its own bucket; beyond, the five bits behind the leading one choose.
func bucketOf(v int64) int {
	v = min(max(v, 0), 1<<maxExponent-1)
	shift := bits.Len64(uint64(v)) - 1 - subBits
	if shift <= 0 {
		return int(v)
	}
	return shift*subBuckets + int(v>>shift)
}

// upperBound is the largest value of a bucket.
func upperBound(bucket int) int64 {
	if bucket < 2*subBuckets {
		return int64(bucket)
	}
	shift := bucket/subBuckets - 1
	return int64(bucket-shift*subBuckets+1)<<shift - 1
}

func (h *histogram) record(d time.Duration) {
	h.buckets[bucketOf(int64(d))].Add(1)
	h.total.Add(1)
	for {
		highest := h.highest.Load()
		if int64(d) <= highest || h.highest.CompareAndSwap(highest, int64(d)) {
			return
		}
	}
}

// add adds what another histogram, no longer in use, has counted.
func (h *histogram) add(other *histogram) {
	for i := range other.buckets {
		h.buckets[i].Add(other.buckets[i].Load())
	}
	h.total.Add(other.total.Load())
	h.highest.Store(max(h.highest.Load(), other.highest.Load()))
}

// quantile returns an upper bound of the q-th part of all values; 0 when there are none.
func (h *histogram) quantile(q float64) time.Duration {
	total := h.total.Load()
	rank := int64(q * float64(total))
	if float64(rank) < q*float64(total) || rank == 0 {
		rank++
	}
	var below int64
	for i := range h.buckets {
		if below += h.buckets[i].Load(); below >= rank && below > 0 {
			return time.Duration(min(upperBound(i), h.highest.Load()))
		}
	}
	return 0
}

// latency is a summary in milliseconds, as the report shows it.
type latency struct {
	P50 float64 `json:"p50Ms"`
	P90 float64 `json:"p90Ms"`
	P99 float64 `json:"p99Ms"`
	Max float64 `json:"maxMs"`
}

func (h *histogram) summary() latency {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return latency{ms(h.quantile(0.5)), ms(h.quantile(0.9)), ms(h.quantile(0.99)), ms(time.Duration(h.highest.Load()))}
}
