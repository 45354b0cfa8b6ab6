package edge

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

// catchUp gives one socket what rooms had behind a position of each, in the log's order, and then hands
// over: from the ring, behind it from the stream (missed.go). A resumed session and a subscription since a
// position are both one of these.
//
// It promises that done runs on the fan-out goroutine at a position up to which everything was queued for
// the client, so that no event falls between what was missed and what comes live, and none comes twice.
// Either done or failed is called, once, unless the client is gone.
type catchUp struct {
	// Static.
	s     *Server
	k     *socket
	who   *identity
	rooms []missedRoom
	ahead uint64 // position up to which the client has everything, although this edge may not have read so far
	waits bool   // until this edge has read as far; otherwise done has to skip what is before it

	// What to do on the way; all but failed on the fan-out goroutine.
	allowed func() bool                   // may it still have these rooms? asked before each portion
	begin   func() bool                   // answers who asked, before the first event; false: the client is gone
	frame   func(*delivery) *engine.Frame // nil for an event that is not for this socket
	done    func(position uint64)
	failed  func(why failure)

	// Owned by the step under way: steps follow one another.
	begun     bool
	plausible bool // an ahead beyond this edge's reader is one that the log has
	late      time.Time
	sent      int
}

// missedRoom is a room, and the position behind which its events are missed.
type missedRoom struct {
	name   string
	behind uint64
}

// failure is why not everything could be given; it names an outcome in the metrics.
type failure string

const (
	failAccess  failure = "access_withdrawn"
	failWalled  failure = "walled_off"     // for a while, and what came then is not for its user
	failOffset  failure = "offset_unknown" // the log does not reach it: it is of another log
	failTrimmed failure = "log_trimmed"
	failBus     failure = "bus_away"
	failSlow    failure = "slow_reader"
)

const (
	seamEvents   = 256    // that the seam sends by itself; more are sent before it, at the reader's pace
	replayEvents = 50_000 // more than that is no catching up any more
	replayAtOnce = 16     // replays from the stream under way
	replayLimit  = 30 * time.Second
	paceFrames   = 128 // of one portion; the next one goes when half of it is written

	// Of one portion too, and of what the seam sends by itself: a quarter of what may wait for a client.
	paceBytes = 256 << 10
)

// run begins at the seam, which finds out what is missing.
func (c *catchUp) run() {
	c.s.mailbox.post(func() { c.seam(c.earliest()) })
}

// earliest is the position behind which anything may have been missed.
func (c *catchUp) earliest() uint64 {
	return slices.MinFunc(c.rooms, func(a, b missedRoom) int { return cmp.Compare(a.behind, b.behind) }).behind
}

// seam hands over when everything behind from fits into one go, and else has it fetched or sent first. It
// runs on the fan-out goroutine.
func (c *catchUp) seam(from uint64) {
	position := c.s.fanned.Load()
	switch {
	case !c.allowed():
		c.failed(failAccess)
		return
	case c.ahead > position && !c.plausible:
		go c.checkAhead()
		return
	case c.ahead > position && c.waits:
		go c.await()
		return
	case from < position && !c.s.ring.covers(from):
		go c.fetch(from, position, c.s.ring.newest())
		return
	}
	var events []*delivery
	for _, in := range c.rooms {
		events = c.s.ring.since(events, in.name, max(from, in.behind))
	}
	switch {
	case c.s.walledOff(c.who, events):
		c.failed(failWalled)
	case len(events) > seamEvents || weight(events) > paceBytes:
		go c.pace(events, position)
	case c.send(events):
		c.done(position)
	}
}

// send answers who asked, if that is still to be done, and queues events in the log's order. It returns
// false when the client is gone. It runs on the fan-out goroutine: what it sends lies between two events.
func (c *catchUp) send(events []*delivery) bool {
	if !c.begun {
		c.begun = true
		if !c.begin() {
			return false
		}
	}
	slices.SortFunc(events, func(a, b *delivery) int { return cmp.Compare(a.seq, b.seq) })
	for _, d := range events {
		frame := c.frame(d)
		if frame == nil {
			continue
		}
		if !c.k.client.session.Send(frame) {
			break // it closes; done lets go of the rooms as of any socket's
		}
		c.sent++
	}
	return true
}

