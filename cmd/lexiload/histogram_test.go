package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramBuckets(t *testing.T) {
	last := -1
	for v := range int64(1 << 20) {
		b := bucketOf(v)
		if b != last && b != last+1 {
			t.Fatalf("value %d is in bucket %d, the one before in %d", v, b, last)
		}
		if v > upperBound(b) || (b > 0 && v <= upperBound(b-1)) {
			t.Fatalf("value %d is in bucket %d, which ends at %d", v, b, upperBound(b))
		}
		last = b
	}
	for _, v := range []int64{1<<maxExponent - 1, 1 << maxExponent, math.MaxInt64} {
		if b := bucketOf(v); b != bucketCount-1 {
			t.Errorf("value %d is in bucket %d of %d", v, b, bucketCount)
		}
	}
	if b := bucketOf(-1); b != 0 {
		t.Errorf("a negative value is in bucket %d", b)
	}
}

func TestHistogramQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 10_000)
	var h, half histogram
	for i := range values {
		values[i] = math.Exp(r.NormFloat64()*2 + 13)
		if i%2 == 0 {
			h.record(time.Duration(values[i]))
		} else {
			half.record(time.Duration(values[i]))
		}
	}
	h.add(&half)
	slices.Sort(values)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999} {
		exact := values[int(math.Ceil(q*float64(len(values))))-1]
		if got := float64(h.quantile(q)); got < exact-1 || got > exact*1.032 {
			t.Errorf("quantile %v is %.0f, exactly %.0f", q, got, exact)
		}
	}
	if got := h.quantile(1); got != time.Duration(values[len(values)-1]) {
		t.Errorf("the largest is %d, want %.0f", got, values[len(values)-1])
	}
}

func TestHistogramOfFew(t *testing.T) {
	var h histogram
	if h.quantile(0.5) != 0 || h.summary() != (latency{}) {
		t.Error("an empty histogram has values")
	}
	h.record(3 * time.Millisecond)
	if s := h.summary(); s.P50 != 3 || s.P99 != 3 || s.Max != 3 {
		t.Errorf("one value: %+v", s)
	}
}
