package presence

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/lexiflow/realtime/subjects"
)

// What a fresh or resumed socket gets: the rooms of those it may see, and their snapshot.

// afterthought is how long after a snapshot it is looked at again. A change that was announced after the
// snapshot was taken and before the edge had joined the rooms is in neither.
const afterthought = 200 * time.Millisecond

// greeting answers hello.<namespace>. The edge takes a second answer for a while, so what changed while
// the first one was on its way follows it.
func (s *Service) greeting(_ context.Context, req micro.Request) {
	caller := subjects.CallerOf(nats.Header(req.Headers()))
	if caller.User == "" {
		s.refuse(req, "hello", errNobody)
		return
	}
	watched := s.watchers.get(caller.Socket)
	if watched.User != caller.User {
		watched = watching{}
	}
	seen := s.seenBy(caller.User, watched.Users)
	views := s.snapshot(seen)
	reply := subjects.Reply{
		Join:  roomsOf(append([]string{caller.User}, seen...)),
		Leave: allRoomsOf(s.unseen(caller.User, seen)),
	}
	reply.Events = append(reply.Events, s.bulk(append(views, s.own(caller.User))))
	if watched.Dialect {
		rooms, events := s.dialect(seen)
		reply.Join, reply.Events = append(reply.Join, rooms...), append(reply.Events, events...)
	}
	s.answer(req, "hello", reply)
	s.think(func() { s.helloAgain(req.Reply(), seen, views) })
}

// unseen lists those whose rooms a socket may still be in and has to leave. seen is sorted.
func (s *Service) unseen(user string, seen []string) []string {
	return slices.DeleteFunc(s.audience.partedFrom(user), func(id string) bool {
		_, found := slices.BinarySearch(seen, id)
		return found || id == user
	})
}

// seenBy returns whom a socket sees, sorted, without its user: who is around, and whom it subscribed to.
func (s *Service) seenBy(user string, subscribed []string) []string {
	seen := append(s.audienceOf(user), subscribed...)
	slices.Sort(seen)
	seen = slices.Compact(seen)
	return slices.DeleteFunc(seen, func(id string) bool { return id == user })
}

// think calls f after the afterthought, unless this replica stops first.
func (s *Service) think(f func()) {
	time.AfterFunc(afterthought, func() {
		if s.work.Err() == nil {
			f()
		}
	})
}

// helloAgain sends what has changed since a snapshot to where it went.
func (s *Service) helloAgain(inbox string, ids []string, before []subjects.PresenceUpdateEvent) {
	changed := s.changedSince(ids, before)
	if len(changed) == 0 {
		return
	}
	s.respond(inbox, "hello-again", subjects.Reply{Events: []subjects.Emit{s.bulk(changed)}}, nil)
}

// changedSince returns the views that differ now.
func (s *Service) changedSince(ids []string, before []subjects.PresenceUpdateEvent) (changed []subjects.PresenceUpdateEvent) {
	for i, view := range s.snapshot(ids) {
		if !sameView(view, before[i]) {
			changed = append(changed, view)
		}
	}
	return changed
}

// own is how a socket's user sees itself: connected, also before its edge has said so.
func (s *Service) own(user string) subjects.PresenceUpdateEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := state{user: user}
	if u := s.users.all[user]; u != nil {
		st = u.state
	}
	return asConnected(st, time.Now())
}

// bulk is a snapshot as an event.
func (s *Service) bulk(views []subjects.PresenceUpdateEvent) subjects.Emit {
	entries := make(subjects.List[subjects.PresenceEntry], len(views))
	for i, v := range views {
		entries[i] = subjects.PresenceEntry{
			UserID: v.UserID, Status: v.Status, LastSeen: v.LastSeen,
			ActiveConnections: v.ActiveConnections, CurrentActivity: v.CurrentActivity, CustomStatus: v.CustomStatus,
		}
	}
	e, err := subjects.PresenceBulkUpdate.Emit(subjects.PresenceBulkUpdateEvent{
		Users: entries, Base: subjects.Base{Timestamp: subjects.Now()},
	})
	if err != nil {
		// Every time in a view is set, so this is a fault of this program; an empty snapshot does no harm.
		s.log.Error("a snapshot cannot be written", "error", err)
		return subjects.Emit{Event: subjects.PresenceBulkUpdate.Name(), Data: []byte(`{"users":[]}`)}
	}
	return e
}

// allRoomsOf returns the rooms in which users are watched, those of the dialect too.
func allRoomsOf(users []string) []string {
	rooms := roomsOf(users)
	for _, id := range users {
		if room, err := subjects.Room(subjects.KindPresence, subjects.DialectRoomID(id)); err == nil {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

// roomsOf returns the rooms in which users are watched. An id that cannot be escaped has none.
func roomsOf(users []string) []string {
	rooms := make([]string, 0, len(users))
	for _, user := range users {
		if room, err := subjects.Room(subjects.KindPresence, user); err == nil {
			rooms = append(rooms, room)
		}
	}
	return rooms
}
