package edge

import (
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/subjects"
)

// A session is what makes a socket resumable on any edge (design 3, Resume): a record in the bucket
// SESSIONS under the pid. The CONNECT reply and the ack of every join and leave wait for its write, so
// what a client was told survives kill -9.

// sessionRecord is the record's value.
type sessionRecord struct {
	User      string        `json:"user"`
	Namespace string        `json:"namespace"`
	SID       string        `json:"sid"`
	Start     uint64        `json:"start"`              // log position at which the session began
	Proved    uint64        `json:"proved,omitempty"`   // log position up to which a pong has proved that all arrived
	Since     int64         `json:"since"`              // Unix ms
	Owner     string        `json:"owner"`              // the edge
	Lost      int64         `json:"lost,omitempty"`     // Unix ms at which its transport was lost; 0 while it lives
	Evicted   bool          `json:"evicted,omitempty"`  // taken out of a room, perhaps without knowing
	Unproved  bool          `json:"unproved,omitempty"` // was sent what lies before its offset, perhaps in vain
	Rooms     []sessionRoom `json:"rooms"`
}

type sessionRoom struct {
	Room    string `json:"room"`
	Joined  uint64 `json:"joined"` // log position
	Service bool   `json:"service,omitempty"`
}

// saving is the state of a session's writes; guarded by its socket's mu.
type saving struct {
	revision uint64        // of the record, for compare-and-set: another edge's takeover shows
	busy     bool          // a write is under way
	next     []func(error) // who waits for the write after it
	at       time.Time     // of the last write
}

const sessionPut = "$KV." + subjects.BucketSessions + "."

// save writes the session and then calls then. Changes that come while a write is under way share the
// next one.
func (s *Server) save(k *socket, then func(error)) {
	k.mu.Lock()
	k.saving.next = append(k.saving.next, then)
	busy := k.saving.busy
	k.saving.busy = true
	k.mu.Unlock()
	if !busy {
		s.write(k)
	}
}

// write is one write; it goes on while there is somebody waiting.
func (s *Server) write(k *socket) {
	k.mu.Lock()
	waiting := k.saving.next
	k.saving.next = nil
	record, revision := k.record().encode(), k.saving.revision
	k.mu.Unlock()
	s.put(k.pid, record, revision, func(written uint64, err error) {
		if errors.Is(err, errTakenOver) {
			s.recheck(k, waiting)
			return
		}
		s.wrote(k, waiting, written, err)
	})
}

// recheck looks why a compare-and-set has failed. A record that is gone (the bus was away for longer than
// it keeps them, or was made anew) is written again; one that is there is another edge's.
func (s *Server) recheck(k *socket, waiting []func(error)) {
	s.requests.do(sessionGet+k.pid, nil, nil, s.options.CommandTimeout, once(func(m *nats.Msg, err error) {
		switch {
		case err != nil:
			s.wrote(k, waiting, 0, err)
		case m.Header.Get("Status") != "404":
			s.wrote(k, waiting, 0, errTakenOver)
		default:
			k.mu.Lock()
			k.saving.revision = 0
			k.saving.next = append(waiting, k.saving.next...)
			k.mu.Unlock()
			s.write(k)
		}
	}))
}

// wrote tells those who waited for a write, and goes on with the next one.
func (s *Server) wrote(k *socket, waiting []func(error), written uint64, err error) {
	k.mu.Lock()
	if err == nil {
		k.saving.revision, k.saving.at = written, time.Now()
	}
	again := len(k.saving.next) > 0
	k.saving.busy = again
	k.mu.Unlock()
	for _, then := range waiting {
		then(err)
	}
	if again {
		s.write(k)
	}
}

// put is a compare-and-set of a record.
func (s *Server) put(pid string, record []byte, revision uint64, f func(written uint64, err error)) {
	header := nats.Header{"Nats-Expected-Last-Subject-Sequence": {strconv.FormatUint(revision, 10)}}
	s.requests.do(sessionPut+pid, header, record, s.options.CommandTimeout, once(func(m *nats.Msg, err error) {
		if err != nil {
			f(0, err)
			return
		}
		f(readPut(m.Data))
	}))
}

// readPut reads a stream's answer to a put: {"stream", "seq"} or {"error": {"err_code"}}. Every connection
// waits for two of them, which a decoder by reflection would make the dearer half of the request.
func readPut(answer []byte) (written uint64, err error) {
	if e, failed := sio.Field(answer, "error"); failed {
		code, _ := sio.Field(e, "err_code")
		if string(code) == wrongLastSequence || string(code) == wrongLastSequenceCluster {
			return 0, errTakenOver
		}
		return 0, errNotKept
	}
	seq, _ := sio.Field(answer, "seq")
	if written, err = strconv.ParseUint(string(seq), 10, 64); err != nil || written == 0 {
		return 0, errNotKept
	}
	return written, nil
}

// JetStream's error codes for a failed compare-and-set, of one server and of a cluster.
const (
	wrongLastSequence        = "10071"
	wrongLastSequenceCluster = "10164"
)

