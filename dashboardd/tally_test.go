package dashboardd

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// day0 is when the logs of these tests begin.
var day0 = time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC)

// story is a log being written: each line is an event, one second after the one before.
type story struct {
	events []event
	at     time.Time
}

func newStory() *story { return &story{at: day0} }

// add appends "kind id event" with a payload.
func (s *story) add(line, payload string) *story {
	f := strings.Fields(line)
	s.at = s.at.Add(time.Second)
	s.events = append(s.events, event{
		Seq: uint64(len(s.events) + 1), At: s.at.UnixMilli(),
		Kind: subjects.Kind(f[0]), ID: f[1], Name: f[2], MsgID: fmt.Sprintf("id-%d", len(s.events)), Data: []byte(payload),
	})
	return s
}

func (s *story) told(t testing.TB) *tally {
	t.Helper()
	tally := newTally()
	for _, e := range s.events {
		if err := tally.apply(e); err != nil {
			t.Fatalf("event %d %s: %v", e.Seq, e.Name, err)
		}
	}
	return tally
}

// in returns a moment that long after the story's end.
func (s *story) in(d time.Duration) int64 { return s.at.Add(d).UnixMilli() }

func TestFirmNumbersFollowTheRules(t *testing.T) {
	due := func(d time.Duration) string {
		return fmt.Sprintf(`{"deadlineId":"d1","dueDate":%q}`, day0.Add(d).Format(time.RFC3339))
	}
	for name, tt := range map[string]struct {
		story *story
		after time.Duration
		want  sums
	}{
		"nothing":            {newStory(), 0, sums{}},
		"created":            {newStory().add("case 7 case:created", `{}`), 0, sums{active: 1, recent: 1}},
		"created twice":      {newStory().add("case 7 case:created", `{}`).add("case 7 case:created", `{}`), 0, sums{active: 1, recent: 2}},
		"deleted":            {newStory().add("case 7 case:created", `{}`).add("case 7 case:deleted", `{}`), 0, sums{recent: 2}},
		"deleted twice":      {newStory().add("case 7 case:created", `{}`).add("case 7 case:deleted", `{}`).add("case 7 case:deleted", `{}`), 0, sums{recent: 3}},
		"never created":      {newStory().add("case 7 case:deleted", `{}`), 0, sums{recent: 1}},
		"closed":             {newStory().add("case 7 case:created", `{}`).add("case 7 case:status:changed", `{"newStatus":"Closed"}`), 0, sums{recent: 2}},
		"archived by update": {newStory().add("case 7 case:created", `{}`).add("case 7 case:updated", `{"changes":{"status":{"old":"open","new":"archived"}}}`), 0, sums{recent: 2}},
		"closed, then created again by a retry": {newStory().add("case 7 case:created", `{}`).
			add("case 7 case:status:changed", `{"newStatus":"closed"}`).add("case 7 case:created", `{}`), 0, sums{recent: 3}},
		"reopened": {newStory().add("case 7 case:created", `{}`).add("case 7 case:status:changed", `{"newStatus":"closed"}`).
			add("case 7 case:status:changed", `{"newStatus":"open"}`), 0, sums{active: 1, recent: 3}},
		"other events create nothing": {newStory().add("case 7 document:uploaded", `{}`), 0, sums{recent: 1}},
		"task":                        {newStory().add("case 7 task:created", `{"taskId":"t"}`), 0, sums{pending: 1, recent: 1}},
		"task twice":                  {newStory().add("case 7 task:created", `{"taskId":"t"}`).add("case 7 task:created", `{"taskId":"t"}`), 0, sums{pending: 1, recent: 2}},
		"task done": {newStory().add("case 7 task:created", `{"taskId":"t"}`).add("case 7 task:completed", `{"taskId":"t"}`).
			add("case 7 task:completed", `{"taskId":"t"}`).add("case 7 task:created", `{"taskId":"t"}`), 0, sums{recent: 4}},
		"task done elsewhere":      {newStory().add("case 7 task:created", `{"taskId":"t"}`).add("user u1 task:completed", `{"taskId":"t"}`), 0, sums{recent: 2}},
		"task done, never created": {newStory().add("case 7 task:completed", `{"taskId":"t"}`), 0, sums{recent: 1}},
		"task of a user":           {newStory().add("user u1 task:created", `{"taskId":"t"}`), 0, sums{pending: 1, recent: 1}},
		"task without id":          {newStory().add("case 7 task:created", `{"title":"x"}`), 0, sums{recent: 1}},
		"task id is a number":      {newStory().add("case 7 task:created", `{"taskId":5}`), 0, sums{recent: 1}},
		"deadline":                 {newStory().add("case 7 deadline:approaching", due(48*time.Hour)), 0, sums{upcoming: 1, recent: 1}},
		"deadline far away":        {newStory().add("case 7 deadline:approaching", due(8*24*time.Hour)), 0, sums{recent: 1}},
		"deadline comes near":      {newStory().add("case 7 deadline:approaching", due(8*24*time.Hour)), 2 * 24 * time.Hour, sums{upcoming: 1}},
		"deadline over":            {newStory().add("case 7 deadline:approaching", due(time.Hour)), 2 * time.Hour, sums{recent: 1}},
		"deadline missed":          {newStory().add("case 7 deadline:approaching", due(time.Hour)).add("case 7 deadline:missed", `{"deadlineId":"d1"}`), 0, sums{recent: 2}},
		"deadline missed, late copy": {newStory().add("case 7 deadline:approaching", due(time.Hour)).add("case 7 deadline:missed", `{"deadlineId":"d1"}`).
			add("case 7 deadline:approaching", due(time.Hour)), 0, sums{recent: 3}},
		"deadline missed, set anew": {newStory().add("case 7 deadline:approaching", due(time.Hour)).add("case 7 deadline:missed", `{"deadlineId":"d1"}`).
			add("case 7 deadline:approaching", due(3*time.Hour)), 0, sums{upcoming: 1, recent: 3}},
		"deadline moved":           {newStory().add("case 7 deadline:approaching", due(time.Hour)).add("case 7 deadline:approaching", due(3*time.Hour)), 0, sums{upcoming: 1, recent: 2}},
		"deadline by day":          {newStory().add("case 7 deadline:approaching", `{"deadlineId":"d1","dueDate":"2026-11-24"}`), 0, sums{upcoming: 1, recent: 1}},
		"deadline by what is left": {newStory().add("case 7 deadline:approaching", `{"deadlineId":"d1","dueDate":"soon","timeRemaining":3600000}`), 0, sums{upcoming: 1, recent: 1}},
		"deadline without a date":  {newStory().add("case 7 deadline:approaching", `{"deadlineId":"d1"}`), 0, sums{recent: 1}},
		"a day later":              {newStory().add("case 7 case:created", `{}`), 24*time.Hour + 2*time.Minute, sums{active: 1}},
		"just within a day":        {newStory().add("case 7 case:created", `{}`), 24*time.Hour - time.Minute, sums{active: 1, recent: 1}},
		"access is no activity":    {newStory().add("case 7 access:changed", `{"allow":["u1"],"deny":[],"revision":1}`), 0, sums{}},
		"own pushes are none":      {newStory().add("case 7 dashboard:activity", `{}`).add("team t dashboard:team-activity", `{}`), 0, sums{}},
		"team events":              {newStory().add("team t1 memo:sent", `{}`), 0, sums{recent: 1}},
		"chats are none":           {newStory().add("conversation c message:new", `{}`), 0, sums{}},
	} {
		t.Run(name, func(t *testing.T) {
			tally := tt.story.told(t)
			m := tally.firm(tt.story.in(tt.after))
			got := sums{m.ActiveCases, m.PendingTasks, m.UpcomingDeadlines, m.RecentActivity}
			if got != tt.want {
				t.Fatalf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestCaseStats(t *testing.T) {
	s := newStory().
		add("case 7 case:created", `{"title":"Doe v. Roe","status":"discovery"}`).
		add("case 7 task:created", `{"taskId":"a"}`).add("case 7 task:created", `{"taskId":"b"}`).
		add("case 7 task:created", `{"taskId":"c"}`).add("case 7 task:completed", `{"taskId":"c"}`).
		add("case 7 deadline:approaching", `{"deadlineId":"d","timeRemaining":86400000}`).
		add("case 8 task:created", `{"taskId":"z"}`)
	got := s.told(t).caseBook("7").stats(s.in(0))
	want := subjects.CaseStatsEvent{CaseID: "7", Status: "discovery", Progress: 33.33, ActiveTasks: 2, UpcomingDeadlines: 1, RecentUpdates: 6}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestViewerCountsWhatTheyMaySee(t *testing.T) {
	s := newStory()
	for _, id := range []string{"1", "2", "3", "4"} {
		s.add("case "+id+" case:created", `{}`)
	}
	s.add("case 1 access:changed", `{"allow":["u1","u2"],"deny":[],"revision":1}`).
		add("case 2 access:changed", `{"allow":["u1"],"deny":["u1","partner"],"revision":1}`).
		add("case 3 access:changed", `{"allow":["u1"],"deny":[],"revision":1}`).
		add("case 3 access:changed", `{"allow":["u2"],"deny":[],"revision":2}`).
		add("user u1 task:created", `{"taskId":"own"}`)
	tally := s.told(t)
	for name, tt := range map[string]struct {
		scope, user     string
		active, pending int64
	}{
		"by list":                     {"", "u1", 1, 1},
		"list changed":                {"", "u2", 2, 0},
		"nobody":                      {"", "u3", 0, 0},
		"by token":                    {"case:4 case:3", "u3", 2, 0},
		"token and list count once":   {"case:1", "u2", 2, 0},
		"token does not beat deny":    {"case:2", "u1", 1, 1},
		"all":                         {"case:*", "u3", 4, 0},
		"all but denied":              {"case:*", "partner", 3, 0},
		"all, and own tasks":          {"case:*", "u1", 3, 1},
		"unknown case":                {"case:99", "u3", 0, 0},
		"other words mean nothing":    {"case case: :1 room:1 dashboard:firm", "u3", 0, 0},
		"a case called *:1 is no all": {"case:*:1", "u3", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := audienceOf(subjects.Caller{User: tt.user, Scope: tt.scope})
			m := tally.viewer(a.viewer, s.in(0))
			if m.ActiveCases != tt.active || m.PendingTasks != tt.pending {
				t.Fatalf("active %d, pending %d", m.ActiveCases, m.PendingTasks)
			}
		})
	}
}

func TestFiguresOfMetrics(t *testing.T) {
	s := newStory().
		add("metric firm revenue", `{"set":1000}`).
		add("metric firm revenue", `{"add":250.5}`).
		add("metric firm billable-hours", `{"add":2}`).
		add("metric firm win-rate", `{"set":0.5}`).
		add("metric team:t1 billableHours", `{"add":1}`).
		add("metric user:u1 revenue", `{"set":1}`)
	again := s.events[1]
	again.Seq = 100 // a retry days later: another message with the same Msg-Id
	s.events = append(s.events, again)
	tally := s.told(t)
	m := tally.firm(s.in(0))
	if *m.TotalRevenue != 1250.5 || *m.BillableHours != 2 || m.CustomMetrics["win-rate"] != 0.5 {
		t.Fatalf("firm %+v, revenue %v", m, *m.TotalRevenue)
	}
	if m := tally.team("t1", s.in(0)); *m.BillableHours != 1 || m.TotalRevenue != nil {
		t.Fatalf("team %+v", m)
	}
	if m := tally.viewer(viewer{User: "u1"}, s.in(0)); *m.TotalRevenue != 1 {
		t.Fatalf("user %+v", m)
	}
}

func TestRefusedEventsChangeNothing(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	for name, e := range map[string]event{
		"add without id":      {Kind: "metric", ID: "firm", Name: "revenue", Data: []byte(`{"add":1}`)},
		"neither set nor add": {Kind: "metric", ID: "firm", Name: "revenue", MsgID: "a", Data: []byte(`{}`)},
		"both":                {Kind: "metric", ID: "firm", Name: "revenue", MsgID: "a", Data: []byte(`{"add":1,"set":1}`)},
		"a text":              {Kind: "metric", ID: "firm", Name: "revenue", MsgID: "a", Data: []byte(`{"set":"1"}`)},
		"infinite":            {Kind: "metric", ID: "firm", Name: "revenue", MsgID: "a", Data: []byte(`{"set":1e999}`)},
		"unknown scope":       {Kind: "metric", ID: "galaxy", Name: "revenue", MsgID: "a", Data: []byte(`{"set":1}`)},
		"no JSON":             {Kind: "case", ID: "7", Name: "case:created", Data: []byte(`boom`)},
		"an array":            {Kind: "case", ID: "7", Name: "case:created", Data: []byte(`[]`)},
		"empty":               {Kind: "case", ID: "7", Name: "task:created"},
		"cut off":             {Kind: "case", ID: "7", Name: "task:created", Data: []byte(`{"taskId":"t"`)},
		"bad list":            {Kind: "case", ID: "7", Name: "access:changed", Data: []byte(`{"allow":"u1"}`)},
		"a million users":     {Kind: "all", ID: "all", Name: "system:alert", Data: []byte(`{"title":"x","affectedUsers":[` + strings.Repeat(`"u",`, 1000) + numbered(2000) + `]}`)},
		"no valid user":       {Kind: "all", ID: "all", Name: "system:alert", Data: []byte(`{"title":"x","affectedUsers":["","` + long + `"]}`)},
	} {
		t.Run(name, func(t *testing.T) {
			tally := newTally()
			e.Seq, e.At = 5, day0.UnixMilli()
			if err := tally.apply(e); err == nil {
				t.Fatal("not refused")
			}
			if tally.Seq != 5 {
				t.Fatalf("the fold stands at %d", tally.Seq)
			}
			want := newTally()
			want.alerts.Lost = tally.alerts.Lost
			if canonical(t, tally) != canonical(t, want) {
				t.Fatalf("changed: %s", canonical(t, tally))
			}
		})
	}
	t.Run("huge texts are cut", func(t *testing.T) {
		tally := newStory().add("case 7 case:created", `{"title":"`+long+`","createdBy":"`+long+`"}`).told(t)
		if n := len(canonical(t, tally)); n > 2000 {
			t.Fatalf("the state has %d bytes", n)
		}
	})
}

func numbered(n int) string {
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprintf(`"user%d"`, i)
	}
	return strings.Join(users, ",")
}

// canonical writes everything that a tally knows, derived or not, in one way.
func canonical(t testing.TB, tally *tally) string {
	t.Helper()
	index := func(m map[string]map[*book]struct{}) map[string]map[string]bool {
		out := make(map[string]map[string]bool)
		for key, books := range m {
			out[key] = make(map[string]bool)
			for b := range books {
				out[key][b.key] = true
			}
		}
		return out
	}
	tasks := make(map[string]string)
	for id, b := range tally.index.tasks {
		tasks[id] = b.key
	}
	var recent []string
	tally.recency.each(func(b *book) bool { recent = append(recent, b.key); return true })
	var dues [2][]int64
	dues[0], dues[1] = append(dues[0], tally.cases.Dues...), append(dues[1], tally.others.Dues...)
	out, err := json.Marshal(map[string]any{
		"books": tally.books, "scopes": tally.scopes, "alerts": tally.alerts, "untold": tally.untold,
		"active": tally.cases.Active, "pending": []int64{tally.cases.Pending, tally.others.Pending}, "dues": dues,
		"recent":  []int64{tally.cases.Recent.count(tally.At), tally.others.Recent.count(tally.At)},
		"allowed": index(tally.index.allowed), "denied": index(tally.index.denied), "former": index(tally.index.former), "teams": index(tally.index.teams),
		"tasks": tasks, "recency": recent,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// random writes a log of all kinds of events, good and bad, with marks among them.
func random(r *rand.Rand, n int) []event {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	at := day0
	events := make([]event, 0, n)
	for i := range n {
		at = at.Add(time.Duration(r.IntN(600)) * time.Second)
		if r.IntN(50) == 0 {
			at = at.Add(-time.Minute) // a new leader whose clock is behind
		}
		e := event{Seq: uint64(3*i + 1 + r.IntN(3)), At: at.UnixMilli(), MsgID: fmt.Sprintf("m%d", r.IntN(n))}
		id := fmt.Sprint(r.IntN(8))
		user := func() string { return fmt.Sprintf("u%d", r.IntN(5)) }
		e.Kind, e.ID = subjects.KindCase, id
		switch r.IntN(14) {
		case 0, 1:
			e.Name, e.Data = "case:created", fmt.Appendf(nil, `{"title":"Case %s","createdBy":%q,"teamId":%q}`, id, user(), pick("t1", "t2", ""))
		case 2:
			e.Name, e.Data = pick("case:deleted", "case:updated"), []byte(`{"changes":{"status":{"new":"archived"}}}`)
		case 3:
			e.Name, e.Data = "case:status:changed", fmt.Appendf(nil, `{"oldStatus":"x","newStatus":%q}`, pick("open", "closed", "archived"))
		case 4, 5:
			e.Name, e.Data = "task:created", fmt.Appendf(nil, `{"taskId":"t%d","teamId":%q}`, r.IntN(40), pick("t1", "", "", ""))
		case 6:
			e.Name, e.Data = "task:completed", fmt.Appendf(nil, `{"taskId":"t%d"}`, r.IntN(40))
		case 7:
			e.Name = pick("deadline:approaching", "deadline:approaching", "deadline:missed")
			e.Data = fmt.Appendf(nil, `{"deadlineId":"d%d","timeRemaining":%d}`, r.IntN(20), r.IntN(10)*24*3600*1000)
		case 8:
			e.Name, e.Data = "access:changed", fmt.Appendf(nil, `{"allow":[%q,%q],"deny":[%q],"revision":%d}`, user(), user(), user(), i)
		case 9:
			e.Kind, e.ID, e.Name = subjects.KindMetric, pick("firm", "team:t1", "user:u1", "bad"), pick("revenue", "hours")
			e.Data = fmt.Appendf(nil, `{%q:%d}`, pick("set", "add", "mul"), r.IntN(100))
		case 10:
			e.Kind, e.ID, e.Name = subjects.KindAll, "all", pick("system:alert", "dashboard:alert")
			e.Data = fmt.Appendf(nil, `{"title":"x","affectedUsers":[%s]}`, pick("", `"u1"`, `"u1","u2"`))
			e.Mark = pick("", "health:x:raised", "health:x:over", fmt.Sprint(r.IntN(3*n)))
		case 11:
			e.Name, e.Mark = "dashboard:activity", fmt.Sprint(r.IntN(n))
			if r.IntN(2) == 0 {
				e.Kind, e.ID, e.Mark = subjects.KindDashboard, roomEveryActivity, e.Mark+" case."+id
			}
		case 12:
			e.Kind, e.ID, e.Name, e.Data = subjects.KindTeam, pick("t1", "t2"), pick("memo:sent", "dashboard:team-activity"), []byte(`{}`)
			e.Mark = fmt.Sprint(r.IntN(n))
		case 13:
			e.Kind, e.ID, e.Name, e.Data = subjects.KindUser, user(), pick("task:created", "task:completed"), fmt.Appendf(nil, `{"taskId":"t%d"}`, r.IntN(40))
		}
		events = append(events, e)
	}
	return events
}

// thaw makes a tally from a snapshot of another, as a restarted replica does.
func thaw(t testing.TB, from *tally, base map[int][]byte, behind uint64) *tally {
	t.Helper()
	for n, part := range from.collect(behind) {
		data, err := part.encode()
		if err != nil {
			t.Fatal(err)
		}
		base[n] = data
	}
	to := newTally()
	for _, data := range base {
		part, err := decodeShard(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.add(part); err != nil {
			t.Fatal(err)
		}
	}
	to.Seq, to.At = from.Seq, from.At
	to.rebuild()
	return to
}

// A log folded in one go, and in parts with a stored snapshot between each, of which only changed
// shards are written, are the same.
func TestFoldInPartsIsFoldInOne(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		events := random(r, 400)
		whole, parts := newTally(), newTally()
		stored, storedAt := make(map[int][]byte), uint64(0)
		for i, e := range events {
			wantErr, err := whole.apply(e), parts.apply(e)
			if (wantErr == nil) != (err == nil) {
				t.Fatalf("seed %d event %d: %v and %v", seed, i, wantErr, err)
			}
			if r.IntN(40) == 0 {
				parts, storedAt = thaw(t, parts, stored, storedAt), parts.Seq
			}
			if r.IntN(60) == 0 { // messages are delivered again after a restart
				for _, again := range events[max(0, i-10) : i+1] {
					if err := parts.apply(again); err != nil {
						t.Fatalf("seed %d: an event of the past is refused: %v", seed, err)
					}
				}
			}
		}
		if got, want := canonical(t, parts), canonical(t, whole); got != want {
			t.Fatalf("seed %d:\n%s\n%s", seed, got, want)
		}
		for hours := range 40 {
			now := whole.At + int64(hours)*5*3600*1000
			v := audienceOf(subjects.Caller{User: "u1", Scope: "case:3"}).viewer
			all := viewer{User: "u2", All: true}
			if !reflect.DeepEqual(whole.firm(now), parts.firm(now)) || !reflect.DeepEqual(whole.viewer(v, now), parts.viewer(v, now)) ||
				!reflect.DeepEqual(whole.viewer(all, now), parts.viewer(all, now)) || !reflect.DeepEqual(whole.team("t1", now), parts.team("t1", now)) {
				t.Fatalf("seed %d: numbers differ %d hours later", seed, hours)
			}
		}
	}
}

// The aggregates that make questions cheap are what a look at everything says.
func TestAggregatesAreTheSums(t *testing.T) {
	for seed := range uint64(8) {
		tally := newTally()
		for _, e := range random(rand.New(rand.NewPCG(seed, 2)), 500) {
			_ = tally.apply(e) // refused ones are part of it
		}
		for hours := range 48 {
			now := tally.At + int64(hours)*4*3600*1000
			var want sums
			for _, b := range tally.books {
				want = want.plus(b.sums(now), 1)
			}
			if got := tally.cases.sums(now).plus(tally.others.sums(now), 1); got != want {
				t.Fatalf("seed %d, %d hours later: %+v, sum of books %+v", seed, hours, got, want)
			}
			v := viewer{User: "u3", All: true}
			want = sums{}
			for _, b := range tally.books {
				if b.kind == subjects.KindCase && v.maySee(b) || b.key == "user.u3" {
					want = want.plus(b.sums(now), 1)
				}
			}
			if m := tally.viewer(v, now); (sums{m.ActiveCases, m.PendingTasks, m.UpcomingDeadlines, m.RecentActivity}) != want {
				t.Fatalf("seed %d, viewer of all: %+v, want %+v", seed, m, want)
			}
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, e := range random(rand.New(rand.NewPCG(1, 3)), 60) {
		f.Add(string(e.Kind), e.ID, e.Name, e.Mark, e.Data)
	}
	f.Fuzz(func(t *testing.T, kind, id, name, mark string, data []byte) {
		if !subjects.Kind(kind).Valid() || !subjects.ValidEvent(name) {
			return
		}
		if _, err := subjects.Room(subjects.Kind(kind), id); err != nil {
			return
		}
		tally := newTally()
		for seq := range uint64(3) {
			_ = tally.apply(event{Seq: seq + 1, At: day0.UnixMilli(), Kind: subjects.Kind(kind), ID: id, Name: name, MsgID: "m", Mark: mark, Data: data})
		}
		if again := thaw(t, tally, make(map[int][]byte), 0); canonical(t, again) != canonical(t, tally) {
			t.Fatalf("\n%s\n%s", canonical(t, again), canonical(t, tally))
		}
	})
}
