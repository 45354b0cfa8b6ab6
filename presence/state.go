package presence

import (
	"maps"
	"slices"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// This file decides. It knows neither clocks nor the bus: apply takes a state, a fact and the time and
// returns the state after it. A state has two halves. The record is shared by all replicas and stored;
// the sockets are what this replica has heard of from edges. A fact about a socket changes the sockets
// alone; the fact settled brings the record in line with them. A fact about what the user said changes
// the record alone, so that a replica which is behind with its sockets never writes what it guesses.

// A state is one user.
type state struct {
	user    string
	record  record
	sockets []socket
}

// A record is what is stored. The zero record is a user nobody has heard of.
type record struct {
	public  subjects.PresenceUpdateEvent // what viewers see
	said    said
	counted counted
}

// said is what the user set.
type said struct {
	Status   subjects.PresenceStatus `json:"status,omitempty"` // away, busy or offline; "" leaves it to idleness
	Activity string                  `json:"activity,omitempty"`
	Custom   string                  `json:"custom,omitempty"` // kept, and not shown, while offline
	Once     bool                    `json:"once,omitempty"`   // has set something: heartbeats have nothing to refill
	Absent   []string                `json:"absent,omitempty"` // sids that said presence:update {isOnline:false}
}

// counted is what the sockets amounted to when the record was last settled.
type counted struct {
	Connections int64                     `json:"connections,omitempty"`
	Devices     []subjects.PresenceDevice `json:"devices,omitempty"`
	Idle        bool                      `json:"idle,omitempty"`   // all of them
	Absent      bool                      `json:"absent,omitempty"` // all of them, see said.Absent
	Marks       map[string]mark           `json:"marks,omitempty"`  // by edge
}

// A mark says up to which batch of an edge somebody has heard.
type mark struct {
	Incarnation string `json:"incarnation"`
	Seq         uint64 `json:"seq"`
}

// A socket is known by its edge and its sid: while a client moves, two edges may have it.
type socket struct {
	edge, id  string
	namespace string
	device    string
	idle      bool
	lost      time.Time // its connection broke then; zero while it is open
	until     time.Time // and it counts as present until then
}

func (k socket) same(edge, id string) bool { return k.id == id && k.edge == edge }

// A fact is one of the types below.
type fact any

type (
	// opened: a socket is there, for the first time or again.
	opened struct{ socket socket }
	// closed: a socket is gone. A zero until says that the client left by itself.
	closed struct {
		edge, id    string
		lost, until time.Time
	}
	// turned: a socket became idle or active.
	turned struct {
		edge, id string
		idle     bool
	}
	// settled: the record is to say what the sockets say.
	settled struct {
		marks       map[string]mark // how far this replica has heard, for every edge that it knows to be alive
		offlineFrom time.Time       // before that nobody goes offline: not all edges may have been heard
	}

	// statusSet, activitySet, customSet: the user said so on the socket by. Empty texts clear.
	statusSet struct {
		by     string
		status subjects.PresenceStatus
	}
	activitySet struct{ by, text string }
	customSet   struct{ text string }
	// beaten: a heartbeat, which tells what the client believes.
	beaten struct {
		status           subjects.PresenceStatus
		activity, custom string
	}
	// shown: the socket by says in the older dialect whether its user is there.
	shown struct {
		by     string
		online bool
	}
)

// changes is what a fact did.
type changes struct {
	store bool      // the record differs and is to be stored
	seen  bool      // and viewers see the difference
	next  time.Time // settle again then; zero: when the next fact comes
}

// behindRetry is when a replica that is behind tries again.
const behindRetry = 250 * time.Millisecond

// apply returns the state after the fact. It changes nothing that s refers to.
func apply(s state, f fact, now time.Time) (state, changes) {
	old := s.record
	active := time.Time{} // when the user was last seen, if the fact says so
	switch f := f.(type) {
	case opened:
		s.sockets = open(s.sockets, f.socket)
		return s, changes{}
	case closed:
		s.sockets = shut(s.sockets, f)
		return s, changes{}
	case turned:
		s.sockets = turn(s.sockets, f)
		return s, changes{}
	case settled:
		return settle(s, f, now)
	case statusSet:
		s.record.said.Status = f.status
		if f.status == subjects.PresenceOnline {
			s.record.said.Status = "" // what shows by itself, so idleness may say away again
		}
		s, active = awake(s, f.by), now
	case activitySet:
		s.record.said.Activity = f.text
		if f.text != "" {
			s, active = awake(s, f.by), now
		}
	case customSet:
		s.record.said.Custom = f.text
	case beaten:
		return refill(s, f, now)
	case shown:
		return conclude(show(s, f), old, active, now)
	}
	s.record.said.Once = true
	return conclude(s, old, active, now)
}

// applyAll applies facts one after another as if they were one.
func applyAll(s state, facts []fact, now time.Time) (state, changes) {
	var all changes
	for _, f := range facts {
		var c changes
		s, c = apply(s, f, now)
		all.store, all.seen = all.store || c.store, all.seen || c.seen
		if !c.next.IsZero() {
			all.next = c.next
		}
	}
	return s, all
}

// open adds a socket. One that comes back takes the place of the one that was lost, whether it was
// resumed under its sid or begins anew.
func open(sockets []socket, k socket) []socket {
	sockets = slices.Clone(sockets)
	if i := slices.IndexFunc(sockets, func(o socket) bool { return o.same(k.edge, k.id) }); i >= 0 {
		sockets[i] = k
		return sockets
	}
	replaced := slices.IndexFunc(sockets, func(o socket) bool { return !o.lost.IsZero() && o.id == k.id })
	known := slices.ContainsFunc(sockets, func(o socket) bool { return o.id == k.id })
	if replaced < 0 && !known {
		replaced = slices.IndexFunc(sockets, func(o socket) bool {
			return !o.lost.IsZero() && o.namespace == k.namespace && o.device == k.device
		})
	}
	if replaced >= 0 {
		sockets = slices.Delete(sockets, replaced, replaced+1)
	}
	return append(sockets, k)
}

// shut removes a socket that left, and keeps one that was lost until its grace is over.
func shut(sockets []socket, f closed) []socket {
	i := slices.IndexFunc(sockets, func(o socket) bool { return o.same(f.edge, f.id) })
	if i < 0 {
		return sockets
	}
	sockets = slices.Clone(sockets)
	switch {
	case f.until.IsZero():
		return slices.Delete(sockets, i, i+1)
	case sockets[i].lost.IsZero():
		sockets[i].lost, sockets[i].until = f.lost, f.until
	}
	return sockets
}

func turn(sockets []socket, f turned) []socket {
	i := slices.IndexFunc(sockets, func(o socket) bool { return o.same(f.edge, f.id) })
	if i < 0 || sockets[i].idle == f.idle {
		return sockets
	}
	sockets = slices.Clone(sockets)
	sockets[i].idle = f.idle
	return sockets
}

// awake notes that the human behind one socket is there, before the edge says so.
func awake(s state, by string) state {
	sockets := slices.Clone(s.sockets)
	for i := range sockets {
		if sockets[i].id == by {
			sockets[i].idle = false
		}
	}
	s.sockets = sockets
	s.record.counted.Idle = false
	return present(s, by)
}

// present takes back what the socket by had said in the older dialect.
func present(s state, by string) state {
	if i := slices.Index(s.record.said.Absent, by); i >= 0 {
		s.record.said.Absent = slices.Delete(slices.Clone(s.record.said.Absent), i, i+1)
		s.record.counted.Absent = false
	}
	return s
}

// show notes that the user is not there, or is again, as far as the socket by is concerned.
func show(s state, f shown) state {
	if f.online {
		return present(s, f.by)
	}
	if !slices.Contains(s.record.said.Absent, f.by) {
		s.record.said.Absent = append(slices.Clone(s.record.said.Absent), f.by)
	}
	s.record.counted.Absent = absent(s)
	return s
}

// absent reports whether every socket said that nobody is there.
func absent(s state) bool {
	return len(s.sockets) > 0 && !slices.ContainsFunc(s.sockets, func(k socket) bool {
		return !slices.Contains(s.record.said.Absent, k.id)
	})
}

// refill takes from a heartbeat what the record does not have because it was lost. A user who has set
// anything since is not overruled by what another device believes (contract 3.4), and online, which
// every client believes at first, says nothing.
func refill(s state, f beaten, now time.Time) (state, changes) {
	status := f.status
	if status != subjects.PresenceAway && status != subjects.PresenceBusy {
		status = ""
	}
	if s.record.said.Once || status == "" && f.activity == "" && f.custom == "" {
		return s, changes{}
	}
	old := s.record
	s.record.said.Status, s.record.said.Activity, s.record.said.Custom = status, f.activity, f.custom
	s.record.said.Once = true
	return conclude(s, old, now, now)
}

// settle counts the sockets.
func settle(s state, f settled, now time.Time) (state, changes) {
	old := s.record
	if behind(old.counted.Marks, f.marks) {
		return s, changes{next: now.Add(behindRetry)}
	}
	s, next, left := expire(s, now)
	if len(s.sockets) == 0 && old.counted.Connections > 0 && now.Before(f.offlineFrom) {
		return s, changes{next: f.offlineFrom}
	}
	s.record.counted = count(s, f.marks)
	if s.record.counted.Connections == 0 && old.counted.Connections > 0 {
		s.record.said.Activity, s.record.said.Absent = "", nil
	}
	seen := now
	if s.record.counted.Connections == 0 && !left.IsZero() {
		seen = left
	}
	after, c := conclude(s, old, seen, now)
	c.next = next
	return after, c
}

// behind reports whether the record was settled by somebody who had heard more of an edge.
func behind(record, own map[string]mark) bool {
	for edge, m := range record {
		if o, ok := own[edge]; ok && o.Incarnation == m.Incarnation && o.Seq < m.Seq {
			return true
		}
	}
	return false
}

// expire removes lost sockets whose grace is over. It returns when the next one's will be, and when the
// last one that was removed was lost.
func expire(s state, now time.Time) (_ state, next, left time.Time) {
	var kept []socket
	for _, k := range s.sockets {
		switch {
		case k.lost.IsZero():
		case !now.Before(k.until):
			if k.lost.After(left) {
				left = k.lost
			}
			continue
		case next.IsZero() || k.until.Before(next):
			next = k.until
		}
		kept = append(kept, k)
	}
	s.sockets = kept
	return s, next, left
}

// count sums the sockets up. A device is connected to each namespace once, so a kind has as many devices
// as it has sockets in the namespace where it has most.
func count(s state, marks map[string]mark) counted {
	c := counted{Idle: len(s.sockets) > 0, Absent: absent(s)}
	type place struct{ device, namespace string }
	ids := make(map[string]bool, len(s.sockets))
	places := make(map[place]int64)
	devices := make(map[string]int64)
	for _, k := range s.sockets {
		c.Idle = c.Idle && k.idle
		if m, ok := marks[k.edge]; ok {
			if c.Marks == nil {
				c.Marks = make(map[string]mark)
			}
			c.Marks[k.edge] = m
		}
		if ids[k.id] {
			continue
		}
		ids[k.id] = true
		at := place{k.device, k.namespace}
		places[at]++
		devices[k.device] = max(devices[k.device], places[at])
	}
	for edge := range s.record.counted.Marks { // the fence stays where it was passed
		if m, ok := marks[edge]; ok {
			if c.Marks == nil {
				c.Marks = make(map[string]mark)
			}
			c.Marks[edge] = m
		}
	}
	c.Connections = int64(len(ids))
	for _, kind := range slices.Sorted(maps.Keys(devices)) {
		c.Devices = append(c.Devices, subjects.PresenceDevice{Kind: kind, Count: devices[kind]})
	}
	return c
}

// conclude derives what viewers see, and compares. seen is when the user last did something, if the fact
// was that; every change of status or connections counts as such too (contract 3.1).
func conclude(s state, old record, seen, now time.Time) (state, changes) {
	before := old.public
	if before.Status == "" {
		before = subjects.PresenceUpdateEvent{UserID: s.user, Status: subjects.PresenceOffline, LastSeen: subjects.At(now)}
	}
	view := viewOf(s.user, s.record)
	c := changes{seen: !sameView(view, before)}
	if c.seen {
		view.LastSeen, view.Timestamp = before.LastSeen, subjects.At(now)
		switch {
		case !seen.IsZero():
			view.LastSeen = subjects.At(seen)
		case view.Status != before.Status || view.ActiveConnections != before.ActiveConnections:
			view.LastSeen = subjects.At(now)
		}
	} else {
		view = before
	}
	s.record.public = view
	// What nobody sees is stored when something depends on it later: that the key expires, what was said.
	// Whether a busy user is idle is counted again when it matters.
	c.store = c.seen || !s.record.said.same(old.said) ||
		(s.record.counted.Connections == 0) != (old.counted.Connections == 0)
	return s, c
}

// viewOf is what viewers see of a record, but for its times. Who says to be offline looks as if it were so.
func viewOf(user string, r record) subjects.PresenceUpdateEvent {
	p := subjects.PresenceUpdateEvent{UserID: user, Status: subjects.PresenceOffline}
	switch {
	case r.counted.Connections == 0, r.counted.Absent, r.said.Status == subjects.PresenceOffline:
		return p
	case r.said.Status != "":
		p.Status = r.said.Status
	case r.counted.Idle:
		p.Status = subjects.PresenceAway
	default:
		p.Status = subjects.PresenceOnline
	}
	p.ActiveConnections, p.Devices = r.counted.Connections, r.counted.Devices
	p.CurrentActivity, p.CustomStatus = r.said.Activity, r.said.Custom
	return p
}

// asConnected is what the user sees of itself in an ack: its socket is there, even when the edge's next
// batch has still to say so.
func asConnected(s state, now time.Time) subjects.PresenceUpdateEvent {
	if s.record.counted.Connections > 0 {
		return s.record.public
	}
	old := s.record
	s.record.counted.Connections = 1
	s, _ = conclude(s, old, now, now)
	return s.record.public
}

func sameView(a, b subjects.PresenceUpdateEvent) bool {
	return a.Status == b.Status && a.ActiveConnections == b.ActiveConnections &&
		a.CurrentActivity == b.CurrentActivity && a.CustomStatus == b.CustomStatus &&
		slices.Equal(a.Devices, b.Devices)
}

func (a said) same(b said) bool {
	return a.Status == b.Status && a.Activity == b.Activity && a.Custom == b.Custom && a.Once == b.Once &&
		slices.Equal(a.Absent, b.Absent)
}
