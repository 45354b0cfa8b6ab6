package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// usage is what a process has used up to some moment.
type usage struct {
	known     bool
	cpu       time.Duration
	rss, peak int64 // bytes
}

// watch samples the processes that the figures are about.
type watch struct {
	server, nats int // 0: not watched
	err          error
}

type sample struct{ server, nats usage }

func newWatch(server, nats int) (*watch, error) {
	w := &watch{server: server, nats: nats}
	w.sample()
	return w, w.err
}

// sample remembers the first error; a process that ends in the middle makes the run fail at its end.
func (w *watch) sample() sample {
	read := func(pid int) usage {
		if pid == 0 {
			return usage{}
		}
		u, err := readUsage(pid)
		if w.err == nil {
			w.err = err
		}
		return u
	}
	return sample{read(w.server), read(w.nats)}
}

// report is all figures of a run, and its JSON.
type report struct {
	Connections *connectReport `json:"connections"`
	Events      *eventReport   `json:"events,omitempty"`
	Resume      *resumeReport  `json:"resume,omitempty"`
	Commands    *commandReport `json:"commands,omitempty"`
}

type connectReport struct {
	Asked   int            `json:"asked"`
	Opened  int            `json:"opened"`
	Dropped int            `json:"dropped"` // by the server, during the run
	Failed  map[string]int `json:"failed"`  // by reason
	Seconds float64        `json:"seconds"`
	Rate    float64        `json:"perSecond"`
	Latency latency        `json:"latency"` // from dial to joined

	Server *connectCost `json:"server,omitempty"`
}

// connectCost is what connections cost the server. Memory is that of the process, sockets' buffers in the
// kernel are not in it.
type connectCost struct {
	CPUPerConnect float64 `json:"cpuMicrosPerConnect"`
	RSSBefore     int64   `json:"rssBefore"` // bytes
	RSSAfter      int64   `json:"rssAfter"`  // bytes, after --settle
	RSSPeak       int64   `json:"rssPeak"`   // bytes
	RSSPer        float64 `json:"rssPerConnection"`
	IdlePer       float64 `json:"idleMicrosPerConnection"` // CPU a second over --idle
}

// measure takes samples from before the first connection, after the last, after --settle and after --idle.
func (r *connectReport) measure(before, ramped, settled, rested sample, idle time.Duration) {
	if !before.server.known || r.Opened == 0 {
		return
	}
	n := float64(r.Opened)
	r.Server = &connectCost{
		CPUPerConnect: micros(ramped.server.cpu-before.server.cpu) / n,
		RSSBefore:     before.server.rss, RSSAfter: settled.server.rss, RSSPeak: settled.server.peak,
		RSSPer: float64(settled.server.rss-before.server.rss) / n,
	}
	if idle > 0 {
		r.Server.IdlePer = micros(rested.server.cpu-settled.server.cpu) / idle.Seconds() / n
	}
}

type eventReport struct {
	Published      int     `json:"published"`
	PublishErrors  int     `json:"publishErrors"` // not confirmed by the log
	PublishSeconds float64 `json:"publishSeconds"`
	PublishRate    float64 `json:"publishPerSecond"`

	Expected     int64   `json:"expected"` // deliveries
	Delivered    int64   `json:"delivered"`
	Lost         int64   `json:"lost"`
	Duplicates   int64   `json:"duplicates"`
	OutOfOrder   int64   `json:"outOfOrder"`
	Foreign      int64   `json:"foreign"` // events of another run, not counted otherwise
	Seconds      float64 `json:"seconds"` // from the first publish to the last delivery
	DeliveryRate float64 `json:"deliveriesPerSecond"`
	Latency      latency `json:"latency"` // from publish to the client's reader

	Server *eventCost `json:"server,omitempty"`
	NATS   *eventCost `json:"nats,omitempty"`
}

type eventCost struct {
	CPUPerDelivery float64 `json:"cpuMicrosPerDelivery"`
	CPUSeconds     float64 `json:"cpuSeconds"`
	RSS            int64   `json:"rss"`     // bytes, at the end
	RSSPeak        int64   `json:"rssPeak"` // bytes
}

