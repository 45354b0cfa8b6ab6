package main

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lexiflow/realtime/edge/sioclient"
)

// Limits, revocation and access over real edges.

// knock connects as a browser that has just been opened would. Whoever is refused stays away for good:
// the official client does.
func knock(t *testing.T, url, user string, auth map[string]any) (*client, error) {
	t.Helper()
	return knockWith(t, url, tokenFor(t, user), auth)
}

func knockWith(t *testing.T, url, token string, auth map[string]any) (*client, error) {
	t.Helper()
	return connect(t, sioclient.Options{URL: url, Namespace: "/events", Token: token, Auth: auth})
}

// isFull wants the user's sixth connection to be refused, as soon as the edge knows of the five.
func isFull(t *testing.T, url, user string) {
	t.Helper()
	for late := time.Now().Add(2 * time.Second); ; {
		c, err := knock(t, url, user, nil)
		if err != nil {
			if !strings.Contains(err.Error(), "USER_CONNECTION_LIMIT_EXCEEDED") {
				t.Fatal(err)
			}
			return
		}
		c.Close()
		if time.Now().After(late) {
			t.Fatalf("%s admits a sixth connection 2 s after the fifth", url)
		}
	}
}

// Places that a killed edge held are free after two seconds, and nobody who asks before is turned away.
func TestKilledEdgeTakesNoPlaces(t *testing.T) {
	o := startOffice(t)
	const limit = 5
	for round := range 3 {
		other, url := o.edgeWith(t)
		for range limit {
			dial(t, url, tokenFor(t, "ann"))
		}
		isFull(t, o.url, "ann")
		other.kill()
		start := time.Now()
		var group sync.WaitGroup
		back := make(chan *client, limit)
		for range limit {
			group.Go(func() {
				c, err := knock(t, o.url, "ann", nil)
				if err != nil {
					t.Errorf("round %d: turned away because of an edge that was killed: %v", round, err)
					return
				}
				back <- c
			})
		}
		group.Wait()
		took := time.Since(start)
		if t.Logf("round %d: all are in after %v", round, took); took > 3*time.Second {
			t.Errorf("round %d: it took %v", round, took)
		}
		isFull(t, o.url, "ann")
		for close(back); len(back) > 0; {
			(<-back).Close()
		}
	}
}

func TestRevocationAndAccessOnTwoEdges(t *testing.T) {
	o := startOffice(t)
	_, second := o.edgeWith(t)
	command := func(args ...string) {
		t.Helper()
		if got := lexiflow(t.Context(), map[string]string{"LEXIFLOW_NATS": o.natsURL, "LEXIFLOW_TIMEOUT": patience.String()}, "", args...); got.code != exitOK {
			t.Fatalf("%q: %+v", args, got)
		}
	}
	urls := []string{o.url, second}
	users := []string{"ann", "bob"}
	clients := make(map[string][]*client)
	for _, user := range users {
		for _, url := range urls {
			c := dial(t, url, tokenFor(t, user))
			c.subscribe(t)
			clients[user] = append(clients[user], c)
		}
	}
	away := dial(t, o.url, tokenFor(t, "ann"))
	away.subscribe(t)
	away.Abort()

	publish(t, o.natsURL, "case", "123", "case:updated", `{"n":1}`)
	command("access", "deny", "case", "123", "ann")
	publish(t, o.natsURL, "case", "123", "case:updated", `{"n":2}`)
	for i, c := range clients["ann"] {
		seen := 0.0
		for e := range c.events {
			var data struct {
				N    float64
				Code string
			}
			if err := json.Unmarshal(e.data, &data); err != nil {
				t.Fatal(err)
			}
			if e.name == "case:updated" {
				seen = data.N
			}
			if e.name == "error" && data.Code == "FORBIDDEN" {
				break
			}
		}
		if seen != 1 {
			t.Errorf("edge %d: the last event before the eviction is %v", i, seen)
		}
		clients["bob"][i].until(t, "case:updated", func(u map[string]any) bool { return u["n"] == 2.0 })
		for c.does(t, "ping", nil); len(c.events) > 0; {
			if e := <-c.events; e.name == "case:updated" {
				t.Errorf("edge %d: an event behind the eviction: %s", i, e.data)
			}
		}
	}
	again, err := knock(t, second, "ann", map[string]any{"pid": away.PID(), "offset": "1"})
	if err != nil {
		t.Fatal(err)
	}
	if connected := again.gets(t, "connected"); connected["recovered"] != false || again.PID() == away.PID() {
		t.Errorf("a session whose access has ended is resumed: %v", connected)
	}

	token := tokenFor(t, "ann") // one of the next second would be good
	command("revoke", "user", "ann")
	start := time.Now()
	for _, c := range append(clients["ann"], again) {
		c.closes(t)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("revocation takes %v", took)
	}
	for _, url := range urls {
		for _, auth := range []map[string]any{nil, {"pid": again.PID(), "offset": "1"}} {
			if _, err := knockWith(t, url, token, auth); err == nil || !strings.Contains(err.Error(), "AUTH_FAILED") {
				t.Errorf("a revoked user: %v", err)
			}
		}
	}
	for _, c := range clients["bob"] {
		c.does(t, "ping", nil)
	}
}
