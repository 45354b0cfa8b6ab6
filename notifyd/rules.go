package notifyd

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lexiflow/realtime/subjects"
)

// What the followers of a case are told about its events. Pure functions.

// happening is one event, as it is told.
type happening struct {
	Seq      uint64                    `json:"seq"` // in the log
	Event    string                    `json:"event"`
	At       int64                     `json:"at"` // ms since 1970
	Type     subjects.NotificationType `json:"type"`
	Priority subjects.Priority         `json:"priority"`
	Title    string                    `json:"title"`
	Text     string                    `json:"text,omitempty"`
	By       string                    `json:"by,omitempty"` // who did it, and is not told
	Case     string                    `json:"case,omitempty"`
}

// silent are events that are shown where they belong and are no news to followers, by
// name or by the name's first token.
var silent = map[string]bool{
	"access:changed": true, "dashboard": true, "collaboration": true, "notification": true,
	"presence": true, "typing": true, "message": true, "conversation": true,
}

func worthTelling(event string) bool {
	first, _, _ := strings.Cut(event, ":")
	return !silent[event] && !silent[first]
}

// facts are what the known payloads say, under their own names.
type facts struct {
	CaseName, CaseNumber, Title, FileName, Description  string
	NewStatus, Severity, Status, AssignedTo, DueDate    string
	CreatedBy, UpdatedBy, DeletedBy, ChangedBy          string
	UploadedBy, SharedBy, CompletedBy, FiledBy, AddedBy string
	Priority                                            subjects.Priority
}

// rule says how one event is told.
type rule struct {
	kind subjects.NotificationType
	say  string
	what func(*facts) string
}

var rules = map[string]rule{
	subjects.CaseCreated.Name():         {subjects.NotifyCaseUpdate, "Case created", func(f *facts) string { return f.Title }},
	subjects.CaseUpdated.Name():         {subjects.NotifyCaseUpdate, "Case updated", nil},
	subjects.CaseDeleted.Name():         {subjects.NotifyCaseUpdate, "Case deleted", nil},
	subjects.CaseStatusChanged.Name():   {subjects.NotifyStatusChanged, "Status changed", func(f *facts) string { return f.NewStatus }},
	subjects.DocumentUploaded.Name():    {subjects.NotifyDocumentUploaded, "Document uploaded", func(f *facts) string { return f.FileName }},
	subjects.DocumentProcessed.Name():   {subjects.NotifyDocumentUploaded, "Document processed", func(f *facts) string { return f.FileName }},
	subjects.DocumentShared.Name():      {subjects.NotifyDocumentUploaded, "Document shared", func(f *facts) string { return f.FileName }},
	subjects.DocketEntryAdded.Name():    {subjects.NotifyCaseUpdate, "Docket entry added", func(f *facts) string { return f.Description }},
	subjects.TaskCreated.Name():         {subjects.NotifyTaskAssigned, "Task created", func(f *facts) string { return f.Title }},
	subjects.TaskUpdated.Name():         {subjects.NotifyCaseUpdate, "Task updated", nil},
	subjects.TaskCompleted.Name():       {subjects.NotifyCaseUpdate, "Task completed", func(f *facts) string { return f.Title }},
	subjects.DeadlineApproaching.Name(): {subjects.NotifyDeadlineReminder, "Deadline approaching", func(f *facts) string { return f.Description }},
	subjects.DeadlineMissed.Name():      {subjects.NotifyDeadlineReminder, "Deadline missed", func(f *facts) string { return f.Description }},
	"invoice:sent":                      {subjects.NotifyInvoiceSent, "Invoice sent", func(f *facts) string { return f.Title }},
	"comment:added":                     {subjects.NotifyCommentAdded, "Comment added", nil},
	"approval:required":                 {subjects.NotifyApprovalRequired, "Approval required", func(f *facts) string { return f.Title }},
}

const maxTold = 160 // characters of what an event is about

