package presence

import (
	"context"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// The dialect of socketService (contract 1.5): clients say presence:update {isOnline} and listen to
// user:presence {userId, isOnline, lastSeen}. A socket that has said so once is in the dialect's rooms
// beside the others; nobody else hears user:presence, and while nobody has said so it is not published.

// maxDialect bounds the additional rooms, so that with those of all services a socket stays below what an
// edge admits (1,000).
const maxDialect = 150

// setOnline is presence:update {isOnline}. Who is not there on one socket is offline when that is true of
// all of them: closing an application on the phone says nothing about the desk.
func (s *Service) setOnline(ctx context.Context, caller subjects.Caller, req subjects.PresenceSetRequest) (subjects.Reply, error) {
	_, err := s.rewatch(ctx, caller.Socket, func(w *watch) (bool, error) {
		change := !w.Dialect || w.Closed || w.User != caller.User
		if w.User != caller.User {
			*w = watch{}
		}
		w.User, w.Dialect, w.Closed = caller.User, true, false
		return change, nil
	})
	if err != nil {
		return subjects.Reply{}, err
	}
	if _, err := s.set(ctx, caller, shown{caller.Socket, req.IsOnline}); err != nil {
		return subjects.Reply{}, err
	}
	rooms, events := s.dialect(s.seenBy(caller.User, s.watchers.get(caller.Socket).Users))
	return subjects.Reply{Join: rooms, Events: events}, nil
}

// dialect returns the rooms and the snapshot, one event per user who is there, for a socket that sees users.
func (s *Service) dialect(users []string) (rooms []string, events []subjects.Emit) {
	users = users[:min(len(users), maxDialect)]
	for _, view := range s.snapshot(users) {
		room, err := subjects.Room(subjects.KindPresence, subjects.DialectRoomID(view.UserID))
		if err != nil {
			continue // an id of the full length has no dialect
		}
		rooms = append(rooms, room)
		if view.Status == subjects.PresenceOffline {
			continue
		}
		if e, err := subjects.UserPresence.Emit(inDialect(view)); err == nil {
			events = append(events, e)
		}
	}
	return rooms, events
}

func inDialect(p subjects.PresenceUpdateEvent) subjects.UserPresenceEvent {
	return subjects.UserPresenceEvent{
		UserID: p.UserID, IsOnline: p.Status != subjects.PresenceOffline, LastSeen: p.LastSeen,
		Base: subjects.Base{Timestamp: subjects.Now()},
	}
}

// tellDialect announces in the dialect that a user came or went. The replica that stored the change does
// it, so a crash in between loses it: hello repairs that.
func (s *Service) tellDialect(before, now subjects.PresenceUpdateEvent) {
	was := before.Status != subjects.PresenceOffline && before.Status != ""
	if is := now.Status != subjects.PresenceOffline; is == was || !s.watchers.anyDialect() {
		return
	}
	ctx, cancel := context.WithTimeout(s.work, time.Second)
	defer cancel()
	_, err := subjects.UserPresence.Publish(ctx, s.publisher, subjects.DialectRoomID(now.UserID), inDialect(now))
	if err != nil && subjects.CodeOf(err) != subjects.CodeInvalidInput {
		s.log.Warn("presence is not announced in the dialect", "error", err)
	}
}
