package msgd

import (
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// TestTypists is the bookkeeping as a table: what happens at which second, and what is told.
func TestTypists(t *testing.T) {
	const throttle, expiry = 2 * time.Second, 5 * time.Second
	key := typistKey{"c", "ann"}
	type step struct {
		at   float64 // seconds
		do   string  // start, heard (another replica's start), stop, tick
		want string  // told: start, stop, or nothing
	}
	for name, steps := range map[string][]step{
		"start and stop":                 {{0, "start", "start"}, {1, "stop", "stop"}, {9, "tick", ""}},
		"expires by itself":              {{0, "start", "start"}, {4.9, "tick", ""}, {5, "tick", "stop"}, {10, "tick", ""}},
		"a key stroke each second":       {{0, "start", "start"}, {1, "start", ""}, {2, "start", "start"}, {3, "start", ""}, {7.9, "tick", ""}, {8, "tick", "stop"}},
		"repeating puts the stop off":    {{0, "start", "start"}, {1.9, "start", ""}, {5, "tick", ""}, {6.9, "tick", "stop"}},
		"starting again after a stop":    {{0, "start", "start"}, {0.1, "stop", "stop"}, {0.2, "start", "start"}, {5.2, "tick", "stop"}},
		"stopping twice":                 {{0, "start", "start"}, {1, "stop", "stop"}, {1.1, "stop", ""}, {4, "stop", "stop"}},
		"a stop that overtook its start": {{0, "stop", "stop"}, {0.1, "stop", ""}},
		"another replica says the stop":  {{0, "heard", ""}, {5, "tick", ""}, {5.5, "stop", "stop"}, {9, "tick", ""}},
		"another replica died":           {{0, "heard", ""}, {5.9, "tick", ""}, {6, "tick", "stop"}},
		"throttled over replicas":        {{0, "heard", ""}, {1, "start", ""}, {2, "start", "start"}},
	} {
		t.Run(name, func(t *testing.T) {
			all := newTypists(throttle, expiry)
			start := time.Now()
			for _, s := range steps {
				now, told := start.Add(time.Duration(s.at*float64(time.Second))), ""
				switch s.do {
				case "start":
					if !all.repeats(key, now) {
						all.start(key, now, true)
						told = "start"
					}
				case "heard":
					all.start(key, now, false)
				case "stop":
					if all.stop(key, now) {
						told = "stop"
					}
				case "tick":
					if len(all.expired(now)) > 0 {
						told = "stop"
					}
				}
				if told != s.want {
					t.Errorf("%s at %v tells %q, want %q", s.do, s.at, told, s.want)
				}
			}
		})
	}
}

func TestTyping(t *testing.T) {
	f := newFixture(t)
	var now clock
	a, _ := f.start(Options{Now: now.now})
	b, _ := f.start(Options{Now: now.now})
	conv := f.conversation("ann", "bob", "cyd")
	before := f.count(subjects.StreamLog)
	said := f.listen("live.conversation." + conv + ".typing.*")
	dialect := f.listen("live.conversation." + dialectID("bob") + ".user.typing")
	self := f.listen("live.conversation." + dialectID("ann") + ".user.typing")
	expect := func(event, typing string) {
		t.Helper()
		m := f.event(said)
		if want := `{"conversationId":"` + conv + `","userId":"ann"}`; lastToken(m) != event || string(m.Data) != want {
			t.Errorf("%s %s", m.Subject, m.Data)
		}
		if except := m.Header.Get(subjects.HeaderExcept); except != "user.ann" {
			t.Errorf("not excepted: %q", except)
		}
		want := `{"conversationId":"` + conv + `","userId":"ann","userName":"ann","isTyping":` + typing + `}`
		if m := f.event(dialect); string(m.Data) != want {
			t.Errorf("the dialect says %s", m.Data)
		}
	}
	request := subjects.ConversationRequest{ConversationID: conv}
	for range 5 { // a start per key stroke, taken by either replica
		call(f, subjects.TypingStarted, "ann", request)
		f.await("both replicas know", func() bool { return a.typists.count() == 1 && b.typists.count() == 1 })
	}
	expect("start", "true")
	now.advance(5500 * time.Millisecond) // the other replica waits for six seconds
	expect("stop", "false")
	f.await("both replicas know", func() bool { return a.typists.count() == 0 && b.typists.count() == 0 })
	call(f, subjects.Typing, "ann", subjects.TypingRequest{ConversationID: conv, IsTyping: true})
	expect("start", "true")
	call(f, subjects.Typing, "ann", subjects.TypingRequest{ConversationID: conv})
	expect("stop", "false")
	f.silent(self)
	if after := f.count(subjects.StreamLog); after != before {
		t.Errorf("typing is stored: %d messages", after-before)
	}
}

// TestDialectRooms: only sockets that speak the dialect enter its room, and it is their user's own.
func TestDialectRooms(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	m := f.say("ann", conv, "x")
	delivered := f.listen("live.conversation." + dialectID("ann") + ".message.delivered")
	for command, c := range map[string]struct {
		body any
		join string
	}{
		"typing":            {subjects.TypingRequest{ConversationID: conv, IsTyping: true}, "conversation." + conv + "," + dialectRoom("bob")},
		"message.delivered": {subjects.MessageRequest{ConversationID: conv, MessageID: m.ID}, dialectRoom("bob")},
		"typing.start":      {subjects.ConversationRequest{ConversationID: conv}, "conversation." + conv},
		"message.read":      {subjects.MessageRequest{ConversationID: conv, MessageID: m.ID}, ""},
	} {
		reply, err := f.raw("cmd."+command, "bob", mustJSON(c.body))
		if err != nil {
			t.Fatal(err)
		}
		got := reply.Header.Get(subjects.HeaderJoin)
		// A start that repeats a recent one does not join again.
		repeats := strings.HasPrefix(command, "typing") && strings.HasSuffix(c.join, got)
		if got != c.join && !repeats {
			t.Errorf("%s joins %q, want %q", command, got, c.join)
		}
	}
	e, err := subjects.MessageDelivered.Decode(f.event(delivered).Data)
	if err != nil || e.MessageID != m.ID || e.UserID != "bob" {
		t.Errorf("the author hears %+v", e)
	}
	call(f, subjects.MessageMarkDelivered, "bob", subjects.MessageRequest{ConversationID: conv, MessageID: m.ID})
	f.silent(delivered)
}
