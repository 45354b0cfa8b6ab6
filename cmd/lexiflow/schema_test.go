package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/schema"
)

func TestSchemaListsNames(t *testing.T) {
	o := lexiflow(t.Context(), nil, "", "schema")
	if o.code != exitOK || o.remark != "" {
		t.Fatalf("%+v", o)
	}
	lines := strings.Split(strings.TrimSpace(o.out), "\n")
	if want := len(subjects.Declarations()) + 1; len(lines) != want {
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	table := map[string]bool{}
	for _, line := range lines {
		table[strings.Join(strings.Fields(line), " ")] = true
	}
	for _, want := range []string{
		"NAME WHAT CLASS KIND NAMESPACES",
		"document:uploaded event lex case /events",
		"presence:update event state presence /events /messaging",
		"presence:update command - - /events /messaging",
		"subscribe:case command of the edge - - /events",
		"connected socket - - /events /notifications /dashboard /messaging",
	} {
		if !table[want] {
			t.Errorf("no line %q", want)
		}
	}
}

func TestSchemaPrints(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		titles string
	}{
		"an event":      {[]string{"document:uploaded"}, "document:uploaded"},
		"a command":     {[]string{"message:send"}, "message:send request, message:send ack"},
		"both":          {[]string{"typing:start"}, "typing:start, typing:start request, typing:start ack"},
		"a part":        {[]string{"typing:start", "--part", "ack"}, "typing:start ack"},
		"the edge's":    {[]string{"join-room", "--part=request"}, "join-room request"},
		"the whole bus": {[]string{"--asyncapi"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := lexiflow(t.Context(), nil, "", append([]string{"schema"}, c.args...)...)
			if o.code != exitOK || o.remark != "" {
				t.Fatalf("%+v", o)
			}
			var titles []string
			for dec := json.NewDecoder(strings.NewReader(o.out)); ; {
				var s struct{ Title string }
				if err := dec.Decode(&s); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				titles = append(titles, s.Title)
			}
			if got := strings.Join(titles, ", "); got != c.titles {
				t.Errorf("prints %q, want %q", got, c.titles)
			}
		})
	}
	if o := lexiflow(t.Context(), nil, "", "schema", "--asyncapi"); !bytes.Equal([]byte(o.out), schema.AsyncAPI()) {
		t.Error("--asyncapi prints something else")
	}
}

func TestSchemaCompletes(t *testing.T) {
	o := lexiflow(t.Context(), nil, "", "__complete", "schema", "docket")
	if !strings.Contains(o.out, "docket:entry:added\n") {
		t.Errorf("completes to %q", o.out)
	}
}

// TestPublishValidates publishes through the real command and looks into the log: what
// is refused is not there, what passes is there unchanged.
func TestPublishValidates(t *testing.T) {
	s := startSite(t, "none")
	defer s.stop()
	log, err := s.bus(t).Stream(t.Context(), subjects.StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	var stored uint64
	for _, c := range []struct {
		name    string
		args    []string // KIND ID EVENT
		payload string
		flags   []string
		code    int
		says    []string // stderr; none wants it empty
	}{
		{"the README's", []string{"case", "123", "document:uploaded"}, `{"documentId":"d1","fileName":"brief.pdf"}`, nil, exitOK, []string{"document:uploaded usually also has: /fileSize /mimeType /uploadedAt /uploadedBy\n"}},
		{"whole", []string{"case", "123", "collaboration:left"}, `{"documentId":"d1","userId":"u1"}`, nil, exitOK, nil},
		{"undeclared", []string{"case", "123", "invoice:sent"}, `{"fileSize":"large"}`, nil, exitOK, nil},
		{"without a payload", []string{"case", "123", "case:deleted"}, "", nil, exitOK, []string{"/caseNumber /deletedAt /deletedBy\n"}},
		{
			"wrong",
			[]string{"case", "123", "document:uploaded"},
			`{"documentId":7,"fileSize":"1 MB"}`, nil, exitUsage,
			[]string{"/documentId is a number, must be a string", "/fileSize is a string, must be an integer", "--no-validate", "lexiflow publish --help"},
		},
		{"an enum", []string{"user", "u1", "document:processed"}, `{"status":"done"}`, nil, exitUsage, []string{`/status is "done", must be one of success, failed`}},
		{"in any class", []string{"presence", "u1", "presence:update"}, `{"status":"gone"}`, []string{"--class", "state"}, exitUsage, []string{"/status", "online, away, busy, offline"}},
		{"wrong on purpose", []string{"case", "123", "document:uploaded"}, `{"documentId":7}`, []string{"--no-validate"}, exitOK, nil},
		{"not JSON", []string{"case", "123", "document:uploaded"}, `{"documentId"`, nil, exitUsage, []string{"is not JSON"}},
		{"no object", []string{"case", "123", "document:uploaded"}, `["d1"]`, nil, exitUsage, []string{"the payload is an array, must be an object"}},
		{"no object on purpose", []string{"case", "123", "document:uploaded"}, `["d1"]`, []string{"--no-validate"}, exitUsage, []string{"not a JSON object"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(append([]string{"publish"}, c.flags...), c.args...)
			if c.payload != "" {
				args = append(args, c.payload)
			}
			o := s.try(t, args...)
			if o.code != c.code || (o.remark == "") != (c.says == nil) {
				t.Fatalf("%+v, want the code %d", o, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(o.remark, want) {
					t.Errorf("stderr %q does not say %q", o.remark, want)
				}
			}
			if c.code != exitOK {
				if o.out != "" {
					t.Errorf("stdout has %q", o.out)
				}
			} else {
				stored++
				msg, err := log.GetMsg(t.Context(), stored)
				if err != nil {
					t.Fatal(err)
				}
				if want := c.payload; want != "" && string(msg.Data) != want {
					t.Errorf("the log has %s, want %s", msg.Data, want)
				}
			}
			if info, err := log.Info(t.Context()); err != nil || info.State.LastSeq != stored {
				t.Errorf("the log ends at %d, want %d: %v", info.State.LastSeq, stored, err)
			}
		})
	}
}

// What is wrong is found before a server is looked for.
func TestPublishValidatesFirst(t *testing.T) {
	o := lexiflow(t.Context(), nil, `{"count":"1"}`, "publish", "--nats", "nats://127.0.0.1:1", "user", "u1", "notification:count", "-")
	if o.code != exitUsage || !strings.Contains(o.remark, "/count") {
		t.Errorf("%+v", o)
	}
}
