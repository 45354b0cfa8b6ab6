package dashboardd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

const (
	cmdSubscribe   = "cmd.dashboard.subscribe"
	cmdUnsubscribe = "cmd.dashboard.unsubscribe"
	cmdRefresh     = "cmd.dashboard.request-refresh"
)

func TestHelloShowsAndPushesFollow(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.publish("case 7 case:created", `{"title":"Doe v. Roe","createdBy":"u9"}`)
	b.publish("case 7 task:created", `{"taskId":"a","title":"File motion"}`)
	b.ready(quick())
	b.eventually("what was before is announced", func() error {
		if n := coverage(t, b)["case.7"]; n != 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	c := b.client("u1", "case:*")
	c.hello()
	first := c.events("dashboard:metrics")
	if len(first) != 1 || first[0].data["activeCases"] != 1.0 || first[0].data["pendingTasks"] != 1.0 || first[0].data["timestamp"] == nil || first[0].data["scope"] != "user:u1" {
		t.Fatalf("hello shows %v", first)
	}
	if stats := c.events("dashboard:case-stats"); len(stats) != 1 || stats[0].data["caseId"] != "7" || stats[0].data["status"] != "open" {
		t.Fatalf("hello shows %v", stats)
	}
	if feed := c.events("dashboard:activity"); len(feed) != 0 {
		t.Fatalf("hello repeats the feed: %v", feed)
	}
	b.publish("case 7 task:completed", `{"taskId":"a","title":"File motion","completedBy":"u2"}`)
	c.last("dashboard:metrics", map[string]any{"activeCases": 1, "pendingTasks": 0, "recentActivity": 3})
	c.last("dashboard:case-stats", map[string]any{"caseId": "7", "progress": 100, "activeTasks": 0, "recentUpdates": 3})
	a := c.last("dashboard:activity", map[string]any{
		"type": "task_completed", "title": "Task completed", "description": "File motion", "userId": "u2", "caseId": "7", "caseName": "Doe v. Roe",
	})
	if a["id"] == "" || a["timestamp"] == nil {
		t.Fatalf("activity %v", a)
	}
}

func TestSubscriptionsArePerSocket(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.publish("case 7 case:created", `{"title":"A"}`)
	b.ready(quick())
	all, some := b.client("u1", "case:7"), b.client("u1", "case:7")
	all.hello()
	some.hello()
	some.forget()
	if ack := some.must(cmdSubscribe, `{"types":["activity","nonsense"]}`); ack["success"] != true || fmt.Sprint(ack["subscriptions"]) != "[activity]" {
		t.Fatalf("ack %v", ack)
	}
	// The push of the same activity, with the same id, may still have been on its way.
	feed := slices.DeleteFunc(some.events("dashboard:activity"), func(h heard) bool { return h.subject != "reply" })
	if len(feed) != 1 || feed[0].data["title"] != "Case created" {
		t.Fatalf("the snapshot is %v", feed)
	}
	some.forget()
	b.publish("case 7 document:uploaded", `{"fileName":"x.pdf"}`)
	all.last("dashboard:metrics", map[string]any{"recentActivity": 2})
	all.last("dashboard:case-stats", map[string]any{"recentUpdates": 2})
	all.last("dashboard:activity", map[string]any{"type": "document_filed"})
	some.last("dashboard:activity", map[string]any{"type": "document_filed"})
	if got := append(some.events("dashboard:metrics"), some.events("dashboard:case-stats")...); len(got) != 0 {
		t.Fatalf("not subscribed, but got %v", got)
	}
	// Alerts always come.
	b.publish("all all system:alert", `{"title":"Fire","message":"Leave","severity":"critical"}`)
	some.last("dashboard:alert", map[string]any{"title": "Fire", "type": "system", "severity": "critical"})
	// A second subscription adds, a resumed socket keeps what it had, unsubscribing takes away.
	if ack := some.must(cmdSubscribe, `{"types":["metrics"]}`); fmt.Sprint(ack["subscriptions"]) != "[activity metrics]" {
		t.Fatalf("ack %v", ack)
	}
	some.last("dashboard:metrics", map[string]any{"recentActivity": 2})
	some.leaveAll()
	some.hello()
	if !some.rooms["case.7"] || slices.ContainsFunc(keys(some.rooms), func(r string) bool { return strings.Contains(r, "case-stats") }) {
		t.Fatalf("rooms after a resume: %v", some.rooms)
	}
	if ack := some.must(cmdUnsubscribe, `{"types":["activity"]}`); fmt.Sprint(ack["subscriptions"]) != "[metrics]" {
		t.Fatalf("ack %v", ack)
	}
	if some.rooms["case.7"] {
		t.Fatalf("rooms after unsubscribing: %v", some.rooms)
	}
	if ack := all.must(cmdUnsubscribe, `{"types":["metrics"]}`); fmt.Sprint(ack["subscriptions"]) != "[activity case-stats team-activity alert]" {
		t.Fatalf("ack of one that never subscribed %v", ack)
	}
}

func keys(m map[string]bool) (out []string) {
	for key := range m {
		out = append(out, key)
	}
	return out
}

func TestBadRequestsAreRefused(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.ready(quick())
	c := b.client("u1", "")
	many, _ := json.Marshal(make([]string, 200_000))
	for name, body := range map[string]string{
		"no types": `{}`, "null": `{"types":null}`, "a text": `{"types":"metrics"}`, "numbers": `{"types":[1]}`,
		"an array": `["metrics"]`, "no JSON": `{"types":`, "a flood": `{"types":` + string(many) + `}`, "nothing": ``,
	} {
		for _, subject := range []string{cmdSubscribe, cmdUnsubscribe} {
			_, err := c.ask(subject, body)
			if subjects.CodeOf(err) != subjects.CodeInvalidInput || subjects.MessageOf(err) != "Invalid request" {
				t.Errorf("%s %s: %v", subject, name, err)
			}
		}
	}
	if types := c.must(cmdSubscribe, `{"types":[]}`); fmt.Sprint(types["subscriptions"]) != "[]" {
		t.Errorf("an empty list: %v", types)
	}
	c.caller.User = ""
	for _, subject := range []string{cmdSubscribe, cmdUnsubscribe, cmdRefresh, "hello.dashboard"} {
		if _, err := c.ask(subject, `{"types":["metrics"]}`); subjects.MessageOf(err) != "User not found" {
			t.Errorf("%s without a user: %v", subject, err)
		}
	}
}

func TestScopesOfMetrics(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.publish("case 1 case:created", `{"teamId":"t1"}`)
	b.publish("case 2 case:created", `{}`)
	b.publish("case 2 access:changed", `{"allow":["u1"],"deny":[],"revision":1}`)
	b.publish("metric firm revenue", `{"set":100}`)
	b.publish("metric team:t1 billableHours", `{"add":3}`)
	b.ready(quick())
	for name, tt := range map[string]struct {
		user, scope string
		want        map[string]any
	}{
		"own":      {"u1", "", map[string]any{"scope": "user:u1", "activeCases": 1, "totalRevenue": nil}},
		"stranger": {"u2", "", map[string]any{"scope": "user:u2", "activeCases": 0, "recentActivity": 0}},
		"team":     {"u3", "team:t1", map[string]any{"scope": "team:t1", "activeCases": 1, "billableHours": 3}},
		"firm":     {"boss", "team:t1 dashboard:firm", map[string]any{"scope": "firm", "activeCases": 2, "totalRevenue": 100}},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.client(tt.user, tt.scope)
			c.hello()
			c.last("dashboard:metrics", tt.want)
			if n := len(c.events("dashboard:metrics")); n != 1 {
				t.Fatalf("%d sets of numbers", n)
			}
		})
	}
	boss := b.client("boss", "dashboard:firm")
	boss.hello()
	b.publish("metric firm revenue", `{"add":11}`, subjects.WithMsgID("once"))
	boss.last("dashboard:metrics", map[string]any{"totalRevenue": 111})
	// A firm's numbers are no case: the boss sees no activity of cases by them.
	if got := append(boss.events("dashboard:case-stats"), boss.events("dashboard:activity")...); len(got) != 0 {
		t.Fatalf("the firm's scope shows cases: %v", got)
	}
}

