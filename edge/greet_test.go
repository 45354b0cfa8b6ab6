package edge

import (
	"encoding/json"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// TestGreetedAgain: a service says that its hello has changed; the sockets of that room in those
// namespaces get the new one, rooms and events, and nothing else happens.
func TestGreetedAgain(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{})
	var team atomic.Value
	team.Store("one")
	hello := func(m *nats.Msg) (subjects.Reply, error) {
		reply := subjects.Reply{
			Join:   []string{"team." + team.Load().(string)},
			Events: []subjects.Emit{{Event: "invoice:hello", Data: []byte(`{"team":"` + team.Load().(string) + `"}`)}},
		}
		if team.Load() == "two" {
			reply.Leave = []string{"team.one"}
		}
		return reply, nil
	}
	serve(t, nc, "hello.events", "billing", hello)
	serve(t, nc, "hello.root", "billing", hello)
	here, other, elsewhere := connect(t, url, "/events", "u1", ""), connect(t, url, "/events", "u2", ""), connect(t, url, "/", "u1", "")
	for _, b := range []*browser{here, other, elsewhere} {
		if e := b.next("invoice:hello"); e["team"] != "one" {
			t.Fatalf("greeted with %v", e)
		}
	}
	team.Store("two")
	subject, err := subjects.GreetSubject("user.u1")
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(subjects.Greet{Namespaces: []string{subjects.NamespaceEvents}})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{[]byte(`no JSON`), body} {
		if err := nc.Publish(subject, data); err != nil {
			t.Fatal(err)
		}
	}
	if e := here.next("invoice:hello"); e["team"] != "two" {
		t.Fatalf("greeted again with %v", e)
	}
	for _, id := range []string{"one", "two"} {
		publish(t, nc, subjects.KindTeam, id, "invoice:sent", `{"team":"`+id+`"}`)
	}
	publish(t, nc, subjects.KindAll, subjects.AllID, "end", `{}`)
	for name, c := range map[string]struct {
		b    *browser
		want string
	}{
		"the room's socket there": {here, "two"}, "another user's": {other, "one"}, "another namespace's": {elsewhere, "one"},
	} {
		if e := c.b.next("invoice:sent"); e["team"] != c.want {
			t.Errorf("%s is in the room of team %v, want %s", name, e["team"], c.want)
		}
		for _, event := range c.b.until("end") {
			if event == "invoice:sent" || event == "invoice:hello" || event == "connected" {
				t.Errorf("%s gets %s too", name, event)
			}
		}
	}
}
