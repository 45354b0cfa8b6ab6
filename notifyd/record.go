package notifyd

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// record is everything about one user's notifications that must change together. It
// is one value in the bucket, changed by compare-and-set, so the number of unread
// notifications, what has been taken in already and what must still be announced
// can never disagree.
//
// The methods that change it are pure: they touch the record alone. They leave the
// record unchanged when they return an error.
type record struct {
	user string // not escaped
	key  string // escaped
	rev  uint64 // of the value in the bucket, 0 before the first

	gen   uint64 // number of changes; names what they announce
	next  uint64 // ordinal of the next notification, from 1
	items []item // oldest first
	seen  seqset // queue messages taken in
	epoch int64  // the queue they were numbered by
	names []uint64
	fence [kinds]uint64 // per kind of event, the log's sequence of the last one
	out   []event       // to be announced, in order
	drop  []uint64      // pages that nothing refers to any more

	// Not stored.
	sent      int  // how many of out are known to be in the log
	changed   bool // since it was loaded or stored
	counted   bool // the change may have changed the count
	unsettled bool // out is empty, and the stored record does not say so
}

// item is one notification.
type item struct {
	n      uint64 // its ordinal; ids are made of it
	readAt int64  // ms since 1970; 0 is unread
	page   uint64 // where its body is; 0: here
	body   []byte // JSON object without line breaks; nil when in a page
}

// kind of an event that follows from a change.
type kind uint8

const (
	kindNew kind = iota
	kindRead
	kindUnread
	kindAllRead
	kindDeleted
	kindCount
	kinds
)

// event is one entry of the outbox.
type event struct {
	Kind  kind   `json:"k"`
	N     uint64 `json:"n,omitempty"` // which notification
	At    int64  `json:"at,omitempty"`
	Count int64  `json:"c,omitempty"`
}

// keepNames is how many names of past notices a record remembers: publishers repeat
// after minutes, when the stream's own memory of two minutes has passed.
const keepNames = 128

func newRecord(user, key string) *record { return &record{user: user, key: key, next: 1} }

// unread counts. There is no counter that could be wrong.
func (r *record) unread() int64 {
	var n int64
	for i := range r.items {
		if r.items[i].readAt == 0 {
			n++
		}
	}
	return n
}

// cause is what makes a delivery the same delivery again.
type cause struct {
	seq   uint64 // in the queue; 0: it did not come from there
	epoch int64  // of the queue
	floor uint64 // everything up to it has left the queue
	name  uint64 // hash of the publisher's message id; 0: none
}

