package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/subjects"
)

// A session on polling whose client opens its WebSocket on another edge moves there (design 3, Polling on
// any edge). This file is the edge that lets go, arrive.go the one that takes.
//
//  1. The client's probe: the new edge asks the owner, which offers the session. From here on no other
//     WebSocket gets it, and GETs end at once. The session lives on polling as before.
//  2. The client's commit: the owner waits until nothing is in flight, so that every command is acked and
//     applied where it began. Then, between two events of the log, it takes the sockets out of their rooms
//     and the frames that wait out of the queue, and sends both: everything up to one position of the log is
//     among these frames or has arrived, nothing behind it is.
//  3. The new edge takes the records in SESSIONS over by compare-and-set, as a resumption does, puts the
//     frames first, behind them what the rooms had since that position, and makes the sockets members, all
//     between two events of its own reader. Then it reads what the client sent behind the commit.
//
// So the client sees nothing, and nothing is lost, twice or out of order; only live. events may be dropped
// in the moment between, and state. is asked for again with hello, as after a reconnect to NATS. Before the
// commit whatever fails leaves the session on polling. After it the client has let go of polling, so what
// fails closes the transport and the client resumes from the records, which are whole at every step.
// It costs a roundtrip between edges and one write per namespace, and no forwarding afterwards.

// movedClient is what the owner sends: the client and its sockets, and the engine's part.
type movedClient struct {
	Departure engine.Departure `json:"departure"`
	Token     string           `json:"token,omitempty"` // of the handshake; secret
	Address   string           `json:"address"`
	Device    device           `json:"device"`
	Form      sio.Form         `json:"form"`
	Heard     bool             `json:"heard"`
	Refused   int32            `json:"refused,omitempty"`
	Sockets   []movedSocket    `json:"sockets"`
}

// movedSocket is one namespace connection.
type movedSocket struct {
	Session  sessionRecord `json:"session"`
	PID      string        `json:"pid"`
	Revision uint64        `json:"revision"` // of the record
	Position uint64        `json:"position"` // of the log: everything up to it is delivered or among the frames

	Scope   string    `json:"scope,omitempty"`
	TokenID string    `json:"tokenId,omitempty"`
	Issued  time.Time `json:"issued,omitzero"`
	Expires time.Time `json:"expires,omitzero"`

	Used      float64 `json:"used,omitempty"` // of the rate limit, and has not flowed back
	CheapUsed float64 `json:"cheapUsed,omitempty"`

	LastEvent       int64 `json:"lastEvent,omitempty"` // Unix ms
	Activity        int64 `json:"activity"`            // Unix ms
	Idle            bool  `json:"idle,omitempty"`
	Absorbing       bool  `json:"absorbing,omitempty"`
	SpeaksForItself bool  `json:"speaksForItself,omitempty"`
}

// offer is a session that may move.
type offer struct {
	*engine.Offer
	sid string
}

const (
	offerFor    = 30 * time.Second     // after which an offer of a dead edge ends; a live one withdraws
	settleFor   = 8 * time.Second      // for what is in flight at the commit: a command takes 5 s at most
	settleEvery = 2 * time.Millisecond // how often it is looked at: an ack's way out tells nobody
)

// move takes one question about a move. It does not wait for anything.
func (h *host) move(m *nats.Msg) {
	q := readQuestion(m)
	switch q.op {
	case opProbe:
		h.probe(m, q.sid)
	case opWithdraw:
		if o := h.taken(q); o != nil {
			o.Withdraw()
		}
	case opTake:
		o := h.taken(q)
		if o == nil {
			h.respond(m, reply{status: http.StatusGone})
			return
		}
		h.background(func() { h.depart(m, o) }) // ends after settleFor
	default:
		h.respond(m, reply{status: http.StatusNotImplemented}) // of a newer edge
	}
}

// probe offers a session; the reply is the key of the offer.
func (h *host) probe(m *nats.Msg, sid string) {
	o := &offer{h.s.engine.Offer(sid), sid}
	if o.Offer == nil {
		h.respond(m, reply{status: http.StatusConflict})
		return
	}
	key := nuid.Next()
	h.mu.Lock()
	h.offers[key] = o
	h.mu.Unlock()
	time.AfterFunc(offerFor, func() {
		if o := h.taken(inquiry{sid: sid, key: key}); o != nil {
			o.Withdraw()
		}
	})
	h.respond(m, reply{status: http.StatusOK, body: []byte(key)})
}

// taken ends an offer's standing: it is taken, or withdrawn.
func (h *host) taken(q inquiry) *offer {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.offers[q.key]
	if o == nil || o.sid != q.sid {
		return nil
	}
	delete(h.offers, q.key)
	return o
}

