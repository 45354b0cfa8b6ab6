package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/edge/sioclient"
	"github.com/lexiflow/realtime/subjects"
)

// Presence on real edges: what clients see when people fall idle, move, and when an edge is killed.

// edgeWith starts another edge and returns it with its address.
func (o *office) edgeWith(t *testing.T, variables ...string) (p *process, url string) {
	t.Helper()
	p = start(t, append(slices.Clone(o.variables), variables...), "edge", "--listen", "127.0.0.1:0")
	return p, p.says(saysURL)
}

// is waits until a user has a status.
func (c *client) is(t *testing.T, user, status string) {
	t.Helper()
	c.until(t, "presence:update", func(u map[string]any) bool { return u["userId"] == user && u["status"] == status })
}

// never asserts that a user is not announced with a status for a while.
func (c *client) never(t *testing.T, d time.Duration, user, status string) {
	t.Helper()
	for late := time.After(d); ; {
		select {
		case e := <-c.events:
			var p subjects.PresenceUpdateEvent
			if e.name == "presence:update" && json.Unmarshal(e.data, &p) == nil && p.UserID == user && string(p.Status) == status {
				t.Fatalf("announced %s", e.data)
			}
		case <-late:
			return
		}
	}
}

func TestPresenceWhenAnEdgeIsKilled(t *testing.T) {
	o := startOffice(t)
	o.serve(t, "presence")
	o.serve(t, "presence")
	watcher := o.dial(t, "/messaging", "bob")
	watcher.does(t, "presence:subscribe", map[string]any{"userIds": []string{"ann", "carl"}})
	doomed, url := o.edgeWith(t, "LEXIFLOW_IDLE_AFTER=700ms")
	ann := dialTo(t, url, "/events", tokenFor(t, "ann"))
	watcher.is(t, "ann", "online")
	watcher.is(t, "ann", "away") // nothing for 700 ms
	ann.does(t, "presence:active", map[string]any{})
	watcher.is(t, "ann", "online")
	ann.does(t, "presence:idle", map[string]any{}) // the page is hidden
	watcher.is(t, "ann", "away")
	ann.does(t, "presence:heartbeat", map[string]any{"status": "online"}) // and beats nevertheless
	dialTo(t, url, "/events", tokenFor(t, "carl"))
	desk := o.dial(t, "/events", "carl") // on the edge that stays
	watcher.until(t, "presence:update", func(u map[string]any) bool { return u["userId"] == "carl" && u["activeConnections"] == 2.0 })
	killed := time.Now()
	doomed.kill()
	watcher.is(t, "ann", "offline")
	if took := time.Since(killed); took > 2*subjects.EdgeLeaseTTL {
		t.Errorf("offline %v after the edge was killed", took)
	} else {
		t.Logf("offline %v after the edge was killed", took)
	}
	watcher.never(t, 6*time.Second, "ann", "offline")
	desk.Close()
	watcher.is(t, "carl", "offline")
}

// resumeOn connects with the session that c had.
func resumeOn(t *testing.T, c *client, url, namespace, token string) *client {
	t.Helper()
	next, err := connect(t, sioclient.Options{
		URL: url, Namespace: namespace, Token: token, Auth: map[string]any{"pid": c.PID(), "offset": "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestPresenceWhenAClientMoves(t *testing.T) {
	o := startOffice(t)
	o.serve(t, "presence")
	_, url := o.edgeWith(t)
	watcher := o.dial(t, "/events", "bob")
	watcher.does(t, "presence:subscribe", map[string]any{"userIds": []string{"ann"}})
	ann := o.dial(t, "/events", "ann")
	ann.does(t, "presence:subscribe", map[string]any{"userIds": []string{"bob"}})
	watcher.is(t, "ann", "online")
	sid := ann.SID()
	ann.Abort() // the network goes
	ann = resumeOn(t, ann, url, "/events", tokenFor(t, "ann"))
	if ann.SID() != sid {
		t.Errorf("resumed as %s, not as %s", ann.SID(), sid)
	}
	snapshot := ann.gets(t, "presence:bulk-update")
	if got := fmt.Sprint(snapshot["users"]); !containsAll(got, "bob", "online", "ann") {
		t.Errorf("the snapshot after the resume: %s", got)
	}
	watcher.never(t, 7*time.Second, "ann", "offline")
	ann.Close()
	watcher.is(t, "ann", "offline")
}

func containsAll(s string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(s, part) })
}