func (r *eventReport) measure(from, to sample) {
	cost := func(from, to usage) *eventCost {
		if !from.known || !to.known || r.Delivered == 0 {
			return nil
		}
		spent := to.cpu - from.cpu
		return &eventCost{micros(spent) / float64(r.Delivered), spent.Seconds(), to.rss, to.peak}
	}
	r.Server, r.NATS = cost(from.server, to.server), cost(from.nats, to.nats)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// Complete tells whether everything asked for happened: all connections, and each delivery once, in order.
func (r *report) Complete() bool {
	c, e := r.Connections, r.Events
	if c.Opened < c.Asked || c.Dropped > 0 {
		return false
	}
	if r.Commands != nil && len(r.Commands.Failed) > 0 {
		return false
	}
	if r.Resume != nil && !r.Resume.complete() {
		return false
	}
	return e == nil || (e.Lost == 0 && e.Duplicates == 0 && e.OutOfOrder == 0 && e.PublishErrors == 0)
}

func (r *report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	_, err := io.WriteString(w, r.text())
	return err
}

func (r *report) text() string {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{label}, args...)...)
	}
	c := r.Connections
	line("connections", "%d of %d in %.1f s (%.0f/s), %d dropped by the server", c.Opened, c.Asked, c.Seconds, c.Rate, c.Dropped)
	for _, reason := range slices.Sorted(maps.Keys(c.Failed)) {
		line("  failed", "%d: %s", c.Failed[reason], reason)
	}
	line("  latency", "%s, from dial to joined", c.Latency)
	if s := c.Server; s != nil {
		line("  server", "%.0f µs CPU per connect, %.2f µs/s per connection idle; RSS %.1f → %.1f MiB: %.2f KiB per connection, peak %.1f MiB",
			s.CPUPerConnect, s.IdlePer, mib(s.RSSBefore), mib(s.RSSAfter), s.RSSPer/1024, mib(s.RSSPeak))
	}
	if e := r.Events; e != nil {
		line("events", "%d in %.2f s (%.0f/s), %d not confirmed", e.Published, e.PublishSeconds, e.PublishRate, e.PublishErrors)
		line("deliveries", "%d of %d in %.2f s (%.0f/s): %d lost, %d duplicates, %d out of order, %d of other runs",
			e.Delivered, e.Expected, e.Seconds, e.DeliveryRate, e.Lost, e.Duplicates, e.OutOfOrder, e.Foreign)
		line("  latency", "%s, from publish to delivery", e.Latency)
		for _, cost := range []struct {
			label string
			*eventCost
		}{{"  server", e.Server}, {"  nats", e.NATS}} {
			if cost.eventCost != nil {
				line(cost.label, "%.2f µs CPU per delivery, %.2f s in all; RSS %.1f MiB, peak %.1f MiB",
					cost.CPUPerDelivery, cost.CPUSeconds, mib(cost.RSS), mib(cost.RSSPeak))
			}
		}
	}
	if c := r.Resume; c != nil {
		line("resume", "%d cut off, %d resumed, %d began anew, %d tries failed; all live %.2f s after the kill",
			c.Lost, c.Resumed, c.Fresh, c.Failed, c.Seconds)
		line("  latency", "%s, from the kill to live", c.Latency)
	}
	if c := r.Commands; c != nil {
		line("commands", "%d × %s in %.2f s (%.0f/s)", c.Sent, c.Name, c.Seconds, c.Rate)
		for _, reason := range slices.Sorted(maps.Keys(c.Failed)) {
			line("  failed", "%d: %s", c.Failed[reason], reason)
		}
		line("  latency", "%s, from emit to ack", c.Latency)
	}
	return b.String()
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// String writes milliseconds with three digits that matter.
func (l latency) String() string {
	return fmt.Sprintf("p50 %.3g ms, p90 %.3g ms, p99 %.3g ms, max %.3g ms", l.P50, l.P90, l.P99, l.Max)
}
