package subjects

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// checkSubject fails if a subject is more or less than tokens of the harmless
// alphabet.
func checkSubject(t *testing.T, subject string, tokens int) {
	t.Helper()
	if got := strings.Count(subject, ".") + 1; got != tokens {
		t.Fatalf("%q has %d tokens, want %d", subject, got, tokens)
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" {
			t.Fatalf("%q has an empty token", subject)
		}
	}
	for i := range len(subject) {
		if b := subject[i]; !plain(b) && b != '=' && b != '.' {
			t.Fatalf("%q has the byte %q", subject, b)
		}
	}
}

func FuzzBuild(f *testing.F) {
	f.Add(uint8(Log), "case", "123", "document:uploaded")
	f.Add(uint8(State), "user", "auth0|7", "presence:update")
	f.Add(uint8(Live), "room", "* > . =2A", "a:b:c")
	f.Add(uint8(Log), "all", "all", "system:alert")
	f.Add(uint8(Log), "case", "1", "x.*.>")
	f.Fuzz(func(t *testing.T, class uint8, kind, id, event string) {
		s := Subject{Class: Class(class), Kind: Kind(kind), ID: id, Event: event}
		subject, err := Build(s)
		if err != nil {
			if subject != "" || CodeOf(err) == CodeInternal {
				t.Fatalf("Build(%+v) = %q, %v", s, subject, err)
			}
			return
		}
		checkSubject(t, subject, 4+strings.Count(event, ":"))
		if back, err := Parse(subject); err != nil || back != s {
			t.Fatalf("Parse(%q) = %+v, %v, want %+v", subject, back, err, s)
		}
		command, err := CommandSubject(event)
		if err != nil {
			t.Fatal(err)
		}
		checkSubject(t, command, 2+strings.Count(event, ":"))
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"lex.case.123.document.uploaded", "state.presence.u1.presence.update", "live.conversation.c1.typing.start",
		"lex.user.auth0=7C7.notification.new", "lex.case.=61.x", "lex.case.*.>", "lex.all.all.a", "lex.case..a", "lex...",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		s, err := Parse(subject)
		r, routeErr := ParseRoute(subject)
		if (err == nil) != (routeErr == nil) {
			t.Fatalf("Parse says %v, ParseRoute says %v", err, routeErr)
		}
		if err != nil {
			return
		}
		back, err := Build(s)
		if err != nil || back != subject {
			t.Fatalf("Build(%+v) = %q, %v, want %q", s, back, err, subject)
		}
		if joined := r.Class.String() + "." + r.Room + "." + r.EventToken; joined != subject {
			t.Fatalf("the parts of %q make %q", subject, joined)
		}
		if kind, id, err := ParseRoom(r.Room); err != nil || kind != s.Kind || id != s.ID || r.Event() != s.Event {
			t.Fatalf("ParseRoom(%q) = %q, %q, %v", r.Room, kind, id, err)
		}
	})
}

func FuzzRoom(f *testing.F) {
	f.Add("case", "123", "case.123")
	f.Add("user", "a@b.c", "user.a=40b=2Ec")
	f.Add("all", "all", "all.all.all")
	f.Fuzz(func(t *testing.T, kind, id, room string) {
		if key, err := Room(Kind(kind), id); err == nil {
			checkSubject(t, key, 2)
			if k, i, err := ParseRoom(key); err != nil || k != Kind(kind) || i != id {
				t.Fatalf("ParseRoom(%q) = %q, %q, %v", key, k, i, err)
			}
		}
		if k, i, err := ParseRoom(room); err == nil {
			if key, err := Room(k, i); err != nil || key != room {
				t.Fatalf("%q has a second spelling %q, %v", room, key, err)
			}
		}
	})
}

func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"123", "auth0|7", "a.b", "*", ">", "=61", "é", "\x00", "a b\r\n", "=", "=7c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if token, err := Escape(s); err == nil {
			checkSubject(t, token, 1)
			if back, err := Unescape(token); err != nil || back != s {
				t.Fatalf("Unescape(%q) = %q, %v, want %q", token, back, err, s)
			}
		} else if s != "" && len(s) <= MaxID {
			t.Fatalf("Escape(%q): %v", s, err)
		}
		if id, err := Unescape(s); err == nil {
			if token, err := Escape(id); err != nil || token != s {
				t.Fatalf("%q has a second token %q, %v", s, token, err)
			}
		}
	})
}

