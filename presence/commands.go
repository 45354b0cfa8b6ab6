package presence

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/lexiflow/realtime/subjects"
)

// What clients say. Identity comes from the verified token alone; a socket's commands come one after
// another, because the edge waits for each answer.

var errNobody = subjects.Errorf(subjects.CodeAuthFailed, "who asks is not known")

// set applies what the user said and returns how the user is now.
func (s *Service) set(ctx context.Context, caller subjects.Caller, f fact) (subjects.PresenceUpdateEvent, error) {
	if _, err := subjects.Escape(caller.User); err != nil {
		return subjects.PresenceUpdateEvent{}, err
	}
	s.mu.Lock()
	u := s.users.get(caller.User)
	s.mu.Unlock()
	s.awaitSocket(ctx, u, caller.Socket, f)
	// Settled at once: what was not stored because nobody saw it may be seen now.
	resolved := s.resolved(u)
	after, err := s.change(ctx, u, func() []fact {
		if !resolved {
			return []fact{f}
		}
		return []fact{f, settled{s.marks(u), s.offlineAt(time.Now())}}
	})
	if err != nil {
		return subjects.PresenceUpdateEvent{}, err
	}
	return asConnected(after, time.Now()), nil
}

// A command may overtake the batch that says that its socket is there, which is at most a quarter of a
// second behind.
const (
	socketPatience = 400 * time.Millisecond
	socketLook     = 10 * time.Millisecond
)

// awaitSocket waits until the socket of a command is known, if the user would otherwise be stored, and
// thereby announced, as offline.
func (s *Service) awaitSocket(ctx context.Context, u *user, sid string, f fact) {
	ctx, cancel := context.WithTimeout(ctx, socketPatience)
	defer cancel()
	tick := time.NewTicker(socketLook)
	defer tick.Stop()
	for !s.expected(u, sid, f) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// expected reports whether a fact can be applied: its socket is known, or others of the user are, or it
// changes nothing.
func (s *Service) expected(u *user, sid string, f fact) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.state.record.counted.Connections > 0 || slices.ContainsFunc(u.state.sockets, func(k socket) bool { return k.id == sid }) {
		return true
	}
	_, c := apply(u.state, f, time.Now())
	return !c.store
}

// acked is set for a command whose ack shows the result.
func (s *Service) acked(ctx context.Context, caller subjects.Caller, f fact) (subjects.Reply, error) {
	p, err := s.set(ctx, caller, f)
	if err != nil {
		return subjects.Reply{}, err
	}
	body, err := json.Marshal(subjects.PresenceAck{Success: true, Presence: p})
	if err != nil {
		return subjects.Reply{}, subjects.Errorf(subjects.CodeInternal, "the ack cannot be written: %w", err)
	}
	return subjects.Reply{Ack: body}, nil
}

func (s *Service) setStatus(ctx context.Context, caller subjects.Caller, req subjects.PresenceStatusRequest) (subjects.Reply, error) {
	if !slices.Contains(req.Status.Values(), string(req.Status)) {
		return subjects.Reply{}, subjects.Errorf(subjects.CodeInvalidInput, "status %.32q: online, away, busy or offline is allowed", req.Status)
	}
	return s.acked(ctx, caller, statusSet{caller.Socket, req.Status})
}

func (s *Service) setActivity(ctx context.Context, caller subjects.Caller, req subjects.PresenceActivityRequest) (subjects.Reply, error) {
	if err := fits("activity", req.Activity, s.options.MaxActivity); err != nil {
		return subjects.Reply{}, err
	}
	return s.acked(ctx, caller, activitySet{caller.Socket, req.Activity})
}

func (s *Service) clearActivity(ctx context.Context, caller subjects.Caller, _ subjects.None) (subjects.Reply, error) {
	return s.acked(ctx, caller, activitySet{by: caller.Socket})
}

func (s *Service) setCustomStatus(ctx context.Context, caller subjects.Caller, req subjects.PresenceCustomStatusRequest) (subjects.Reply, error) {
	if err := fits("customStatus", req.CustomStatus, s.options.MaxCustomStatus); err != nil {
		return subjects.Reply{}, err
	}
	return s.acked(ctx, caller, customSet{req.CustomStatus})
}

func (s *Service) clearCustomStatus(ctx context.Context, caller subjects.Caller, _ subjects.None) (subjects.Reply, error) {
	return s.acked(ctx, caller, customSet{})
}

// fits bounds a text that everybody around will see.
func fits(field, text string, limit int) error {
	if n := utf8.RuneCountInString(text); n > limit {
		return subjects.Errorf(subjects.CodeInvalidInput, "%s has %d characters, at most %d are allowed", field, n, limit)
	}
	return nil
}

