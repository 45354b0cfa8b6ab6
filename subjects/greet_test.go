package subjects

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestGreetIsDecoded(t *testing.T) {
	for subject, c := range map[string]struct {
		body string
		room string
		ok   bool
	}{
		"ctl.greet.user.u1":     {`{"namespaces":["/events"]}`, "user.u1", true},
		"ctl.greet.user.a=40b":  {``, "user.a=40b", true},
		"ctl.greet.case.7":      {`{}`, "case.7", true},
		"ctl.greet.nobody.u1":   {`{}`, "", false},
		"ctl.greet.user.":       {`{}`, "", false},
		"ctl.greet.user.u1.x":   {`{}`, "", false},
		"ctl.greet.user.u2":     {`[]`, "", false},
		"ctl.greet.user.u3":     {`{"namespaces":"/events"}`, "", false},
		"ctl.greeting.user.u1":  {`{}`, "", false},
		"ctl.greet.user.a%b":    {`{}`, "", false},
		"ctl.greet.user.a=4":    {`{}`, "", false},
		"ctl.greet.user.u1 all": {`{}`, "", false},
	} {
		room, _, err := DecodeGreet(&nats.Msg{Subject: subject, Data: []byte(c.body)})
		if (err == nil) != c.ok || room != c.room && c.ok {
			t.Errorf("%s %s: %q, %v", subject, c.body, room, err)
		}
	}
}

// TestGreeterWaitsAndThrottles is the rule without the bus.
func TestGreeterWaitsAndThrottles(t *testing.T) {
	g := NewGreeter(nil, "s")
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	asked := func(d time.Duration, want ...string) {
		t.Helper()
		if got := g.take(at(d)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %v: %v, want %v", d, got, want)
		}
	}
	g.again("user.a", 0, start)
	g.again("user.a", 0, at(100*time.Millisecond)) // not known everywhere when the first is asked for
	g.again("user.b", 2*time.Second, start)
	asked(greetSettle - 1)
	asked(greetSettle, "user.a")
	g.again("user.a", 0, at(400*time.Millisecond))
	asked(time.Second)
	asked(greetSettle+greetEvery, "user.a")
	asked(2 * time.Second)
	g.heard("user.b", at(2*time.Second)) // by another replica, which went first
	asked(3 * time.Second)
	for i := range 25 {
		g.again(fmt.Sprintf("user.%02d", i), 0, at(4*time.Second))
	}
	total := 0
	for range 3 {
		n := len(g.take(at(5 * time.Second)))
		if total += n; n > greetBatch {
			t.Errorf("%d rooms at once", n)
		}
	}
	if total != 25 {
		t.Errorf("%d rooms are asked for, want 25", total)
	}
}

// TestOneGreeterOfSeveral: two replicas know of a change; one asks, and another service's greeter is not
// stopped by it.
func TestOneGreeterOfSeveral(t *testing.T) {
	nc, _ := busWithStreams(t)
	heard := make(chan *nats.Msg, 16)
	if _, err := nc.ChanSubscribe(AllGreet, heard); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i, service := range []string{"one", "one", "two"} {
		g := NewGreeter(nc, service, NamespaceEvents)
		go func() { _ = g.Run(ctx) }()
		g.Again("user.u", time.Duration(i)*200*time.Millisecond)
	}
	for _, service := range []string{"one", "two"} {
		select {
		case m := <-heard:
			room, g, err := DecodeGreet(m)
			if err != nil || room != "user.u" || len(g.Namespaces) != 1 || m.Header.Get(HeaderService) != service {
				t.Errorf("%s %v %s: %v; want service %s", m.Subject, m.Header, m.Data, err, service)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("nobody of %s asks", service)
		}
	}
	select {
	case m := <-heard:
		t.Errorf("asked again by %s", m.Header.Get(HeaderService))
	case <-time.After(300 * time.Millisecond):
	}
}
