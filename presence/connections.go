package presence

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// What edges report, see subjects/connections.go. Every replica follows every edge: batches in the order
// of their numbers, and the whole when a number is missing, at the start, after a reconnect and now and
// then, since the loss of a last batch shows by nothing else.

// An edge is what this replica knows of one. All of it is guarded by Service.mu.
type edge struct {
	name        string
	incarnation string
	seq         uint64
	sockets     map[string]string // open ones: sid → user
	standing    standing
	since       time.Time // when this replica learnt of it
	heard       time.Time // last sign of life, by this process's clock

	asking bool                 // the whole has been asked for
	later  []subjects.ConnBatch // and this came meanwhile
	asked  time.Time            // when it was answered last; zero: ask again

	lease   uint64 // revision of its lease
	probing bool   // it is being asked whether it lives
}

// standing is what an edge's sockets are worth.
type standing uint8

const (
	unheard standing = iota // nothing is known of its sockets
	heard                   // they are known
	dead                    // it is gone, and they with it
)

const (
	askPatience = 3 * time.Second  // for an edge to say everything
	askAgain    = 30 * time.Second // even without a cause
	askRetry    = 500 * time.Millisecond
	maxLater    = 1000 // batches that are kept while the whole is on its way
)

// edge returns what is known of an edge, which may be nothing yet. It needs mu.
func (s *Service) edge(name string) *edge {
	e := s.edges[name]
	if e == nil {
		e = &edge{name: name, sockets: make(map[string]string), since: time.Now()}
		s.edges[name] = e
	}
	return e
}

// batches takes what edges publish, until ctx ends.
func (s *Service) batches(ctx context.Context, messages <-chan *nats.Msg) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-messages:
			b, err := subjects.DecodeConnBatch(m.Data)
			if subject, _ := subjects.ConnSubject(b.Edge); err != nil || subject != m.Subject {
				s.metrics.failed.WithLabelValues("batch").Inc()
				s.log.Warn("a batch of an edge is not understood", "subject", m.Subject, "error", err)
				continue
			}
			s.batch(b, time.Now())
		}
	}
}

// batch takes one batch: in its turn, or not at all until the whole is there.
func (s *Service) batch(b subjects.ConnBatch, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.edge(b.Edge)
	e.heard = now
	switch {
	case e.asking:
		if len(e.later) < maxLater {
			e.later = append(e.later, b)
		}
	case b.Incarnation != e.incarnation && b.Seq == 1:
		s.lose(e, now) // of its last life
		e.incarnation, e.seq, e.standing = b.Incarnation, 0, heard
		s.take(e, b, now)
	case b.Incarnation != e.incarnation, e.standing != heard, b.Seq > e.seq+1:
		if e.standing == heard {
			s.metrics.gaps.Inc()
		}
		e.later = append(e.later, b)
		s.ask(e)
	case b.Seq == e.seq+1:
		s.take(e, b, now)
	}
}

// take applies the next batch. It needs mu.
func (s *Service) take(e *edge, b subjects.ConnBatch, now time.Time) {
	e.seq = b.Seq
	for _, c := range b.Events {
		s.event(e, c, now)
	}
	s.metrics.processed.WithLabelValues("batch").Inc()
}

func (s *Service) event(e *edge, c subjects.ConnEvent, now time.Time) {
	if c.Socket == "" || c.User == "" {
		s.metrics.failed.WithLabelValues("event").Inc()
		return
	}
	switch c.Op {
	case subjects.ConnOpen:
		s.socketOpened(e, subjects.ConnSocket{Socket: c.Socket, User: c.User, Namespace: c.Namespace, Device: c.Device}, now)
	case subjects.ConnClose:
		if c.Clean {
			s.socketClosed(e, c.Socket, c.User, time.Time{}, now)
		} else {
			s.socketClosed(e, c.Socket, c.User, now, now)
		}
	case subjects.ConnIdle, subjects.ConnActive:
		s.hear(c.User, turned{e.name, c.Socket, c.Op == subjects.ConnIdle}, now)
	default: // of a newer edge
	}
}

func (s *Service) socketOpened(e *edge, k subjects.ConnSocket, now time.Time) {
	e.sockets[k.Socket] = k.User
	s.hear(k.User, opened{socket{
		edge: e.name, id: k.Socket, namespace: k.Namespace, device: cmp.Or(k.Device, "other"), idle: k.Idle,
	}}, now)
}

// socketClosed takes a socket away: at once when lost is zero, after the grace otherwise.
func (s *Service) socketClosed(e *edge, id, user string, lost, now time.Time) {
	delete(e.sockets, id)
	f := closed{edge: e.name, id: id}
	if !lost.IsZero() {
		f.lost, f.until = lost, lost.Add(s.options.Grace)
	}
	s.hear(user, f, now)
}

// hear applies what an edge said of one of a user's sockets and lets the user be settled.
func (s *Service) hear(user string, f fact, now time.Time) {
	u := s.users.get(user)
	u.state, _ = apply(u.state, f, now)
	s.users.settleAt(u, now.Add(s.patience(user)))
}

