package edge

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

// A CONNECT with a pid continues a session, on whatever edge it was (socketio-protocol 11): its record
// is read, checked and taken over, what was missed is sent again, and all goes on as if nothing had
// happened. Whatever stands in the way of giving everything back makes it a fresh session instead:
// never a partial one.

// resumption is one such CONNECT. Its steps follow one another on different goroutines.
type resumption struct {
	// Static.
	c       *client
	n       ns
	who     *identity
	expired bool // the token is good for this session, not for a new one
	pid     string
	offset  uint64

	record   sessionRecord
	revision uint64
	k        *socket
	accepted bool // CONNECT is answered: there is no way back to a fresh session
	tries    int  // compare-and-sets that failed
}

// resumeRequest reads {pid, offset} of a CONNECT's payload. An offset that is no sequence counts as
// none: the session's start takes its place.
func resumeRequest(auth []byte) (pid string, offset uint64) {
	pid, _ = stringField(auth, "pid")
	if !validPID(pid) {
		return "", 0
	}
	text, _ := stringField(auth, "offset")
	offset, _ = strconv.ParseUint(text, 10, 64)
	return pid, offset
}

// validPID keeps everything from the bus's subjects that is not one of our ids.
func validPID(pid string) bool {
	if len(pid) != len(socketID{}) {
		return false
	}
	token, err := subjects.Escape(pid)
	return err == nil && token == pid
}

// begin reads the record.
func (r *resumption) begin() {
	s := r.c.server
	s.requests.do(sessionGet+r.pid, nil, nil, s.options.CommandTimeout, once(func(m *nats.Msg, err error) {
		if err != nil {
			r.c.end(r.n)
			r.c.drop(reasonBusAway, engine.ReasonServerClose)
			return
		}
		record, revision, ok := readSession(m)
		if !ok || !record.resumable(r, s.options.ResumeWindow, s.options.SessionMaxAge, time.Now()) {
			r.giveUp("session_unknown")
			return
		}
		r.record, r.revision = record, revision
		r.checkRooms(0)
	}))
}

const sessionGet = "$JS.API.DIRECT.GET.KV_" + subjects.BucketSessions + "." + sessionPut

func readSession(m *nats.Msg) (record sessionRecord, revision uint64, ok bool) {
	if m.Header.Get("Status") != "" || m.Header.Get("KV-Operation") != "" {
		return record, 0, false
	}
	// A publisher cannot forge the last value: the server appends its own (nats-facts, finding 3).
	sequences := m.Header.Values("Nats-Sequence")
	if len(sequences) == 0 {
		return record, 0, false
	}
	revision, err := strconv.ParseUint(sequences[len(sequences)-1], 10, 64)
	return record, revision, err == nil && json.Unmarshal(m.Data, &record) == nil
}

// resumable reports whether the record is this user's, in this namespace, and within the window.
func (record sessionRecord) resumable(r *resumption, window, maxAge time.Duration, now time.Time) bool {
	switch {
	case record.User != r.who.user, record.Namespace != r.n.String(), len(record.SID) != len(socketID{}):
		return false
	case record.Evicted, record.Unproved: // what it knows may be less than its offset says: it has to ask again
		return false
	case record.Lost != 0 && now.Sub(time.UnixMilli(record.Lost)) > window:
		return false
	case r.expired && now.Sub(time.UnixMilli(record.Since)) > maxAge:
		return false
	}
	return true
}

// giveUp makes it a fresh session; with a token that may not open one, a refusal.
func (r *resumption) giveUp(reason string) {
	r.c.server.metrics.resumed(reason)
	if r.expired {
		r.c.refuseConnect(r.n, refuse(subjects.CodeAuthFailed, "Authentication failed: "+errExpired.Error()))
		return
	}
	r.c.fresh(r.n, r.who)
}

// checkRooms asks, one room after another from i on, whether the user may still be there.
func (r *resumption) checkRooms(i int) {
	s := r.c.server
	for ; i < len(r.record.Rooms); i++ {
		kind, _, err := subjects.ParseRoom(r.record.Rooms[i].Room)
		if err != nil {
			r.giveUp("room_unknown")
			return
		}
		if kind == subjects.KindConversation || kind == subjects.KindCase && s.options.Access == AccessMember {
			break
		}
	}
	if i == len(r.record.Rooms) {
		r.take()
		return
	}
	room := r.record.Rooms[i].Room
	s.askAccess(room, func(list accessList, err error) {
		switch {
		case err != nil:
			r.c.end(r.n)
			r.c.drop(reasonBusAway, engine.ReasonServerClose)
		case !s.mayStay(list, r.who, room):
			r.giveUp("access_withdrawn")
		default:
			r.checkRooms(i + 1)
		}
	})
}

// take makes the session this edge's: compare-and-set, so that of two CONNECTs one wins.
func (r *resumption) take() {
	s := r.c.server
	owner := r.record.Owner
	r.record.Owner, r.record.Lost = s.options.Name, 0
	s.put(r.pid, r.record.encode(), r.revision, func(written uint64, err error) {
		if r.tries++; errors.Is(err, errTakenOver) && r.tries < 5 {
			r.begin() // its old edge has just noted the loss, or a second CONNECT was faster: read it again
			return
		}
		if err != nil {
			r.c.end(r.n)
			r.c.drop(reasonSession, engine.ReasonServerClose)
			return
		}
		r.revision = written
		s.dismiss(owner, dismissal{r.pid, written, r.who.user})
		r.open()
	})
}

