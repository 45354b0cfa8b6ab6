package edge

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// The rules that are functions of their arguments alone.

func TestMayEnter(t *testing.T) {
	tests := map[string]struct {
		mode  AccessMode
		scope string
		kind  subjects.Kind
		id    string
		want  bool
	}{
		"one case":                  {AccessMember, "case:123", subjects.KindCase, "123", true},
		"among others":              {AccessMember, "read case:1  case:123", subjects.KindCase, "123", true},
		"every case":                {AccessMember, "case:*", subjects.KindCase, "123", true},
		"another case":              {AccessMember, "case:12", subjects.KindCase, "123", false},
		"a longer case":             {AccessMember, "case:1234", subjects.KindCase, "123", false},
		"no scope":                  {AccessMember, "", subjects.KindCase, "123", false},
		"another kind":              {AccessMember, "team:123", subjects.KindCase, "123", false},
		"a case called *":           {AccessMember, "case:1", subjects.KindCase, "*", false},
		"open":                      {AccessOpen, "", subjects.KindCase, "123", true},
		"own user room":             {AccessMember, "", subjects.KindUser, "u1", true},
		"another's user room":       {AccessOpen, "user:*", subjects.KindUser, "u2", false},
		"generic":                   {AccessMember, "", subjects.KindRoom, "chat-123", true},
		"conversation is msgd's":    {AccessOpen, "conversation:*", subjects.KindConversation, "c1", false},
		"presence is presence's":    {AccessOpen, "presence:*", subjects.KindPresence, "u1", false},
		"metric is nobody's":        {AccessOpen, "metric:*", subjects.KindMetric, "x", false},
		"all is joined at connect":  {AccessOpen, "all:*", subjects.KindAll, "all", false},
		"dashboard is dashboardd's": {AccessOpen, "", subjects.KindDashboard, "u1", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			who := &identity{user: "u1", scope: test.scope}
			if got := test.mode.mayEnter(who, test.kind, test.id); got != test.want {
				t.Fatalf("mayEnter = %v, want %v", got, test.want)
			}
		})
	}
}

// A refused client gets nothing but what is declared for it, in both forms.
func TestRefusalsAreDeclared(t *testing.T) {
	no := &refusal{code: subjects.CodeRoomLimit, message: "too many", retryAfter: 1, currentConnections: 2, currentRoomCount: 3}
	for event, status := range map[string]string{"subscribe:case": "error", "join_room": ""} {
		dec := json.NewDecoder(strings.NewReader(string(no.ack(event))))
		dec.DisallowUnknownFields()
		var got subjects.Refusal
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		want := subjects.Refusal{
			Status: status, Error: "too many", Code: subjects.CodeRoomLimit,
			RetryAfter: 1, CurrentConnections: 2, CurrentRoomCount: 3,
		}
		if got != want {
			t.Errorf("%s is acked with %+v, want %+v", event, got, want)
		}
	}
}

func TestTargetOf(t *testing.T) {
	tests := map[string]struct {
		kind subjects.Kind
		id   string
	}{
		"chat-123":       {subjects.KindRoom, "chat-123"},
		"case:7":         {subjects.KindCase, "7"},
		"case:7:8":       {subjects.KindCase, "7:8"},
		"user:u2":        {subjects.KindUser, "u2"},
		"conversation:1": {subjects.KindConversation, "1"},
		"room:x":         {subjects.KindRoom, "room:x"},
		"Case:7":         {subjects.KindRoom, "Case:7"},
		"foo:bar":        {subjects.KindRoom, "foo:bar"},
		"case":           {subjects.KindRoom, "case"},
	}
	for asked, want := range tests {
		if kind, id := targetOf(asked); kind != want.kind || id != want.id {
			t.Errorf("targetOf(%q) = %s %s, want %s %s", asked, kind, id, want.kind, want.id)
		}
	}
}

