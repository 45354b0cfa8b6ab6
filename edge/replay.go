package edge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

// What a resumed session has missed, sent again: from the ring, behind it from the stream. CONNECT goes
// first, then what was missed in the log's order, then the socket becomes a member at exactly the
// position up to which it was given everything. That last step, the seam, runs on the fan-out goroutine,
// so that no event falls between the two and none comes twice.

const (
	seamEvents   = 256    // that the seam sends by itself; more are sent before it, at the reader's pace
	replayEvents = 50_000 // more than that is no resumption any more
	replayAtOnce = 16     // replays from the stream under way
	replayLimit  = 30 * time.Second
	paceFrames   = 128 // of one portion; the next one goes when half of it is written
)

// replay begins at the seam, which finds out what is missing.
func (s *Server) replay(r *resumption) {
	s.mailbox.post(func() { s.seam(r, r.earliest()) })
}

// seam makes the socket live when everything behind from fits into one go, and else has it fetched or
// sent first. It runs on the fan-out goroutine.
func (s *Server) seam(r *resumption, from uint64) {
	position := s.fanned.Load()
	if !s.stillAllowed(r) {
		r.refuseAccess()
		return
	}
	if r.offset > position && !r.plausible {
		go s.checkOffset(r)
		return
	}
	if from < position && !s.ring.covers(from) {
		go s.fetchMissed(r, from, position)
		return
	}
	var events []*delivery
	for _, in := range r.rooms() {
		events = s.ring.since(events, in.Room, max(from, r.from(in.Joined)))
	}
	if len(events) > seamEvents {
		go s.sendPaced(r, events, position)
		return
	}
	if !r.accept() {
		return
	}
	r.send(events)
	s.goLive(r, position)
}

// checkOffset tells an edge whose reader is behind another's from a client whose offset is of a log that
// is no more.
func (s *Server) checkOffset(r *resumption) {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.CommandTimeout)
	defer cancel()
	stream, err := s.js.Stream(ctx, subjects.StreamLog)
	switch {
	case err != nil:
		s.log.Warn("an offset cannot be checked", "error", err)
		r.retire()
		r.c.drop(reasonBusAway, engine.ReasonServerClose)
	case stream.CachedInfo().State.LastSeq < r.offset:
		r.retire()
		r.giveUp("offset_unknown")
	default:
		r.plausible = true
		s.replay(r)
	}
}

// stillAllowed looks at the changes of access up to this position of the log: one may have come since the
// rooms were checked, and what follows it is not for who was taken out.
func (s *Server) stillAllowed(r *resumption) bool {
	return !slices.ContainsFunc(r.record.Rooms, func(in sessionRoom) bool {
		list, changed := s.changes.latest(in.Room)
		return changed && !s.mayStay(list, r.who, in.Room)
	})
}

// refuseAccess makes it a fresh session, or, when CONNECT is answered already, has the client come back
// for one.
func (r *resumption) refuseAccess() {
	if r.accepted {
		r.c.drop(reasonEvicted, engine.ReasonServerClose)
		return
	}
	r.retire()
	r.giveUp("access_withdrawn")
}

// goLive makes the socket a member of its rooms at this position. An edge whose reader is behind what
// the client has already delivers nothing of it again.
func (s *Server) goLive(r *resumption, position uint64) {
	k := r.k
	k.delivered = max(position, r.offset)
	k.joinOwn()
	for _, in := range r.record.Rooms {
		if k.rejoin(in) && in.origin() == roomAsked {
			s.accounts.enter(k.account, in.Room)
			if kind, _, err := subjects.ParseRoom(in.Room); err == nil && kind == subjects.KindRoom {
				s.announceJoined(k, in.Room)
			}
		}
	}
	s.metrics.resumed("recovered")
	r.c.opened(r.n)
	s.greet(k, &greeted{recovered: true, from: r.earliest(), missed: r.missed})
}

// rejoin is join with the position at which the room was first joined: a later resumption may ask for
// what came since.
func (k *socket) rejoin(in sessionRoom) bool {
	if !k.join(in.Room, in.origin()) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := k.find(in.Room); i >= 0 {
		k.rooms[i].joined = in.Joined
	}
	return true
}

// accept answers the CONNECT, once. It returns false when the client has gone.
func (r *resumption) accept() bool {
	if r.accepted {
		return true
	}
	if !r.c.add(r.k) {
		r.c.server.leaveSession(r.k, false, time.Now())
		return false
	}
	r.accepted = true
	r.k.accept()
	return true
}

// send queues missed events in the log's order and returns false when the client takes no more.
func (r *resumption) send(events []*delivery) bool {
	slices.SortFunc(events, func(a, b *delivery) int { return cmp.Compare(a.seq, b.seq) })
	for _, d := range events {
		frame := r.frame(d)
		if frame == nil {
			continue
		}
		if !r.k.client.session.Send(frame) {
			return false
		}
		r.missed++
	}
	return true
}