// tellOf makes an event of a case what its followers are told. An event nobody has
// thought of is told by its name.
func tellOf(event string, seq uint64, at time.Time, payload []byte) happening {
	var f facts
	_ = json.Unmarshal(payload, &f) // a field of another type stays empty
	r, ok := rules[event]
	if !ok {
		r = rule{kind: subjects.NotifyCaseUpdate, say: words(event)}
	}
	h := happening{
		Seq: seq, Event: event, At: at.UnixMilli(), Type: r.kind, Title: r.say, Priority: subjects.PriorityMedium,
		By: cmp.Or(f.UploadedBy, f.UpdatedBy, f.ChangedBy, f.CompletedBy, f.SharedBy, f.DeletedBy, f.FiledBy, f.AddedBy, f.CreatedBy),
	}
	h.Case = cut(cmp.Or(f.CaseName, f.CaseNumber), maxTold)
	if r.what != nil {
		h.Text = cut(r.what(&f), maxTold)
	}
	switch {
	case event == subjects.DeadlineMissed.Name(), f.Severity == string(subjects.DeadlineUrgent):
		h.Priority = subjects.PriorityUrgent
	case r.kind == subjects.NotifyDeadlineReminder:
		h.Priority = subjects.PriorityHigh
	case validPriority(f.Priority):
		h.Priority = f.Priority
	}
	if len(h.By) > subjects.MaxID {
		h.By = ""
	}
	return h
}

// urgent reports what is told at once and alone.
func (h *happening) urgent() bool {
	return h.Priority == subjects.PriorityUrgent || h.Type == subjects.NotifyDeadlineReminder
}

// words makes "invoice:sent" "Invoice sent".
func words(event string) string {
	s := strings.NewReplacer(":", " ", "_", " ", "-", " ").Replace(event)
	return strings.ToUpper(s[:1]) + s[1:]
}

// cut shortens a text to so many characters.
func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	for i := range s {
		if limit--; limit == 0 {
			return strings.TrimSpace(s[:i]) + "…"
		}
	}
	return s
}

var ranks = map[subjects.Priority]int{
	subjects.PriorityLow: 0, subjects.PriorityMedium: 1, subjects.PriorityHigh: 2, subjects.PriorityUrgent: 3,
}

// meta is the metadata of a notification about a case.
type meta struct {
	CaseID string        `json:"caseId"`
	Digest bool          `json:"digest,omitempty"`
	Count  int           `json:"count"`
	Events []metaDetails `json:"events"`
}

type metaDetails struct {
	Event string        `json:"event"`
	Title string        `json:"title"`
	At    subjects.Time `json:"at"`
	Seq   uint64        `json:"seq"`
}

// digestFor makes one notice of a burst for one follower, without what they did
// themselves; ok is false when nothing else is left.
func digestFor(user, caseID string, b *batch) (n notice, ok bool) {
	count := b.Total - b.Actors[user]
	if count <= 0 {
		return n, false
	}
	m := meta{CaseID: caseID, Digest: count > 1, Count: count}
	w := wire{Priority: subjects.PriorityLow, RelatedEntityID: caseID, RelatedEntityType: "case"}
	var lines []string
	name := ""
	for _, h := range b.Events {
		if h.By == user && user != "" {
			continue
		}
		name = cmp.Or(h.Case, name)
		if w.Type != "" && w.Type != h.Type {
			h.Type = subjects.NotifyCaseUpdate
		}
		w.Type = h.Type
		if ranks[h.Priority] > ranks[w.Priority] {
			w.Priority = h.Priority
		}
		line := h.Title
		if h.Text != "" {
			line += ": " + h.Text
		}
		lines = append(lines, line)
		m.Events = append(m.Events, metaDetails{Event: h.Event, Title: line, At: subjects.At(time.UnixMilli(h.At)), Seq: h.Seq})
		w.CreatedAt = subjects.At(time.UnixMilli(h.At))
	}
	if len(lines) == 0 { // all that is left was too much to keep
		w.Type, w.CreatedAt = subjects.NotifyCaseUpdate, subjects.At(time.UnixMilli(b.Due))
	}
	w.title(cmp.Or(name, caseID), count, lines)
	raw, err := json.Marshal(m)
	if err != nil {
		return n, false
	}
	w.Metadata = raw
	n, bad := w.notice(w.CreatedAt.Time)
	return n, bad == nil
}

// title says one event in its own words and several by their number.
func (w *wire) title(name string, count int, lines []string) {
	const shown = 5
	if count == 1 && len(lines) == 1 {
		w.Title, w.Message = cut(name+": "+lines[0], maxTitle), lines[0]
		return
	}
	w.Title = cut(name+": "+itoa(count)+" updates", maxTitle)
	w.Message = strings.Join(lines[:min(shown, len(lines))], "\n")
	if more := count - min(shown, len(lines)); more > 0 {
		w.Message += "\nand " + itoa(more) + " more"
	}
}
