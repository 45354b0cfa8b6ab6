package notifyd

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lexiflow/realtime/subjects"
)

// Caps of a notice, in bytes but for texts, which are in characters.
const (
	maxNotice   = 64 << 10
	maxRequest  = 2 << 20 // a notice with an audience
	maxTitle    = 200
	maxMessage  = 4000
	maxType     = 64
	maxMetadata = 8 << 10
	maxURL      = 2048
)

// notice is a valid notice.
type notice struct {
	kind   subjects.NotificationType
	urgent bool
	rest   []byte // what the notification says, but for its id and user
}

// invalid is why something is not valid: a token for dead letters and metrics, and
// words for whoever asked.
type invalid struct {
	reason string
	*subjects.Error
}

func refuse(reason, format string, args ...any) *invalid {
	return &invalid{reason: reason, Error: subjects.Errorf(subjects.CodeInvalidInput, format, args...)}
}

// wire is [subjects.Notice] with metadata left as it was written, so that large
// numbers in it stay what they are, and with its type as it goes to clients.
type wire struct {
	Type              subjects.NotificationType `json:"type"`
	Title             string                    `json:"title"`
	Message           string                    `json:"message"`
	Priority          subjects.Priority         `json:"priority"`
	Metadata          json.RawMessage           `json:"metadata,omitempty"`
	ActionURL         string                    `json:"actionUrl,omitempty"`
	RelatedEntityID   string                    `json:"relatedEntityId,omitempty"`
	RelatedEntityType string                    `json:"relatedEntityType,omitempty"`
	CreatedAt         subjects.Time             `json:"createdAt,omitzero"`
}

// request is [subjects.NotifyRequest] in the same way.
type request struct {
	UserID   string             `json:"userId"`
	Audience *subjects.Audience `json:"audience"`
	wire
}

// decode reads a request of any form; at is when it was made, if it does not say.
func decode(data []byte, at time.Time, limit int) (request, notice, *invalid) {
	var r request
	if len(data) > limit {
		return r, notice{}, &invalid{"too-large", subjects.Errorf(subjects.CodeMessageTooLarge, "at most %d bytes, this has %d", limit, len(data))}
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, notice{}, refuse("not-a-notice", "this is not a notice: %w", err)
	}
	n, bad := r.notice(at)
	return r, n, bad
}

func (w *wire) notice(at time.Time) (notice, *invalid) {
	if string(w.Metadata) == "null" {
		w.Metadata = nil
	}
	if w.Priority == "" {
		w.Priority = subjects.PriorityMedium
	}
	if w.CreatedAt.IsZero() {
		w.CreatedAt = subjects.At(at)
	}
	if bad := w.check(); bad != nil {
		return notice{}, bad
	}
	rest, err := json.Marshal(w)
	if err != nil {
		return notice{}, refuse("not-a-notice", "this is not a notice: %w", err)
	}
	return notice{kind: w.Type, urgent: w.Priority == subjects.PriorityUrgent || w.Type == subjects.NotifyDeadlineReminder, rest: rest}, nil
}

func (w *wire) check() *invalid {
	switch {
	case !validType(string(w.Type)):
		return refuse("invalid-type", "type has 1 to %d characters of a-z, 0-9 and _", maxType)
	case strings.TrimSpace(w.Title) == "" || utf8.RuneCountInString(w.Title) > maxTitle:
		return refuse("invalid-title", "title has 1 to %d characters", maxTitle)
	case utf8.RuneCountInString(w.Message) > maxMessage:
		return refuse("invalid-message", "message has %d characters at most", maxMessage)
	case !validPriority(w.Priority):
		return refuse("invalid-priority", "priority is low, medium, high or urgent")
	case len(w.Metadata) > maxMetadata || !isObject(w.Metadata):
		return refuse("invalid-metadata", "metadata is an object of at most %d bytes", maxMetadata)
	case !validURL(w.ActionURL):
		return refuse("invalid-action-url", "actionUrl is https, http or a path, of at most %d bytes", maxURL)
	case len(w.RelatedEntityID) > subjects.MaxID || len(w.RelatedEntityType) > subjects.MaxID:
		return refuse("invalid-entity", "relatedEntityId and relatedEntityType have %d bytes at most", subjects.MaxID)
	case w.CreatedAt.UTC().Year() < 0 || w.CreatedAt.UTC().Year() > 9999:
		return refuse("invalid-time", "createdAt is not a time of ours")
	}
	return nil
}

// validType lets types through that this program has not heard of: a newer publisher
// may have more.
func validType(s string) bool {
	for i := range len(s) {
		b := s[i]
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxType
}

func validPriority(p subjects.Priority) bool {
	switch p {
	case subjects.PriorityLow, subjects.PriorityMedium, subjects.PriorityHigh, subjects.PriorityUrgent:
		return true
	}
	return false
}

// isObject takes absent for an object without keys.
func isObject(raw json.RawMessage) bool { return len(raw) == 0 || raw[0] == '{' }

// validURL refuses what would run in the page of whoever clicks on it.
func validURL(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse(s)
	if err != nil || len(s) > maxURL || strings.HasPrefix(s, "//") || strings.Contains(s, `\`) {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" || u.Scheme == "" && strings.HasPrefix(s, "/")
}