// pace sends what is too much for the seam in portions, each when the one before it is on its way, and
// comes back to the seam behind them.
func (c *catchUp) pace(events []*delivery, upTo uint64) {
	late := time.Now().Add(replayLimit)
	slices.SortFunc(events, func(a, b *delivery) int { return cmp.Compare(a.seq, b.seq) })
	for len(events) > 0 {
		n := portion(events)
		for frames, bytes := c.k.client.session.Pending(); frames > paceFrames/2 || bytes > paceBytes/2; frames, bytes = c.k.client.session.Pending() {
			if time.Now().After(late) {
				c.failed(failSlow)
				return
			}
			time.Sleep(2 * time.Millisecond) // the engine does not say when a queue has emptied
		}
		if !c.sendAllowed(events[:n]) {
			return
		}
		events = events[n:]
	}
	c.s.mailbox.post(func() { c.seam(upTo) })
}

// sendAllowed has the fan-out goroutine send a portion, and waits for it. It returns false when there is
// nothing more to send.
func (c *catchUp) sendAllowed(events []*delivery) bool {
	sent := make(chan bool, 1)
	c.s.mailbox.post(func() {
		ok := c.allowed()
		if !ok {
			c.failed(failAccess)
		}
		sent <- ok && c.send(events)
	})
	select {
	case ok := <-sent:
		return ok
	case <-c.s.reader.end:
		return false // the edge is ending, and every session with it
	}
}

// portion is how many of these events may be queued at once: one at least.
func portion(events []*delivery) (n int) {
	for bytes := 0; n < len(events) && n < paceFrames; n++ {
		if bytes += len(events[n].payload); bytes > paceBytes {
			break
		}
	}
	return max(n, 1)
}

// weight is the size of these events' payloads.
func weight(events []*delivery) (bytes int) {
	for _, d := range events {
		bytes += len(d.payload)
	}
	return bytes
}

// checkAhead tells an edge whose reader is behind another's from a client whose offset is of a log that
// is no more.
func (c *catchUp) checkAhead() {
	ctx, cancel := context.WithTimeout(context.Background(), c.s.options.CommandTimeout)
	defer cancel()
	stream, err := c.s.js.Stream(ctx, subjects.StreamLog)
	switch {
	case err != nil:
		c.s.log.Warn("an offset cannot be checked", "error", err)
		c.failed(failBus)
	case stream.CachedInfo().State.LastSeq < c.ahead:
		c.failed(failOffset)
	default:
		c.plausible = true
		c.run()
	}
}

// await comes back when this edge has read as far as another had, or a moment later.
func (c *catchUp) await() {
	if c.late.IsZero() {
		c.late = time.Now().Add(c.s.options.CommandTimeout)
	}
	for c.s.fanned.Load() < c.ahead {
		if time.Now().After(c.late) {
			c.failed(failBus)
			return
		}
		select {
		case <-c.s.reader.end:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	c.run()
}

// fetch reads what the ring does not have any more from the stream.
func (c *catchUp) fetch(from, upTo uint64, newest *delivery) {
	c.s.replays <- struct{}{}
	defer func() { <-c.s.replays }()
	ctx, cancel := context.WithTimeout(context.Background(), replayLimit)
	defer cancel()
	events, err := c.s.missed(ctx, c.rooms, from, upTo, newest)
	switch {
	case err == nil && c.s.walledOff(c.who, events):
		c.failed(failWalled)
	case err == nil:
		c.pace(events, upTo)
	case errors.Is(err, errTrimmed):
		c.failed(failTrimmed)
	default:
		c.s.log.Warn("missed events cannot be read", "error", err)
		c.failed(failBus)
	}
}
