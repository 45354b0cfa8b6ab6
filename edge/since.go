package edge

import (
	"context"
	"strconv"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

// subscribe:case with since is for clients that keep their own cursor: after the ack come the events that
// they missed, up to the ack's offset and perhaps further, then live ones, without a seam. The second
// argument of a missed event is its own position; the last one is the session's offset, which does not go
// back.
//
// Such an offset says more than that the missed events have arrived. So until a pong proves that they did,
// the session cannot be resumed: after a cut the client gets a fresh one, and subscribes since its cursor.

// sinceRequest is one such subscription.
type sinceRequest struct {
	in       incoming
	id, name string // of the case, and its room
	since    uint64
	reserved bool // the room was counted on the user's account, and is not joined yet
	acked    bool
}

// subscribeSince asks who may, takes the room's place on the account, marks the session, and catches up.
func (s *Server) subscribeSince(in incoming, id, name string, since uint64) {
	k := in.from
	r := &sinceRequest{in: in, id: id, name: name, since: since}
	s.permit(k.who.Load(), subjects.KindCase, id, name, func(no *refusal) {
		if no != nil {
			in.refuse(no)
			s.next(k, laneRooms)
			return
		}
		s.whenSettled(func(q attempt) bool { return r.reserve(s, q) })
	})
}

// reserve counts the room before anything is promised. One that the socket is in is counted already.
func (r *sinceRequest) reserve(s *Server, q attempt) (settled bool) {
	k := r.in.from
	if !k.in(r.name) {
		rooms, verdict := s.accounts.enter(k.account, r.name, q)
		switch verdict {
		case doubtful:
			return k.gone()
		case refused:
			r.in.refuse(roomLimit(rooms))
			s.next(k, laneRooms)
			return true
		case admitted:
			r.reserved = true
		}
	}
	k.catch(true)
	s.kept(k, true, func(err error) {
		if err != nil {
			r.end(s)
			r.in.refuseFor(err)
			s.next(k, laneRooms)
			return
		}
		go r.begin(s)
	})
	return true
}

// begin looks whether the user was admitted at the position already: any may be named.
func (r *sinceRequest) begin(s *Server) {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.CommandTimeout)
	defer cancel()
	list, err := s.accessAt(ctx, r.name, r.since)
	switch {
	case err != nil:
		s.log.Warn("access at a position cannot be read", "error", err)
		r.failed(s, failBus)
	case !s.mayStay(list, r.in.from.who.Load(), r.name):
		r.failed(s, failWalled)
	default:
		r.catchUp(s)
	}
}

func (r *sinceRequest) catchUp(s *Server) {
	k := r.in.from
	c := &catchUp{
		s: s, k: k, who: k.who.Load(), rooms: []missedRoom{{r.name, r.since}}, ahead: r.since, waits: true,
		allowed: func() bool { return !s.outdated(k, r.name) },
		begin:   r.ack,
	}
	c.frame = func(d *delivery) *engine.Frame { return k.missedFrame(d, max(s.fanned.Load(), k.delivered)) }
	c.done = func(uint64) {
		r.join(s)
		k.caughtUp()
		r.end(s)
		s.save(k, func(error) {}) // the ack did not promise a session that can be resumed
		s.next(k, laneRooms)
	}
	c.failed = func(why failure) { r.failed(s, why) }
	c.run()
}

// ack promises what follows. It runs on the fan-out goroutine.
func (r *sinceRequest) ack() bool {
	r.acked = true
	position, recovered := r.in.from.client.server.fanned.Load(), true
	r.in.ack(mustJSON(subjects.CaseSubscription{
		Status: "subscribed", CaseID: r.id, Offset: strconv.FormatUint(position, 10), Recovered: &recovered,
	}))
	return true
}

// join makes it a member. It runs on the fan-out goroutine, behind all that was missed.
func (r *sinceRequest) join(s *Server) (entered bool) {
	if !r.reserved {
		return false
	}
	r.reserved = false
	if r.in.from.join(r.name, roomAsked) {
		return true
	}
	s.accounts.leave(r.in.from.account, r.name) // a service was faster, or the socket is gone
	return false
}

// end gives back what was not used.
func (r *sinceRequest) end(s *Server) {
	if r.reserved {
		s.accounts.leave(r.in.from.account, r.name)
		r.reserved = false
	}
	r.in.from.catch(false)
}

// failed subscribes from now on where the log does not reach back any more, or the user was not admitted all
// the time, and says so. A client that was
// promised everything already is sent to come back.
func (r *sinceRequest) failed(s *Server, why failure) {
	k := r.in.from
	if r.acked {
		r.end(s)
		k.client.drop(string(why), engine.ReasonServerClose)
		return
	}
	switch why {
	case failTrimmed, failOffset, failWalled:
		entered, recovered := r.join(s), false
		r.end(s)
		s.subscribed(r.in, r.id, r.name, entered, &recovered)
		return
	case failAccess:
		r.in.refuse(forbidden)
	default:
		r.in.refuse(refuse(subjects.CodeUnavailable, "the log cannot be read now"))
	}
	r.end(s)
	s.next(k, laneRooms)
}

// catch counts the subscriptions since a position that are under way.
func (k *socket) catch(begins bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if begins {
		k.catching++
		k.unproved = true
	} else {
		k.catching--
	}
}
