package main

import (
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lexiflow/realtime/subjects"
)

const root = "../.."

func generated(t *testing.T) map[string]string {
	t.Helper()
	all, err := outputs(root)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCommittedFilesAreFresh fails while a declaration has changed and what was
// generated from it has not.
func TestCommittedFilesAreFresh(t *testing.T) {
	want := generated(t)
	for name, text := range want {
		have, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Errorf("%v: run \"make generate\"", err)
		} else if string(have) != text {
			t.Errorf("%s is stale in line %d: run \"make generate\"", name, firstDifference(string(have), text))
		}
	}
	files, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(tsFolder)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := want[tsFolder+f.Name()]; !ok {
			t.Errorf("%s%s is not generated any more: remove it", tsFolder, f.Name())
		}
	}
}

func firstDifference(a, b string) int {
	lines := strings.Split(b, "\n")
	for i, line := range strings.Split(a, "\n") {
		if i >= len(lines) || line != lines[i] {
			return i + 1
		}
	}
	return len(lines)
}

func TestOutputIsDeterministic(t *testing.T) {
	first := generated(t)
	for range 5 {
		if again := generated(t); !maps.Equal(first, again) {
			t.Fatal("two runs differ")
		}
	}
}

func TestOutputSpeaksOfTheProjectAlone(t *testing.T) {
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range generated(t) {
		if strings.Contains(text, here) {
			t.Errorf("%s has a path of this machine", name)
		}
		for line := range strings.Lines(text) {
			if trimmed := strings.TrimRight(line, " \t\n"); trimmed+"\n" != line {
				t.Errorf("%s has space at the end of %q", name, line)
			}
		}
	}
}

// wsEvents is WS_EVENTS of the original (contract 5.1), written down a second time on
// purpose: frontends use these constants by name.
const wsEvents = `
	CONNECTED connected  DISCONNECTED disconnected  ERROR error
	NOTIFICATION_NEW notification:new  NOTIFICATION_READ notification:read  NOTIFICATION_DELETED notification:deleted
	NOTIFICATION_COUNT notification:count  NOTIFICATION_ALL_READ notification:all-read
	MESSAGE_NEW message:new  MESSAGE_SEND message:send  MESSAGE_READ message:read
	TYPING_START typing:start  TYPING_STOP typing:stop
	CONVERSATION_JOIN conversation:join  CONVERSATION_LEAVE conversation:leave
	DASHBOARD_METRICS dashboard:metrics  DASHBOARD_ACTIVITY dashboard:activity  DASHBOARD_CASE_STATS dashboard:case-stats
	DASHBOARD_TEAM_ACTIVITY dashboard:team-activity  DASHBOARD_ALERT dashboard:alert
	DASHBOARD_SUBSCRIBE dashboard:subscribe  DASHBOARD_UNSUBSCRIBE dashboard:unsubscribe
	DASHBOARD_REFRESH dashboard:request-refresh
	PRESENCE_UPDATE presence:update  PRESENCE_BULK_UPDATE presence:bulk-update  PRESENCE_SET_STATUS presence:set-status
	PRESENCE_SET_ACTIVITY presence:set-activity  PRESENCE_HEARTBEAT presence:heartbeat
	CASE_CREATED case:created  CASE_UPDATED case:updated  CASE_DELETED case:deleted
	CASE_STATUS_CHANGED case:status:changed  CASE_SUBSCRIBE subscribe:case  CASE_UNSUBSCRIBE unsubscribe:case
	DOCUMENT_UPLOADED document:uploaded  DOCUMENT_PROCESSED document:processed  DOCUMENT_SHARED document:shared
	TASK_CREATED task:created  TASK_UPDATED task:updated  TASK_COMPLETED task:completed
	DEADLINE_APPROACHING deadline:approaching  DEADLINE_MISSED deadline:missed  DOCKET_ENTRY_ADDED docket:entry:added
	JOIN_ROOM join_room  LEAVE_ROOM leave_room  USER_JOINED user_joined  USER_LEFT user_left  ROOM_MESSAGE message
	COLLABORATION_JOINED collaboration:joined  COLLABORATION_LEFT collaboration:left
	COLLABORATION_CURSOR collaboration:cursor  COLLABORATION_EDIT collaboration:edit
	SYSTEM_ALERT system:alert  SYSTEM_MAINTENANCE system:maintenance`

