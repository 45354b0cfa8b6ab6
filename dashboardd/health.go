package dashboardd

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// The backbone's own health becomes dashboard:alert: once when a trouble begins and once when it is
// over, whichever replica sees it, because the fold remembers what was announced.

// observation is what was seen of the backbone at one moment.
type observation struct {
	outage      time.Duration // length of the last one
	sinceOutage time.Duration // since it ended; 0 none yet
	unhealthy   []string      // streams without a leader, or with replicas that are away
	logFill     float64       // bytes of LEX in parts of its limit
	logAge      time.Duration // of the oldest event in it
	logMaxAge   time.Duration
	queueFill   float64 // bytes of NOTIFY in parts of its limit
	deadLetters uint64  // new ones within deadLetterSpan
}

// trouble is a condition with a name and words for people.
type trouble struct {
	name     string
	severity subjects.Severity
	title    string
	message  string
}

const (
	outageWorthTelling = 5 * time.Second
	outageTold         = time.Minute
	nearFull           = 0.9
	manyDeadLetters    = 100
	deadLetterSpan     = 10 * time.Minute
)

// assess says what is wrong. It is pure.
func assess(o observation) (found []trouble) {
	if len(o.unhealthy) > 0 {
		found = append(found, trouble{
			"replicas", subjects.SeverityError, "Storage is not fully replicated",
			fmt.Sprintf("%d of the backbone's streams miss a leader or a replica", len(o.unhealthy)),
		})
	}
	if o.queueFill >= nearFull {
		found = append(found, trouble{
			"queue-full", subjects.SeverityCritical, "Notifications are piling up",
			fmt.Sprintf("the notification queue is filled to %.0f per cent and will refuse new ones", 100*o.queueFill),
		})
	}
	if o.logFill >= nearFull && o.logAge < o.logMaxAge/2 {
		found = append(found, trouble{
			"log-short", subjects.SeverityWarning, "The event log is too small",
			fmt.Sprintf("it reaches back %s instead of %s", o.logAge.Round(time.Minute), o.logMaxAge),
		})
	}
	if o.deadLetters >= manyDeadLetters {
		found = append(found, trouble{
			"dead-letters", subjects.SeverityWarning, "Events cannot be processed",
			fmt.Sprintf("%d within %s", o.deadLetters, deadLetterSpan),
		})
	}
	if o.outage >= outageWorthTelling && o.sinceOutage > 0 && o.sinceOutage < outageTold {
		found = append(found, trouble{
			"outage", subjects.SeverityWarning, "The backbone was away",
			fmt.Sprintf("for %s; live data was late", o.outage.Round(time.Second)),
		})
	}
	return found
}

// doctor looks at the backbone while this replica holds the lease.
type doctor struct {
	s *Service

	lostAt atomic.Int64 // ms, of the running outage
	endAt  atomic.Int64 // ms, of the last one
	length atomic.Int64 // ms, of the last one

	letters []letterCount // owned by run
}

type letterCount struct {
	at  time.Time
	seq uint64
}

func newDoctor(s *Service) *doctor { return &doctor{s: s} }

// run looks until ctx ends.
func (d *doctor) run(ctx context.Context) {
	status := d.s.nc.StatusChanged(nats.RECONNECTING, nats.CONNECTED)
	defer d.s.nc.RemoveStatusListener(status)
	tick := time.NewTicker(d.s.options.HealthEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case state := <-status:
			d.connection(state, time.Now())
			continue
		case <-tick.C:
		}
		if !d.s.lease.held() || d.s.Ready() != nil {
			continue
		}
		seen, err := d.look(ctx)
		if err != nil {
			d.s.failed("health", err)
			continue
		}
		d.tell(ctx, assess(seen))
	}
}

func (d *doctor) connection(state nats.Status, now time.Time) {
	if state == nats.RECONNECTING {
		d.lostAt.CompareAndSwap(0, now.UnixMilli())
		return
	}
	if lost := d.lostAt.Swap(0); lost != 0 {
		d.endAt.Store(now.UnixMilli())
		d.length.Store(now.UnixMilli() - lost)
	}
}

func (d *doctor) look(ctx context.Context) (o observation, err error) {
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	now := time.Now()
	if end := d.endAt.Load(); end != 0 {
		o.outage = time.Duration(d.length.Load()) * time.Millisecond
		o.sinceOutage = now.Sub(time.UnixMilli(end)) + time.Millisecond
	}
	for _, name := range []string{subjects.StreamLog, subjects.StreamNotify, subjects.StreamDeadLetter, "KV_" + subjects.BucketDashboard} {
		stream, err := d.s.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // not all of them need be there
		}
		if err != nil {
			return o, fmt.Errorf("stream %s: %w", name, err)
		}
		info := stream.CachedInfo()
		if !whole(info.Cluster) {
			o.unhealthy = append(o.unhealthy, name)
		}
		switch name {
		case subjects.StreamLog:
			o.logFill, o.logMaxAge = fill(info), info.Config.MaxAge
			o.logAge = now.Sub(info.State.FirstTime)
		case subjects.StreamNotify:
			o.queueFill = fill(info)
		case subjects.StreamDeadLetter:
			o.deadLetters = d.newLetters(info.State.LastSeq, now)
		}
	}
	return o, nil
}

func fill(info *jetstream.StreamInfo) float64 {
	if info.Config.MaxBytes <= 0 {
		return 0
	}
	return float64(info.State.Bytes) / float64(info.Config.MaxBytes)
}

// whole reports whether a stream has a leader and all its replicas.
func whole(c *jetstream.ClusterInfo) bool {
	if c == nil || c.Name == "" {
		return true
	}
	for _, r := range c.Replicas {
		if r.Offline {
			return false
		}
	}
	return c.Leader != ""
}

// newLetters counts the dead letters of the last deadLetterSpan, as far as this process has looked.
func (d *doctor) newLetters(seq uint64, now time.Time) uint64 {
	d.letters = append(d.letters, letterCount{now, seq})
	for len(d.letters) > 1 && now.Sub(d.letters[0].at) > deadLetterSpan {
		d.letters = d.letters[1:]
	}
	return seq - min(seq, d.letters[0].seq)
}

// tell announces troubles that began or ended.
func (d *doctor) tell(ctx context.Context, found []trouble) {
	s := d.s
	s.mu.RLock()
	if s.tally == nil {
		s.mu.RUnlock()
		return
	}
	raised := make(map[string]bool, len(s.tally.alerts.Raised))
	for name := range s.tally.alerts.Raised {
		raised[name] = true
	}
	last, folded := s.tally.alerts.ToldAt, s.tally.Seq
	s.mu.RUnlock()
	for _, t := range found {
		known := raised[t.name]
		delete(raised, t.name)
		if !known {
			d.alert(ctx, t, markRaised, last, folded)
			return // one at a time: the next compare-and-set needs this one's sequence
		}
	}
	for name := range raised {
		d.alert(ctx, trouble{name, subjects.SeverityInfo, "All is well again", "the trouble \"" + name + "\" is over"}, markOver, last, folded)
		return
	}
}

func (d *doctor) alert(ctx context.Context, t trouble, state string, last, folded uint64) {
	event := subjects.DashboardAlertEvent{
		Type: subjects.AlertSystem, Severity: t.severity, Title: t.title, Message: t.message,
		Base: subjects.Base{Timestamp: timeOf(d.s.nowMillis())},
	}
	mark := markHealth + t.name + state
	d.s.alertEverybody(ctx, event, last, folded, fmt.Sprintf("dashboard.%s.%d", mark, last),
		subjects.WithHeader(headerMark, mark))
}
