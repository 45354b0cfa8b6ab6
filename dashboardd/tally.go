package dashboardd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lexiflow/realtime/subjects"
)

// tally is what the log says, up to one sequence: a function of the events and nothing else. It reads
// no clock, asks nobody and has no error but "this event is not understood", after which it is as if
// the event had carried nothing. Folding a log in one go, or in parts with a snapshot between, gives
// the same tally; tally_test.go holds it to that.
//
// Entities are kept by id and not as counters, so that an event that is published twice (a retry after
// the duplicate window) changes nothing the second time. What is counted twice then is the event
// itself, in the windows of the last 24 hours: it did happen twice in the log.
//
// It is not safe for concurrent use.
type tally struct {
	// The state.
	Seq    uint64 // of the last event folded
	At     int64  // time of the last event in ms; never goes back
	books  map[string]*book
	scopes map[string]*figures // by scope: "firm", "team:t1", "user:u1"
	alerts alerts

	// Derived from it, rebuilt after a snapshot was read.
	cases   aggregate // all cases
	others  aggregate // teams' and users' own books
	index   index
	recency recency
	shardAt [shards]uint64      // sequence of each shard's last change
	untold  map[string]struct{} // books with activity that is not announced yet

	touched touched // since the last drain
}

// event is one message of the log.
type event struct {
	Seq   uint64
	At    int64 // log time in ms
	Kind  subjects.Kind
	ID    string
	Name  string // "document:uploaded"
	MsgID string // Nats-Msg-Id
	Mark  string // Lex-Dashboard: set on what this service publishes itself
	Data  []byte
}

// book is what is known about one case, or about one team's or user's own room.
type book struct {
	Tasks     map[string]bool     `json:"tasks,omitempty"` // by id: done
	Deadlines map[string]deadline `json:"deadlines,omitempty"`
	Recent    window              `json:"recent,omitempty"`
	Feed      feed                `json:"feed,omitzero"`
	Last      uint64              `json:"last"` // sequence of its last event

	// Cases only.
	Created  bool     `json:"created,omitempty"`
	Deleted  bool     `json:"deleted,omitempty"`
	Status   string   `json:"status,omitempty"`
	Title    string   `json:"title,omitempty"`
	Team     string   `json:"team,omitempty"`
	Access   access   `json:"access,omitzero"`
	Progress progress `json:"progress,omitzero"`

	kind subjects.Kind
	id   string
	key  string // of its room: "case.7"

	newer, older *book // recency
}

type deadline struct {
	Due    int64 `json:"due"` // ms; 0 unknown
	Missed bool  `json:"missed,omitempty"`
}

// progress counts tasks, so that no number needs a look at every task.
type progress struct {
	All  int64 `json:"all"`
	Done int64 `json:"done"`
}

// touched is what changed since somebody last looked, for the pushes.
type touched struct {
	books  map[string]struct{}
	users  map[string]struct{} // in a list that changed
	moved  map[string]int64    // who was put into a list or taken out, and the log's time then
	scopes map[string]struct{} // with new figures
	alerts bool
}

func newTally() *tally {
	t := &tally{
		books: make(map[string]*book), scopes: make(map[string]*figures), untold: make(map[string]struct{}),
		index: newIndex(), touched: newTouched(),
	}
	t.recency.init()
	return t
}

func newTouched() touched {
	return touched{
		books: make(map[string]struct{}), users: make(map[string]struct{}), moved: make(map[string]int64),
		scopes: make(map[string]struct{}),
	}
}

// drain returns what was touched since the last call.
func (t *tally) drain() touched {
	d := t.touched
	t.touched = newTouched()
	return d
}

// apply folds one event. An error says that its payload is not understood; the tally stands behind it
// all the same, so that no event can hold up the log.
func (t *tally) apply(e event) error {
	if e.Seq <= t.Seq {
		return nil
	}
	t.Seq = e.Seq
	t.At = max(t.At, e.At)
	e.At = t.At
	switch {
	case e.Name == activityName || e.Name == teamActivityName || e.Name == alertName:
		t.applyMark(e)
		return nil
	case strings.HasPrefix(e.Name, "dashboard:"):
		return nil // gauges of others
	case e.Kind == subjects.KindCase && e.Name == accessName:
		return t.applyAccess(e)
	case e.Kind == subjects.KindCase, e.Kind == subjects.KindTeam, e.Kind == subjects.KindUser && strings.HasPrefix(e.Name, "task:"):
		return t.applyBook(e)
	case e.Kind == subjects.KindMetric:
		return t.applyFigure(e)
	case e.Kind == subjects.KindAll && e.Name == systemAlertName:
		return t.applyAlert(e)
	}
	return nil
}

