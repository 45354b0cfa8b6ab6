package subjects

import (
	"strings"
	"testing"
)

func TestBuildAndParse(t *testing.T) {
	long := strings.Repeat("x", MaxID)
	for want, s := range map[string]Subject{
		"lex.case.123.document.uploaded":          {Log, KindCase, "123", "document:uploaded"},
		"lex.case.123.docket.entry.added":         {Log, KindCase, "123", "docket:entry:added"},
		"state.presence.u1.presence.update":       {State, KindPresence, "u1", "presence:update"},
		"live.conversation.c1.typing.start":       {Live, KindConversation, "c1", "typing:start"},
		"live.room.chat=20one.user_joined":        {Live, KindRoom, "chat one", "user_joined"},
		"lex.user.auth0=7C7.notification.new":     {Log, KindUser, "auth0|7", "notification:new"},
		"lex.user.a=40b=2Ec.notification.new":     {Log, KindUser, "a@b.c", "notification:new"},
		"lex.user.=2A.notification.new":           {Log, KindUser, "*", "notification:new"},
		"lex.user.=3E.notification.new":           {Log, KindUser, ">", "notification:new"},
		"lex.team.=C3=A9=3D=00.a.b-c.D_9":         {Log, KindTeam, "é=\x00", "a:b-c:D_9"},
		"lex.all.all.system.alert":                {Log, KindAll, "all", "system:alert"},
		"lex.metric.firm.revenue":                 {Log, KindMetric, "firm", "revenue"},
		"lex.dashboard." + long + ".dashboard.x":  {Log, KindDashboard, long, "dashboard:x"},
		"lex.case.1." + strings.Repeat("e", 128):  {Log, KindCase, "1", strings.Repeat("e", MaxEvent)},
		"lex.case.Invoice_7-b.invoice.never.seen": {Log, KindCase, "Invoice_7-b", "invoice:never:seen"},
	} {
		t.Run(want, func(t *testing.T) {
			got, err := Build(s)
			if err != nil || got != want {
				t.Fatalf("Build = %q, %v", got, err)
			}
			back, err := Parse(want)
			if err != nil || back != s {
				t.Fatalf("Parse = %+v, %v, want %+v", back, err, s)
			}
			r, err := ParseRoute(want)
			if err != nil {
				t.Fatal(err)
			}
			room, err := Room(s.Kind, s.ID)
			if err != nil || r.Room != room || r.Class != s.Class || r.Kind != s.Kind || r.Event() != s.Event {
				t.Errorf("ParseRoute = %+v, %v", r, err)
			}
			kind, id, err := ParseRoom(r.Room)
			if err != nil || kind != s.Kind || id != s.ID {
				t.Errorf("ParseRoom(%q) = %q, %q, %v", r.Room, kind, id, err)
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	good := Subject{Log, KindCase, "1", "case:updated"}
	for name, c := range map[string]struct {
		change func(*Subject)
		code   Code
	}{
		"no class":           {func(s *Subject) { s.Class = 0 }, CodeInvalidInput},
		"an unknown class":   {func(s *Subject) { s.Class = 9 }, CodeInvalidInput},
		"no kind":            {func(s *Subject) { s.Kind = "" }, CodeInvalidInput},
		"an unknown kind":    {func(s *Subject) { s.Kind = "matter" }, CodeInvalidInput},
		"a wildcard kind":    {func(s *Subject) { s.Kind = "*" }, CodeInvalidInput},
		"no id":              {func(s *Subject) { s.ID = "" }, CodeInvalidInput},
		"a long id":          {func(s *Subject) { s.ID = strings.Repeat("x", MaxID+1) }, CodeInvalidInput},
		"all of something":   {func(s *Subject) { s.Kind = KindAll }, CodeInvalidInput},
		"no event":           {func(s *Subject) { s.Event = "" }, CodeInvalidEvent},
		"an event with dots": {func(s *Subject) { s.Event = "case.updated" }, CodeInvalidEvent},
		"a wildcard event":   {func(s *Subject) { s.Event = "case:*" }, CodeInvalidEvent},
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			c.change(&s)
			if got, err := Build(s); CodeOf(err) != c.code || got != "" {
				t.Errorf("Build = %q, %v, want code %s", got, err, c.code)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, subject := range map[string]string{
		"nothing":             "",
		"a class":             "lex",
		"no event":            "lex.case.1",
		"an empty event":      "lex.case.1.",
		"an empty id":         "lex.case..x",
		"an empty last part":  "lex.case.1.a.",
		"an empty part":       "lex.case.1.a..b",
		"a wildcard id":       "lex.case.*.x",
		"a wildcard event":    "lex.case.1.>",
		"a wildcard kind":     "lex.*.1.x",
		"an unknown class":    "cmd.case.1.x",
		"class in capitals":   "LEX.case.1.x",
		"an unknown kind":     "lex.matter.1.x",
		"a needless escape":   "lex.case.=61.x",
		"lower-case digits":   "lex.case.=7c.x",
		"half an escape":      "lex.case.a=7.x",
		"an escape of escape": "lex.case.=3d.x",
		"a colon in the name": "lex.case.1.a:b",
		"a space":             "lex.case.1.a b",
		"a long id":           "lex.case." + strings.Repeat("x", 129) + ".x",
		"a long event":        "lex.case.1." + strings.Repeat("x", 129),
		"a reserved name":     "lex.case.1.disconnect",
		"all of something":    "lex.all.1.x",
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := Parse(subject); err == nil {
				t.Errorf("Parse(%q) = %+v", subject, s)
			}
			if r, err := ParseRoute(subject); err == nil {
				t.Errorf("ParseRoute(%q) = %+v", subject, r)
			}
		})
	}
}

func TestValidEvent(t *testing.T) {
	for name, want := range map[string]bool{
		"message": true, "user_joined": true, "docket:entry:added": true, "A-z_0:9": true, "connected": true,
		"a:disconnect": true, strings.Repeat("x", 128): true,
		"": false, ":": false, "a:": false, ":a": false, "a::b": false, "a b": false, "a.b": false, "é": false,
		"*": false, ">": false, "$a": false, strings.Repeat("x", 129): false,
		"connect": false, "connect_error": false, "disconnect": false, "disconnecting": false,
		"newListener": false, "removeListener": false,
	} {
		if ValidEvent(name) != want {
			t.Errorf("ValidEvent(%q) = %v", name, !want)
		}
	}
}

func TestRoutingDoesNotAllocate(t *testing.T) {
	const declared, plainID, escaped = "lex.case.123.docket.entry.added", "live.room.r.never.declared", "lex.user.auth0=7C7.notification.new"
	for name, f := range map[string]func() error{
		"ParseRoute":         func() error { _, err := ParseRoute(plainID); return err },
		"ParseRoute escaped": func() error { _, err := ParseRoute(escaped); return err },
		"Parse declared":     func() error { _, err := Parse(declared); return err },
		"Namespaces":         func() error { _ = Namespaces("presence:update"); return nil },
		"ValidEvent":         func() error { _ = ValidEvent("docket:entry:added"); return nil },
		"Escape plain":       func() error { _, err := Escape("0b7c6f2e-1111"); return err },
		"HelloSubject":       func() error { _ = HelloSubject("/events"); return nil },
	} {
		if err := f(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := testing.AllocsPerRun(100, func() { _ = f() }); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func TestNamespaces(t *testing.T) {
	for event, want := range map[string]string{
		"message": "/events", "notification": "/events", "user_joined": "/events", "presence": "/events",
		"case:created": "/events", "docket:entry:added": "/events", "subscribe:case": "/events", "notifications:subscribe": "/events",
		"notification:new": "/notifications", "notification.new": "/notifications",
		"dashboard:metrics": "/dashboard",
		"message:new":       "/messaging", "typing:start": "/messaging", "conversation:join": "/messaging",
		"presence:update": "/events /messaging", "presence.update": "/events /messaging",
	} {
		if got := strings.Join(Namespaces(event), " "); got != want {
			t.Errorf("Namespaces(%q) = %s, want %s", event, got, want)
		}
	}
}

func TestCommandAndHelloSubjects(t *testing.T) {
	for event, want := range map[string]string{
		"notification:mark-read": "cmd.notification.mark-read", "ping": "cmd.ping", "a.b": "", "": "", "x:>": "",
	} {
		got, err := CommandSubject(event)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("CommandSubject(%q) = %q, %v", event, got, err)
		}
	}
	for namespace, want := range map[string]string{
		"/": "hello.root", "/ws": "hello.ws", "/events": "hello.events", "/notifications": "hello.notifications",
		"/dashboard": "hello.dashboard", "/messaging": "hello.messaging", "/other": "", "": "",
	} {
		if got := HelloSubject(namespace); got != want {
			t.Errorf("HelloSubject(%q) = %q, want %q", namespace, got, want)
		}
	}
}

func TestAbsorbed(t *testing.T) {
	for event, want := range map[string][2]bool{
		"ping": {false, true}, "presence:heartbeat": {true, true}, "presence:active": {false, false}, "message:send": {false, false},
	} {
		if afterFirst, ok := Absorbed(event); [2]bool{afterFirst, ok} != want {
			t.Errorf("Absorbed(%q) = %v, %v", event, afterFirst, ok)
		}
	}
}

func BenchmarkParseRoute(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		r, err := ParseRoute("lex.case.0b7c6f2e-2f0d-4f6e-9d3a-111122223333.docket.entry.added")
		if err != nil || len(Namespaces(r.EventToken)) == 0 {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("lex.case.0b7c6f2e-2f0d-4f6e-9d3a-111122223333.docket.entry.added"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Log.Subject(KindCase, "0b7c6f2e-2f0d-4f6e-9d3a-111122223333", "docket:entry:added"); err != nil {
			b.Fatal(err)
		}
	}
}