// lose takes all sockets of an edge that lived until then. It needs mu.
func (s *Service) lose(e *edge, then time.Time) {
	now := time.Now()
	for id, user := range e.sockets {
		s.socketClosed(e, id, user, then, now)
	}
}

// ask asks an edge for everything, once at a time. It needs mu.
func (s *Service) ask(e *edge) {
	if e.asking {
		return
	}
	e.asking = true
	s.metrics.asked.Inc()
	s.group.Go(func() {
		whole, err := s.askWhole(e.name)
		s.mu.Lock()
		defer s.mu.Unlock()
		e.asking = false
		now := time.Now()
		if err != nil {
			s.log.Warn("an edge does not say who is connected to it", "edge", e.name, "error", err)
			e.later, e.asked = nil, time.Time{} // leases.go asks again while there is a lease
			return
		}
		s.whole(e, whole, now)
	})
}

func (s *Service) askWhole(name string) (subjects.ConnSnapshot, error) {
	subject, err := subjects.EdgeConnectionsSubject(name)
	if err != nil {
		return subjects.ConnSnapshot{}, err
	}
	ctx, cancel := context.WithTimeout(s.work, askPatience)
	defer cancel()
	m, err := subjects.Request(ctx, s.nc, subject, subjects.Caller{}, nil)
	if err != nil {
		return subjects.ConnSnapshot{}, err
	}
	return subjects.DecodeConnSnapshot(m.Data)
}

// whole replaces what was known of an edge, then takes the batches that came meanwhile. A socket that was
// known and is not there any more was lost: whether it left by itself was in a batch that did not arrive.
// It needs mu.
func (s *Service) whole(e *edge, whole subjects.ConnSnapshot, now time.Time) {
	e.heard, e.asked, e.standing = now, now, heard
	e.incarnation, e.seq = whole.Incarnation, whole.Seq
	there := make(map[string]string, len(whole.Sockets)) // sid → user
	for _, k := range whole.Sockets {
		there[k.Socket] = k.User
	}
	for id, user := range e.sockets { // first, so that who came back takes the place of what was lost
		if there[id] != user {
			s.socketClosed(e, id, user, now, now)
		}
	}
	for _, k := range whole.Sockets {
		if k.Socket != "" && k.User != "" && !s.knows(e, k) {
			s.socketOpened(e, k, now)
		}
	}
	later := e.later
	e.later = nil
	for i, b := range later {
		switch {
		case b.Incarnation == e.incarnation && b.Seq <= e.seq:
		case b.Incarnation == e.incarnation && b.Seq == e.seq+1:
			s.take(e, b, now)
		default:
			e.later = later[i:]
			s.ask(e)
			return
		}
	}
	s.log.Debug("edge heard", "edge", e.name, "sockets", len(e.sockets), "seq", e.seq)
}

// knows reports whether a socket is known exactly as an edge describes it. It needs mu.
func (s *Service) knows(e *edge, k subjects.ConnSocket) bool {
	if e.sockets[k.Socket] != k.User {
		return false
	}
	return slices.ContainsFunc(s.users.get(k.User).state.sockets, func(o socket) bool {
		return o.same(e.name, k.Socket) && o.idle == k.Idle && o.lost.IsZero()
	})
}

// marks returns how far each edge has been heard that a user's state has to do with. It needs mu.
func (s *Service) marks(u *user) map[string]mark {
	marks := make(map[string]mark, len(u.state.record.counted.Marks)+1)
	add := func(name string) {
		if e := s.edges[name]; e != nil && e.standing == heard {
			marks[name] = mark{e.incarnation, e.seq}
		}
	}
	for name := range u.state.record.counted.Marks {
		add(name)
	}
	for _, k := range u.state.sockets {
		add(k.edge)
	}
	return marks
}

// resolved reports whether it is known of every edge that the user's record counts on whether its sockets
// are there. It does not matter where there are as many sockets as the record counts without it.
func (s *Service) resolved(u *user) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := true
	for name := range u.state.record.counted.Marks {
		known = s.edge(name).standing != unheard && known // leases.go takes care of an edge that is new here
	}
	return known || int64(len(u.state.sockets)) >= u.state.record.counted.Connections
}

// offlineAt returns the time before which nobody goes offline: not while an edge that lives has still to
// say who is connected to it, for people may have moved there. One that never does holds up nobody for
// long. It needs mu.
func (s *Service) offlineAt(now time.Time) time.Time {
	for _, e := range s.edges {
		if e.standing == unheard && (e.asking || e.lease != 0) && now.Sub(e.since) < 2*s.options.LeaseTTL {
			if soon := now.Add(behindRetry); soon.After(s.offlineFrom) {
				return soon
			}
		}
	}
	return s.offlineFrom
}

// askAll asks every edge: after a reconnect nobody knows what was lost.
func (s *Service) askAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.edges {
		if e.standing != dead {
			s.ask(e)
		}
	}
}
