package edge

import (
	"encoding/json"
	"time"
)

// jsonString reads a JSON string; anything else is not one.
func jsonString(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// mustJSON marshals what this package built itself out of strings, numbers and valid raw JSON, which
// cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("edge: a payload of its own cannot be marshalled: " + err.Error())
	}
	return b
}

// isoLayout is the wire's time format: UTC, milliseconds, Z (contract, notation).
const isoLayout = "2006-01-02T15:04:05.000Z"

func iso(t time.Time) string { return t.UTC().Format(isoLayout) }