func TestOriginAllowed(t *testing.T) {
	tests := map[string]struct {
		listed       []string
		origin, host string
		want         bool
	}{
		"absent":             {nil, "", "rt.firm.example", true},
		"own host":           {nil, "https://rt.firm.example", "rt.firm.example", true},
		"own host and port":  {nil, "http://127.0.0.1:3000", "127.0.0.1:3000", true},
		"another port":       {nil, "http://127.0.0.1:3001", "127.0.0.1:3000", false},
		"foreign":            {nil, "https://evil.example", "rt.firm.example", false},
		"listed":             {[]string{"https://app.firm.example"}, "https://app.firm.example", "rt.firm.example", true},
		"listed with slash":  {[]string{" https://App.firm.example/ "}, "https://app.firm.example", "x", true},
		"listed, other case": {[]string{"https://app.firm.example"}, "https://APP.firm.example", "x", true},
		"prefix of listed":   {[]string{"https://app.firm.example"}, "https://app.firm.example.evil", "x", false},
		"every one":          {[]string{"*"}, "https://evil.example", "x", true},
		"null":               {nil, "null", "x", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := originAllowed(test.listed)(test.origin, test.host); got != test.want {
				t.Fatalf("allowed = %v, want %v", got, test.want)
			}
		})
	}
}

func TestAccountsCountPerUserAndNamespace(t *testing.T) {
	a := newAccounts(Limits{Connections: 3, ConnectionsPerUser: 2, RoomsPerUser: 2}.withDefaults())
	first, no := a.open("u1", nsEvents, true, false, settled())
	if no != nil {
		t.Fatal(no)
	}
	if _, no = a.open("u1", nsEvents, true, false, settled()); no != nil {
		t.Fatal(no)
	}
	if _, no = a.open("u1", nsEvents, true, false, settled()); no == nil || no.code != subjects.CodeUserConnectionLimit || no.currentConnections != 2 {
		t.Fatalf("third socket of a user: %+v", no)
	}
	if _, no = a.open("u1", nsMessaging, false, false, settled()); no != nil {
		t.Fatalf("another namespace counts apart: %+v", no)
	}
	if _, no = a.open("u2", nsEvents, true, false, settled()); no != nil {
		t.Fatal(no)
	}
	if _, no = a.open("u3", nsEvents, true, false, settled()); no == nil || no.code != subjects.CodeConnectionLimit {
		t.Fatalf("fourth client: %+v", no)
	}
	a.close(first, nsEvents, true)
	if _, no = a.open("u1", nsEvents, true, false, settled()); no != nil {
		t.Fatalf("a closed socket still counts: %+v", no)
	}
	if clients, users, _ := a.usage(); clients != 3 || users != 2 {
		t.Fatalf("%d clients of %d users, want 3 of 2", clients, users)
	}
}

func TestAccountsCountRoomsOverSockets(t *testing.T) {
	a := newAccounts(Limits{RoomsPerUser: 2}.withDefaults())
	acc, _ := a.open("u1", nsEvents, true, false, settled())
	for _, room := range []string{"case.1", "case.2", "case.1"} {
		if _, v := a.enter(acc, room, settled()); v != admitted {
			t.Fatalf("room %s refused", room)
		}
	}
	if n, v := a.enter(acc, "case.3", settled()); v != refused || n != 2 {
		t.Fatalf("third room: %d rooms, verdict %v", n, v)
	}
	a.leave(acc, "case.1") // another device is still in it
	if _, v := a.enter(acc, "case.3", settled()); v != refused {
		t.Fatal("one device's leaving freed a room that another uses")
	}
	a.leave(acc, "case.1")
	if _, v := a.enter(acc, "case.3", settled()); v != admitted {
		t.Fatal("the last device's leaving freed nothing")
	}
}

func TestTokenBucketHoldsOverTheMinute(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	var b bucket
	for i := range 100 {
		if _, ok := b.take(100, start); !ok {
			t.Fatalf("event %d refused", i)
		}
	}
	wait, ok := b.take(100, start)
	if ok || wholeSeconds(wait) != 1 {
		t.Fatalf("event 101: accepted %v, wait %v", ok, wait)
	}
	// A fixed window would let another hundred through here.
	passed := 0
	for range 100 {
		if _, ok := b.take(100, start.Add(6*time.Second)); ok {
			passed++
		}
	}
	if passed != 10 {
		t.Fatalf("%d events after a tenth of a minute, want 10", passed)
	}
	if _, ok := b.take(100, start.Add(-time.Hour)); ok {
		t.Fatal("a clock that goes back gives tokens")
	}
	if wait := b.wait(100, start.Add(time.Hour)); wait != 0 || b.missing(100, start.Add(time.Hour)) != 0 {
		t.Fatalf("not full after an hour: wait %v", wait)
	}
}

