package dashboardd

import (
	"slices"

	"github.com/lexiflow/realtime/subjects"
)

// What the tally derives from its books, so that no question costs a look at all of them. Nothing here
// is stored: rebuild makes it anew from the books.

// aggregate is the sum over many books.
type aggregate struct {
	Active  int64
	Pending int64
	Dues    dues
	Recent  window
}

// index finds books by what they belong to.
type index struct {
	tasks   map[string]*book              // task id → where it was first seen
	allowed map[string]map[*book]struct{} // user → cases whose list allows it
	denied  map[string]map[*book]struct{} // user → cases whose list denies it
	former  map[string]map[*book]struct{} // user → cases whose list allowed it until a day ago
	teams   map[string]map[*book]struct{} // team → its cases
}

func newIndex() index {
	return index{
		tasks: make(map[string]*book), allowed: make(map[string]map[*book]struct{}),
		denied: make(map[string]map[*book]struct{}), former: make(map[string]map[*book]struct{}), teams: make(map[string]map[*book]struct{}),
	}
}

func (x *index) home(task string) *book { return x.tasks[task] }

func (x *index) settle(task string, b *book) {
	if x.tasks[task] == nil {
		x.tasks[task] = b
	}
}

// team moves a case to a team.
func (x *index) team(b *book, team string) {
	unlink(x.teams, b.Team, b)
	b.Team = team
	link(x.teams, team, b)
}

// learn adds a case's list to the index; forget takes it out again.
func (x *index) learn(b *book) {
	for _, user := range b.Access.Deny {
		link(x.denied, user, b)
	}
	for _, user := range b.Access.Allow {
		if !b.Access.denies(user) {
			link(x.allowed, user, b)
		}
	}
	for user := range b.Access.Former {
		link(x.former, user, b)
	}
}

func (x *index) forget(b *book) {
	for _, user := range b.Access.Deny {
		unlink(x.denied, user, b)
	}
	for _, user := range b.Access.Allow {
		unlink(x.allowed, user, b)
	}
	for user := range b.Access.Former {
		unlink(x.former, user, b)
	}
}

func link(m map[string]map[*book]struct{}, key string, b *book) {
	if m[key] == nil {
		m[key] = make(map[*book]struct{})
	}
	m[key][b] = struct{}{}
}

func unlink(m map[string]map[*book]struct{}, key string, b *book) {
	delete(m[key], b)
	if len(m[key]) == 0 {
		delete(m, key)
	}
}

// rebuild derives everything from the books, after a snapshot was read into them.
func (t *tally) rebuild() {
	t.cases, t.others, t.index = aggregate{}, aggregate{}, newIndex()
	t.recency.init()
	t.untold = make(map[string]struct{})
	t.shardAt = [shards]uint64{}
	windows := make(map[*aggregate][]window)
	byFeed := make([]*book, 0, len(t.books))
	for _, b := range t.books {
		sum := t.aggregateOf(b)
		t.derive(b, sum)
		windows[sum] = append(windows[sum], b.Recent)
		byFeed = append(byFeed, b)
	}
	for sum, all := range windows {
		sum.Recent = merged(all)
		slices.Sort(sum.Dues)
	}
	slices.SortFunc(byFeed, func(a, b *book) int {
		if a.Feed.newest() < b.Feed.newest() {
			return -1
		}
		return 1 // sequences are unique but for the empty feeds, whose order does not matter
	})
	for _, b := range byFeed {
		if b.kind == subjects.KindCase && b.Feed.N > 0 {
			t.recency.touch(b)
		}
	}
}

func (t *tally) derive(b *book, sum *aggregate) {
	if b.active() {
		sum.Active++
	}
	sum.Pending += b.Progress.All - b.Progress.Done
	for _, d := range b.Deadlines {
		if d.counts() {
			sum.Dues = append(sum.Dues, d.Due)
		}
	}
	for id := range b.Tasks {
		t.index.settle(id, b)
	}
	if b.kind == subjects.KindCase {
		t.index.learn(b)
		if b.Team != "" {
			link(t.index.teams, b.Team, b)
		}
	}
	if b.untold() {
		t.untold[b.key] = struct{}{}
	}
}

// recency is the list of cases with activity, the newest first.
type recency struct{ root book }

func (r *recency) init() { r.root.newer, r.root.older = &r.root, &r.root }

func (r *recency) touch(b *book) {
	if b.newer != nil {
		b.newer.older, b.older.newer = b.older, b.newer
	}
	b.newer, b.older = &r.root, r.root.older
	b.older.newer, r.root.older = b, b
}

// each calls f for the cases, the newest activity first, until it returns false.
func (r *recency) each(f func(*book) bool) {
	for b := r.root.older; b != &r.root; b = b.older {
		if !f(b) {
			return
		}
	}
}