func TestConstantsOfTheOriginal(t *testing.T) {
	names := generated(t)[tsFolder+"names.ts"]
	words := strings.Fields(wsEvents)
	if len(words) != 2*54 {
		t.Fatalf("the table has %d words", len(words))
	}
	for pair := range slices.Chunk(words, 2) {
		line := "\n  " + pair[0] + `: "` + pair[1] + "\",\n"
		if followingFrom(pair[1]) == pair[0] {
			line = "\n  \"" + pair[1] + "\",\n"
		}
		if !strings.Contains(names, line) {
			t.Errorf("WS_EVENTS has no %s: %q", pair[0], pair[1])
		}
	}
	for _, d := range subjects.Declarations() {
		if listed := strings.Contains(names, `"`+d.Name+`"`); listed == (d.Name == hiddenEvent) {
			t.Errorf("%s is listed: %v", d.Name, listed)
		}
	}
}

// payloadTypes is contract 5.3: the types that frontends import, by event.
const payloadTypes = `
	connected ConnectionEvent  disconnected DisconnectionEvent  error ErrorEvent
	notification:new NotificationEvent  notification:read NotificationReadEvent
	notification:deleted NotificationDeletedEvent  notification:count NotificationCountEvent
	message:new MessageEvent  message:read MessageReadEvent  typing:start TypingStartEvent  typing:stop TypingStopEvent
	dashboard:metrics DashboardMetricsEvent  dashboard:activity ActivityFeedEvent  dashboard:case-stats CaseStatsEvent
	dashboard:team-activity TeamActivityEvent  dashboard:alert DashboardAlertEvent
	presence:update PresenceUpdateEvent  presence:bulk-update PresenceBulkUpdateEvent
	case:created CaseCreatedEvent  case:updated CaseUpdatedEvent  case:deleted CaseDeletedEvent
	case:status:changed CaseStatusChangedEvent  document:uploaded DocumentUploadedEvent
	document:processed DocumentProcessedEvent  document:shared DocumentSharedEvent  task:created TaskCreatedEvent
	task:updated TaskUpdatedEvent  task:completed TaskCompletedEvent  deadline:approaching DeadlineApproachingEvent
	deadline:missed DeadlineMissedEvent  docket:entry:added DocketEntryAddedEvent  user_joined UserJoinedRoomEvent
	user_left UserLeftRoomEvent  collaboration:joined CollaborationJoinedEvent  collaboration:left CollaborationLeftEvent
	collaboration:cursor CollaborationCursorEvent  collaboration:edit CollaborationEditEvent
	system:alert SystemAlertEvent  system:maintenance SystemMaintenanceEvent`

func TestPayloadTypesOfTheOriginal(t *testing.T) {
	all := generated(t)
	types, eventMap := all[tsFolder+"payloads.ts"], all[tsFolder+"maps.ts"]
	for pair := range slices.Chunk(strings.Fields(payloadTypes), 2) {
		if !strings.Contains(eventMap, "\n  \""+pair[0]+"\": "+pair[1]+";\n") {
			t.Errorf("EventMap does not give %s the type %s", pair[0], pair[1])
		}
		if !strings.Contains(types, "\nexport interface "+pair[1]+" extends BaseEvent {\n") {
			t.Errorf("%s does not extend BaseEvent", pair[1])
		}
	}
	for _, want := range []string{
		"\n  timestamp: string;\n  /** Newer servers and services may send further keys. */\n  [key: string]: unknown;\n}\n",
		"\n  changes: Record<string, FieldChange>;\n",
		"\n  attachments?: string[];\n",
		"\nexport interface Message extends MessageEvent {\n",
		"\n  userIds: readonly string[];\n", // of a request
		"\nexport interface Refusal {\n  /** always false */\n  success: false;\n",
		"\nexport interface Success {\n  success: true;\n",
	} {
		if !strings.Contains(types, want) {
			t.Errorf("payloads.ts has no %q", want)
		}
	}
}

func TestEveryImportIsUsed(t *testing.T) {
	block := regexp.MustCompile(`(?s)import type \{(.*?)\} from`)
	for name, text := range generated(t) {
		for _, found := range block.FindAllStringSubmatch(text, -1) {
			rest := strings.Replace(text, found[0], "", 1)
			for _, imported := range strings.FieldsFunc(found[1], func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
				if !regexp.MustCompile(`\b` + imported + `\b`).MatchString(rest) {
					t.Errorf("%s imports %s for nothing", name, imported)
				}
			}
		}
	}
}

