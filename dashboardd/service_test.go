package dashboardd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

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

func TestWalls(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.publish("case 7 case:created", `{"title":"Secret"}`)
	b.publish("case 7 access:changed", `{"allow":["member","leaver"],"deny":["walled"],"revision":1}`)
	b.ready(quick())
	member, leaver, walled, stranger := b.client("member", ""), b.client("leaver", ""), b.client("walled", "case:* team:t1"), b.client("stranger", "team:t1")
	partner, scoped := b.client("partner", "case:*"), b.client("scoped", "case:7")
	everybody := []*client{member, leaver, walled, stranger, partner, scoped}
	for _, c := range everybody {
		c.hello()
		c.must(cmdRefresh, "")
	}
	shown := func(c *client) int {
		return len(c.events("dashboard:case-stats")) + len(c.events("dashboard:activity"))
	}
	for _, c := range []*client{walled, stranger} {
		if shown(c) != 0 {
			t.Fatalf("%s is shown %v", c.caller.User, c.heard)
		}
	}
	b.publish("case 7 document:uploaded", `{"fileName":"plan.pdf","teamId":"t1"}`)
	for _, c := range []*client{member, leaver, partner, scoped} {
		c.last("dashboard:activity", map[string]any{"description": "plan.pdf"})
		c.last("dashboard:case-stats", map[string]any{"recentUpdates": 2})
	}
	// The team hears that something happened, but nothing of the case, and who is denied not even that.
	if e := stranger.last("dashboard:team-activity", map[string]any{"action": "Document filed"}); strings.Contains(fmt.Sprint(e), "plan") || e["caseId"] != nil {
		t.Fatalf("the team is told %v", e)
	}
	if n := len(walled.events("dashboard:team-activity")); n != 0 {
		t.Fatal("a denied user hears of the case by the team")
	}
	// Who leaves, and who is denied now, hears nothing that comes later.
	b.publish("case 7 access:changed", `{"allow":["member"],"deny":["walled","scoped"],"revision":2}`)
	leaver.last("dashboard:metrics", map[string]any{"activeCases": 0}) // numbers shrink at once
	scoped.last("dashboard:metrics", map[string]any{"activeCases": 0})
	for _, c := range everybody {
		c.forget()
	}
	b.publish("case 7 document:uploaded", `{"fileName":"final.pdf"}`)
	for _, c := range []*client{member, partner} {
		c.last("dashboard:activity", map[string]any{"description": "final.pdf"})
		c.last("dashboard:case-stats", map[string]any{"recentUpdates": 3})
	}
	for _, c := range []*client{leaver, walled, scoped, stranger} {
		if shown(c) != 0 {
			t.Fatalf("%s hears %v", c.caller.User, c.heard)
		}
	}
	// A refresh lets a new member in.
	b.publish("case 7 access:changed", `{"allow":["member","stranger"],"deny":[],"revision":3}`)
	stranger.caller.Scope = ""
	b.eventually("the new member sees the case", func() error {
		stranger.forget()
		stranger.must(cmdRefresh, "")
		if len(stranger.events("dashboard:case-stats")) != 1 || !stranger.rooms["case.7"] {
			return errors.New("not yet")
		}
		return nil
	})
}

