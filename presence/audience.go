package presence

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// audience knows who shares something with whom: an entry of ACCESS, which conversations have too
// (contract 3.4, 8 B11). Its methods may be called concurrently.
type audience struct {
	mu sync.RWMutex
	// Guarded by mu.
	members map[string][]string            // entry → users who may enter
	entries map[string]map[string]struct{} // user → entries
	parted  []parting                      // in the order of their times
}

// A parting is an entry that lost members: sockets of all who were in it may still be in the rooms of those
// they shared it with.
type parting struct {
	at      time.Time
	members []string // before, sorted
	left    []string // sorted
}

// keepParting is longer than a session can be resumed, with the rooms it had.
const keepParting = keepWatch

func newAudience() *audience {
	return &audience{members: make(map[string][]string), entries: make(map[string]map[string]struct{})}
}

// set replaces the members of an entry, which are sorted; none removes it. It returns whom that concerns:
// nobody if it changes nothing.
func (a *audience) set(entry string, members []string, now time.Time) (concerned []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.members[entry]
	if slices.Equal(before, members) {
		return nil
	}
	a.replace(entry, members)
	a.parted = slices.DeleteFunc(a.parted, func(p parting) bool { return now.Sub(p.at) > keepParting })
	left := slices.DeleteFunc(slices.Clone(before), func(user string) bool {
		_, still := slices.BinarySearch(members, user)
		return still
	})
	if len(left) > 0 {
		a.parted = append(a.parted, parting{now, before, left})
	}
	concerned = append(slices.Clone(before), members...)
	slices.Sort(concerned)
	return slices.Compact(concerned)
}

// partedFrom lists those whom a user has shared an entry with and perhaps does not any more.
func (a *audience) partedFrom(user string) (others []string) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, p := range a.parted {
		if _, in := slices.BinarySearch(p.members, user); !in {
			continue
		}
		if _, gone := slices.BinarySearch(p.left, user); gone {
			others = append(others, p.members...)
		} else {
			others = append(others, p.left...)
		}
	}
	slices.Sort(others)
	return slices.Compact(others)
}

// replace needs mu.
func (a *audience) replace(entry string, members []string) {
	for _, user := range a.members[entry] {
		delete(a.entries[user], entry)
		if len(a.entries[user]) == 0 {
			delete(a.entries, user)
		}
	}
	if len(members) == 0 {
		delete(a.members, entry)
		return
	}
	a.members[entry] = members
	for _, user := range members {
		if a.entries[user] == nil {
			a.entries[user] = make(map[string]struct{})
		}
		a.entries[user][entry] = struct{}{}
	}
}

// around returns everybody who shares an entry with user, sorted, without the user.
func (a *audience) around(user string) []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var all []string
	for entry := range a.entries[user] {
		all = append(all, a.members[entry]...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(other string) bool { return other == user })
}

// accessStored follows the bucket ACCESS.
func (s *Service) accessStored(m stored) {
	entry := strings.TrimPrefix(m.subject, accessPrefix)
	if len(m.data) == 0 {
		s.greetAgain(s.audience.set(entry, nil, time.Now()))
		return
	}
	list, err := subjects.AccessChanged.Decode(m.data)
	if err != nil {
		s.metrics.failed.WithLabelValues("access").Inc()
		s.log.Warn("an access list is not understood", "entry", entry, "error", err)
		return
	}
	members := slices.Clone([]string(list.Allow))
	slices.Sort(members)
	members = slices.Compact(members)
	members = slices.DeleteFunc(members, func(user string) bool {
		return user == "" || slices.Contains(list.Deny, user)
	})
	s.greetAgain(s.audience.set(entry, members, time.Now()))
}

// greetAgain has the sockets of users greeted again, who see others than before. Whether they have any is
// for the edges to know: of a socket that has just connected nobody has told yet. While this replica
// starts, nothing has changed: it only learns.
func (s *Service) greetAgain(users []string) {
	if !s.ready.Load() {
		return
	}
	for _, id := range users {
		if room, err := subjects.Room(subjects.KindUser, id); err == nil {
			s.greeter.Again(room, s.patience(id))
		}
	}
}

// audienceOf returns whom a user sees without asking: all it shares something with, who is there first
// when they are more than a socket may watch.
func (s *Service) audienceOf(user string) []string {
	all := s.audience.around(user)
	if len(all) <= s.options.MaxAudience {
		return all
	}
	s.metrics.cut.Inc()
	views := s.snapshot(all)
	slices.SortStableFunc(views, func(a, b subjects.PresenceUpdateEvent) int {
		return offlineLast(a) - offlineLast(b)
	})
	for i, view := range views {
		all[i] = view.UserID
	}
	return all[:s.options.MaxAudience]
}

func offlineLast(p subjects.PresenceUpdateEvent) int {
	if p.Status == subjects.PresenceOffline {
		return 1
	}
	return 0
}
