package edge

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// Changes of access, applied by the fan-out at their place in the log: no later lex. event reaches
// someone who was taken out, and every later one reaches someone who was let in.

// accessChanges remembers the last change of each room for as long as the bucket ACCESS or a service's
// answer may be older than it. Methods may be called concurrently.
type accessChanges struct {
	mu sync.Mutex
	// Guarded by mu.
	lists map[string]accessChange
	swept time.Time
}

type accessChange struct {
	list accessList
	seen time.Time
}

const (
	accessMemory = time.Minute
	accessSweep  = 10 * time.Second
)

func newAccessChanges() *accessChanges { return &accessChanges{lists: make(map[string]accessChange)} }

func (a *accessChanges) note(room string, list accessList, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lists[room] = accessChange{list, now}
	if now.Sub(a.swept) < accessSweep {
		return
	}
	a.swept = now
	for room, c := range a.lists {
		if now.Sub(c.seen) > accessMemory {
			delete(a.lists, room)
		}
	}
}

func (a *accessChanges) latest(room string) (accessList, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.lists[room]
	return c.list, ok
}

// applyAccess takes one access:changed. For a case it takes out who may no longer be in. A conversation
// belongs to its service, so its list is its membership: allowed users are let in on every socket, all
// others are taken out.
func (s *Server) applyAccess(d *delivery, route subjects.Route) {
	list, ok := s.noteAccess(d, route)
	if !ok {
		s.deadLetter(d, "bad-access", "the access list is not understood")
		return
	}
	s.evict(route.Room, func(k *socket) bool { return s.mayStay(list, k.who.Load(), route.Room) })
	if route.Kind == subjects.KindConversation {
		s.letIn(route.Room, list)
	}
}

// noteAccess remembers what an access:changed says, and then forgets the list that was kept: in this order,
// or an answer could be kept in between that knows nothing of it.
func (s *Server) noteAccess(d *delivery, route subjects.Route) (list accessList, ok bool) {
	defer s.recent.forget(route.Room) // also for one that is not understood
	if err := json.Unmarshal(d.payload, &list); err != nil {
		return accessList{}, false
	}
	s.changes.note(route.Room, list, time.Now())
	return list, true
}

// walledOff reports whether a change among missed events took the user out of its room, perhaps only for
// a while: a live socket would have ended there, and what came between is not for its user.
func (s *Server) walledOff(who *identity, missed []*delivery) bool {
	return slices.ContainsFunc(missed, func(d *delivery) bool {
		var list accessList
		return d.event == accessChanged && json.Unmarshal(d.payload, &list) == nil && !s.mayStay(list, who, d.room)
	})
}

// hasMember reads the list as a membership, where no scope counts.
func (l accessList) hasMember(user string) bool {
	return slices.Contains(l.Allow, user) && !slices.Contains(l.Deny, user)
}

// mayStay reads a list by its room's kind; rooms of other kinds have none that counts here.
func (s *Server) mayStay(list accessList, who *identity, room string) bool {
	kind, id, err := subjects.ParseRoom(room)
	switch {
	case err != nil:
		return false
	case kind == subjects.KindConversation:
		return list.hasMember(who.user)
	case kind == subjects.KindCase && s.options.Access == AccessMember:
		return list.admits(who, kind, id)
	}
	return true
}

// evict takes out every member that may not stay, and tells it.
func (s *Server) evict(room string, mayStay func(*socket) bool) {
	for n := range nsCount {
		for _, k := range s.hub.members(roomKey{n, room}) {
			if mayStay(k) {
				continue
			}
			if k.leave(room, roomService) || s.exit(k, room) {
				s.metrics.refused(reasonEvicted)
				k.noteEviction()
				s.save(k, func(error) {})
				k.emit("error", refuse(subjects.CodeForbidden, "access to "+publicName(room)+" has ended").event(time.Now()))
			}
		}
	}
}

func (k *socket) noteEviction() {
	k.mu.Lock()
	k.evicted = true
	k.mu.Unlock()
}

// letIn joins every socket of the members in the namespaces that carry the room's events.
func (s *Server) letIn(room string, list accessList) {
	var scratch [nsCount]ns
	for _, user := range list.Allow {
		own, err := subjects.Room(subjects.KindUser, user)
		if err != nil || !list.hasMember(user) {
			continue
		}
		for _, n := range destinations(scratch[:0], string(subjects.KindConversation)+":joined") {
			for _, k := range s.hub.members(roomKey{n, own}) {
				if k.join(room, roomService) {
					s.save(k, func(error) {}) // until then a resumption learns of it by hello
				}
			}
		}
	}
}

// outdated reports whether a service's Lex-Join was decided before a change that this edge has applied
// already: who has just been taken out must not come back by an answer that was under way.
func (s *Server) outdated(k *socket, room string) bool {
	list, ok := s.changes.latest(room)
	return ok && !s.mayStay(list, k.who.Load(), room)
}

// publicName is a room as clients name it: "case:123".
func publicName(room string) string {
	kind, id, err := subjects.ParseRoom(room)
	if err != nil {
		return "the room"
	}
	return string(kind) + ":" + id
}
