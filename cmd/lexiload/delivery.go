package main

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"time"
)

// A payload is {"lexiload":[run,room's counter,nanoseconds since the run began],"pad":"…"}.
const (
	marker     = `{"lexiload":[`
	minPayload = 96 // marker, three long numbers and an empty pad
)

// appendPayload makes a payload of exactly size bytes, size being minPayload at least.
func appendPayload(dst []byte, size int, run, counter uint64, at time.Duration) []byte {
	start := len(dst)
	dst = append(dst, marker...)
	dst = strconv.AppendUint(dst, run, 10)
	dst = strconv.AppendUint(append(dst, ','), counter, 10)
	dst = strconv.AppendInt(append(dst, ','), int64(at), 10)
	dst = append(dst, `],"pad":"`...)
	for len(dst)-start < size-2 {
		dst = append(dst, 'x')
	}
	return append(dst, `"}`...)
}

// parsePayload finds the numbers in a packet by bytes alone: decoding JSON would cost more than the
// delivery that it measures.
func parsePayload(packet []byte) (run, counter uint64, at time.Duration, ok bool) {
	_, rest, found := bytes.Cut(packet, []byte(marker))
	if !found {
		return 0, 0, 0, false
	}
	var numbers [3]uint64
	for n := range numbers {
		k := 0
		for k < len(rest) && rest[k] >= '0' && rest[k] <= '9' {
			numbers[n] = numbers[n]*10 + uint64(rest[k]-'0')
			k++
		}
		if k == 0 || k == len(rest) {
			return 0, 0, 0, false
		}
		rest = rest[k+1:]
	}
	return numbers[0], numbers[1], time.Duration(numbers[2]), true
}

// room is what the members of one case have in common.
type room struct {
	name    string
	members atomic.Int64
	counter uint64 // of the last event; owned by the publisher

	// With --burst: for how many members each event in flight is still on its way. The place of an event is
	// its counter modulo the size, which is beyond what can be in flight.
	missing []atomic.Int64
}

const maxInflight = 256

// deliver sees each packet on the member's reader, and takes those that are of a run.
func (m *member) deliver(packet []byte) bool {
	if m.live != nil {
		m.remember(packet)
	}
	run, counter, at, ok := parsePayload(packet)
	if !ok {
		return false
	}
	if run != m.load.id {
		m.shard.foreign.Add(1)
		return true
	}
	now := time.Since(m.load.start)
	switch m.window.see(counter) {
	case repeated:
		m.shard.duplicates.Add(1)
		return true
	case late:
		m.shard.disorder.Add(1)
	}
	m.shard.latency.record(now - at)
	m.shard.unique.Add(1)
	m.shard.last.Store(int64(now))
	if m.load.slots != nil && m.room.missing[counter%uint64(len(m.room.missing))].Add(-1) == 0 {
		m.load.release()
	}
	return true
}

// release gives back the place of an event that has arrived everywhere. A place that was given up already,
// because its event seemed lost, is not there to be given back.
func (l *load) release() {
	select {
	case <-l.slots:
	default:
	}
}

// window remembers which of the last 64 counters were seen.
type window struct {
	last uint64
	seen uint64 // bit i: counter last-i
}

type arrival uint8

const (
	inOrder arrival = iota
	late
	repeated
)

// see notes a counter. One that is too old to remember counts as repeated.
func (w *window) see(counter uint64) arrival {
	if counter > w.last {
		w.seen = w.seen<<(counter-w.last) | 1
		w.last = counter
		return inOrder
	}
	age := w.last - counter
	if age >= 64 || w.seen&(1<<age) != 0 {
		return repeated
	}
	w.seen |= 1 << age
	return late
}
