package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A service that is killed and started again under a connected client: its commands are answered
// UNAVAILABLE meanwhile, and nothing that was published meanwhile is lost.

// cycle kills a service, does something while it is away, and starts it again.
func (o *office) cycle(t *testing.T, p *process, name string, meanwhile func()) *process {
	t.Helper()
	p.kill()
	o.isGone(t, name)
	meanwhile()
	return o.serve(t, name)
}

func (o *office) dial(t *testing.T, namespace, user string) *client {
	t.Helper()
	claims := userClaims(user)
	claims.Scope = "case:* dashboard:firm"
	return dialTo(t, o.url, namespace, signed(t, claims, time.Now()))
}

func (c *client) isUnavailable(t *testing.T, event string, body any) {
	t.Helper()
	if ack := c.ask(t, event, body); ack["success"] != false || ack["code"] != "UNAVAILABLE" {
		t.Errorf("%s without its service: %v", event, ack)
	}
}

func TestPresenceRestarts(t *testing.T) {
	o := startOffice(t)
	p := o.serve(t, "presence")
	watcher := o.dial(t, "/events", "bob")
	watcher.does(t, "presence:subscribe", map[string]any{"userIds": []string{"ann", "carl"}})
	is := func(user, status string) {
		t.Helper()
		watcher.until(t, "presence:update", func(u map[string]any) bool { return u["userId"] == user && u["status"] == status })
	}
	ann := o.dial(t, "/events", "ann")
	is("ann", "online")
	p = o.cycle(t, p, "presence", func() {
		watcher.isUnavailable(t, "presence:set-status", map[string]any{"status": "busy"})
		ann.Close()
		o.dial(t, "/events", "carl")
	})
	seen := make(map[string]bool)
	watcher.until(t, "presence:update", func(u map[string]any) bool { // in any order
		seen[fmt.Sprint(u["userId"], " ", u["status"])] = true
		return seen["carl online"] && seen["ann offline"]
	})
	watcher.does(t, "presence:set-status", map[string]any{"status": "busy"})
	p.stop()
}

func TestNotifydRestarts(t *testing.T) {
	o := startOffice(t)
	p := o.serve(t, "notifyd")
	device := o.dial(t, "/notifications", "ann")
	js, err := jetstream.New(o.nc)
	if err != nil {
		t.Fatal(err)
	}
	p = o.cycle(t, p, "notifyd", func() {
		device.isUnavailable(t, "notification:list", map[string]any{})
		for i := range 3 {
			body := fmt.Sprintf(`{"type":"case_update","title":"t%d","message":"m"}`, i)
			if _, err := js.Publish(t.Context(), "notify.user.ann", []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	})
	for i := range 3 {
		if got := device.gets(t, "notification:new"); got["title"] != fmt.Sprint("t", i) {
			t.Errorf("notification %d is %v", i, got)
		}
	}
	if page := device.does(t, "notification:list", map[string]any{}); page["unreadCount"] != 3.0 {
		t.Errorf("unread: %v", page["unreadCount"])
	}
	p.stop()
}

func TestMsgdRestarts(t *testing.T) {
	o := startOffice(t)
	p := o.serve(t, "msgd")
	ann, bob := o.dial(t, "/messaging", "ann"), o.dial(t, "/messaging", "bob")
	id := ann.does(t, "conversation:create", map[string]any{"memberIds": []string{"bob"}})["conversationId"]
	send := func(text string) map[string]any {
		return map[string]any{"conversationId": id, "content": text, "clientId": text}
	}
	first := ann.does(t, "message:send", send("before"))
	bob.gets(t, "message:new")
	p = o.cycle(t, p, "msgd", func() { ann.isUnavailable(t, "message:send", send("meanwhile")) })
	if again := ann.does(t, "message:send", send("before")); again["messageId"] != first["messageId"] {
		t.Errorf("a message sent again is another one: %v, %v", again, first)
	}
	ann.does(t, "message:send", send("meanwhile"))
	if got := bob.gets(t, "message:new"); got["content"] != "meanwhile" {
		t.Errorf("the next message is %v", got)
	}
	page := bob.does(t, "message:history", map[string]any{"conversationId": id, "limit": 10})
	if messages, ok := page["messages"].([]any); !ok || len(messages) != 2 {
		t.Errorf("history: %v", page)
	}
	p.stop()
}

func TestDashboarddRestarts(t *testing.T) {
	o := startOffice(t)
	p := o.serve(t, "dashboardd")
	viewer := o.dial(t, "/dashboard", "ann")
	viewer.does(t, "dashboard:subscribe", map[string]any{"types": []string{"metrics"}})
	cases := func(n float64) {
		t.Helper()
		viewer.until(t, "dashboard:metrics", func(m map[string]any) bool { return m["activeCases"] == n })
	}
	create := func(id string) {
		t.Helper()
		publish(t, o.natsURL, "case", id, "case:created", fmt.Sprintf(
			`{"caseId":%q,"caseNumber":"C","title":"T","clientId":"c","createdBy":"ann","createdAt":"2026-01-01T00:00:00.000Z"}`, id))
	}
	create("c1")
	cases(1)
	p = o.cycle(t, p, "dashboardd", func() {
		viewer.isUnavailable(t, "dashboard:request-refresh", map[string]any{})
		create("c2")
		create("c3")
	})
	cases(3)
	p.stop()
}

// Of an edge that was killed nobody hears again; its users go offline once, and those who are on
// another edge too stay.
func TestUsersOfKilledEdgeGoOffline(t *testing.T) {
	o := startOffice(t)
	p := o.serve(t, "presence")
	second := o.startEdge(t)
	there := &office{url: second.says(saysURL)}
	watcher := o.dial(t, "/events", "bob")
	watcher.does(t, "presence:subscribe", map[string]any{"userIds": []string{"ann", "carl", "dora"}})
	there.dial(t, "/events", "ann")
	there.dial(t, "/events", "carl")
	o.dial(t, "/events", "carl")
	online := make(map[string]float64)
	watcher.until(t, "presence:update", func(u map[string]any) bool {
		if user, ok := u["userId"].(string); ok && u["status"] == "online" {
			online[user], _ = u["activeConnections"].(float64)
		}
		return online["ann"] == 1 && online["carl"] == 2
	})
	second.kill()
	offline := 0
	watcher.until(t, "presence:update", func(u map[string]any) bool {
		if u["userId"] == "ann" && u["status"] == "offline" {
			offline++
		}
		if u["userId"] == "carl" && u["status"] == "online" {
			online["carl"], _ = u["activeConnections"].(float64)
		}
		return offline == 1 && online["carl"] == 1
	})
	o.dial(t, "/events", "dora") // whatever else there is to say of ann comes before this
	watcher.until(t, "presence:update", func(u map[string]any) bool {
		if u["userId"] == "ann" || u["userId"] == "carl" && u["status"] == "offline" {
			t.Errorf("%v", u)
		}
		return u["userId"] == "dora"
	})
	p.stop()
}