func TestComments(t *testing.T) {
	m := testModel(t)
	g := &tsGenerator{model: m, exported: map[string]bool{"Base": true}}
	for doc, want := range map[string]string{
		"":                           "",
		"one line":                   "  /** one line */\n",
		"of [CaseCreated]":           "  /** of `case:created` */\n",
		"a [Base] and [Publisher]":   "  /** a {@link BaseEvent} and `Publisher` */\n",
		"with [HeaderMsgID]":         "  /** with `Nats-Msg-Id` */\n",
		"see [Publisher.PublishLog]": "  /** see `Publisher` */\n",
		"ends */ early":              "  /** ends *\u200b/ early */\n",
		"two\n\nlines":               "  /**\n   * two\n   *\n   * lines\n   */\n",
		"an index [0] is no link":    "  /** an index [0] is no link */\n",
	} {
		var b strings.Builder
		if g.comment(&b, "  ", doc); b.String() != want {
			t.Errorf("%q becomes %q, want %q", doc, b.String(), want)
		}
	}
	if got := m.describe("A [Notice] of\ntwo lines.\n\nAnd\nmore."); got != "A `Notice` of two lines.\n\nAnd more." {
		t.Errorf("described as %q", got)
	}
	d := declaration{Declaration: subjects.Declaration{Name: "case:created"}, in: variable{name: "CaseCreated", doc: "CaseCreated is first."}}
	if got := m.docOfName(d); got != "`case:created` is first." {
		t.Errorf("documented as %q", got)
	}
}

func TestFirstSentence(t *testing.T) {
	for doc, want := range map[string]string{
		"":                    "",
		"Who is here.":        "Who is here.",
		"No stop":             "No stop",
		"One.\nTwo lines.":    "One.",
		"Over two\nlines. So": "Over two lines.",
	} {
		if got := firstSentence(doc); got != want {
			t.Errorf("of %q it is %q, want %q", doc, got, want)
		}
	}
}

func testModel(t *testing.T) *model {
	t.Helper()
	s, err := readSource(filepath.Join(root, "subjects"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := newModel(s, subjects.Declarations(), furtherTypes()...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestUnknownTypes: a kind of field that has no form in JSON is refused by name.
func TestUnknownTypes(t *testing.T) {
	type (
		channels  struct{ A chan int }
		functions struct {
			F func() `json:"f"`
		}
		untagged struct{ A int }
		nested   struct {
			In struct {
				A int `json:"a"`
			} `json:"in"`
		}
		numbered struct {
			M map[int]string `json:"m"`
		}
		skipped struct {
			Secret func() `json:"-"`
		}
	)
	for typ, says := range map[reflect.Type]string{
		reflect.TypeFor[channels]():        "channels.A",
		reflect.TypeFor[functions]():       "functions.F",
		reflect.TypeFor[untagged]():        "untagged.A",
		reflect.TypeFor[nested]():          "name of its own",
		reflect.TypeFor[numbered]():        "map[int]string",
		reflect.TypeFor[*[]complex128]():   "complex128",
		reflect.TypeFor[skipped]():         "",
		reflect.TypeFor[[]subjects.Code](): "",
	} {
		err := reach(typ, map[reflect.Type]bool{})
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want %q", typ, err, says)
		}
	}
}

// TestSourceRefuses: what the generator cannot read is an error and never an omission.
func TestSourceRefuses(t *testing.T) {
	for name, c := range map[string]struct{ code, says string }{
		"no types":             {"package subjects\n", "no Go types"},
		"not Go":               {"package\n", "expected"},
		"a name not literal":   {"package subjects\ntype T int\nvar A = event[T](name, Log, KindCase)\n", "A: its name"},
		"a variable is absent": {"package subjects\ntype T int\nvar other = 1\n", "no variable holds"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte(c.code), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := readSource(dir)
			if err == nil {
				_, err = newModel(s, subjects.Declarations())
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func TestEnumsAndConstantsAgree(t *testing.T) {
	m := testModel(t)
	typ := reflect.TypeFor[subjects.PresenceStatus]()
	m.source.constants[typ.Name()] = m.source.constants[typ.Name()][1:]
	if _, _, err := m.membersOf(typ); err == nil || !strings.Contains(err.Error(), "PresenceStatus") {
		t.Errorf("a constant less: %v", err)
	}
	if members, closed, err := m.membersOf(reflect.TypeFor[subjects.Code]()); err != nil || closed || len(members) < 10 {
		t.Errorf("Code has %d members, closed %v, %v", len(members), closed, err)
	}
}

func TestConstantsDoNotCollide(t *testing.T) {
	m := testModel(t)
	one := m.declarations[0]
	one.Name = "case:invented"
	m.declarations = append(m.declarations, one)
	if _, err := typescript(m); err == nil || !strings.Contains(err.Error(), "WS_EVENTS.") {
		t.Errorf("two names with one constant: %v", err)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "subjects"), os.DirFS(filepath.Join(root, "subjects"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(asyncAPIFile))); err != nil {
		t.Fatal(err)
	}
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range generated(t) {
		if got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); err != nil || string(got) != want {
			t.Errorf("%s: %v", path.Base(name), err)
		}
	}
	if err := write(t.TempDir()); err == nil {
		t.Error("an empty folder is taken for the repository")
	}
}

// asyncAPIOf reads the generated document as anything would.
func asyncAPIOf(t *testing.T) map[string]any {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal([]byte(generated(t)[asyncAPIFile]), &d); err != nil {
		t.Fatal(err)
	}
	return d
}
