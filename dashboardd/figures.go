package dashboardd

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lexiflow/realtime/subjects"
)

// The numbers of the dashboards: sums over books, by the rules of design 4, and the figures that the
// log cannot tell and microservices announce with lex.metric.<scope>.<name>.

// sums are the four numbers of every dashboard:metrics.
type sums struct{ active, pending, upcoming, recent int64 }

func (b *book) sums(now int64) (s sums) {
	if b.active() {
		s.active = 1
	}
	s.pending = b.Progress.All - b.Progress.Done
	s.upcoming = b.upcoming(now)
	s.recent = b.Recent.count(now)
	return s
}

func (b *book) upcoming(now int64) (n int64) {
	for _, d := range b.Deadlines {
		if d.counts() && upcoming(d.Due, now) {
			n++
		}
	}
	return n
}

func (a *aggregate) sums(now int64) sums {
	return sums{a.Active, a.Pending, a.Dues.upcoming(now), a.Recent.count(now)}
}

func (s sums) plus(o sums, sign int64) sums {
	return sums{
		s.active + sign*o.active, s.pending + sign*o.pending,
		s.upcoming + sign*o.upcoming, s.recent + sign*o.recent,
	}
}

// firm is everything there is.
func (t *tally) firm(now int64) subjects.DashboardMetricsEvent {
	return t.metrics(t.cases.sums(now).plus(t.others.sums(now), 1), scopeFirm)
}

// team is the team's own room and the cases that name it with teamId.
func (t *tally) team(id string, now int64) subjects.DashboardMetricsEvent {
	var s sums
	if own, err := subjects.Room(subjects.KindTeam, id); err == nil && t.books[own] != nil {
		s = t.books[own].sums(now)
	}
	for b := range t.index.teams[id] {
		s = s.plus(b.sums(now), 1)
	}
	return t.metrics(s, scopeTeam+id)
}

// viewer is the cases that the viewer may see and the tasks of the user's own room.
func (t *tally) viewer(v viewer, now int64) subjects.DashboardMetricsEvent {
	var s sums
	if v.All {
		s = t.cases.sums(now)
		denied := t.index.denied[v.User]
		if v.open {
			denied = nil
		}
		for b := range denied {
			s = s.plus(b.sums(now), -1)
		}
	} else {
		t.eachVisible(v, func(b *book) { s = s.plus(b.sums(now), 1) })
	}
	if own, err := subjects.Room(subjects.KindUser, v.User); err == nil && t.books[own] != nil {
		s = s.plus(t.books[own].sums(now), 1)
	}
	return t.metrics(s, scopeUser+v.User)
}

func (t *tally) metrics(s sums, scope string) subjects.DashboardMetricsEvent {
	m := subjects.DashboardMetricsEvent{
		ActiveCases: s.active, PendingTasks: s.pending, UpcomingDeadlines: s.upcoming, RecentActivity: s.recent,
	}
	f := t.scopes[scope]
	if f == nil {
		return m
	}
	for name, figure := range f.Figures {
		value := figure.Value
		switch plainName(name) {
		case "revenue", "totalrevenue":
			m.TotalRevenue = &value
		case "billablehours":
			m.BillableHours = &value
		default:
			if m.CustomMetrics == nil {
				m.CustomMetrics = make(map[string]float64)
			}
			m.CustomMetrics[name] = value
		}
	}
	return m
}

// plainName lets billable-hours, billable_hours and billableHours be one figure on the wire.
func plainName(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
}

// stats are one case's numbers.
func (b *book) stats(now int64) subjects.CaseStatsEvent {
	s := subjects.CaseStatsEvent{
		CaseID: b.id, Status: b.Status, ActiveTasks: b.Progress.All - b.Progress.Done,
		UpcomingDeadlines: b.upcoming(now), RecentUpdates: b.Recent.count(now),
	}
	switch {
	case b.Deleted:
		s.Status = "deleted"
	case s.Status == "":
		s.Status = "open"
	}
	if b.Progress.All > 0 {
		s.Progress = math.Round(float64(b.Progress.Done)/float64(b.Progress.All)*1e4) / 1e2
	}
	return s
}

