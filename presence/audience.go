package presence

import (
	"slices"
	"strings"
	"sync"

	"github.com/lexiflow/realtime/subjects"
)

// audience knows who shares something with whom: an entry of ACCESS, which conversations have too
// (contract 3.4, 8 B11). Its methods may be called concurrently.
type audience struct {
	mu sync.RWMutex
	// Guarded by mu.
	members map[string][]string            // entry → users who may enter
	entries map[string]map[string]struct{} // user → entries
}

func newAudience() *audience {
	return &audience{members: make(map[string][]string), entries: make(map[string]map[string]struct{})}
}

// set replaces the members of an entry; none removes it.
func (a *audience) set(entry string, members []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
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
		s.audience.set(entry, nil)
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
	s.audience.set(entry, slices.DeleteFunc(members, func(user string) bool {
		return user == "" || slices.Contains(list.Deny, user)
	}))
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