// What reaches a consumer of a Msg-Id is the header; without it an addition cannot be told from a retry.
func TestAdditionWithoutMsgIDIsADeadLetter(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.ready(quick())
	if _, err := b.js.Publish(t.Context(), "lex.metric.firm.revenue", []byte(`{"add":5}`)); err != nil {
		t.Fatal(err)
	}
	b.publish("metric galaxy revenue", `{"set":5}`)
	b.publish("metric firm revenue", `{"add":1}`, subjects.WithMsgID("a"))
	boss := b.client("boss", "dashboard:firm")
	boss.hello()
	boss.last("dashboard:metrics", map[string]any{"totalRevenue": 1})
	b.eventually("dead letters", func() error {
		stream, err := b.js.Stream(t.Context(), subjects.StreamDeadLetter)
		if err != nil {
			return err
		}
		if n := stream.CachedInfo().State.Msgs; n != 2 {
			return fmt.Errorf("%d", n)
		}
		m, err := stream.GetLastMsgForSubject(t.Context(), "deadletter.bad-metric")
		if err == nil && m.Header.Get(subjects.HeaderSubject) != "lex.metric.galaxy.revenue" {
			err = fmt.Errorf("the letter is of %s", m.Header.Get(subjects.HeaderSubject))
		}
		return err
	})
}

