package presence

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// TestTooLate: what comes after its caller has given up is not carried out, and neither is what stops
// for as long between reading and storing.
func TestTooLate(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	s, _ := replica(t, nc, short)
	l := listen(t, nc)
	newFakeEdge(t, nc, "e1", "x").open("u", "s1")
	l.want("u online 1")
	caller := subjects.Caller{User: "u", Socket: "s1", Edge: "e1"}
	for _, late := range []struct{ subject, body string }{
		{subjects.PresenceSetStatus.Subject(), `{"status":"busy"}`},
		{subjects.PresenceSetActivity.Subject(), `{"activity":"late"}`},
		{subjects.PresenceSubscribe.Subject(), `{"userIds":["v"]}`},
		{subjects.HelloSubject(subjects.NamespaceEvents), ``},
	} {
		m := &nats.Msg{Subject: late.subject, Header: nats.Header{}, Data: []byte(late.body)}
		caller.SetHeaders(m.Header)
		subjects.SetDeadline(m.Header, time.Now().Add(-time.Minute), time.Second)
		reply, err := nc.RequestMsgWithContext(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if err := subjects.ErrorOf(reply); subjects.CodeOf(err) != subjects.CodeTimeout {
			t.Errorf("%s: %v", late.subject, err)
		}
	}
	s.mu.Lock()
	u := s.users.get("u")
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.change(ctx, u, func() []fact {
		<-ctx.Done()
		return []fact{statusSet{"s1", subjects.PresenceBusy}}
	})
	if !subjects.Expired(err) {
		t.Errorf("a stalled change: %v", err)
	}
	if got := get(t, nc, "u"); len(got) != 1 || got[0] != "u online 1" {
		t.Errorf("u is %q", got)
	}
	if n := s.watchers.count(); n != 0 {
		t.Errorf("%d sockets watch somebody", n)
	}
	l.silent(100 * time.Millisecond)
}
