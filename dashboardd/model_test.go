package dashboardd

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// naive is design 4's rules written down as they stand, by looking at the whole log every time.
func naive(events []event, now int64) (s sums) {
	status := map[string]string{} // of cases created and not deleted
	known := map[string]string{}  // status of cases not created yet
	pending, done := map[string]bool{}, map[string]bool{}
	due, missed := map[string]int64{}, map[string]bool{}
	at := int64(0)
	for _, e := range events {
		at = max(at, e.At)
		var p struct {
			TaskID, DeadlineID, NewStatus, DueDate string
			TimeRemaining                          int64
			Changes                                map[string]struct{ New string }
		}
		if json.Unmarshal(e.Data, &p) != nil || strings.HasPrefix(e.Name, "dashboard:") || e.Name == accessName {
			continue
		}
		if e.Kind != subjects.KindCase && e.Kind != subjects.KindTeam && e.Kind != subjects.KindUser {
			continue
		}
		if now/minuteMillis-at/minuteMillis <= recentMinutes {
			s.recent++
		}
		deadline := e.ID + "/" + p.DeadlineID
		switch _, created := status[e.ID]; e.Name {
		case "case:created":
			if !created {
				status[e.ID] = ""
			}
		case "case:deleted":
			if created {
				known[e.ID] = status[e.ID]
				delete(status, e.ID)
			}
		case "case:status:changed":
			if created {
				status[e.ID] = p.NewStatus
			}
		case "case:updated":
			if change, ok := p.Changes["status"]; ok && created {
				status[e.ID] = change.New
			}
		case "task:created":
			pending[p.TaskID] = true
		case "task:completed":
			done[p.TaskID] = true
		case "deadline:approaching":
			next := at + p.TimeRemaining
			if p.TimeRemaining == 0 {
				next = 0
			}
			if missed[deadline] && (next == 0 || next == due[deadline]) {
				break
			}
			due[deadline], missed[deadline] = next, false
		case "deadline:missed":
			missed[deadline] = true
			if p.TimeRemaining != 0 {
				due[deadline] = at + p.TimeRemaining
			}
		}
	}
	for _, st := range status {
		if st != "closed" && st != "archived" {
			s.active++
		}
	}
	for id := range pending {
		if !done[id] {
			s.pending++
		}
	}
	for id, d := range due {
		if !missed[id] && d != 0 && d >= now && d <= now+(7*24*time.Hour).Milliseconds() {
			s.upcoming++
		}
	}
	return s
}

// The fold, which looks at each event once, says what the rules say.
func TestFoldIsTheRules(t *testing.T) {
	for seed := range uint64(30) {
		events := random(rand.New(rand.NewPCG(seed, 4)), 300)
		tally := newTally()
		for i, e := range events {
			_ = tally.apply(e) // refused ones are part of it
			if i%60 != 0 && i != len(events)-1 {
				continue
			}
			for _, later := range []time.Duration{0, 5 * time.Hour, 30 * time.Hour, 6 * 24 * time.Hour} {
				now := tally.At + later.Milliseconds()
				m := tally.firm(now)
				got := sums{m.ActiveCases, m.PendingTasks, m.UpcomingDeadlines, m.RecentActivity}
				if want := naive(events[:i+1], now); got != want {
					t.Fatalf("seed %d, after %d events and %v: %+v, the rules say %+v", seed, i+1, later, got, want)
				}
			}
		}
	}
}
