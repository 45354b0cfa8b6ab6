package notifyd

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// TestTooLate: what comes after its caller has given up is not carried out.
func TestTooLate(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	b.run(Options{})
	b.queue("notify.user.u", noticeJSON("first"), "")
	b.drained()
	list, _ := b.list("u", false)
	for _, late := range []struct{ subject, body string }{
		{subjects.NotificationMarkRead.Subject(), `{"notificationId":"` + list[0].ID + `"}`},
		{subjects.NotificationMarkAllRead.Subject(), ``},
		{subjects.NotificationDelete.Subject(), `{"notificationId":"` + list[0].ID + `"}`},
		{subjects.NotificationPreferences.Subject(), `{"set":{"muted":["a"]}}`},
		{subjects.NotificationFollow.Subject(), `{"caseId":"c1"}`},
		{subjects.NotifySend, string(noticeJSON("late"))},
	} {
		m := &nats.Msg{Subject: late.subject, Header: nats.Header{}, Data: []byte(late.body)}
		subjects.Caller{User: "u", Scope: "case:c1"}.SetHeaders(m.Header)
		subjects.SetDeadline(m.Header, time.Now().Add(-time.Minute), time.Second)
		reply, err := b.nc.RequestMsgWithContext(b.ctx(), m)
		if err != nil {
			t.Fatal(err)
		}
		if err := subjects.ErrorOf(reply); subjects.CodeOf(err) != subjects.CodeTimeout {
			t.Errorf("%s: %v", late.subject, err)
		}
	}
	if list, unread := b.list("u", false); len(list) != 1 || unread != 1 {
		t.Errorf("u has %v, %d unread", list, unread)
	}
	if ack := b.must("u", "notification:preferences", ""); len(ack["preferences"].(map[string]any)["muted"].([]any)) != 0 {
		t.Errorf("preferences are %v", ack)
	}
}

// TestStalledBetweenReadingAndStoring: a change that outlasts its caller there is not stored, and those
// that were to be stored with it are.
func TestStalledBetweenReadingAndStoring(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	s, _ := b.run(Options{})
	for _, title := range []string{"first", "second"} {
		b.queue("notify.user.u", noticeJSON(title), "")
	}
	b.drained()
	list, _ := b.list("u", false)
	until := time.Now().Add(100 * time.Millisecond)
	outcome := make(chan error, 2)
	s.lanes.do("u", "u", &op{
		until: until,
		apply: func(r *record, now time.Time) error {
			<-time.After(time.Until(until)) // by real time: the deadline is one
			return r.mark(list[0].ID, true, now)
		},
		done: func(err error) { outcome <- err },
	})
	s.lanes.do("u", "u", &op{
		apply: func(r *record, now time.Time) error { return r.mark(list[1].ID, true, now) },
		done:  func(err error) { outcome <- err },
	})
	if err := <-outcome; !subjects.Expired(err) {
		t.Errorf("the late change: %v", err)
	}
	if err := <-outcome; err != nil {
		t.Errorf("the other change: %v", err)
	}
	for _, n := range first(b.list("u", false)) {
		if n.Read != (n.ID == list[1].ID) {
			t.Errorf("%s is read: %v", n.Title, n.Read)
		}
	}
}

func first[A, B any](a A, _ B) A { return a }
