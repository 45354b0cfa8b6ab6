package dashboardd

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/lexiflow/realtime/subjects"
)

// Who sees what, and the rooms that make it so. The edge knows rooms alone, so every combination of a
// dashboard type and an audience is a room of its own: a socket that wants a type is in that type's
// rooms, a socket that does not is not.
//
//	what                    room                                    who is in it
//	----------------------  --------------------------------------  ------------------------------------
//	dashboard:metrics       dashboard.:metrics-<scope>              viewers of that scope
//	dashboard:activity      case.<id>                               viewers of that case, by list or token
//	                        dashboard.:activity-cases               tokens with case:*
//	dashboard:case-stats    dashboard.:case-stats-case-<id>         viewers of that case, by list or token
//	                        dashboard.:case-stats-cases             tokens with case:*
//	dashboard:team-activity team.<id>                               tokens with team:<id>
//	dashboard:alert         all.all, dashboard.<user>               everybody; the user
//
// A case is told in two rooms, whatever the number of viewers. Who is denied one case of case:* is left
// out of its events by Lex-Except (activity.go).
//
// In the room case.<id> of the namespace /dashboard only names that begin with "dashboard:" arrive. On
// the aliases / and /ws, which carry every name, a socket that asks for activity also gets the other
// events of the cases that its user may see.

// viewer is whose dashboard it is: a user with what the token says about cases.
type viewer struct {
	User  string   `json:"user"`
	All   bool     `json:"all,omitempty"`   // case:*
	Cases []string `json:"cases,omitempty"` // case:<id>, sorted

	open bool // Options.OpenCases: every case, whatever lists and tokens say
}

// audience is everything that a token says to this service.
type audience struct {
	viewer

	firm  bool     // dashboard:firm
	teams []string // team:<id>, in the token's order
}

const maxScopedCases = 1000 // case:<id> words of one token that count

func audienceOf(c subjects.Caller) audience {
	a := audience{viewer: viewer{User: c.User}}
	for word := range strings.FieldsSeq(c.Scope) {
		kind, what, ok := strings.Cut(word, ":")
		switch {
		case !ok || !validID(what):
		case kind == "case" && what == "*":
			a.All = true
		case kind == "case" && len(a.Cases) < maxScopedCases:
			a.Cases = append(a.Cases, what)
		case kind == "team" && !slices.Contains(a.teams, what):
			a.teams = append(a.teams, what)
		case word == "dashboard:firm":
			a.firm = true
		}
	}
	if a.All {
		a.Cases = nil // nothing that all would not include
	}
	slices.Sort(a.Cases)
	a.Cases = slices.Compact(a.Cases)
	return a
}

// audience is who asks, in this installation.
func (s *Service) audience(c subjects.Caller) audience {
	a := audienceOf(c)
	if s.options.OpenCases {
		a.open, a.All, a.Cases = true, true, nil
	}
	return a
}

