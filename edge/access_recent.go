package edge

import (
	"sync"
	"time"
)

// recentAccess keeps access lists for some seconds, so that a case that many enter, as when an office comes
// back, is asked for once. From a list that is kept a join is only ever admitted: whoever it does not admit
// is asked for on the bus, and so are all rooms of a resumption and of a subscription since a position.
//
// It must admit nobody whom a membership would not keep. A list is what askAccess has answered: the newer of
// the bucket's and the reader's. The fan-out forgets it at every later change of its room, and keeps no answer
// that was under way then. So it says what the log said up to where the fan-out has read, like every
// membership, whose end comes from the fan-out too. That the fan-out itself is not behind is known from the
// looks at the bus: a list counts only where it has read all that the log had at a look at most recentLook
// ago. Where it has not, because it is slow, the bus away or the log another one, every join asks.
//
// What never comes by the log, a list that was deleted from the bucket by hand, is noticed after recentAge.
// Methods may be called concurrently.
type recentAccess struct {
	mu sync.Mutex
	// Guarded by mu.
	lists  map[string]recentList
	forgot uint64 // times that something was forgotten
	end    uint64 // of the log at the last look
	looked time.Time
}

type recentList struct {
	list  accessList
	asked time.Time
}

const (
	recentLook  = 1500 * time.Millisecond // looks come every second
	recentAge   = 10 * time.Second
	recentLists = 4096
	recentNames = 64 // of one list; longer ones are not kept
)

// find returns a room's list; fanned is the log position up to which the fan-out has read.
func (a *recentAccess) find(room string, fanned uint64, now time.Time) (list accessList, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept, ok := a.lists[room]
	if !ok || a.looked.IsZero() || fanned < a.end || now.Sub(a.looked) > recentLook || now.Sub(kept.asked) > recentAge {
		return accessList{}, false
	}
	return kept.list, true
}

// asking begins a question; keep with what it returns ends it.
func (a *recentAccess) asking() (since uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.forgot
}

// keep keeps an answer, unless something was forgotten since it was asked for: perhaps this.
func (a *recentAccess) keep(room string, list accessList, since uint64, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.forgot != since || len(a.lists) >= recentLists || len(list.Allow)+len(list.Deny) > recentNames {
		return
	}
	if a.lists == nil {
		a.lists = make(map[string]recentList)
	}
	a.lists[room] = recentList{list, now}
}

// forget is called when a room's list has changed, after the change was noted.
func (a *recentAccess) forget(room string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgot++
	delete(a.lists, room)
}

// clear forgets everything: what the fan-out has read is not the whole log any more, or may not be.
func (a *recentAccess) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgot++
	a.lists, a.looked = nil, time.Time{}
}

// look notes where the log ended when a look at it began, and drops what is too old.
func (a *recentAccess) look(end uint64, began time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end, a.looked = end, began
	for room, kept := range a.lists {
		if began.Sub(kept.asked) > recentAge {
			delete(a.lists, room)
		}
	}
	if len(a.lists) == 0 {
		a.lists = nil // an edge at rest keeps no map of its last burst
	}
}
