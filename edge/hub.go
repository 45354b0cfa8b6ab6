package edge

import (
	"hash/maphash"
	"slices"
	"sync"
)

// hub is the index room → members of this edge. All methods may be called concurrently.
//
// It is striped by room, so that a join does not wait for the fan-out to another, large room. A room
// exists while it has a member: empty ones are gone at once (contract 8, B24).
type hub struct {
	seed    maphash.Seed
	stripes [hubStripes]stripe
}

const hubStripes = 64

type stripe struct {
	mu sync.Mutex
	// Guarded by mu.
	rooms map[roomKey]*room
}

// roomKey names a room of one namespace; name is "<kind>.<escaped id>", which is the piece of the
// subject between class and event, so that a lookup for an event needs no allocation.
type roomKey struct {
	ns   ns
	name string
}

// room holds its members in a slice: 8 bytes a member, contiguous for the fan-out. A leave searches
// it, which costs some microseconds in a room of thousands and nothing that lasts.
type room struct {
	key     roomKey
	members []*socket // guarded by its stripe's mu
}

func newHub() *hub {
	h := &hub{seed: maphash.MakeSeed()}
	for i := range h.stripes {
		h.stripes[i].rooms = make(map[roomKey]*room)
	}
	return h
}

func (h *hub) stripe(name string) *stripe {
	return &h.stripes[maphash.String(h.seed, name)%hubStripes]
}

// add puts a socket into a room. The caller knows that it is not in it yet (socket.rooms).
func (h *hub) add(key roomKey, k *socket) *room {
	s := h.stripe(key.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[key]
	if r == nil {
		r = &room{key: key}
		s.rooms[key] = r
	}
	r.members = append(r.members, k)
	return r
}

func (h *hub) remove(r *room, k *socket) {
	s := h.stripe(r.key.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(r.members, k)
	if i < 0 {
		return
	}
	last := len(r.members) - 1
	r.members[i], r.members[last] = r.members[last], nil
	r.members = r.members[:last]
	if last == 0 {
		delete(s.rooms, r.key)
	}
}

// with runs f on the members of a room, if it has any, while they cannot change. f must not block
// and must not touch the hub.
func (h *hub) with(key roomKey, f func(members []*socket)) {
	s := h.stripe(key.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[key]; r != nil {
		f(r.members)
	}
}

// members copies who is in a room.
func (h *hub) members(key roomKey) (members []*socket) {
	h.with(key, func(in []*socket) { members = slices.Clone(in) })
	return members
}

// count returns how many sockets are in the room called name, over all namespaces.
func (h *hub) count(name string) (members int) {
	s := h.stripe(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range nsCount {
		if r := s.rooms[roomKey{n, name}]; r != nil {
			members += len(r.members)
		}
	}
	return members
}

// holds reports whether a room that exists has the member.
func (h *hub) holds(r *room, k *socket) bool {
	s := h.stripe(r.key.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[r.key] == r && slices.Contains(r.members, k)
}

// each calls f for every room, a stripe at a time, with the stripe held.
func (h *hub) each(f func(key roomKey, members []*socket)) {
	for i := range h.stripes {
		s := &h.stripes[i]
		s.mu.Lock()
		for key, r := range s.rooms {
			f(key, r.members)
		}
		s.mu.Unlock()
	}
}

// eachSocket calls f once for every socket, without holding a lock: all are in roomAll.
func (h *hub) eachSocket(f func(*socket)) {
	for n := range nsCount {
		for _, k := range h.members(roomKey{n, roomAll}) {
			f(k)
		}
	}
}
