package dashboardd

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lexiflow/realtime/subjects"
)

// facts is what the fold wants to know of an event, whatever its name: the union of the payloads of
// contract 5.3. Microservices publish without a schema, so a field of another type counts as absent;
// only what is not a JSON object at all is refused.
type facts struct {
	// What it is about.
	TaskID      string `json:"taskId"`
	DeadlineID  string `json:"deadlineId"`
	Title       string `json:"title"`
	Description string `json:"description"`
	FileName    string `json:"fileName"`
	CaseName    string `json:"caseName"`
	TeamID      string `json:"teamId"`
	Priority    string `json:"priority"`
	Severity    string `json:"severity"`

	// A case's and a deadline's state.
	Status        string            `json:"status"`
	OldStatus     string            `json:"oldStatus"`
	NewStatus     string            `json:"newStatus"`
	DueDate       string            `json:"dueDate"`
	TimeRemaining float64           `json:"timeRemaining"` // milliseconds
	Changes       map[string]change `json:"changes"`

	// Who did it: the first of them that is there.
	UserID      string `json:"userId"`
	CreatedBy   string `json:"createdBy"`
	UpdatedBy   string `json:"updatedBy"`
	DeletedBy   string `json:"deletedBy"`
	ChangedBy   string `json:"changedBy"`
	UploadedBy  string `json:"uploadedBy"`
	SharedBy    string `json:"sharedBy"`
	CompletedBy string `json:"completedBy"`
	UserName    string `json:"userName"`
	Action      string `json:"action"`  // of what a team's publisher words itself
	Details     string `json:"details"` // likewise
}

type change struct {
	New any `json:"new"`
}

var errNotObject = subjects.Errorf(subjects.CodeInvalidInput, "the payload is not a JSON object")

func decodeFacts(data []byte) (f facts, err error) {
	return f, decodeObject(data, &f)
}

// decodeObject reads an object and leaves fields of a wrong type as they are.
func decodeObject(data []byte, into any) error {
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return errNotObject
	}
	err := json.Unmarshal(data, into)
	if _, wrongType := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !wrongType {
		return errNotObject
	}
	return nil
}

// actor is the user behind the event, "" when it does not say.
func (f *facts) actor() string {
	for _, id := range [...]string{
		f.UserID, f.CreatedBy, f.UpdatedBy, f.DeletedBy, f.ChangedBy, f.UploadedBy, f.SharedBy, f.CompletedBy,
	} {
		if id != "" {
			return short(id, subjects.MaxID)
		}
	}
	return ""
}

// changed is the new value of a field that an update names, if it is a string.
func (f *facts) changed(field string) string {
	value, _ := f.Changes[field].New.(string)
	return value
}

// due is when a deadline ends, in ms; 0 when the event does not say. A date without a time lasts until
// the end of its day, UTC.
func (f *facts) due(at int64) int64 {
	if t, err := time.Parse(time.RFC3339, f.DueDate); err == nil {
		return t.UnixMilli()
	}
	if t, err := time.Parse(time.DateOnly, f.DueDate); err == nil {
		return t.Add(24*time.Hour - time.Millisecond).UnixMilli()
	}
	const century = float64(100*365*24) * float64(time.Hour/time.Millisecond)
	if f.TimeRemaining > 0 && f.TimeRemaining < century {
		return at + int64(f.TimeRemaining)
	}
	return 0
}

// short cuts a text to at most n bytes, between characters, and mends what is not UTF-8.
func short(s string, n int) string {
	if len(s) > n {
		s = s[:n]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if r, size := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && size == 1 {
			s = s[:len(s)-1]
		}
	}
	// A copy, so that a few bytes do not keep a whole payload alive.
	return strings.Clone(strings.ToValidUTF8(s, "\uFFFD"))
}

// validID reports whether an id of a payload may become part of the state.
func validID(id string) bool { return id != "" && len(id) <= subjects.MaxID }
