package edge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/edge/engine"
)

// The edge that a session on polling moves to (move.go has the whole design). Either all of its sockets
// arrive, or none does and the client comes back by itself.

// probe asks the owner of a session whether it may move here. It is the engine's Foreign.Probe.
func (f *forwarder) probe(ctx context.Context, sid string) (*engine.Handover, error) {
	if reason := f.s.unavailable(); reason != "" {
		f.s.metrics.moved("not_here")
		return nil, fmt.Errorf("edge: a session cannot move here: %s", reason)
	}
	a, err := f.ask(ctx, markOf(sid), subjectMove, inquiry{op: opProbe, sid: sid})
	if err != nil {
		f.s.metrics.moved(f.s.outcomeOf(err))
		return nil, err
	}
	if a.status != http.StatusOK {
		f.s.metrics.moved("refused")
		return nil, fmt.Errorf("edge: the session's owner refuses to let it move: %d", a.status)
	}
	q := inquiry{sid: sid, key: string(a.body)}
	return &engine.Handover{
		Take: func(ctx context.Context, session *engine.Session, _ *engine.Request) error {
			q.op = opTake
			err := f.take(ctx, session, q)
			outcome := "moved"
			if err != nil {
				outcome = f.s.moveOutcome(err)
			}
			f.s.metrics.moved(outcome)
			return err
		},
		Withdraw: func() {
			f.s.metrics.moved("abandoned")
			q.op = opWithdraw
			if f.s.nc.IsConnected() {
				_ = f.s.nc.PublishMsg(q.message(markOf(sid), subjectMove)) // if it is lost, the offer ends by itself
			}
		},
	}, nil
}

var (
	errNotLetGo  = errors.New("edge: the owner does not let the session go")
	errTooFar    = errors.New("edge: this edge is too far from where the session was in the log")
	errNotHere   = errors.New("edge: the session may not be here")
	errCannotBe  = errors.New("edge: the session ended on its way")
	errNotMember = errors.New("edge: access to a room was withdrawn")
)

func (s *Server) moveOutcome(err error) string {
	switch {
	case errors.Is(err, errNotLetGo):
		return "not_let_go"
	case errors.Is(err, errTooFar):
		return "too_far"
	case errors.Is(err, errTakenOver):
		return "taken_over"
	case errors.Is(err, errNotHere), errors.Is(err, errNotMember), errors.Is(err, errMoved):
		return "not_admitted"
	case errors.Is(err, errCannotBe):
		return forwardClientGone
	}
	return s.outcomeOf(err)
}

// take brings a session here.
func (f *forwarder) take(ctx context.Context, session *engine.Session, q inquiry) error {
	a, err := f.ask(ctx, markOf(q.sid), subjectMove, q)
	switch {
	case err != nil:
		return err
	case a.status != http.StatusOK:
		return fmt.Errorf("%w: %d", errNotLetGo, a.status)
	}
	moved, err := decodeMoved(a.body)
	if err != nil {
		return err
	}
	v := newArrival(f.s, session, moved)
	if err := session.Restore(&moved.Departure); err != nil {
		return fmt.Errorf("%w: %w", errMoved, err)
	}
	if err := v.claimAll(ctx); err != nil {
		return err
	}
	landed := make(chan error, 1)
	f.s.mailbox.post(func() { landed <- v.land() })
	select {
	case err := <-landed:
		return err
	case <-f.s.reader.end:
		return errCannotBe
	}
}

// newcomer is a client on its way here.
type newcomer struct {
	s       *Server
	c       *client
	sockets []*newSocket
}

// newSocket is one of its sockets, not yet in any room.
type newSocket struct {
	k      *socket
	moved  *movedSocket
	missed []*delivery
}

func newArrival(s *Server, session *engine.Session, moved *movedClient) *newcomer {
	c := &client{
		server: s, session: session, token: moved.Token, address: moved.Address, device: moved.Device,
		form: moved.Form, heard: moved.Heard,
	}
	c.refused.Store(moved.Refused)
	session.App = c
	v := &newcomer{s: s, c: c}
	now := time.Now()
	for i := range moved.Sockets {
		m := &moved.Sockets[i]
		n, _ := namespaceNamed(m.Session.Namespace) // decodeMoved has checked it
		k := &socket{
			client: c, ns: n, user: m.Session.User, since: time.UnixMilli(m.Session.Since),
			pid: m.PID, start: m.Session.Start, evicted: m.Session.Evicted,
			proofs:      proofs{proved: m.Session.Proved, unproved: m.Session.Unproved},
			bucket:      bucket{used: m.Used, at: now.UnixNano()},
			cheapBucket: bucket{used: m.CheapUsed, at: now.UnixNano()},
		}
		copy(k.id[:], m.Session.SID)
		k.who.Store(&identity{user: k.user, scope: m.Scope, tokenID: m.TokenID, issued: m.Issued, expires: m.Expires})
		k.lastEvent.Store(m.LastEvent)
		k.absorbing.Store(m.Absorbing)
		k.speaksForItself.Store(m.SpeaksForItself)
		k.greeted.Store(true)
		v.sockets = append(v.sockets, &newSocket{k: k, moved: m})
	}
	return v
}

