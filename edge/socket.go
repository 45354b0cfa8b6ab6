package edge

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// socket is one namespace connection of one client: its own id, its rooms, its acks. Its methods may
// be called concurrently unless they say otherwise.
type socket struct {
	// Static after CONNECT.
	client  *client
	ns      ns
	id      socketID
	user    string
	account *account
	since   time.Time
	pid     string // of its session; secret to its client
	start   uint64 // log position at which its session began

	// who is what the latest token said: auth:refresh replaces it, never by another user's.
	who atomic.Pointer[identity]

	// Owned by the fan-out goroutine.
	delivered uint64 // log sequence of the last lex. event; nothing at or below it is delivered again

	// Owned by the client's callbacks.
	bucket      bucket
	cheapBucket bucket
	lastRefused time.Time // of RATE_LIMIT_EXCEEDED: at most one error event a second

	lastEvent atomic.Int64 // Unix ms of its last event; read by health
	absorbing atomic.Bool  // a service has taken its first heartbeat
	greeted   atomic.Bool  // its first `connected` is queued

	// Activity, see connections.go.
	activity        atomic.Int64 // Unix ms of the last sign of a human
	idle            atomic.Bool
	speaksForItself atomic.Bool // it has sent presence:active or presence:idle: heartbeats say nothing any more

	mu sync.Mutex
	// Guarded by mu.
	rooms  []membership
	lanes  []*lane // commands in flight, by first token; see commands.go
	saving saving
	proofs
	evicted bool           // from a room: the session ends with its transport, since the news may be lost with it
	lost    int64          // Unix ms; the transport is gone and the session waits to be resumed
	last    *sessionRecord // what the session was when its transport was lost
	pending []sessionRoom  // of a session that is being resumed: rooms that it is not in again yet
	closed  bool
}

// proofs are what a socket's pongs have proved, see session.go; guarded by its mu.
type proofs struct {
	proved   uint64 // log position up to which everything has arrived
	provable uint32 // number of the last ping that was queued before all was there that the socket had missed
	catching uint16 // subscriptions since a position that are under way
	unproved bool   // what such a subscription sent has perhaps not arrived
}

// membership is one room of a socket and who asked for it.
type membership struct {
	room   *room
	origin roomOrigin
	joined uint64 // log position
}

type roomOrigin uint8

const (
	roomOwn     roomOrigin = iota // user:<self> and all: from CONNECT on, counted nowhere
	roomAsked                     // subscribe:case, join_room: counts in the user's 50
	roomService                   // Lex-Join: counts in the socket's 1,000
)

// socketID is a Socket.IO sid: 15 random bytes as 20 characters. It is public, unlike the engine's.
type socketID [20]byte

func newSocketID() (id socketID) {
	var raw [15]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	base64.RawURLEncoding.Encode(id[:], raw[:])
	return id
}

func (id socketID) String() string { return string(id[:]) }

// emit sends an event to this socket alone. data is a JSON object: a string would become the client's
// recovery offset (contract 8, B18).
func (k *socket) emit(event string, data json.RawMessage) {
	k.client.send(k.client.form.AppendEvent(nil, k.ns.String(), event, data))
}

// join enters a room once and reports whether it did: not when the socket is in it already, or gone.
func (k *socket) join(name string, origin roomOrigin) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	if k.find(name) >= 0 {
		return false
	}
	joined := k.client.server.fanned.Load() // before it is a member: what came later it gets
	r := k.client.server.hub.add(roomKey{k.ns, name}, k)
	k.rooms = append(k.rooms, membership{r, origin, joined})
	return true
}

// leave leaves a room that was entered this way and reports whether it was in it.
func (k *socket) leave(name string, origin roomOrigin) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := k.find(name)
	if i < 0 || k.rooms[i].origin != origin {
		return false
	}
	k.client.server.hub.remove(k.rooms[i].room, k)
	k.rooms = slices.Delete(k.rooms, i, i+1)
	return true
}

// in reports membership.
func (k *socket) in(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.find(name) >= 0
}

// joinedAt is the log position at which a room was joined; all that it has behind that came, or comes. It is
// 0 for a room that the socket is not in.
func (k *socket) joinedAt(name string) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := k.find(name); i >= 0 {
		return k.rooms[i].joined
	}
	return 0
}

// count returns how many rooms of one origin the socket is in.
func (k *socket) count(origin roomOrigin) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.rooms {
		if m.origin == origin {
			n++
		}
	}
	return n
}

// find needs mu.
func (k *socket) find(name string) int {
	return slices.IndexFunc(k.rooms, func(m membership) bool { return m.room.key.name == name })
}

// shut leaves every room and returns those that the user had asked for. After it, join does nothing:
// a reply that arrives late cannot leave a ghost behind (contract 8, B21).
func (k *socket) shut() (asked []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for _, m := range k.rooms {
		k.client.server.hub.remove(m.room, k)
		if m.origin == roomAsked {
			asked = append(asked, m.room.key.name)
		}
	}
	k.rooms, k.lanes = nil, nil
	return asked
}