// hash names a viewer in keys and rooms: two tokens that say the same are one viewer.
func (v viewer) hash() string {
	h := sha256.New()
	h.Write([]byte(v.User))
	if v.All {
		h.Write([]byte("\x00*"))
	}
	for _, id := range v.Cases {
		h.Write([]byte("\x00" + id))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// maySee is the rule: allowed by the list or by the token, and deny beats both; unless cases are open.
func (v viewer) maySee(b *book) bool {
	if v.open {
		return true
	}
	if b.Access.denies(v.User) {
		return false
	}
	return v.All || slices.Contains(b.Access.Allow, v.User) || v.hasToken(b.id)
}

func (v viewer) hasToken(caseID string) bool {
	_, found := slices.BinarySearch(v.Cases, caseID)
	return found
}

// eachVisible calls f for every case that a viewer without case:* may see, in no order.
func (t *tally) eachVisible(v viewer, f func(*book)) {
	for b := range t.index.allowed[v.User] {
		f(b)
	}
	for _, id := range v.Cases {
		b := t.caseBook(id)
		if b != nil && v.maySee(b) && !slices.Contains(b.Access.Allow, v.User) {
			f(b)
		}
	}
}

func (t *tally) caseBook(id string) *book {
	key, err := subjects.Room(subjects.KindCase, id)
	if err != nil {
		return nil
	}
	return t.books[key]
}

// roomsOfCases bounds the cases whose rooms one socket joins: an edge lets a service join a socket to
// 1,000 rooms, and a case is two.
const roomsOfCases = 450

// visibleCases lists the ids of the cases whose rooms a viewer without case:* belongs to: those of the
// token, also when nothing has happened in them yet, then those of lists, at most limit of them, the
// newest lists first.
func (t *tally) visibleCases(v viewer, limit int) []string {
	ids := make([]string, 0, len(v.Cases))
	for _, id := range v.Cases {
		if b := t.caseBook(id); b == nil || v.maySee(b) {
			ids = append(ids, id)
		}
	}
	listed := make([]*book, 0, len(t.index.allowed[v.User]))
	for b := range t.index.allowed[v.User] {
		if !v.hasToken(b.id) {
			listed = append(listed, b)
		}
	}
	slices.SortFunc(listed, func(a, b *book) int {
		return cmp.Or(cmp.Compare(b.Access.Seq, a.Access.Seq), cmp.Compare(a.id, b.id))
	})
	for _, b := range listed {
		ids = append(ids, b.id)
	}
	return ids[:min(len(ids), limit)]
}

// The dashboard types of contract 1.3, as clients name them.
const (
	typeMetrics      = "metrics"
	typeActivity     = "activity"
	typeCaseStats    = "case-stats"
	typeTeamActivity = "team-activity"
	typeAlert        = "alert"
)

var allTypes = []string{typeMetrics, typeActivity, typeCaseStats, typeTeamActivity, typeAlert}

// metricsScope is whose totals a socket sees: the widest that its token has. One dashboard shows one
// set of numbers, so it is never more than one.
func (a audience) metricsScope() string {
	switch {
	case a.firm:
		return scopeFirm
	case len(a.teams) > 0:
		return scopeTeam + a.teams[0]
	}
	return scopeUser + a.hash()
}

// Ids of this service's own rooms of kind dashboard begin with a colon, which separates them from
// dashboard.<user>.
const (
	ownRoom           = ":"
	roomEveryActivity = ":activity-cases"
	roomEveryStats    = ":case-stats-cases"
)

func metricsRoom(scope string) string    { return fitting(":metrics-", scope) }
func caseStatsRoom(caseID string) string { return fitting(":case-stats-case-", caseID) }

// fitting appends an id, or its hash where the room's id would become too long.
func fitting(prefix, id string) string {
	if len(prefix)+len(id) <= subjects.MaxID {
		return prefix + id
	}
	sum := sha256.Sum256([]byte(id))
	return prefix + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// roomsFor returns the rooms of one type for a socket.
func (t *tally) roomsFor(a audience, kind string, limit int) []string {
	var rooms []string
	add := func(kind subjects.Kind, id string) {
		if room, err := subjects.Room(kind, id); err == nil {
			rooms = append(rooms, room)
		}
	}
	switch kind {
	case typeMetrics:
		add(subjects.KindDashboard, metricsRoom(a.metricsScope()))
	case typeTeamActivity:
		for _, team := range a.teams[:min(len(a.teams), maxTeams)] {
			add(subjects.KindTeam, team)
		}
	case typeActivity, typeCaseStats:
		if a.All {
			add(subjects.KindDashboard, map[string]string{typeActivity: roomEveryActivity, typeCaseStats: roomEveryStats}[kind])
			break
		}
		for _, id := range t.visibleCases(a.viewer, limit) {
			if kind == typeActivity {
				add(subjects.KindCase, id)
			} else {
				add(subjects.KindDashboard, caseStatsRoom(id))
			}
		}
	case typeAlert:
		if !strings.HasPrefix(a.User, ownRoom) {
			add(subjects.KindDashboard, a.User)
		}
	}
	return rooms
}

// roomsOfOthers returns the rooms of cases that a viewer has seen and may not see any more. They get
// nothing of them (announce.go); leaving them makes room for others.
func (t *tally) roomsOfOthers(v viewer) (rooms []string) {
	for _, cases := range []map[*book]struct{}{t.index.former[v.User], t.index.denied[v.User]} {
		for b := range cases {
			if v.maySee(b) || len(rooms) >= 2*roomsOfCases {
				continue
			}
			for kind, id := range map[subjects.Kind]string{subjects.KindCase: b.id, subjects.KindDashboard: caseStatsRoom(b.id)} {
				if room, err := subjects.Room(kind, id); err == nil {
					rooms = append(rooms, room)
				}
			}
		}
	}
	slices.Sort(rooms)
	return slices.Compact(rooms)
}

const maxTeams = 50 // of one token, whose rooms are joined