func TestPushesAreCoalesced(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	o := quick()
	o.Interval = 400 * time.Millisecond
	b.ready(o)
	c := b.client("u1", "case:*")
	c.hello()
	c.forget()
	start := time.Now()
	const events = 500
	for i := range events {
		b.publish("case 7 document:uploaded", fmt.Sprintf(`{"fileName":"%d.pdf"}`, i))
	}
	c.last("dashboard:metrics", map[string]any{"recentActivity": events})
	c.last("dashboard:case-stats", map[string]any{"recentUpdates": events})
	c.last("dashboard:activity", map[string]any{"id": fmt.Sprintf("activity-%d", lastOf(t, b, "lex.case.7.document.uploaded"))})
	most := int(time.Since(start)/o.Interval) + 2
	for _, name := range []string{"dashboard:metrics", "dashboard:case-stats", "dashboard:activity"} {
		if n := len(c.events(name)); n > most {
			t.Errorf("%d of %s in %v", n, name, time.Since(start))
		}
	}
	if got := coverage(t, b)["case.7"]; got != events {
		t.Errorf("the announcements stand for %d events", got)
	}
}

func lastOf(t *testing.T, b *bus, subject string) uint64 {
	t.Helper()
	stream, err := b.js.Stream(t.Context(), subjects.StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	return m.Sequence
}

func TestAlertsToSomeAndOnce(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.ready(quick())
	b.ready(quick())
	u1, u2 := b.client("u1", ""), b.client("u2", "")
	u1.hello()
	u2.hello()
	b.publish("all all system:alert", `{"type":"security","severity":"error","title":"Only you","message":"m","affectedUsers":["u1","u3","u1"],"actionRequired":true,"actionUrl":"/x"}`)
	b.publish("all all system:alert", `{"type":"feature","severity":"odd","title":"All","message":"m"}`)
	u1.last("dashboard:alert", map[string]any{"title": "All", "severity": "info", "type": "system"})
	u2.last("dashboard:alert", map[string]any{"title": "All"})
	if got := u2.events("dashboard:alert"); len(got) != 1 {
		t.Fatalf("u2 hears %v", got)
	}
	if got := u1.events("dashboard:alert"); len(got) != 2 || got[0].data["type"] != "security" || got[0].data["actionUrl"] != "/x" || got[0].data["actionRequired"] != true {
		t.Fatalf("u1 hears %v", got)
	}
}

func TestHealthOfTheBackboneIsAnAlert(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.ready(quick())
	b.ready(quick())
	c := b.client("u1", "")
	c.hello()
	// A queue that is almost full is a trouble; emptied, it is over.
	stream, err := b.js.Stream(t.Context(), subjects.StreamNotify)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxBytes = 10 << 10
	if _, err := b.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.Publish(t.Context(), "notify.user.x", make([]byte, 9800)); err != nil {
		t.Fatal(err)
	}
	c.last("dashboard:alert", map[string]any{"type": "system", "severity": "critical", "title": "Notifications are piling up"})
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.last("dashboard:alert", map[string]any{"severity": "info", "title": "All is well again"})
	if n := len(c.events("dashboard:alert")); n != 2 {
		t.Fatalf("%d alerts", n)
	}
}