func TestRestComesOnceAfterAStorm(t *testing.T) {
	type look struct {
		changes uint64
		open    int64
		want    bool
	}
	for name, looks := range map[string][]look{
		"nothing happens":           {{0, 0, false}, {0, 0, false}},
		"a storm, then quiet":       {{5_000, 5_000, false}, {10_000, 10_000, false}, {10_010, 10_000, true}, {10_020, 10_000, false}},
		"everybody leaves":          {{2_000, 2_000, false}, {2_000, 2_000, true}, {4_000, 0, false}, {4_000, 0, true}, {4_000, 0, false}},
		"few come":                  {{40, 40, false}, {80, 80, false}},
		"few come, for long":        {{960, 40, false}, {999, 40, false}, {1_000, 40, true}, {1_040, 40, false}},
		"few of a hundred thousand": {{100_000, 100_000, false}, {100_000, 100_000, true}, {124_980, 100_000, false}, {124_999, 100_000, false}, {125_000, 100_000, true}},
	} {
		var r rest
		for i, l := range looks {
			if got := r.come(l.changes, l.open); got != l.want {
				t.Errorf("%s, look %d: %v", name, i, got)
			}
		}
	}
}

func TestThrottleCountsFailuresOnly(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	th := newThrottle(3)
	for range 3 {
		if _, blocked := th.blocked("10.0.0.1", start); blocked {
			t.Fatal("blocked too early")
		}
		th.failed("10.0.0.1", start)
	}
	if wait, blocked := th.blocked("10.0.0.1", start); !blocked || wait <= 0 {
		t.Fatalf("blocked %v for %v", blocked, wait)
	}
	if _, blocked := th.blocked("10.0.0.2", start); blocked {
		t.Fatal("another address is blocked")
	}
	if _, blocked := th.blocked("10.0.0.1", start.Add(21*time.Second)); blocked {
		t.Fatal("still blocked after a token is back")
	}
	th.failed("10.0.0.2", start.Add(time.Hour))
	if len(th.addresses) != 1 {
		t.Fatalf("%d addresses remembered after an hour, want 1", len(th.addresses))
	}
}

