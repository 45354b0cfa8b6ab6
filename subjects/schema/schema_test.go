package schema

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lexiflow/realtime/subjects"
)

// TestEverySchemaStandsAlone: each compiles by itself, as whoever saved it to a file
// would use it.
func TestEverySchemaStandsAlone(t *testing.T) {
	count := 0
	for _, d := range subjects.Declarations() {
		schemas, err := Of(d.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range schemas {
			count++
			if _, err := compile(s.Name, s.JSON); err != nil {
				t.Errorf("%s %s: %v", s.Name, s.Part, err)
			}
			var top struct {
				Dialect string `json:"$schema"`
				Title   string `json:"title"`
			}
			if err := json.Unmarshal(s.JSON, &top); err != nil || top.Dialect != dialect || !strings.HasPrefix(top.Title, s.Name) {
				t.Errorf("%s %s begins with %+v, %v", s.Name, s.Part, top, err)
			}
			if strings.Contains(string(s.JSON), refPrefix) {
				t.Errorf("%s %s refers to the document", s.Name, s.Part)
			}
		}
	}
	if count < 150 {
		t.Errorf("only %d schemas", count)
	}
}

func TestOf(t *testing.T) {
	for name, want := range map[string][]Part{
		"document:uploaded":    {Event},
		"subscribe:case":       {Request, Ack}, // of the edge
		"message:send":         {Request, Ack},
		"typing:start":         {Event, Request, Ack},
		"connected":            {Event},
		"join-room":            {Request, Ack}, // a bare string
		"invoice:sent":         nil,
		"":                     nil,
		"undeclared":           nil, // messages of the document without a declaration
		"undeclared:lex":       nil,
		"document.uploaded":    nil,
		"DocumentUploadedEven": nil,
	} {
		schemas, err := Of(name)
		var got []Part
		for _, s := range schemas {
			got = append(got, s.Part)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q has %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestAsyncAPIIsTheCallers(t *testing.T) {
	AsyncAPI()[0] = 'x'
	if AsyncAPI()[0] != '{' {
		t.Error("a caller changed the document")
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		kind           subjects.Kind
		event, payload string
		wrong, missing string
	}{
		"undeclared": {subjects.KindCase, "invoice:sent", `{"at":7}`, "", ""},
		"whole": {
			subjects.KindCase, "case:deleted",
			`{"caseId":"1","caseNumber":"7/26","deletedBy":"u1","deletedAt":"2026-01-31T09:30:00.000Z"}`, "", "",
		},
		"further keys":  {subjects.KindUser, "notification:count", `{"count":1,"userId":"u1","shade":"red"}`, "", ""},
		"a README's":    {subjects.KindCase, "document:uploaded", `{"documentId":"d1","fileName":"brief.pdf"}`, "", "/fileSize /mimeType /uploadedAt /uploadedBy"},
		"added by edge": {subjects.KindCase, "collaboration:left", `{"documentId":"d1","userId":"u1"}`, "", ""},
		"caseId in the room of a case": {
			subjects.KindCase, "docket:entry:added",
			`{"entryId":"e","entryNumber":1,"description":"","filedDate":"","documentCount":0,"addedAt":"2026-01-31T09:30:00Z"}`, "", "",
		},
		"caseId elsewhere": {
			subjects.KindUser, "docket:entry:added",
			`{"entryId":"e","entryNumber":1,"description":"","filedDate":"","documentCount":0,"addedAt":"2026-01-31T09:30:00Z"}`, "", "/caseId",
		},
		"a type":        {subjects.KindUser, "notification:count", `{"count":"1","userId":"u1"}`, "/count is a string, must be an integer", ""},
		"not whole":     {subjects.KindUser, "notification:count", `{"count":1.5,"userId":"u1"}`, "/count is a number, must be an integer", ""},
		"null":          {subjects.KindUser, "notification:count", `{"count":null,"userId":"u1"}`, "/count is null, must be an integer", ""},
		"an enum":       {subjects.KindCase, "document:processed", `{"documentId":"d","fileName":"f","status":"done"}`, `/status is "done", must be one of success, failed`, ""},
		"a date":        {subjects.KindUser, "notification:all-read", `{"userId":"u1","timestamp":"today"}`, `/timestamp is "today", must be a date-time such as 2026-01-31T09:30:00.000Z`, ""},
		"inside a list": {subjects.KindCase, "collaboration:edit", `{"documentId":"d","userId":"u","version":1,"changes":[{"range":{"start":0,"end":"x"},"text":""}]}`, "/changes/0/range/end is a string, must be an integer", ""},
		"absent inside": {subjects.KindCase, "collaboration:edit", `{"documentId":"d","userId":"u","version":1,"changes":[{"text":""}]}`, "", "/changes/0/range"},
		"awkward keys":  {subjects.KindCase, "task:updated", `{"taskId":"t","updatedBy":"u","updatedAt":"2026-01-31T09:30:00Z","changes":{"a/b~c":1}}`, "/changes/a~1b~0c is a number, must be an object", ""},
		"no object":     {subjects.KindUser, "notification:count", `[]`, "the payload is an array, must be an object", ""},
		"several at once": {
			subjects.KindUser, "notification:read", `{"readAt":1,"notificationId":2}`,
			"/notificationId is a number, must be a string; /readAt is a number, must be a string", "/userId",
		},
		"a long value is cut": {
			subjects.KindUser, "notification:all-read", `{"userId":"u1","timestamp":"` + strings.Repeat("ä", 50) + `"}`,
			`/timestamp is "` + strings.Repeat("ä", 30) + `…", must be a date-time such as 2026-01-31T09:30:00.000Z`, "",
		},
		"the event, not the command": {subjects.KindConversation, "typing:stop", `{"conversationId":"c"}`, "", "/userId"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Check(subjects.Subject{Class: subjects.Log, Kind: c.kind, ID: "1", Event: c.event}, []byte(c.payload))
			if err != nil {
				t.Fatal(err)
			}
			if r.Declared == (name == "undeclared") {
				t.Errorf("declared: %v", r.Declared)
			}
			var wrong, missing []string
			for _, f := range r.Wrong {
				wrong = append(wrong, f.String())
			}
			for _, f := range r.Missing {
				missing = append(missing, f.Pointer)
			}
			if got := strings.Join(wrong, "; "); got != c.wrong {
				t.Errorf("wrong: %s, want %s", got, c.wrong)
			}
			if got := strings.Join(missing, " "); got != c.missing {
				t.Errorf("missing: %s, want %s", got, c.missing)
			}
		})
	}
}

func TestCheckWantsJSON(t *testing.T) {
	for _, payload := range []string{"", "{", `{"count":1}}`, "nan"} {
		_, err := Check(subjects.Subject{Event: "notification:count"}, []byte(payload))
		if subjects.CodeOf(err) != subjects.CodeInvalidInput {
			t.Errorf("%q gives %v", payload, err)
		}
	}
}

// FuzzCheck: whatever the payload, a finding names a place that is there, a missing
// key one that is not.
func FuzzCheck(f *testing.F) {
	var names []string
	for _, d := range subjects.Declarations() {
		if d.Role == subjects.RoleEvent {
			names = append(names, d.Name)
		}
	}
	for i, payload := range []string{
		`{}`, `[]`, `{"documentId":"d1","fileName":"brief.pdf"}`, `{"changes":{"a~/b":{"old":1}},"a":[{"b":[1e400,-0]}]}`,
		`{"changes":[{"range":{"start":0.5}}],"version":1}`, `{"timestamp":"2026-12-31T23:59:60Z","count":1e999999999}`, "{\"\x00\":null}", `"`,
	} {
		f.Add(uint(i*7), payload)
	}
	f.Fuzz(func(t *testing.T, n uint, payload string) {
		event := subjects.Subject{Class: subjects.Log, Kind: subjects.KindUser, ID: "1", Event: names[n%uint(len(names))]}
		r, err := Check(event, []byte(payload))
		value, invalid := jsonschema.UnmarshalJSON(strings.NewReader(payload))
		if (err == nil) != (invalid == nil) {
			t.Fatalf("%v, but as JSON it is %v", err, invalid)
		}
		for _, finding := range r.Wrong {
			if !leads(value, finding.Pointer) {
				t.Errorf("%s is not there", finding)
			}
		}
		for _, finding := range r.Missing {
			if leads(value, finding.Pointer) {
				t.Errorf("%s is there", finding)
			}
		}
	})
}

// leads follows a JSON pointer.
func leads(v any, pointer string) bool {
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for i, part := range strings.Split(pointer, "/") {
		if i == 0 {
			continue
		}
		switch in := v.(type) {
		case map[string]any:
			inside, ok := in[unescape.Replace(part)]
			if !ok {
				return false
			}
			v = inside
		case []any:
			at, err := strconv.Atoi(part)
			if err != nil || at < 0 || at >= len(in) {
				return false
			}
			v = in[at]
		default:
			return false
		}
	}
	return true
}
