package main

import (
	"testing"
	"time"
)

func TestReportText(t *testing.T) {
	l := latency{0.123, 1.5, 20, 300}
	r := &report{Connections: &connectReport{Asked: 100, Opened: 90, Failed: map[string]int{"refused": 10}, Seconds: 2, Rate: 45, Latency: l}}
	before := sample{server: usage{known: true, cpu: time.Second, rss: 10 << 20}}
	after := sample{server: usage{known: true, cpu: 2 * time.Second, rss: 19 << 20, peak: 20 << 20}}
	idle := after
	idle.server.cpu += 900 * time.Microsecond
	r.Connections.measure(before, after, after, idle, time.Second)
	r.Events = &eventReport{Published: 10, PublishSeconds: 1, PublishRate: 10, Expected: 900, Delivered: 899, Lost: 1, Seconds: 1, DeliveryRate: 899, Latency: l}
	r.Events.measure(before, after)
	const want = `connections  90 of 100 in 2.0 s (45/s), 0 dropped by the server
  failed     10: refused
  latency    p50 0.123 ms, p90 1.5 ms, p99 20 ms, max 300 ms, from dial to joined
  server     11111 µs CPU per connect, 10.00 µs/s per connection idle; RSS 10.0 → 19.0 MiB: 102.40 KiB per connection, peak 20.0 MiB
events       10 in 1.00 s (10/s), 0 not confirmed
deliveries   899 of 900 in 1.00 s (899/s): 1 lost, 0 duplicates, 0 out of order, 0 of other runs
  latency    p50 0.123 ms, p90 1.5 ms, p99 20 ms, max 300 ms, from publish to delivery
  server     1112.35 µs CPU per delivery, 1.00 s in all; RSS 19.0 MiB, peak 20.0 MiB
`
	if got := r.text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if r.Complete() {
		t.Error("a loss is complete")
	}
}
