package sio

import (
	"encoding/json"
	"unicode/utf8"
)

// ValidJSON tells whether b is one JSON value (RFC 8259), in UTF-8, nested at most maxDepth deep. A depth
// of zero or less means 128; the most is 1024. It does not allocate.
//
// Unlike encoding/json it refuses strings that are not UTF-8 instead of mending them later: the bytes are
// passed on as they are.
func ValidJSON(b []byte, maxDepth int) bool {
	return check(b, Limits{MaxDepth: maxDepth}.withDefaults().MaxDepth, 0) == 0
}

// IsObject tells whether b, which must be valid JSON, is an object.
func IsObject(b []byte) bool {
	b = trimSpace(b)
	return len(b) > 0 && b[0] == '{'
}

// Field returns the raw value of a top-level key of an object. Keys are compared as what they spell, so
// "tok\u0065n" is token; of duplicates the last one counts, as in every decoder behind this one. It does
// not allocate. Input that is no valid object has no fields.
func Field(obj []byte, key string) (raw []byte, ok bool) {
	s := newScanner(obj, hardDepth)
	if s.next() != tokenObject {
		return nil, false
	}
	for {
		switch s.next() {
		case tokenKey:
			match := equalString(s.raw(), key)
			value, valid := s.value()
			if !valid {
				return nil, false
			}
			if match {
				raw, ok = value, true
			}
		case tokenObjectEnd:
			if s.next() != tokenEnd {
				return nil, false
			}
			return raw, ok
		default:
			return nil, false
		}
	}
}

// AppendJSONString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			start = i + 1
		}
		i++
	}
	return append(append(dst, s[start:]...), '"')
}

// unquote returns what a valid JSON string spells.
func unquote(raw []byte) string {
	inner := raw[1 : len(raw)-1]
	for _, c := range inner {
		if c == '\\' {
			var s string
			if json.Unmarshal(raw, &s) != nil {
				return ""
			}
			return s
		}
	}
	return string(inner)
}

// equalString tells whether a valid JSON string spells want, which is ASCII or free of escapes in raw.
func equalString(raw []byte, want string) bool {
	inner := raw[1 : len(raw)-1]
	for i := 0; i < len(want); i++ {
		if len(inner) == 0 {
			return false
		}
		c, n := inner[0], 1
		if c == '\\' {
			c, n = unescape(inner)
		}
		if n == 0 || c != want[i] {
			return false
		}
		inner = inner[n:]
	}
	return len(inner) == 0
}

// unescape reads one escape of a valid string that stands for an ASCII character; n is 0 for any other.
func unescape(b []byte) (c byte, n int) {
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		if b[2] != '0' || b[3] != '0' || b[4] > '7' {
			return 0, 0
		}
		return unhex(b[4])<<4 | unhex(b[5]), 6
	}
	return b[1], 2 // " \ /
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