var (
	errTakenOver = subjects.Errorf(subjects.CodeConflict, "another edge has taken the session over")
	errNotKept   = subjects.Errorf(subjects.CodeUnavailable, "the session cannot be kept now")
)

// record needs mu.
func (k *socket) record() sessionRecord {
	if k.last != nil {
		return *k.last
	}
	r := sessionRecord{
		User: k.user, Namespace: k.ns.String(), SID: k.id.String(), Start: k.start,
		Since: k.since.UnixMilli(), Owner: k.client.server.options.Name, Lost: k.lost, Evicted: k.evicted,
		Rooms: make([]sessionRoom, 0, len(k.rooms)),
	}
	r.Proved, r.Unproved = k.proof()
	for _, m := range k.rooms {
		if m.origin != roomOwn {
			r.Rooms = append(r.Rooms, sessionRoom{m.room.key.name, m.joined, m.origin == roomService})
		}
	}
	for _, in := range k.pending {
		if k.find(in.Room) < 0 {
			r.Rooms = append(r.Rooms, in)
		}
	}
	return r
}

// forget deletes the record of a client that left by itself.
func (s *Server) forget(k *socket) {
	if !s.nc.IsConnected() {
		return // it ages
	}
	_ = s.nc.PublishMsg(&nats.Msg{Subject: sessionPut + k.pid, Header: nats.Header{"KV-Operation": {"DEL"}}})
}

// proof reads what pongs have proved of this socket. One counts when its ping was queued behind all that the
// socket had caught up with. It needs mu.
func (k *socket) proof() (proved uint64, unproved bool) {
	mark, ping := k.client.session.Proof()
	if ping > k.provable {
		k.proved = max(k.proved, mark)
		k.unproved = k.unproved && k.catching > 0
	}
	return k.proved, k.unproved
}

// caughtUp says that all that the socket had missed is queued: pings from now on come behind it.
func (k *socket) caughtUp() {
	pings := k.client.session.Pings()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.provable = pings
}

// origins of a record's rooms, for the socket that takes them over.
func (r sessionRoom) origin() roomOrigin {
	if r.Service {
		return roomService
	}
	return roomAsked
}

// offsetOf is a log sequence as it travels to clients: a JSON string.
func offsetOf(seq uint64) []byte {
	b := make([]byte, 0, 22)
	b = append(b, '"')
	b = strconv.AppendUint(b, seq, 10)
	return append(b, '"')
}

// saved calls f when everything that the socket's session says now is kept. If it cannot be kept, the
// client is sent away, to come back with what it had before.
func (s *Server) saved(k *socket, f func()) {
	k.mu.Lock()
	clean := !k.saving.busy && len(k.saving.next) == 0
	k.mu.Unlock()
	if clean {
		f()
		return
	}
	s.save(k, func(err error) {
		if err != nil {
			s.unkept(k, err)
			return
		}
		f()
	})
}

// kept saves the session when it has changed, and then calls f with nil. While the bus is away f gets
// that error, and the client stays connected; a session that is another edge's by now ends instead.
func (s *Server) kept(k *socket, changed bool, f func(error)) {
	if !changed {
		f(nil)
		return
	}
	s.save(k, func(err error) {
		if errors.Is(err, errTakenOver) {
			s.unkept(k, err)
			return
		}
		f(err)
	})
}

// unkept ends a socket whose session cannot be kept, or is another edge's by now.
func (s *Server) unkept(k *socket, err error) {
	s.log.Warn("session not kept", "namespace", k.ns.String(), "error", err)
	k.client.drop(reasonSession, engine.ReasonServerClose)
}

// leaveSession ends or suspends a session with its socket.
func (s *Server) leaveSession(k *socket, clean bool, now time.Time) {
	if clean {
		s.forget(k)
		return
	}
	k.mu.Lock()
	k.lost = now.UnixMilli()
	last := k.record() // as long as it is in its rooms: this write may have to wait for one under way
	k.last = &last
	k.mu.Unlock()
	s.save(k, func(error) {}) // without it the window counts from the last write
}

// refreshSessions rewrites each live session before it ages out of the bucket.
func (s *Server) refreshSessions(now time.Time) {
	s.hub.eachSocket(func(k *socket) {
		if !k.staleSession(now, s.options.ResumeWindow) {
			return
		}
		s.save(k, func(err error) {
			if errors.Is(err, errTakenOver) {
				s.unkept(k, err)
			}
		})
	})
}

const refreshEvery = 5 * time.Second

// staleSession says when a session is to be rewritten: when it can be resumed again, or after half the window, and up to an eighth of it
// earlier by chance, so that those who came together are not written together.
func (k *socket) staleSession(now time.Time, window time.Duration) bool {
	age := window/2 - window/8*time.Duration(k.id[0]%64)/64
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.saving.busy || k.closed {
		return false
	}
	marked := k.unproved
	_, unproved := k.proof()
	return marked && !unproved || now.Sub(k.saving.at) > age
}
