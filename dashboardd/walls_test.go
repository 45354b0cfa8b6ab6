package dashboardd

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

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
