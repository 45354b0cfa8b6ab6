package dashboardd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lexiflow/realtime/subjects"
)

// feedSize is how many activities of a case or a team are kept.
const feedSize = 100

// feed is the last activities of a book, and how far they were announced. Announcing is publishing to
// the log, where the fold reads it again: so what is still to be announced after a crash is a function
// of the log too.
type feed struct {
	N       uint64     `json:"n"` // activities ever
	Ring    []activity `json:"ring,omitempty"`
	Told    uint64     `json:"told"`             // of N, announced in the room itself
	ToldAt  uint64     `json:"toldAt,omitempty"` // sequence of the last announcement there, of whomever
	ToldAll uint64     `json:"toldAll"`          // of N, announced to the viewers of all cases
}

// activity is what one event was, in words.
type activity struct {
	Seq      uint64                `json:"seq"` // of the event
	At       int64                 `json:"at"`
	Type     subjects.ActivityType `json:"type"`
	Title    string                `json:"title"`
	Text     string                `json:"text,omitempty"`
	User     string                `json:"user,omitempty"`
	UserName string                `json:"userName,omitempty"`
	Priority subjects.Priority     `json:"priority,omitempty"`
	Case     string                `json:"case,omitempty"` // team feeds: key of the case whose walls hold for it
}

func (f *feed) add(a activity) {
	f.N++
	if len(f.Ring) == feedSize {
		f.Ring = slices.Delete(f.Ring, 0, 1)
	}
	f.Ring = append(f.Ring, a)
}

func (f *feed) newest() uint64 {
	if len(f.Ring) == 0 {
		return 0
	}
	return f.Ring[len(f.Ring)-1].Seq
}

// since returns the kept activities behind the first n ever.
func (f *feed) since(n uint64) []activity {
	return f.Ring[len(f.Ring)-int(min(f.N-n, uint64(len(f.Ring)))):]
}

func (b *book) untold() bool {
	return b.Feed.Told < b.Feed.N || b.kind == subjects.KindCase && b.Feed.ToldAll < b.Feed.N
}

// record adds an event to the feeds of its book, and of its team where the event names one.
func (t *tally) record(b *book, e event, f *facts) {
	if b.kind == subjects.KindUser || strings.HasPrefix(e.Name, "collaboration:") {
		return // keystrokes are no news, and a user's own tasks are nobody else's
	}
	a := activityOf(e, f)
	t.addActivity(b, a)
	if b.kind == subjects.KindCase {
		t.recency.touch(b)
		if validID(f.TeamID) {
			// The team learns that somebody did something, and nothing about the case: its members need not
			// be allowed to see it.
			a.Text, a.Case = "", b.key
			t.addActivity(t.open(subjects.KindTeam, f.TeamID, e.Seq), a)
		}
	}
}

func (t *tally) addActivity(b *book, a activity) {
	b.Feed.add(a)
	t.untold[b.key] = struct{}{}
}

const maxText = 500 // bytes of a description

// activityOf words an event.
func activityOf(e event, f *facts) activity {
	a := activity{
		Seq: e.Seq, At: e.At, Type: subjects.ActivityCaseUpdate, Title: titleOf(e.Name),
		User: f.actor(), UserName: short(f.UserName, maxTitle), Priority: priorityOf(e.Name, f),
	}
	switch token, _, _ := strings.Cut(e.Name, ":"); token {
	case "document", "docket":
		a.Type = subjects.ActivityDocumentFiled
	case "deadline":
		a.Type = subjects.ActivityDeadlineApproaching
	case "message":
		a.Type = subjects.ActivityMessage
	case "task":
		if e.Name == "task:completed" {
			a.Type = subjects.ActivityTaskCompleted
		}
	}
	if e.Kind == subjects.KindTeam && f.Action != "" {
		a.Title = short(f.Action, maxTitle)
	}
	a.Text = short(textOf(e.Name, f), maxText)
	return a
}

// titles are the words for the events of contract 5.3; others are their own name.
var titles = map[string]string{
	"case:created": "Case created", "case:updated": "Case updated", "case:deleted": "Case deleted",
	"case:status:changed": "Status changed",
	"document:uploaded":   "Document filed", "document:processed": "Document processed", "document:shared": "Document shared",
	"docket:entry:added": "Docket entry added",
	"task:created":       "Task created", "task:updated": "Task updated", "task:completed": "Task completed",
	"deadline:approaching": "Deadline approaching", "deadline:missed": "Deadline missed",
	"message": "Message",
}

func titleOf(name string) string {
	if title, ok := titles[name]; ok {
		return title
	}
	words := strings.NewReplacer(":", " ", "-", " ", "_", " ").Replace(name)
	return strings.ToUpper(words[:1]) + words[1:]
}

func textOf(name string, f *facts) string {
	switch {
	case f.Details != "":
		return f.Details
	case name == "case:status:changed":
		return f.OldStatus + " → " + f.NewStatus
	case len(f.Changes) > 0:
		fields := make([]string, 0, len(f.Changes))
		for field := range f.Changes {
			fields = append(fields, field)
		}
		slices.Sort(fields)
		return "changed: " + strings.Join(fields, ", ")
	}
	for _, text := range [...]string{f.FileName, f.Title, f.Description} {
		if text != "" {
			return text
		}
	}
	return ""
}

func priorityOf(name string, f *facts) subjects.Priority {
	switch p := subjects.Priority(f.Priority); p {
	case subjects.PriorityLow, subjects.PriorityMedium, subjects.PriorityHigh, subjects.PriorityUrgent:
		return p
	}
	switch {
	case name == "deadline:missed" || f.Severity == "urgent":
		return subjects.PriorityUrgent
	case f.Severity == "warning":
		return subjects.PriorityHigh
	}
	return ""
}

// activityEvent is an activity on the wire. more is how many others it stands for.
func (b *book) activityEvent(a activity, more uint64) subjects.ActivityFeedEvent {
	return subjects.ActivityFeedEvent{
		ID: activityID(a), Type: a.Type, Title: a.Title, Description: withMore(a.Text, more),
		UserID: a.User, UserName: a.UserName, CaseID: b.id, CaseName: b.Title, Priority: a.Priority,
		Base: subjects.Base{Timestamp: timeOf(a.At)},
	}
}

// teamEvent is an activity of a team on the wire.
func (b *book) teamEvent(a activity, more uint64) subjects.TeamActivityEvent {
	name := a.UserName
	if name == "" {
		name = a.User
	}
	return subjects.TeamActivityEvent{
		UserID: a.User, UserName: name, Action: a.Title, Details: withMore(a.Text, more),
		Base: subjects.Base{Timestamp: timeOf(a.At)},
	}
}

// activityID is the same wherever and whenever an activity is shown.
func activityID(a activity) string { return fmt.Sprintf("activity-%d", a.Seq) }

func withMore(text string, more uint64) string {
	switch {
	case more == 0:
		return text
	case text == "":
		return fmt.Sprintf("and %d more", more)
	}
	return fmt.Sprintf("%s, and %d more", text, more)
}
