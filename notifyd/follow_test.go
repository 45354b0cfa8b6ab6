package notifyd

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

func (b *bus) event(caseID, event, body string) {
	b.t.Helper()
	_, err := subjects.NewPublisher(b.nc, b.js).PublishLog(b.ctx(), subjects.KindCase, caseID, event, []byte(body))
	if err != nil {
		b.t.Fatal(err)
	}
}

// titles of a user's list, oldest first.
func (b *bus) titles(user string) string {
	all, _ := b.list(user, false)
	var out []string
	for i := range all {
		out = append(out, all[len(all)-1-i].Title)
	}
	return strings.Join(out, " | ")
}

func TestFollowersAreToldInDigests(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	var later atomic.Int64
	s, _ := b.run(Options{DigestWindow: time.Minute, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	// due waits until so many events are collected, and lets the window pass.
	due := func(events int) {
		t.Helper()
		b.until("the events are collected", func() bool {
			var g digest
			_, err := s.follows.read(b.ctx(), digestPrefix+"c1", true, &g)
			return err == nil && len(g.Batches) == 1 && !g.Batches[0].Alone && g.Batches[0].Total == events
		})
		later.Add(int64(time.Minute))
	}
	b.admit(s, subjects.KindCase, "c1", []string{"listed"}, nil, 1)
	for _, u := range []string{"scoped", "author", "leaver", "scoped"} { // twice is once
		b.must(u, "notification:follow", `{"caseId":"c1"}`)
	}
	_, err := subjects.NotificationFollow.Call(b.ctx(), b.nc, subjects.Caller{User: "listed"}, subjects.CaseRequest{CaseID: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	if ack := b.must("leaver", "notification:unfollow", `{"caseId":"c1"}`); ack["following"] != false || ack["caseId"] != "c1" {
		t.Errorf("unfollow: %v", ack)
	}
	b.event("c1", "document:uploaded", `{"fileName":"a.pdf","uploadedBy":"author"}`)
	b.event("c1", "collaboration:edit", `{}`) // no news
	b.event("c1", "case:status:changed", `{"caseNumber":"22-17","newStatus":"closed","changedBy":"judge"}`)
	b.event("c1", "invoice:sent", `{"title":"March"}`)
	b.event("other", "invoice:sent", `{}`)
	due(3)
	b.until("a digest comes", func() bool { return b.hello("scoped") > 0 && b.hello("author") > 0 && b.hello("listed") > 0 })
	const three, two = "22-17: 3 updates", "22-17: 2 updates"
	for user, want := range map[string]string{"scoped": three, "listed": three, "author": two, "leaver": ""} {
		if got := b.titles(user); got != want {
			t.Errorf("%s was told %q, want %q", user, got, want)
		}
	}
	all, _ := b.list("scoped", false)
	if n := all[0]; n.Type != "case_update" || n.RelatedEntityID != "c1" || n.Metadata["digest"] != true || n.Metadata["count"] != 3.0 ||
		n.Message != "Document uploaded: a.pdf\nStatus changed: closed\nInvoice sent: March" {
		t.Errorf("%+v", n)
	}
	// Deadlines are told at once and alone; who is walled off is told nothing more.
	b.admit(s, subjects.KindCase, "c1", nil, []string{"scoped"}, 2)
	b.event("c1", "deadline:missed", `{"caseName":"Doe v. Roe","description":"Reply"}`)
	b.until("the deadline comes", func() bool { return b.hello("author") == 2 })
	const missed = "Doe v. Roe: Deadline missed: Reply"
	if got := b.titles("author"); got != two+" | "+missed {
		t.Errorf("author was told %q", got)
	}
	b.event("c1", "task:created", `{"title":"File it","createdBy":"x"}`)
	due(1)
	b.until("a single event comes", func() bool { return b.hello("author") == 3 })
	if got := b.titles("author"); got != two+" | "+missed+" | c1: Task created: File it" {
		t.Errorf("author was told %q", got)
	}
	for _, u := range []string{"scoped", "listed"} {
		if got := b.titles(u); got != three {
			t.Errorf("%s may not see the case and was told %q", u, got)
		}
	}
}

func TestFollowingIsCapped(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	b.run(Options{MaxFollows: 3, MaxFollowers: 2, OpenCases: true})
	follow := func(user, id string) subjects.Code {
		_, err := b.ask(user, "notification:follow", fmt.Sprintf(`{"caseId":%q}`, id))
		return subjects.CodeOf(err)
	}
	for i, step := range []struct {
		user, id string
		code     subjects.Code
	}{
		{"u", "1", ""},
		{"u", "2", ""},
		{"u", "3", ""},
		{"u", "4", subjects.CodeRoomLimit},
		{"u", "3", ""},
		{"v", "1", ""},
		{"w", "1", subjects.CodeRoomLimit},
	} {
		if got := follow(step.user, step.id); got != step.code {
			t.Errorf("step %d: %q, want %q", i, got, step.code)
		}
	}
	b.must("u", "notification:unfollow", `{"caseId":"1"}`)
	b.must("u", "notification:unfollow", `{"caseId":"1"}`)
	if got := follow("w", "1"); got != "" {
		t.Errorf("there is room again, but: %s", got)
	}
	if got := follow("u", "4"); got != "" {
		t.Errorf("there is room again, but: %s", got)
	}
}

func TestWhatABurstBecomes(t *testing.T) {
	at := noon
	var g digest
	take := func(seq uint64, event, body string, after time.Duration) bool {
		t.Helper()
		changed, err := g.take(tellOf(event, seq, at, []byte(body)), 1, 10, at.Add(after), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	for i, step := range []struct {
		seq     uint64
		event   string
		after   time.Duration
		taken   bool
		batches int
	}{
		{9, "case:updated", 0, false, 0}, // below the floor: done long ago
		{11, "case:updated", 0, true, 1},
		{11, "case:updated", 0, false, 1}, // again
		{13, "case:updated", 59 * time.Second, true, 1},
		{12, "case:updated", 59 * time.Second, true, 1}, // another replica was slower
		{14, "deadline:missed", 59 * time.Second, true, 2},
		{15, "case:updated", 59 * time.Second, true, 3}, // not into the deadline's
		{16, "case:updated", 2 * time.Minute, true, 4},  // the window is over
	} {
		if taken := take(step.seq, step.event, `{}`, step.after); taken != step.taken || len(g.Batches) != step.batches {
			t.Errorf("step %d: taken %t, %d batches", i, taken, len(g.Batches))
		}
	}
	if b := g.Batches[0]; b.no() != 11 || b.Events[1].Seq != 12 || b.Events[2].Seq != 13 {
		t.Errorf("not in the log's order: %+v", b.Events)
	}
	if i := g.next(at, "me"); i != -1 {
		t.Errorf("batch %d is due at once", i)
	}
	if i := g.next(at.Add(59*time.Second), "me"); i != 1 {
		t.Errorf("the deadline is batch 1, due is %d", i)
	}
	g.Batches[3].By, g.Batches[3].Until = "you", at.Add(10*time.Minute).UnixMilli()
	take(17, "case:updated", `{}`, 2*time.Minute)
	if len(g.Batches) != 5 {
		t.Error("an event came into a batch that is being told")
	}
	g.Batches = g.Batches[3:4]
	for who, want := range map[string]int{"me": -1, "you": 0} {
		if i := g.next(at.Add(9*time.Minute), who); i != want {
			t.Errorf("%s may tell batch %d, want %d", who, i, want)
		}
	}
	if i := g.next(at.Add(10*time.Minute), "me"); i != 0 {
		t.Error("nobody takes over")
	}
	if took, err := g.take(tellOf("case:updated", 3, at, nil), 2, 0, at, time.Minute); err != nil || !took {
		t.Error("the log began anew, and its events are taken for old ones")
	}
}

// TestDetailsOfALongBurst: what is told one by one are the first of a batch, in whatever order they came.
func TestDetailsOfALongBurst(t *testing.T) {
	var g digest
	for seq := uint64(2 * maxDetails); seq > 0; seq-- {
		if _, err := g.take(tellOf("case:updated", seq, noon, nil), 1, 0, noon, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	b := g.Batches[0]
	if b.Total != 2*maxDetails || len(b.Events) != maxDetails || b.no() != 1 || b.Events[maxDetails-1].Seq != maxDetails {
		t.Errorf("%d events, details of %d: %+v", b.Total, len(b.Events), b.Events)
	}
}

func TestWhatIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		event, body string
		want        string
	}{
		"a document":           {"document:uploaded", `{"fileName":"a.pdf"}`, "document_uploaded medium c: Document uploaded: a.pdf"},
		"a near deadline":      {"deadline:approaching", `{"description":"d","severity":"urgent","caseName":"n"}`, "deadline_reminder urgent n: Deadline approaching: d"},
		"a far deadline":       {"deadline:approaching", `{"description":"d","severity":"info"}`, "deadline_reminder high c: Deadline approaching: d"},
		"an unheard-of event":  {"hearing:room_changed", `{"priority":"high"}`, "case_update high c: Hearing room changed"},
		"a payload of nothing": {"case:updated", `null`, "case_update medium c: Case updated"},
		"fields of odd types":  {"document:uploaded", `{"fileName":5,"uploadedBy":["x"]}`, "document_uploaded medium c: Document uploaded"},
		"a long name":          {"document:uploaded", `{"fileName":"` + strings.Repeat("ä", 1000) + `"}`, "document_uploaded medium c: Document uploaded: " + strings.Repeat("ä", 159) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			h := tellOf(c.event, 1, noon, []byte(c.body))
			n, ok := digestFor("u", "c", &batch{Total: 1, Events: []happening{h}})
			r, _, bad := decode(n.rest, noon, maxNotice)
			if got := fmt.Sprintf("%s %s %s", r.Type, r.Priority, r.Title); !ok || bad != nil || got != c.want {
				t.Errorf("%s, %v, want %s", got, bad, c.want)
			}
		})
	}
	b := batch{Total: 100, Actors: map[string]int{"u": 60, "v": 100}}
	for i := range maxDetails {
		b.Events = append(b.Events, tellOf("document:uploaded", uint64(i+1), noon, []byte(`{"fileName":"`+strings.Repeat("x", 500)+`"}`)))
	}
	n, ok := digestFor("u", "c", &b)
	r, _, bad := decode(n.rest, noon, maxNotice)
	if !ok || bad != nil || r.Title != "c: 40 updates" || !strings.HasSuffix(r.Message, "and 35 more") {
		t.Errorf("%+v, %v", r, bad)
	}
	if _, ok := digestFor("v", "c", &b); ok {
		t.Error("v did all of it, and is told")
	}
}