// heartbeat is a socket's first; the edge keeps the others. A text that is too long refills nothing and is
// no reason to refuse: the edge would pass every further heartbeat on.
func (s *Service) heartbeat(ctx context.Context, caller subjects.Caller, req subjects.PresenceHeartbeatRequest) (subjects.Reply, error) {
	f := beaten{status: req.Status}
	if fits("activity", req.Activity, s.options.MaxActivity) == nil {
		f.activity = req.Activity
	}
	if fits("customStatus", req.CustomStatus, s.options.MaxCustomStatus) == nil {
		f.custom = req.CustomStatus
	}
	_, err := s.set(ctx, caller, f)
	return subjects.Reply{}, err
}

// noted is presence:active and presence:idle: what they mean is in the edge's batches, since it knows what
// else the socket sends.
func (s *Service) noted(context.Context, subjects.Caller, subjects.None) (subjects.Reply, error) {
	return subjects.Reply{}, nil
}

// subscribe: {userIds} → {success:true}, then their snapshot. Subscribing again is a snapshot again.
func (s *Service) subscribe(ctx context.Context, caller subjects.Caller, req subjects.PresenceUsers) (subjects.Reply, error) {
	ids, err := s.userIDs(req.UserIDs, s.options.MaxSubscriptions)
	if err != nil {
		return subjects.Reply{}, err
	}
	w, err := s.rewatch(ctx, caller.Socket, func(w *watch) (bool, error) {
		if w.User != caller.User {
			*w = watch{User: caller.User}
		}
		before := len(w.Users)
		w.Users = append(w.Users, ids...)
		slices.Sort(w.Users)
		w.Users = slices.Compact(w.Users)
		if len(w.Users) > s.options.MaxSubscriptions {
			return false, subjects.Errorf(subjects.CodeRoomLimit, "at most %d users can be subscribed to on one socket", s.options.MaxSubscriptions)
		}
		change := len(w.Users) != before || w.Closed
		w.Closed = false
		return change, nil
	})
	if err != nil {
		return subjects.Reply{}, err
	}
	views := s.snapshot(ids)
	reply := subjects.Reply{Join: roomsOf(ids), Events: []subjects.Emit{s.bulk(views)}}
	if w.Dialect {
		rooms, events := s.dialect(ids)
		reply.Join, reply.Events = append(reply.Join, rooms...), append(reply.Events, events...)
	}
	s.think(func() { s.sayAgain(s.changedSince(ids, views)) })
	return reply, nil
}

// sayAgain announces once more what changed while a subscription was on its way: a reply cannot be
// followed by another. It does so by storing the record as it is: a change that somebody stores meanwhile
// comes behind, or makes this one fail, while a publish of its own could overtake it and stay.
func (s *Service) sayAgain(changed []subjects.PresenceUpdateEvent) {
	for _, p := range changed {
		err := s.storeAgain(p.UserID)
		if err != nil && !errors.Is(err, errConflict) && s.work.Err() == nil {
			s.log.Warn("a change is not announced again", "error", err)
			return
		}
	}
}

func (s *Service) storeAgain(user string) error {
	key, err := subjects.Escape(user)
	if err != nil {
		return err
	}
	m, err := s.store.load(s.work, recordPrefix+key)
	if err != nil {
		return err
	}
	_, r, err := m.record()
	if err != nil || r.public.Status == "" {
		return err // nothing is known of that user any more
	}
	_, err = s.store.saveRecord(s.work, r, m.revision)
	return err
}

// unsubscribe: {userIds} → {success:true}. Those that the user sees without asking stay seen.
func (s *Service) unsubscribe(ctx context.Context, caller subjects.Caller, req subjects.PresenceUsers) (subjects.Reply, error) {
	ids, err := s.userIDs(req.UserIDs, s.options.MaxSubscriptions)
	if err != nil {
		return subjects.Reply{}, err
	}
	_, err = s.rewatch(ctx, caller.Socket, func(w *watch) (bool, error) {
		if w.User != caller.User {
			return false, nil
		}
		before := len(w.Users)
		w.Users = slices.DeleteFunc(w.Users, func(id string) bool { return slices.Contains(ids, id) })
		return len(w.Users) != before, nil
	})
	if err != nil {
		return subjects.Reply{}, err
	}
	around := append(s.audienceOf(caller.User), caller.User)
	ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(around, id) })
	return subjects.Reply{Leave: allRoomsOf(ids)}, nil
}

// userIDs checks a list that a client sent.
func (s *Service) userIDs(ids []string, limit int) ([]string, error) {
	if len(ids) > limit {
		return nil, subjects.Errorf(subjects.CodeInvalidInput, "userIds has %d entries, at most %d are allowed", len(ids), limit)
	}
	for _, id := range ids {
		if _, err := subjects.Escape(id); err != nil {
			return nil, err
		}
	}
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