// nameOf hashes a message id. Zero stands for none.
func nameOf(id string) uint64 {
	if id == "" {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // a hash takes everything
	return max(h.Sum64(), 1)
}

// took reports whether a cause had its effect already.
func (r *record) took(c cause) bool {
	if c.name != 0 && slices.Contains(r.names, c.name) {
		return true
	}
	if c.seq == 0 {
		return false
	}
	return c.seq <= c.floor || c.epoch == r.epoch && r.seen.has(c.seq)
}

// note remembers a cause.
func (r *record) note(c cause) {
	if c.seq != 0 {
		if c.epoch != r.epoch { // another queue, which numbers from 1 again
			r.epoch, r.seen = c.epoch, seqset{}
		}
		r.seen.raise(c.floor)
		r.seen.add(c.seq)
	}
	if c.name != 0 {
		if len(r.names) >= keepNames {
			r.names = slices.Delete(r.names, 0, len(r.names)-keepNames+1)
		}
		r.names = append(r.names, c.name)
	}
	r.changed = true
}

// add takes a notification in, once per cause, and lets the oldest go beyond keep.
// A quiet one is counted and not shown.
func (r *record) add(c cause, rest []byte, quiet bool, keep int) (added bool) {
	if r.took(c) {
		return false
	}
	r.note(c)
	it := item{n: r.next, body: r.body(r.next, rest)}
	r.next++
	r.items = append(r.items, it)
	if !quiet {
		r.out = append(r.out, event{Kind: kindNew, N: it.n})
	}
	r.counted = true
	for len(r.items) > keep {
		r.evict()
	}
	return true
}

// evict lets one go: the oldest that is read, or else the oldest.
func (r *record) evict() {
	i := max(slices.IndexFunc(r.items, func(it item) bool { return it.readAt != 0 }), 0)
	r.remove(i)
}

// remove takes an item out, with what was still to be said about it being new, and
// notes a page that has lost its last.
func (r *record) remove(i int) {
	gone := r.items[i]
	r.items = slices.Delete(r.items, i, i+1)
	r.out = slices.DeleteFunc(r.out, func(e event) bool { return e.Kind == kindNew && e.N == gone.n })
	if gone.page != 0 && !slices.ContainsFunc(r.items, func(it item) bool { return it.page == gone.page }) {
		r.drop = append(r.drop, gone.page)
	}
	r.changed, r.counted = true, true
}

var (
	errInvalid = subjects.Errorf(subjects.CodeInvalidInput, "Invalid request")
	errUnknown = subjects.Errorf(subjects.CodeNotFound, "no such notification")
)

// mark makes one read or unread. Doing it twice is doing it once.
func (r *record) mark(id string, read bool, now time.Time) error {
	i, err := r.find(id)
	if err != nil {
		return err
	}
	if i < 0 {
		return errUnknown
	}
	it := &r.items[i]
	if (it.readAt != 0) == read {
		return nil
	}
	e := event{Kind: kindUnread, N: it.n}
	it.readAt = 0
	if read {
		it.readAt = now.UnixMilli()
		e.Kind, e.At = kindRead, it.readAt
	}
	r.out = append(r.out, e)
	r.changed, r.counted = true, true
	return nil
}

func (r *record) markAll(now time.Time) {
	some := false
	for i := range r.items {
		if r.items[i].readAt == 0 {
			r.items[i].readAt = now.UnixMilli()
			some = true
		}
	}
	if some {
		r.out = append(r.out, event{Kind: kindAllRead, At: now.UnixMilli()})
		r.changed, r.counted = true, true
	}
}

// delete removes one. One that was there and is gone is no error.
func (r *record) delete(id string) error {
	i, err := r.find(id)
	if err != nil || i < 0 {
		return err
	}
	n := r.items[i].n
	unread := r.items[i].readAt == 0
	counted := r.counted
	r.remove(i)
	r.counted = counted || unread
	r.out = append(r.out, event{Kind: kindDeleted, N: n})
	return nil
}

// seal completes a change: the count comes behind what caused it.
func (r *record) seal() {
	if r.counted {
		r.out = append(r.out, event{Kind: kindCount, Count: r.unread()})
	}
	r.gen++
	r.counted = false
}

// announced empties the outbox.
func (r *record) announced() {
	r.out, r.drop, r.sent = nil, nil, 0
	r.unsettled = true
}

// pending reports whether there is something to announce, or to clear away.
func (r *record) pending() bool { return len(r.out)+len(r.drop) > 0 }

// Ids are "ntf-", the ordinal in ten digits so that they sort by time, and a tag of
// the user, so that an id of one user is not by chance an id of another.
const idPrefix = "ntf-"

func (r *record) id(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	return idPrefix + strings.Repeat("0", max(0, 10-len(digits))) + digits + "-" + tag(r.user)
}

func tag(user string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user)) // a hash takes everything
	return strconv.FormatUint(uint64(h.Sum32()), 36)
}

// find returns where the notification stands, −1 for one that there was once, and an
// error for what was never an id of this user.
func (r *record) find(id string) (int, error) {
	if id == "" || len(id) > subjects.MaxID {
		return 0, errInvalid
	}
	digits, _, ok := strings.Cut(strings.TrimPrefix(id, idPrefix), "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || n == 0 || n >= r.next || id != r.id(n) {
		return 0, errUnknown
	}
	i, found := slices.BinarySearchFunc(r.items, n, func(it item, n uint64) int {
		return cmp.Compare(it.n, n)
	})
	if !found {
		return -1, nil
	}
	return i, nil
}