// The names that the fold knows.
var (
	activityName     = subjects.DashboardActivity.Name()
	teamActivityName = subjects.DashboardTeamActivity.Name()
	alertName        = subjects.DashboardAlert.Name()
	accessName       = subjects.AccessChanged.Name()
	systemAlertName  = subjects.SystemAlert.Name()
)

// applyBook folds what happened to a case, in a team or to a user's own tasks.
func (t *tally) applyBook(e event) error {
	f, err := decodeFacts(e.Data)
	if err != nil {
		return fmt.Errorf("%s %d: %w", e.Name, e.Seq, err)
	}
	b := t.open(e.Kind, e.ID, e.Seq)
	t.count(b, e.At)
	switch e.Name {
	case "task:created":
		t.task(b, f.TaskID, false)
	case "task:completed":
		t.task(b, f.TaskID, true)
	case "deadline:approaching":
		t.deadline(b, f.DeadlineID, f.due(e.At), false)
	case "deadline:missed":
		t.deadline(b, f.DeadlineID, f.due(e.At), true)
	}
	if e.Kind == subjects.KindCase {
		t.caseFacts(b, e.Name, &f)
	}
	t.record(b, e, &f)
	return nil
}

// caseFacts keeps what an event says about the case itself.
func (t *tally) caseFacts(b *book, name string, f *facts) {
	before := b.active()
	switch name {
	case "case:created":
		if b.Created && !b.Deleted {
			break // published twice: it must not undo what came between
		}
		b.Created, b.Deleted = true, false
		b.Title, b.Status = short(f.Title, maxTitle), short(f.Status, maxStatus)
	case "case:updated":
		if title := f.changed("title"); title != "" {
			b.Title = short(title, maxTitle)
		}
		if status := f.changed("status"); status != "" {
			b.Status = short(status, maxStatus)
		}
	case "case:status:changed":
		b.Status = short(f.NewStatus, maxStatus)
	case "case:deleted":
		b.Deleted = true
	}
	if team := f.TeamID; validID(team) && team != b.Team {
		t.index.team(b, team)
	}
	if b.active() != before {
		t.cases.Active += difference(b.active(), before)
	}
}

func difference(now, before bool) (n int64) {
	if now {
		n++
	}
	if before {
		n--
	}
	return n
}

const (
	maxTitle  = 200 // bytes kept of a text
	maxStatus = 64
)

// active is design 4's rule: created − deleted − status closed or archived.
func (b *book) active() bool {
	return b.Created && !b.Deleted && !strings.EqualFold(b.Status, "closed") && !strings.EqualFold(b.Status, "archived")
}

// task notes that a task was created or completed, in whichever book it was created: a task of a case
// may be completed in its user's room. A completion whose creation the log no longer knows counts as a
// task that is done.
func (t *tally) task(b *book, id string, done bool) {
	if !validID(id) {
		return
	}
	if home := t.index.home(id); home != nil && home != b {
		b = home
		t.touch(b)
	}
	was, known := b.Tasks[id]
	if known && (was || !done) {
		return
	}
	if b.Tasks == nil {
		b.Tasks = make(map[string]bool)
	}
	b.Tasks[strings.Clone(id)] = done
	t.index.settle(id, b)
	pending := int64(0)
	if !known {
		b.Progress.All++
		pending++
	}
	if done {
		b.Progress.Done++
		pending--
	}
	t.aggregateOf(b).Pending += pending
}

// deadline notes one that approaches or was missed. A missed one counts again when it approaches with
// another date.
func (t *tally) deadline(b *book, id string, due int64, missed bool) {
	if !validID(id) {
		return
	}
	old, known := b.Deadlines[id]
	next := deadline{Due: due, Missed: missed}
	switch {
	case missed && due == 0:
		next.Due = old.Due
	case known && old.Missed && !missed && (due == 0 || due == old.Due):
		return // a late copy of the announcement
	}
	if b.Deadlines == nil {
		b.Deadlines = make(map[string]deadline)
	}
	b.Deadlines[strings.Clone(id)] = next
	sum := t.aggregateOf(b)
	if old.counts() {
		sum.Dues.remove(old.Due)
	}
	if next.counts() {
		sum.Dues.add(next.Due)
	}
}

func (d deadline) counts() bool { return d.Due != 0 && !d.Missed }

// count puts an event into the windows.
func (t *tally) count(b *book, at int64) {
	b.Recent.add(at)
	t.aggregateOf(b).Recent.add(at)
}

func (t *tally) aggregateOf(b *book) *aggregate {
	if b.kind == subjects.KindCase {
		return &t.cases
	}
	return &t.others
}