// Who is let into a case, or taken out, is greeted again, and by that enters or leaves its rooms.
func TestGreetedAgainWhenAccessChanges(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.publish("case 7 case:created", `{}`)
	b.publish("case 7 access:changed", `{"allow":["member"]}`)
	greets := make(chan *nats.Msg, 64)
	if _, err := b.nc.ChanSubscribe(subjects.AllGreet, greets); err != nil {
		t.Fatal(err)
	}
	b.ready(quick())
	b.ready(quick())
	select {
	case <-greets: // member, for whom nothing changes from now on
	case <-time.After(10 * time.Second):
		t.Fatal("what changed just before the start is passed over")
	}
	c := b.nobody("u1", "")
	c.hello()
	for _, step := range []struct {
		list string
		in   bool
	}{
		{`{"allow":["member","u1"],"revision":1}`, true},
		{`{"allow":["member"],"revision":2}`, false},
		{`{"allow":["member","u1"],"revision":3}`, true},
		{`{"allow":["member"],"deny":["u1"],"revision":4}`, false},
	} {
		b.publish("case 7 access:changed", step.list)
		select {
		case m := <-greets:
			room, to, err := subjects.DecodeGreet(m)
			if err != nil || room != "user.u1" || len(to.Namespaces) != 1 || to.Namespaces[0] != subjects.NamespaceDashboard {
				t.Fatalf("%s %s: %v", m.Subject, m.Data, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("after %s nobody is greeted again", step.list)
		}
		c.hello()
		for _, room := range []string{"case.7", "dashboard.=3Acase-stats-case-7"} {
			if c.rooms[room] != step.in {
				t.Errorf("after %s: in %s: %v", step.list, room, c.rooms[room])
			}
		}
	}
	select {
	case m := <-greets:
		t.Errorf("greeted again without need: %s", m.Subject)
	case <-time.After(2 * time.Second):
	}
}

// With open cases everybody sees everything, whatever lists say.
func TestOpenCases(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.publish("case 7 case:created", `{"title":"Doe"}`)
	b.publish("case 7 access:changed", `{"allow":["member"],"deny":["walled"],"revision":1}`)
	o := quick()
	o.OpenCases = true
	b.ready(o)
	var all []*client
	for _, user := range []string{"member", "walled", "stranger"} {
		c := b.client(user, map[string]string{"member": "case:7"}[user])
		c.hello()
		c.last("dashboard:metrics", map[string]any{"activeCases": 1})
		c.last("dashboard:case-stats", map[string]any{"recentUpdates": 1})
		all = append(all, c)
	}
	b.publish("case 7 document:uploaded", `{"fileName":"plan.pdf"}`)
	for _, c := range all {
		c.last("dashboard:activity", map[string]any{"description": "plan.pdf"})
		c.last("dashboard:case-stats", map[string]any{"recentUpdates": 2})
		c.last("dashboard:metrics", map[string]any{"recentActivity": 2})
	}
	for _, c := range all {
		n := 0
		for _, e := range c.events("dashboard:activity") {
			if e.data["description"] == "plan.pdf" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s hears of one document %d times", c.caller.User, n)
		}
	}
}

// Every activity in the log carries the walls that held at its own place in the log, however access
// and events interleave.
func TestWallsHoldAtTheLogPosition(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	o := quick()
	o.Interval = time.Millisecond
	b.ready(o)
	b.publish("case 7 case:created", `{}`)
	for i := range 150 {
		b.publish("case 7 access:changed", fmt.Sprintf(`{"allow":[],"deny":["d%d"],"revision":%d}`, i, i))
		b.publish("case 7 memo:sent", `{}`)
	}
	b.eventually("all is announced", func() error {
		if c := coverage(t, b); c["case.7"] != 151 || c[everyRoom] != 151 {
			return fmt.Errorf("announced %v", c)
		}
		return nil
	})
	denied, checked := "", 0
	eachOfLog(t, b, func(m jetstream.Msg) {
		switch s, _ := subjects.Parse(m.Subject()); {
		case s.Event == accessName:
			var list subjects.AccessChangedEvent
			if err := json.Unmarshal(m.Data(), &list); err != nil {
				t.Fatal(err)
			}
			denied = "user." + list.Deny[0]
		case s.Event == activityName && s.Kind == subjects.KindDashboard:
			checked++
			if got := m.Headers().Get(subjects.HeaderExcept); got != denied {
				t.Fatalf("walls %q, at this place %q are denied", got, denied)
			}
		}
	})
	if checked == 0 {
		t.Fatal("nothing was checked")
	}
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

// A replica whose snapshot ends before the log begins says so and answers nothing.
func TestBehindTheLogIsNotReady(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.publish("case 7 case:created", `{}`)
	b.publish("case 7 access:changed", `{"allow":["u1"],"deny":[],"revision":1}`)
	b.eventually("the bucket has the list", func() error {
		kv, err := b.js.KeyValue(t.Context(), subjects.BucketAccess)
		if err == nil {
			_, err = kv.Get(t.Context(), "case.7")
		}
		return err
	})
	stream, err := b.js.Stream(t.Context(), subjects.StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.publish("case 8 case:created", `{}`)
	s, stop := b.start(quick())
	b.eventually("it says so", func() error {
		if err := s.Ready(); !errors.Is(err, errGap) || !strings.Contains(err.Error(), "events 1 to 2") {
			return fmt.Errorf("ready: %w", err)
		}
		return nil
	})
	if _, err := b.client("u1", "").ask("hello.dashboard", ""); subjects.CodeOf(err) != subjects.CodeUnavailable {
		t.Fatalf("answers %v", err)
	}
	stop()
	o := quick()
	o.AcceptGap = true
	b.ready(o)
	boss, member := b.client("boss", "dashboard:firm"), b.client("u1", "")
	boss.hello()
	member.hello()
	boss.last("dashboard:metrics", map[string]any{"activeCases": 1})
	if !member.rooms["case.7"] {
		t.Fatalf("access from before the gap is lost: %v", member.rooms)
	}
}

// Another log under an old snapshot is no continuation of it.
func TestSnapshotOfAnotherLogIsNotUsed(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	for range 5 {
		b.publish("case 7 case:created", `{}`)
	}
	_, stop := b.ready(quick())
	b.snapshotAt(5)
	stop()
	if err := b.js.DeleteStream(t.Context(), subjects.StreamLog); err != nil {
		t.Fatal(err)
	}
	if err := subjects.EnsureStreams(t.Context(), b.js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	s, _ := b.start(quick())
	b.eventually("it says so", func() error {
		if err := s.Ready(); !errors.Is(err, errGap) || !strings.Contains(err.Error(), "another log") {
			return fmt.Errorf("ready: %w", err)
		}
		return nil
	})
}

// snapshotAt waits for a snapshot at or behind a sequence.
func (b *bus) snapshotAt(seq uint64) (m manifest) {
	b.t.Helper()
	store, err := openStore(b.t.Context(), b.js)
	if err != nil {
		b.t.Fatal(err)
	}
	b.eventually("a snapshot", func() error {
		var err error
		m, _, err = store.manifest(b.t.Context())
		if err == nil && m.Seq < seq {
			err = fmt.Errorf("it is at %d", m.Seq)
		}
		return err
	})
	return m
}

func TestRestartGoesOnFromTheSnapshot(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	for i := range 300 {
		b.publish(fmt.Sprintf("case %d case:created", i), `{}`)
	}
	_, stop := b.ready(quick())
	b.snapshotAt(300)
	stop()
	for i := range 100 {
		b.publish(fmt.Sprintf("case %d case:deleted", i), `{}`)
	}
	registry := prometheus.NewRegistry()
	o := quick()
	o.Registry = registry
	s, _ := b.ready(o)
	boss := b.client("boss", "dashboard:firm")
	boss.hello()
	boss.last("dashboard:metrics", map[string]any{"activeCases": 200, "recentActivity": 400})
	// The log holds announcements too, which are folded as well; events of the snapshot are not.
	if n := counter(t, registry, "lexiflow_dashboardd_processed_total"); n >= float64(s.seq()) {
		t.Fatalf("%v events were folded again", n)
	}
	// What no manifest names is gone.
	b.publish("case 1 case:created", `{}`)
	m := b.snapshotAt(s.seq() + 1)
	b.eventually("old shards are swept", func() error {
		stream, err := b.js.Stream(t.Context(), "KV_DASHBOARD")
		if err != nil {
			return err
		}
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(bucketSubject+keyShard+">"))
		if err != nil {
			return err
		}
		if m = b.snapshotAt(m.Seq); len(info.State.Subjects) > shards {
			return fmt.Errorf("%d keys", len(info.State.Subjects))
		}
		return nil
	})
}

func counter(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// NATS goes and comes back on the same data; what is published then is folded as if nothing had been.
func TestOutlivesTheBus(t *testing.T) {
	dir := t.TempDir()
	srv, err := natsd.Start(t.Context(), natsd.Options{DataDir: dir, Listen: "127.0.0.1:0", Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	dial := func() *nats.Conn {
		nc, err := nats.Connect(srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	b := &bus{t: t, nc: dial()}
	if b.js, err = jetstream.New(b.nc); err != nil {
		t.Fatal(err)
	}
	b.pub = subjects.NewPublisher(b.nc, b.js)
	if err := subjects.EnsureStreams(t.Context(), b.js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	o := quick()
	o.Logger = silent
	s, err := New(dial(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for range 3 {
		b.eventually("ready", func() error { return s.Ready() })
		b.publish("case 7 document:uploaded", `{}`)
		address := srv.Addr().String()
		srv.Close()
		b.eventually("it says so", func() error {
			if err := s.Ready(); err == nil {
				return errors.New("ready")
			}
			return nil
		})
		if srv, err = natsd.Start(t.Context(), natsd.Options{DataDir: dir, Listen: address, Logger: silent}); err != nil {
			t.Fatal(err)
		}
		b.eventually("connected", func() error { return b.nc.FlushTimeout(time.Second) })
	}
	b.eventually("all is counted and told once", func() error {
		boss := b.nobody("boss", "dashboard:firm")
		if _, err := boss.ask(cmdRefresh, ""); err != nil {
			return err
		}
		if m := boss.events("dashboard:metrics"); len(m) != 1 || m[0].data["recentActivity"] != 3.0 {
			return fmt.Errorf("shown %v", m)
		}
		if n := coverage(t, b)["case.7"]; n != 3 {
			return fmt.Errorf("told %d", n)
		}
		return nil
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	srv.Close()
}

func TestStartsBeforeTheStreams(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	if err := b.js.DeleteStream(t.Context(), "KV_DASHBOARD"); err != nil {
		t.Fatal(err)
	}
	s, _ := b.start(quick())
	b.eventually("it waits and says so", func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "DASHBOARD") {
			return fmt.Errorf("ready: %w", err)
		}
		return nil
	})
	if err := subjects.EnsureStreams(t.Context(), b.js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually("ready", func() error { return s.Ready() })
}

func TestVisibleToNATSMicroAndPrometheus(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	o := quick()
	o.Version, o.Registry = "1.2.3", prometheus.NewRegistry()
	b.ready(o)
	b.client("u1", "").hello()
	msg, err := b.nc.Request("$SRV.INFO."+Name, nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(msg.Data, &info); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range info.Endpoints {
		if e.QueueGroup != Name {
			t.Errorf("%s has the queue group %q", e.Subject, e.QueueGroup)
		}
		got = append(got, e.Subject)
	}
	want := []string{"hello.dashboard", cmdSubscribe, cmdUnsubscribe, cmdRefresh}
	if info.Version != "1.2.3" || !reflect.DeepEqual(got, want) {
		t.Fatalf("version %s, endpoints %v", info.Version, got)
	}
	if counter(t, o.Registry, "lexiflow_dashboardd_commands_total") != 1 {
		t.Fatal("the hello is not counted")
	}
	for _, name := range []string{"processed_total", "lag", "holder", "snapshots_total"} {
		families, err := o.Registry.Gather()
		found := err == nil
		for _, f := range families {
			if found = f.GetName() == "lexiflow_dashboardd_"+name; found {
				break
			}
		}
		if !found {
			t.Errorf("no metric %s", name)
		}
	}
}

// A firm that uses the log for other things alone does not fall behind it.
func TestIdleStateMovesUpWithTheLog(t *testing.T) {
	b := startBus(t, natsd.Options{}, nil)
	b.publish("case 7 case:created", `{}`)
	for range 50 {
		b.publish("conversation c message:new", `{}`)
	}
	s, _ := b.ready(quick())
	m := b.snapshotAt(51)
	if m.Seq < 51 || s.seq() < 51 {
		t.Fatalf("the snapshot is at %d, the state at %d", m.Seq, s.seq())
	}
}