// claimAll makes the records this edge's.
func (v *newcomer) claimAll(ctx context.Context) error {
	claimed := make(chan error, len(v.sockets))
	for _, n := range v.sockets {
		from := n.moved.Session.Owner
		n.moved.Session.Owner = v.s.options.Name
		v.claim(n, from, n.moved.Revision, 3, func(err error) { claimed <- err })
	}
	for range v.sockets {
		select {
		case err := <-claimed:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// claim is a compare-and-set. What the old owner wrote last, its refresh of the record perhaps, is written
// over: the rooms are those that it sent. Anybody else's write ends the move.
func (v *newcomer) claim(n *newSocket, from string, revision uint64, tries int, f func(error)) {
	v.s.put(n.k.pid, mustJSON(n.moved.Session), revision, func(written uint64, err error) {
		if !errors.Is(err, errTakenOver) || tries == 0 {
			n.k.saving.revision, n.k.saving.at = written, time.Now()
			f(err)
			return
		}
		v.s.requests.do(sessionGet+n.k.pid, nil, nil, v.s.options.CommandTimeout, once(func(m *nats.Msg, err error) {
			if err != nil {
				f(err)
				return
			}
			record, revision, ok := readSession(m)
			if !ok || record.Owner != from || record.Lost != 0 {
				f(errTakenOver)
				return
			}
			v.claim(n, from, revision, tries-1, f)
		}))
	})
}

// land makes the sockets members at this edge's position in the log, with what came between the two
// positions queued first. It runs on the fan-out goroutine. It refuses where that is more than one go, which
// takes an edge that is far behind: a resumption has the patience for it.
func (v *newcomer) land() error {
	s, position := v.s, v.s.fanned.Load()
	for _, n := range v.sockets {
		from := n.moved.Position
		if from < position && !s.ring.covers(from) {
			return errTooFar
		}
		if s.revocations.covers(n.k.who.Load()) {
			return errNotHere
		}
		if !s.stillAllowed(n.k.who.Load(), n.moved.Session.Rooms) {
			return errNotMember
		}
		for _, in := range n.rooms() {
			n.missed = s.ring.since(n.missed, in.Room, max(from, in.Joined))
		}
		switch {
		case s.walledOff(n.k.who.Load(), n.missed):
			return errNotMember
		case len(n.missed) > seamEvents || weight(n.missed) > paceBytes:
			return errTooFar
		}
	}
	for _, n := range v.sockets {
		if !v.settle(n, max(position, n.moved.Position)) {
			return errCannotBe
		}
	}
	return nil
}

// rooms are all of its rooms.
func (n *newSocket) rooms() []sessionRoom {
	rooms := n.moved.Session.Rooms
	for _, name := range n.k.ownRooms() {
		rooms = append(rooms, sessionRoom{Room: name})
	}
	return rooms
}

// settle makes one socket what it was. It returns false when the client is gone.
func (v *newcomer) settle(n *newSocket, position uint64) bool {
	s, k, c := v.s, n.k, v.c
	k.account, _ = c.hold(k.user, k.ns, true, attempt{}) // who moves is not refused for a limit
	if !c.add(k) {
		return false
	}
	k.activity.Store(n.moved.Activity)
	k.sendMissed(n.missed)
	k.delivered = position
	k.joinOwn()
	k.rejoinAll(n.moved.Session.Rooms, s.roster.changed)
	if n.moved.Idle {
		s.connections.turn(k, true, time.Now())
	}
	s.revokedMeanwhile(k) // it came while nobody was there to throw out
	s.greet(k, nil)       // what state. said while the socket was in no room
	return true
}

// sendMissed queues what came between the two positions, in the log's order.
func (k *socket) sendMissed(events []*delivery) {
	slices.SortFunc(events, func(a, b *delivery) int { return cmp.Compare(a.seq, b.seq) })
	for _, d := range events {
		if frame := k.missedFrame(d, d.seq); frame != nil {
			k.client.session.Send(frame) // a session that is full closes, and its client resumes
		}
	}
}