// frame is nil for an event that this socket would not have got.
func (r *resumption) frame(d *delivery) *engine.Frame {
	var scratch [nsCount]ns
	if d.event == accessChanged || !slices.Contains(destinations(scratch[:0], d.event), r.n) ||
		d.except != "" && r.k.excepted(d.except) {
		return nil
	}
	m := message{d: d, room: d.room, event: d.event}
	if !m.complete(r.c.server.limits.MaxPayload) {
		return nil // its dead letter was made when it came
	}
	return m.frame(r.n, r.c.form)
}

// sendPaced sends what is too much for the seam in portions, each when the one before it is on its way,
// and comes back to the seam behind them.
func (s *Server) sendPaced(r *resumption, events []*delivery, upTo uint64) {
	if !r.accept() {
		return
	}
	late := time.Now().Add(replayLimit)
	slices.SortFunc(events, func(a, b *delivery) int { return cmp.Compare(a.seq, b.seq) })
	for portion := range slices.Chunk(events, paceFrames) {
		for waiting, _ := r.k.client.session.Pending(); waiting > paceFrames/2; waiting, _ = r.k.client.session.Pending() {
			if time.Now().After(late) {
				r.c.drop(reasonReplaySlow, engine.ReasonSlowReader)
				return
			}
			time.Sleep(2 * time.Millisecond) // the engine does not say when a queue has emptied
		}
		if !r.send(portion) {
			return
		}
	}
	s.mailbox.post(func() { s.seam(r, upTo) })
}

// fetchMissed reads what the ring does not have any more from the stream.
func (s *Server) fetchMissed(r *resumption, from, upTo uint64) {
	s.replays <- struct{}{}
	defer func() { <-s.replays }()
	ctx, cancel := context.WithTimeout(context.Background(), replayLimit)
	defer cancel()
	events, err := s.missed(ctx, r, from, upTo)
	switch {
	case err == nil:
		s.sendPaced(r, events, upTo)
	case r.accepted: // the ring has moved on under a long replay: the client comes back with its new offset
		r.c.drop(reasonReplaySlow, engine.ReasonServerClose)
	case errors.Is(err, errTrimmed):
		r.retire()
		r.giveUp("log_trimmed")
	default:
		s.log.Warn("missed events cannot be read", "error", err)
		r.retire()
		r.c.drop(reasonBusAway, engine.ReasonServerClose)
	}
}

// retire gives back what a resumption holds that has not been accepted.
func (r *resumption) retire() { r.c.release(r.k) }

var errTrimmed = errors.New("the log does not have everything that was missed")

// missed reads the rooms' events in (from, upTo].
func (s *Server) missed(ctx context.Context, r *resumption, from, upTo uint64) ([]*delivery, error) {
	joined := make(map[string]uint64)
	var filters []string
	for _, in := range r.rooms() {
		if _, twice := joined[in.Room]; !twice {
			filters = append(filters, subjects.Log.String()+"."+in.Room+".>")
		}
		joined[in.Room] = in.Joined
	}
	consumer, err := s.js.CreateConsumer(ctx, subjects.StreamLog, jetstream.ConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: replayLimit,
	})
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	defer func() {
		_ = s.js.DeleteConsumer(context.WithoutCancel(ctx), subjects.StreamLog, consumer.CachedInfo().Name)
	}()
	pending := int(consumer.CachedInfo().NumPending)
	if pending > replayEvents {
		return nil, errTrimmed
	}
	events, err := readMissed(consumer, pending, upTo, func(room string, seq uint64) bool { return seq > r.from(joined[room]) })
	if err != nil {
		return nil, err
	}
	// Afterwards, since it may have been trimmed meanwhile.
	stream, err := s.js.Stream(ctx, subjects.StreamLog)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if stream.CachedInfo().State.FirstSeq > from+1 {
		return nil, errTrimmed
	}
	return events, nil
}

func readMissed(consumer jetstream.Consumer, pending int, upTo uint64, wanted func(room string, seq uint64) bool) (events []*delivery, err error) {
	const portion = 500
	for pending > 0 {
		batch, err := consumer.Fetch(min(pending, portion), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		got := 0
		for m := range batch.Messages() {
			got++
			meta, err := m.Metadata()
			if err != nil {
				return nil, fmt.Errorf("metadata: %w", err)
			}
			route, err := subjects.ParseRoute(m.Subject())
			if err != nil || meta.Sequence.Stream > upTo || !wanted(route.Room, meta.Sequence.Stream) {
				continue
			}
			events = append(events, &delivery{
				class: subjects.Log, subject: m.Subject(), payload: m.Data(), except: m.Headers().Get(subjects.HeaderExcept),
				seq: meta.Sequence.Stream, at: meta.Timestamp, room: route.Room, event: route.Event(),
			})
		}
		if err := batch.Error(); err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		if got == 0 {
			return nil, errors.New("the stream stopped answering")
		}
		pending -= got
	}
	return events, nil
}
