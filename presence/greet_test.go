package presence

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// TestSharingChanges: when people begin or cease to share a case, they are greeted again, once; the answer
// lets them in or takes them out, but for those they subscribed to.
func TestSharingChanges(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	grant(t, nc, subjects.KindCase, "old", []string{"ann", "zoe"}, nil)
	replica(t, nc, short)
	replica(t, nc, short)
	greets := make(chan *nats.Msg, 64)
	if _, err := nc.ChanSubscribe(subjects.AllGreet, greets); err != nil {
		t.Fatal(err)
	}
	e := newFakeEdge(t, nc, "e1", "x")
	for _, user := range []string{"ann", "bob", "cyd"} {
		e.open(user, "sid-"+user)
	}
	as := func(user string) subjects.Caller {
		return subjects.Caller{User: user, Socket: "sid-" + user, Edge: "e1"}
	}
	eventually(t, "all are online", func() bool {
		return slices.Equal(get(t, nc, "ann", "bob", "cyd"), []string{"ann online 1", "bob online 1", "cyd online 1"})
	})
	greeted := func(want ...string) {
		t.Helper()
		var got []string
		late := time.After(patience)
		for len(got) < len(want) {
			select {
			case m := <-greets:
				got = append(got, m.Subject)
			case <-late:
				t.Fatalf("greeted again are %v, want %v", got, want)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("greeted again are %v, want %v", got, want)
		}
		select {
		case m := <-greets:
			t.Errorf("greeted again without need: %s", m.Subject)
		case <-time.After(backupAfter + time.Second):
		}
	}
	rooms := func(user string, join, leave []string) {
		t.Helper()
		_, _, reply := hello(t, nc, subjects.NamespaceEvents, as(user))
		slices.Sort(reply.Join)
		if !slices.Equal(reply.Join, join) {
			t.Errorf("%s joins %v, want %v", user, reply.Join, join)
		}
		if !slices.Equal(reply.Leave, leave) {
			t.Errorf("%s leaves %v, want %v", user, reply.Leave, leave)
		}
	}
	rooms("bob", []string{"presence.bob"}, nil)
	grant(t, nc, subjects.KindCase, "7", []string{"ann", "bob", "cyd", "dan"}, nil)
	greeted("ctl.greet.user.ann", "ctl.greet.user.bob", "ctl.greet.user.cyd", "ctl.greet.user.dan")
	rooms("bob", []string{"presence.ann", "presence.bob", "presence.cyd", "presence.dan"}, nil)
	grant(t, nc, subjects.KindCase, "7", []string{"ann", "bob", "cyd", "dan"}, nil) // says the same
	if _, err := command(t, nc, "presence:subscribe", as("bob"), `{"userIds":["cyd"]}`); err != nil {
		t.Fatal(err)
	}
	grant(t, nc, subjects.KindCase, "7", []string{"ann", "cyd", "dan"}, []string{"bob"})
	greeted("ctl.greet.user.ann", "ctl.greet.user.bob", "ctl.greet.user.cyd", "ctl.greet.user.dan")
	rooms("bob", []string{"presence.bob", "presence.cyd"}, []string{
		"presence.ann", "presence.dan", "presence.=0Aann", "presence.=0Adan",
	})
	rooms("ann", []string{"presence.ann", "presence.cyd", "presence.dan", "presence.zoe"}, []string{"presence.bob", "presence.=0Abob"})
}