// depart waits until the client's affairs are settled, takes it apart on the fan-out goroutine and sends
// what it was.
func (h *host) depart(m *nats.Msg, o *offer) {
	c, _ := o.Session().App.(*client)
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for late := time.Now().Add(settleFor); ; {
		if c.settled() {
			moved, again := h.s.takeApart(o, c)
			if moved != nil {
				h.respond(m, reply{status: http.StatusOK, body: mustJSON(moved)})
				return
			}
			if !again {
				h.respond(m, reply{status: http.StatusGone})
				return
			}
		}
		if time.Now().After(late) {
			o.Withdraw()
			h.respond(m, reply{status: http.StatusServiceUnavailable})
			return
		}
		select {
		case <-tick.C:
		case <-h.ended:
			return
		}
	}
}

// takeApart has the client taken apart between two events of the log.
func (s *Server) takeApart(o *offer, c *client) (moved *movedClient, again bool) {
	done := make(chan struct{})
	s.mailbox.post(func() {
		defer close(done)
		var departure *engine.Departure
		var packed movedClient
		departure, again = o.Depart(func() bool {
			if !c.turn.TryLock() {
				return false
			}
			defer c.turn.Unlock()
			if c.decoder.Pending() || !c.settled() {
				return false
			}
			packed = c.pack(time.Now())
			return true
		})
		if departure != nil {
			packed.Departure = *departure
			moved = &packed
		}
	})
	select {
	case <-done:
		return moved, again
	case <-s.reader.end:
		return nil, false // the edge is ending, and the session with it
	}
}

// settled reports whether nothing of the client is in flight: no namespace is being opened, every command
// is answered and every session is kept.
func (c *client) settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owed.Load() > 0 {
		return false
	}
	for _, opening := range c.opening {
		if opening {
			return false
		}
	}
	for _, k := range c.sockets {
		if !k.settled() {
			return false
		}
	}
	return true
}

func (k *socket) settled() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.greeted.Load() && len(k.lanes) == 0 && k.catching == 0 && !k.saving.busy && len(k.saving.next) == 0 && !k.closed
}

// pack takes the client's sockets out of their rooms. Its sessions stay as they are recorded: live. It runs
// on the fan-out goroutine, with no callback running.
func (c *client) pack(now time.Time) movedClient {
	c.mu.Lock()
	sockets := c.sockets
	c.sockets, c.closed = nil, true
	c.mu.Unlock()
	moved := movedClient{
		Token: c.token, Address: c.address, Device: c.device, Form: c.form, Heard: c.heard, Refused: c.refused.Load(),
		Sockets: make([]movedSocket, 0, len(sockets)),
	}
	for _, k := range sockets {
		moved.Sockets = append(moved.Sockets, k.pack(now))
		c.letGo(k, now)
	}
	return moved
}

func (k *socket) pack(now time.Time) movedSocket {
	who, limits := k.who.Load(), k.client.server.limits
	moved := movedSocket{
		PID: k.pid, Scope: who.scope, TokenID: who.tokenID, Issued: who.issued, Expires: who.expires,
		Used: k.bucket.missing(limits.EventsPerMinute, now), CheapUsed: k.cheapBucket.missing(limits.EventsPerMinute*cheapFactor, now),
		LastEvent: k.lastEvent.Load(), Activity: k.activity.Load(),
		Position: max(k.client.server.fanned.Load(), k.delivered), // this edge may be behind what the client brought
		Idle:     k.idle.Load(), Absorbing: k.absorbing.Load(), SpeaksForItself: k.speaksForItself.Load(),
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	moved.Session, moved.Revision = k.record(), k.saving.revision
	return moved
}

// letGo is remove for a socket that goes on elsewhere: nobody is told that it left, and its session lives.
func (c *client) letGo(k *socket, now time.Time) {
	s := c.server
	for _, name := range k.shut() {
		s.accounts.leave(k.account, name)
		if kind, _, err := subjects.ParseRoom(name); err == nil && kind == subjects.KindRoom {
			s.roster.changed(name)
		}
	}
	c.release(k)
	s.metrics.sockets[k.ns].Dec()
	s.connections.closed(k, false, now)
}

var errMoved = errors.New("edge: this is no session on its move")

// decodeMoved reads what an owner sends. It is another edge's word, so it is taken for true, but not for
// well-formed.
func decodeMoved(data []byte) (*movedClient, error) {
	var moved movedClient
	if err := json.Unmarshal(data, &moved); err != nil {
		return nil, fmt.Errorf("%w: %w", errMoved, err)
	}
	if moved.Form >= sio.Forms || moved.Device > deviceTablet || len(moved.Sockets) > int(nsCount) {
		return nil, errMoved
	}
	var seen [nsCount]bool
	for i := range moved.Sockets {
		k := &moved.Sockets[i]
		n, ok := namespaceNamed(k.Session.Namespace)
		if !ok || seen[n] || !validPID(k.PID) || len(k.Session.SID) != len(socketID{}) {
			return nil, errMoved
		}
		if _, err := subjects.Room(subjects.KindUser, k.Session.User); err != nil {
			return nil, fmt.Errorf("%w: %w", errMoved, err)
		}
		for _, in := range k.Session.Rooms {
			if _, _, err := subjects.ParseRoom(in.Room); err != nil {
				return nil, fmt.Errorf("%w: %w", errMoved, err)
			}
		}
		seen[n] = true
	}
	return &moved, nil
}