// open makes the socket, with its old ids, and gives it what it has missed: CONNECT first, then the
// events, then it is a member of its rooms again.
func (r *resumption) open() {
	c := r.c
	account, _ := c.hold(r.who.user, r.n, true, attempt{}) // a resumption is not refused for a limit
	r.k = &socket{
		client: c, ns: r.n, user: r.who.user, account: account,
		since: time.UnixMilli(r.record.Since), pid: r.pid, start: r.record.Start,
	}
	r.k.proved, r.k.provable = r.record.Proved, math.MaxUint32 // until it has caught up no pong proves anything
	r.k.pending = r.record.Rooms                               // a client that goes before it is live takes them along
	copy(r.k.id[:], r.record.SID)
	r.k.who.Store(r.who)
	r.k.saving.revision, r.k.saving.at = r.revision, time.Now()
	replay := &catchUp{
		s: c.server, k: r.k, who: r.who, rooms: r.rooms(), ahead: r.offset,
		begin: r.accept, failed: r.failed,
		allowed: func() bool { return c.server.stillAllowed(r.who, r.record.Rooms) },
	}
	replay.frame = func(d *delivery) *engine.Frame { return r.k.missedFrame(d, d.seq) }
	replay.done = func(position uint64) { r.goLive(position, replay.sent) }
	replay.run()
}

// earliest is the position behind which anything may have been missed: what the client says that it has,
// and what its pongs have proved.
func (r *resumption) earliest() uint64 { return max(r.offset, r.record.Proved, r.record.Start) }

// rooms are all rooms of the session with the position of each.
func (r *resumption) rooms() []missedRoom {
	var rooms []missedRoom
	for _, in := range r.record.Rooms {
		rooms = append(rooms, missedRoom{in.Room, max(r.earliest(), in.Joined)})
	}
	for _, name := range r.k.ownRooms() {
		rooms = append(rooms, missedRoom{name, r.earliest()})
	}
	return rooms
}

// stillAllowed looks at the changes of access up to this position of the log: one may have come since the
// rooms were checked, and what follows it is not for who was taken out.
func (s *Server) stillAllowed(who *identity, rooms []sessionRoom) bool {
	return !slices.ContainsFunc(rooms, func(in sessionRoom) bool {
		list, changed := s.changes.latest(in.Room)
		return changed && !s.mayStay(list, who, in.Room)
	})
}

// accept answers the CONNECT. It returns false when the client has gone.
func (r *resumption) accept() bool {
	if !r.c.add(r.k) {
		r.c.server.leaveSession(r.k, false, time.Now())
		return false
	}
	r.accepted = true
	r.k.accept()
	return true
}

// failed makes it a fresh session, or, when CONNECT is answered already or the bus does not answer, has
// the client come back.
func (r *resumption) failed(why failure) {
	if !r.accepted {
		r.c.release(r.k)
		if why != failBus {
			r.giveUp(string(why))
			return
		}
		r.c.end(r.n)
	}
	reason, how := string(why), engine.ReasonServerClose
	if why == failSlow {
		how = engine.ReasonSlowReader
	}
	r.c.drop(reason, how)
}

// goLive makes the socket a member of its rooms at this position. An edge whose reader is behind what
// the client has already delivers nothing of it again.
func (r *resumption) goLive(position uint64, missed int) {
	k, s := r.k, r.c.server
	k.delivered = max(position, r.offset)
	k.joinOwn()
	if s.revokedMeanwhile(k) {
		return
	}
	k.rejoinAll(r.record.Rooms, func(room string) { s.announceJoined(k, room) })
	k.caughtUp()
	k.mu.Lock()
	k.pending = nil
	k.mu.Unlock()
	s.metrics.resumed("recovered")
	r.c.opened(r.n)
	s.greet(k, &greeted{recovered: true, from: r.earliest(), missed: missed})
}

// rejoinAll enters a session's rooms again, those that were asked for on the user's account, whatever the
// limit says, and calls generic with each room of clients' own.
func (k *socket) rejoinAll(rooms []sessionRoom, generic func(room string)) {
	for _, in := range rooms {
		if !k.rejoin(in) || in.origin() != roomAsked {
			continue
		}
		k.client.server.accounts.adopt(k.account, in.Room)
		if kind, _, err := subjects.ParseRoom(in.Room); err == nil && kind == subjects.KindRoom {
			generic(in.Room)
		}
	}
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

// dismissal tells the edge that had a session to let go of its socket: it is the one that knows an older
// revision of the record.
type dismissal struct {
	PID      string `json:"pid"`
	Revision uint64 `json:"revision"`
	User     string `json:"user"`
}

func (s *Server) dismiss(owner string, d dismissal) {
	if subject, err := dismissSubject(owner); err == nil && s.nc.IsConnected() {
		_ = s.nc.Publish(subject, mustJSON(d)) // if it is lost, the old socket's next write shows it
	}
}

func dismissSubject(edge string) (string, error) {
	token, err := subjects.Escape(edge)
	return subjects.ControlPrefix + "edge." + token + ".dismiss", err
}

// dismissed closes the socket whose session has gone on elsewhere, which frees its place. It looks among
// the user's sockets alone: when thousands are resumed at once, thousands are dismissed.
func (s *Server) dismissed(m *nats.Msg) {
	var d dismissal
	if err := json.Unmarshal(m.Data, &d); err != nil {
		s.log.Warn("dismissal is not understood", "error", err)
		return
	}
	own, err := subjects.Room(subjects.KindUser, d.User)
	if err != nil {
		return // nobody has such a name
	}
	for n := range nsCount {
		for _, k := range s.hub.members(roomKey{n, own}) {
			if k.pid == d.PID && k.olderThan(d.Revision) {
				k.client.session.Close(engine.ReasonServerClose)
			}
		}
	}
}

func (k *socket) olderThan(revision uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.saving.revision < revision
}
