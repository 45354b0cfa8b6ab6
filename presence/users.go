package presence

import (
	"container/heap"
	"sync"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// A user is one user's state in this replica, and when it has to be settled next.
type user struct {
	id string

	turn sync.Mutex // held by whoever decides and stores; never taken while Service.mu is held

	// Guarded by Service.mu.
	state    state
	revision uint64    // of the stored record; 0: there is none
	due      time.Time // zero: not in the heap
	index    int       // in the heap
}

// users are all who are connected, or known to have been. Their methods need Service.mu.
type users struct {
	all  map[string]*user
	due  dueHeap
	wake chan struct{} // has room for one: the first in the heap has changed
}

func newUsers() *users {
	return &users{all: make(map[string]*user), wake: make(chan struct{}, 1)}
}

// get returns the user of an id, a new one if need be.
func (us *users) get(id string) *user {
	u := us.all[id]
	if u == nil {
		u = &user{id: id, state: state{user: id}}
		us.all[id] = u
	}
	return u
}

// drop forgets a user about whom there is nothing to know.
func (us *users) drop(u *user) {
	if u.revision == 0 && len(u.state.sockets) == 0 && u.due.IsZero() && us.all[u.id] == u {
		delete(us.all, u.id)
	}
}

// settleAt makes u due at a time, or leaves it where it is due sooner.
func (us *users) settleAt(u *user, at time.Time) {
	switch {
	case u.due.IsZero():
		u.due = at
		heap.Push(&us.due, u)
	case at.Before(u.due):
		u.due = at
		heap.Fix(&us.due, u.index)
	default:
		return
	}
	if us.due[0] == u {
		select {
		case us.wake <- struct{}{}:
		default:
		}
	}
}

// pop takes the next user whose time has come; otherwise it returns when that will be, zero for never.
func (us *users) pop(now time.Time) (*user, time.Time) {
	if len(us.due) == 0 {
		return nil, time.Time{}
	}
	first := us.due[0]
	if first.due.After(now) {
		return nil, first.due
	}
	heap.Pop(&us.due)
	return first, time.Time{}
}

// lag is how long the first in the heap has been due.
func (us *users) lag(now time.Time) time.Duration {
	if len(us.due) == 0 {
		return 0
	}
	return max(now.Sub(us.due[0].due), 0)
}

// dueHeap implements heap.Interface.
type dueHeap []*user

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	u, _ := x.(*user)
	u.index = len(*h)
	*h = append(*h, u)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	u := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	u.due = time.Time{}
	return u
}

// learn takes a stored record over, unless a newer one is known. It reports whether the record is news.
func (s *Service) learn(u *user, r record, revision uint64) bool {
	if revision <= u.revision {
		return false
	}
	u.state.record, u.revision = r, revision
	return true
}

// recordStored follows the bucket: what other replicas stored, and what expired.
func (s *Service) recordStored(m stored) {
	id, r, err := m.record()
	if err != nil {
		s.metrics.failed.WithLabelValues("record").Inc()
		s.log.Error("a record is not understood", "error", err)
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users.get(id)
	if !s.learn(u, r, m.revision) {
		return
	}
	if len(m.data) == 0 && len(u.state.sockets) == 0 {
		u.revision = 0 // its marker goes too; who saves too early is told and reads again
		s.users.drop(u)
		return
	}
	if r.counted.Connections > 0 || len(u.state.sockets) > 0 {
		s.users.settleAt(u, now.Add(agreeAfter+s.patience(id)))
	}
}

// agreeAfter is when a record that another replica stored is compared with one's own sockets: late enough
// for the same facts to have arrived here.
const agreeAfter = time.Second

// snapshot returns what is known of users, in their order: their views, and whether there is a record.
func (s *Service) snapshot(ids []string) []subjects.PresenceUpdateEvent {
	now := subjects.Now()
	views := make([]subjects.PresenceUpdateEvent, len(ids))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, id := range ids {
		if u := s.users.all[id]; u != nil && u.state.record.public.Status != "" {
			views[i] = u.state.record.public
			continue
		}
		views[i] = subjects.PresenceUpdateEvent{UserID: id, Status: subjects.PresenceOffline, LastSeen: now}
	}
	return views
}