// open returns the book of a room that an event concerns, a new one if need be.
func (t *tally) open(kind subjects.Kind, id string, seq uint64) *book {
	key, _ := subjects.Room(kind, id) // the parts of a subject that was parsed
	b := t.books[key]
	if b == nil {
		b = &book{kind: kind, id: id, key: key}
		t.books[key] = b
	}
	b.Last = seq
	t.touch(b)
	return b
}

// touch marks a book as changed by the event at hand.
func (t *tally) touch(b *book) {
	t.shardAt[shardOf(b.key)] = t.Seq
	t.touched.books[b.key] = struct{}{}
}

// applyMark reads what this service has published itself: the log is its outbox, and an announcement
// that stands in it is done, whoever made it (activity.go, alerts.go).
func (t *tally) applyMark(e event) {
	what, about, _ := strings.Cut(e.Mark, " ")
	if e.Name == alertName {
		t.markAlert(e, what)
		return
	}
	room := about
	switch {
	case e.Kind == subjects.KindCase && e.Name == activityName, e.Kind == subjects.KindTeam && e.Name == teamActivityName:
		room, _ = subjects.Room(e.Kind, e.ID)
	case e.Kind != subjects.KindDashboard || e.ID != roomEveryActivity || e.Name != activityName:
		return
	}
	b := t.books[room]
	if b == nil {
		return
	}
	t.shardAt[shardOf(b.key)] = t.Seq
	own := e.Kind != subjects.KindDashboard
	if own {
		b.Feed.ToldAt = e.Seq // somebody else's too: the next compare-and-set names it
	}
	n, err := strconv.ParseUint(what, 10, 64)
	if err != nil {
		return
	}
	if own {
		b.Feed.Told = max(b.Feed.Told, min(n, b.Feed.N))
	} else {
		b.Feed.ToldAll = max(b.Feed.ToldAll, min(n, b.Feed.N))
	}
	if !b.untold() {
		delete(t.untold, b.key)
	}
}

// applyAccess keeps who may see a case. A list that is not understood changes nothing, as at the edge.
func (t *tally) applyAccess(e event) error {
	list, err := subjects.AccessChanged.Decode(e.Data)
	if err != nil {
		return fmt.Errorf("%s %d: %w", e.Name, e.Seq, err)
	}
	b := t.open(e.Kind, e.ID, e.Seq)
	t.setAccess(b, list, e.Seq)
	return nil
}

func (t *tally) setAccess(b *book, list subjects.AccessChangedEvent, seq uint64) {
	for _, users := range [][]string{b.Access.Allow, b.Access.Deny, list.Allow, list.Deny} {
		for _, user := range users {
			t.touched.users[user] = struct{}{}
		}
	}
	for _, lists := range [][2][]string{{b.Access.Allow, list.Allow}, {b.Access.Deny, list.Deny}} {
		for user := range differing(lists[0], lists[1]) {
			t.touched.moved[user] = t.At
		}
	}
	t.index.forget(b)
	b.Access.change(list, seq, t.At)
	t.index.learn(b)
}

// differing returns what stands in one of two lists alone.
func differing(a, b []string) map[string]struct{} {
	only, both := make(map[string]struct{}, len(a)), make(map[string]struct{})
	for _, user := range a {
		only[user] = struct{}{}
	}
	for _, user := range b {
		if _, found := only[user]; found {
			both[user] = struct{}{}
		} else {
			only[user] = struct{}{}
		}
	}
	maps.DeleteFunc(only, func(user string, _ struct{}) bool { _, found := both[user]; return found })
	return only
}

// access is who may see a case: the last access:changed, and who could until a day ago.
type access struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
	Seq   uint64   `json:"seq,omitempty"` // of the event; 0 when it came from the bucket ACCESS
	// Former are users who were allowed, and when that ended: a socket of theirs may still be in a room.
	Former map[string]int64 `json:"former,omitempty"`
}

func (a *access) change(list subjects.AccessChangedEvent, seq uint64, at int64) {
	for _, user := range a.Allow {
		if a.Former == nil {
			a.Former = make(map[string]int64)
		}
		a.Former[user] = at
	}
	a.Allow, a.Deny, a.Seq = slices.Clone(list.Allow), slices.Clone(list.Deny), seq
	for _, user := range a.Allow {
		delete(a.Former, user)
	}
	for user, ended := range a.Former {
		if at-ended > recentSpan.Milliseconds() { // twice the age that an edge lets a session reach
			delete(a.Former, user)
		}
	}
}

func (a *access) denies(user string) bool { return slices.Contains(a.Deny, user) }
