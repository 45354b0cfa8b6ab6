package subjects

import (
	"encoding/json"
	"errors"
	"time"
)

// This file holds what payloads are made of. Every payload is a JSON object; it
// may carry keys that its type does not know (see [WithExtra]), and readers
// ignore those.

// Base is part of every event. A zero Timestamp is left out and the edge fills in
// the log's time, so that publishers need not set it.
type Base struct {
	Timestamp Time `json:"timestamp,omitzero"` // the edge fills in the log's time
}

// A Time is written as JavaScript's Date.toISOString does: UTC, milliseconds, Z.
// It reads any RFC 3339 time. The zero Time has no JSON: a forgotten date is an
// error of the publisher, not a date in the year 1 on somebody's screen.
type Time struct{ time.Time }

const isoMillis = "2006-01-02T15:04:05.000Z"

// Now returns the current time.
func Now() Time { return Time{time.Now()} }

// At returns t as a payload carries it.
func At(t time.Time) Time { return Time{t} }

// String returns the JSON form without its quotes.
func (t Time) String() string { return t.UTC().Format(isoMillis) }

// MarshalJSON implements [json.Marshaler].
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return nil, errors.New("a required time is not set")
	}
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return nil, errors.New("a year outside 0 to 9999 has no ISO form of four digits")
	}
	return t.UTC().AppendFormat(nil, `"`+isoMillis+`"`), nil
}

// UnmarshalJSON implements [json.Unmarshaler]. Null leaves the zero Time.
func (t *Time) UnmarshalJSON(b []byte) error { return t.Time.UnmarshalJSON(b) }

// A List is a slice that is never null in JSON: nil is [].
type List[T any] []T

// MarshalJSON implements [json.Marshaler].
func (l List[T]) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]T(l))
}

// Changes says what an update did: field name to old and new value. It is never
// null in JSON.
type Changes map[string]Change

// A Change is one field's old and new value.
type Change struct {
	Old any `json:"old"`
	New any `json:"new"`
}

// MarshalJSON implements [json.Marshaler].
func (c Changes) MarshalJSON() ([]byte, error) {
	if c == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]Change(c))
}

// None is the payload of a command that needs none. Clients send {} or no
// argument at all; both occur.
type None struct{}

// Success is the least an ack says.
type Success struct {
	Success bool `json:"success"`
}

// Priority of a notification, a task or an activity.
type Priority string

// The priorities.
const (
	PriorityLow    Priority = "low"
	PriorityMedium Priority = "medium"
	PriorityHigh   Priority = "high"
	PriorityUrgent Priority = "urgent"
)

// Values lists the type's members for generators.
func (Priority) Values() []string { return []string{"low", "medium", "high", "urgent"} }

// Severity of an alert.
type Severity string

// The severities.
const (
	SeverityInfo     Severity = "info"
	SeverityWarning  Severity = "warning"
	SeverityError    Severity = "error"
	SeverityCritical Severity = "critical"
)

// Values lists the type's members for generators.
func (Severity) Values() []string { return []string{"info", "warning", "error", "critical"} }

// An Enum is a string type with a fixed set of members. Readers must expect
// members they do not know: newer publishers may have more.
type Enum interface{ Values() []string }