// FuzzReply asserts that what ParseReply accepts can be sent again and means the
// same, and that no room or event in it is malformed.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"ack":{"success":true},"events":[{"event":"a:b","data":{}}]}`), "1", "case.1, user.u=401", "room.x")
	f.Add([]byte(`{"success":true}`), "", "", "")
	f.Add([]byte(`{"events":[{"event":"pong","data":"pong"}]}`), "1", "case.*", ">")
	f.Add([]byte(``), "", ",,", "")
	f.Fuzz(func(t *testing.T, body []byte, events, join, leave string) {
		reply, err := ParseReply(&nats.Msg{Data: body, Header: nats.Header{
			HeaderEvents: {events}, HeaderJoin: {join}, HeaderLeave: {leave},
		}})
		if err != nil {
			if CodeOf(err) != CodeInternal {
				t.Fatalf("a service's mistake has the code %s", CodeOf(err))
			}
			return
		}
		if !json.Valid(reply.Ack) {
			t.Fatalf("ack %q", reply.Ack)
		}
		data, header, err := reply.Encode()
		if err != nil {
			t.Fatalf("Encode(%+v): %v", reply, err)
		}
		again, err := ParseReply(&nats.Msg{Data: data, Header: header})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again.Join, reply.Join) || !reflect.DeepEqual(again.Leave, reply.Leave) || len(again.Events) != len(reply.Events) {
			t.Fatalf("%+v became %+v", reply, again)
		}
	})
}

func FuzzTime(f *testing.F) {
	f.Add(`"2025-02-03T04:05:06.789Z"`)
	f.Add(`"2025-02-03T04:05:06+02:00"`)
	f.Add(`null`)
	f.Add(`"0001-01-01T00:00:00Z"`)
	f.Fuzz(func(t *testing.T, text string) {
		var read Time
		if json.Unmarshal([]byte(text), &read) != nil || read.IsZero() {
			return
		}
		first, err := json.Marshal(read)
		if err != nil {
			return // a year that has no ISO form
		}
		var again Time
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%s is written as %s: %v", text, first, err)
		}
		if d := read.Sub(again.Time); d < 0 || d >= 1e6 {
			t.Fatalf("%s is written as %s", text, first)
		}
	})
}

// FuzzGreet: what is read names a room that can be asked for again, on the same subject.
func FuzzGreet(f *testing.F) {
	f.Add("ctl.greet.user.u1", []byte(`{"namespaces":["/events"]}`))
	f.Add("ctl.greet.user.a=40b", []byte(``))
	f.Add("ctl.greet.user.*", []byte(`{}`))
	f.Add("ctl.greet.ctl.greet.user.u1", []byte(`[]`))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		room, _, err := DecodeGreet(&nats.Msg{Subject: subject, Data: data})
		if err != nil {
			return
		}
		again, err := GreetSubject(room)
		if err != nil || again != subject {
			t.Fatalf("%q is read as room %q, which is asked for on %q: %v", subject, room, again, err)
		}
	})
}

// FuzzDeadline: whatever a request says, work for it is bounded, and what is written is read.
func FuzzDeadline(f *testing.F) {
	f.Add("1700000000000")
	f.Add("-1")
	f.Add("9223372036854775807")
	f.Add("soon")
	f.Fuzz(func(t *testing.T, text string) {
		h := nats.Header{HeaderDeadline: {text}}
		deadline := DeadlineOf(h)
		ctx, cancel := WithDeadline(t.Context(), h, time.Minute)
		defer cancel()
		until, ok := ctx.Deadline()
		if !ok || time.Until(until) > time.Minute {
			t.Fatalf("%q lets work go on until %v", text, until)
		}
		if !deadline.IsZero() && deadline.Before(until) {
			t.Fatalf("%q is %v, and work goes on until %v", text, deadline, until)
		}
	})
}