func TestRefusalShapes(t *testing.T) {
	no := refuse(subjects.CodeRoomLimit, "too many")
	no.currentRoomCount = 50
	for event, want := range map[string]string{
		"subscribe:case": `{"success":false,"status":"error","error":"too many","code":"ROOM_LIMIT_EXCEEDED","currentRoomCount":50}`,
		"join_room":      `{"success":false,"error":"too many","code":"ROOM_LIMIT_EXCEEDED","currentRoomCount":50}`,
	} {
		if got := string(no.ack(event)); got != want {
			t.Errorf("%s\n got %s\nwant %s", event, got, want)
		}
	}
	got := string(no.event(time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)))
	if want := `{"message":"too many","code":"ROOM_LIMIT_EXCEEDED","currentRoomCount":50,"timestamp":"2026-01-02T03:04:05.006Z"}`; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestCompleteAddsWhatIsAbsent(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	const ts = `"timestamp":"2026-01-02T03:04:05.006Z"`
	tests := map[string]struct{ room, payload, want, invalid string }{
		"both":             {"case.123", `{"a":1}`, `{"a":1,` + ts + `,"caseId":"123"}`, ""},
		"empty object":     {"case.123", ` { } `, `{` + ts + `,"caseId":"123"}`, ""},
		"nothing absent":   {"case.123", `{"timestamp":1,"caseId":"9"}`, `{"timestamp":1,"caseId":"9"}`, ""},
		"unchanged inside": {"user.u", `{ "a" : "é" , "timestamp" : null }`, `{ "a" : "é" , "timestamp" : null }`, ""},
		"no case room":     {"user.u", `{"x":{"timestamp":1}}`, `{"x":{"timestamp":1},` + ts + `}`, ""},
		"escaped id":       {"case.a=40b", `{"timestamp":1}`, `{"timestamp":1,"caseId":"a@b"}`, ""},
		"escaped key":      {"user.u", `{"time\u0073tamp":1}`, `{"time\u0073tamp":1}`, ""},
		"array":            {"case.1", `[1]`, "", "not-an-object"},
		"string":           {"case.1", `"x"`, "", "not-an-object"},
		"two values":       {"case.1", `{} {}`, "", "not-an-object"},
		"cut":              {"case.1", `{"a":`, "", "not-an-object"},
		"not UTF-8":        {"case.1", "{\"a\":\"\xff\"}", "", "not-an-object"},
		"too large":        {"case.1", `{"a":"` + strings.Repeat("x", 200) + `"}`, "", "too-large"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := message{d: &delivery{payload: []byte(test.payload), at: at}, room: test.room}
			if ok := m.complete(200); ok != (test.invalid == "") || m.invalid != test.invalid {
				t.Fatalf("complete = %v, invalid %q, want %q", ok, m.invalid, test.invalid)
			}
			if string(m.body) != test.want {
				t.Fatalf("\n got %s\nwant %s", m.body, test.want)
			}
			if test.invalid == "" && !json.Valid(m.body) {
				t.Fatal("the result is not JSON")
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	past, future := now.Add(-time.Minute), now.Add(time.Minute)
	tests := map[string]struct {
		mode    ExpiryMode
		expires time.Time
		since   time.Time
		want    bool
	}{
		"never expires":        {ExpiryDisconnect, time.Time{}, now.Add(-48 * time.Hour), false},
		"not yet":              {ExpiryDisconnect, future, past, false},
		"disconnect":           {ExpiryDisconnect, past, past, true},
		"keep":                 {ExpiryKeep, past, past, false},
		"keep, but too old":    {ExpiryKeep, past, now.Add(-13 * time.Hour), true},
		"old, but still valid": {ExpiryKeep, future, now.Add(-13 * time.Hour), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.mode.over(&identity{expires: test.expires}, test.since, now, 12*time.Hour); got != test.want {
				t.Fatalf("over = %v, want %v", got, test.want)
			}
		})
	}
}

func TestSequenceJudges(t *testing.T) {
	type message struct {
		consumer    string
		number, seq uint64
		want        order
	}
	for name, messages := range map[string][]message{
		"in order":                      {{"a", 1, 11, seqNext}, {"a", 2, 12, seqNext}},
		"erased in between":             {{"a", 1, 11, seqNext}, {"a", 2, 15, seqHole}, {"a", 3, 16, seqNext}},
		"not received":                  {{"a", 1, 11, seqNext}, {"a", 3, 13, seqGap}, {"a", 4, 14, seqGap}},
		"the first is not received":     {{"a", 2, 12, seqGap}},
		"a new consumer goes on":        {{"a", 1, 11, seqNext}, {"b", 1, 12, seqNext}},
		"a new consumer repeats":        {{"a", 1, 11, seqNext}, {"b", 1, 11, seqRepeated}, {"b", 2, 12, seqNext}},
		"a new consumer skips":          {{"a", 1, 11, seqNext}, {"b", 2, 13, seqGap}},
		"the same again":                {{"a", 1, 11, seqNext}, {"a", 1, 11, seqRepeated}, {"a", 2, 12, seqNext}},
		"behind the position":           {{"a", 1, 9, seqRepeated}, {"a", 2, 10, seqRepeated}, {"a", 3, 11, seqNext}},
		"a hole at the new one's start": {{"a", 1, 11, seqNext}, {"b", 1, 20, seqHole}},
	} {
		t.Run(name, func(t *testing.T) {
			s := sequence{position: 10}
			for i, m := range messages {
				got := s.judge(m.consumer, m.number, m.seq)
				if got != m.want {
					t.Fatalf("message %d: %d, want %d", i, got, m.want)
				}
				if got == seqNext || got == seqHole {
					s.took(m.seq)
				}
			}
		})
	}
}