// The scopes of lex.metric.<scope>.<name>, as ids.
const (
	scopeFirm = "firm"
	scopeTeam = "team:"
	scopeUser = "user:"
)

func validScope(id string) bool {
	if id == scopeFirm || !utf8.ValidString(id) { // what is not text cannot be a key of a snapshot
		return id == scopeFirm
	}
	for _, prefix := range []string{scopeTeam, scopeUser} {
		if rest, ok := strings.CutPrefix(id, prefix); ok && rest != "" {
			return true
		}
	}
	return false
}

// figures are a scope's announced values by name.
type figures struct {
	Figures map[string]*figure `json:"figures"`
}

// figure is one value and the additions that made it, as far back as a publisher may still repeat one.
type figure struct {
	Value float64          `json:"value"`
	Added map[uint64]int64 `json:"added,omitempty"` // hash of a Msg-Id → log time in ms
}

const (
	maxFigures  = 100           // of one scope
	maxAdded    = 4096          // additions remembered of one figure; beyond, the oldest are forgotten
	addedMemory = 3 * 24 * 3600 // seconds: as long as the log itself by default
)

var (
	errScope   = errors.New("the scope is none of firm, team:<id>, user:<id>")
	errFigure  = errors.New(`the payload is neither {"set":n} nor {"add":n}`)
	errNoID    = errors.New(`{"add":n} needs a Nats-Msg-Id: without one a retry would count twice`)
	errFigures = fmt.Errorf("the scope has %d figures already", maxFigures)
)

// applyFigure folds lex.metric.<scope>.<name>.
func (t *tally) applyFigure(e event) error {
	var c subjects.FigureChange
	err := json.Unmarshal(e.Data, &c)
	switch {
	case !validScope(e.ID):
		return errScope
	case err != nil || (c.Set == nil) == (c.Add == nil):
		return errFigure
	case c.Add != nil && e.MsgID == "":
		return errNoID
	}
	f, err := t.figure(e.ID, e.Name)
	if err != nil {
		return err
	}
	if c.Set != nil {
		f.Value = *c.Set
	} else {
		f.add(e.MsgID, *c.Add, e.At)
	}
	t.shardAt[shardOf(e.ID)] = t.Seq
	t.touched.scopes[e.ID] = struct{}{}
	return nil
}

func (t *tally) figure(scope, name string) (*figure, error) {
	s := t.scopes[scope]
	if s == nil {
		s = &figures{Figures: make(map[string]*figure)}
		t.scopes[scope] = s
	}
	f := s.Figures[name]
	if f == nil {
		if len(s.Figures) >= maxFigures {
			return nil, errFigures
		}
		f = &figure{}
		s.Figures[name] = f
	}
	return f, nil
}

// add counts an addition once per Msg-Id: the log's own window is two minutes, a retry may come later.
func (f *figure) add(msgID string, n float64, at int64) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(msgID))
	id := h.Sum64()
	if _, again := f.Added[id]; again {
		return
	}
	f.Value += n
	if f.Added == nil {
		f.Added = make(map[uint64]int64)
	}
	f.Added[id] = at
	if len(f.Added) > maxAdded {
		f.forget(at)
	}
}

// forget drops what is too old, and if that is not enough the older half, so that it is seldom needed.
func (f *figure) forget(at int64) {
	maps.DeleteFunc(f.Added, func(_ uint64, added int64) bool {
		return at-added > addedMemory*time.Second.Milliseconds()
	})
	if len(f.Added) <= maxAdded/2 {
		return
	}
	times := slices.Sorted(maps.Values(f.Added))
	limit := times[len(times)-maxAdded/2]
	maps.DeleteFunc(f.Added, func(_ uint64, added int64) bool { return added < limit })
}
