package edge

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// jsonString reads a JSON string; anything else is not one.
func jsonString(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; raw[len(raw)-1] == '"' && plain(inner) {
		return string(inner), true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// plain tells whether text stands in JSON as it is, as ids and tokens do.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
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
