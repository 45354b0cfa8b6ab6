package notifyd

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// TestPreferences: what is muted or falls into quiet hours is stored and counted and
// not pushed; what is urgent is pushed always. The second replica does as the first
// was told.
func TestPreferences(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	var clock atomic.Int64
	clock.Store(noon.UnixNano())
	now := func() time.Time { return time.Unix(0, clock.Load()) }
	first, _ := b.run(Options{Now: now})
	ack := b.must("u", "notification:preferences", "")
	if got := fmt.Sprint(ack["preferences"]); got != "map[muted:[] quietHours:map[days:[] enabled:false]]" {
		t.Errorf("preferences of a new user: %s", got)
	}
	b.must("u", "notification:preferences", `{"set":{"muted":["case_update","case_update","deadline_reminder"]}}`)
	ack = b.must("u", "notification:preferences", `{"set":{"quietHours":{"enabled":true,"start":"22:00","end":"06:00","timeZone":"Europe/Berlin"}}}`)
	const want = "map[muted:[case_update deadline_reminder] quietHours:map[days:[] enabled:true end:06:00 start:22:00 timeZone:Europe/Berlin]]"
	if got := fmt.Sprint(ack["preferences"]); got != want {
		t.Errorf("preferences are %s", got)
	}
	other, _ := b.run(Options{Now: now})
	b.until("the other replica knows", func() bool {
		return other.preferences.quiet("u", notice{kind: subjects.NotifyCaseUpdate}, noon)
	})
	say := func(kind, priority string) {
		t.Helper()
		b.queue("notify.user.u", fmt.Appendf(nil, `{"type":%q,"title":"t","message":"","priority":%q}`, kind, priority), "")
		b.drained()
	}
	say("case_update", "high")      // 1: muted
	say("task_assigned", "low")     // 2: pushed
	say("case_update", "urgent")    // 3: urgent, pushed
	say("deadline_reminder", "low") // 4: a deadline, pushed
	clock.Store(noon.Add(9 * time.Hour).UnixNano())
	say("task_assigned", "high")      // 5: 22:00 in Berlin
	say("deadline_reminder", "low")   // 6: pushed
	say("message_received", "urgent") // 7: pushed
	clock.Store(noon.Add(17 * time.Hour).UnixNano())
	say("task_assigned", "low") // 8: morning, pushed
	if got, want := names(b.log("u")), "1 new 2 new 3 new 4 5 new 6 new 7 new 8"; got != want {
		t.Errorf("the log says %q, want %q", got, want)
	}
	if all, unread := b.list("u", false); len(all) != 8 || unread != 8 {
		t.Errorf("%d stored, %d unread", len(all), unread)
	}
	b.must("u", "notification:preferences", `{"set":{"muted":[],"quietHours":{"enabled":false}}}`)
	b.until("both replicas know", func() bool {
		muted := notice{kind: subjects.NotifyCaseUpdate}
		return !first.preferences.quiet("u", muted, now()) && !other.preferences.quiet("u", muted, now())
	})
	say("case_update", "low")
	if events := b.log("u"); events[len(events)-2].name != "notification:new" {
		t.Error("it is still muted")
	}
}
