package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// TestAccessChangesWhileConnected: who is let into a case while connected gets its dashboard and sees
// who else is on it, without a reconnect; who is taken out gets nothing of either any more.
func TestAccessChangesWhileConnected(t *testing.T) {
	o := startOffice(t)
	o.serve(t, "presence")
	o.serve(t, "dashboardd", "--push-interval", "100ms")
	js, err := jetstream.New(o.nc)
	if err != nil {
		t.Fatal(err)
	}
	pub := subjects.NewPublisher(o.nc, js)
	publish := func(event, payload string) {
		t.Helper()
		if _, err := pub.PublishLog(t.Context(), subjects.KindCase, "7", event, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	publish("case:created", `{"title":"Doe"}`)
	publish("access:changed", `{"allow":["ann"],"revision":1}`)
	member := func(namespace, user string) *client { // by the list alone: no scope
		claims := tokenClaims{}
		claims.Subject = user
		token, err := mint(testSecret, claims, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return dialTo(t, o.url, namespace, token)
	}
	ann, board, bob := member("/messaging", "ann"), member("/dashboard", "bob"), member("/events", "bob")

	publish("access:changed", `{"allow":["ann","bob"],"revision":2}`)
	bob.until(t, "presence:bulk-update", func(e map[string]any) bool { return knows(t, e, "ann") })
	board.until(t, "dashboard:case-stats", func(e map[string]any) bool { return e["caseId"] == "7" })
	ann.does(t, "presence:set-status", map[string]any{"status": "busy"})
	bob.is(t, "ann", "busy")
	publish("document:uploaded", `{"fileName":"plan.pdf"}`)
	board.until(t, "dashboard:activity", func(e map[string]any) bool { return e["description"] == "plan.pdf" })

	publish("access:changed", `{"allow":["ann"],"revision":3}`)
	bob.until(t, "presence:bulk-update", func(e map[string]any) bool { return !knows(t, e, "ann") })
	board.until(t, "dashboard:metrics", func(e map[string]any) bool { return e["activeCases"] == 0.0 })
	ann.does(t, "presence:set-status", map[string]any{"status": "away"})
	publish("document:uploaded", `{"fileName":"secret.pdf"}`)
	late := time.After(2 * time.Second)
	for {
		select {
		case e := <-bob.events:
			if e.name == "presence:update" && knows(t, map[string]any{"users": []any{decoded(t, e.data)}}, "ann") {
				t.Errorf("who was taken out still hears %s %s", e.name, e.data)
			}
		case e := <-board.events:
			if e.name == "dashboard:activity" || e.name == "dashboard:case-stats" {
				t.Errorf("who was taken out still hears %s %s", e.name, e.data)
			}
		case <-late:
			return
		}
	}
}

func decoded(t *testing.T, data []byte) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// knows reports whether a snapshot names a user.
func knows(t *testing.T, bulk map[string]any, user string) bool {
	t.Helper()
	users, _ := bulk["users"].([]any)
	for _, u := range users {
		if one, _ := u.(map[string]any); one["userId"] == user {
			return true
		}
	}
	return false
}
