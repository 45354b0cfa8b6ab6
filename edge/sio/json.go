package sio

import (
	"bytes"
	"strings"
	"unicode/utf16"
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

// Members calls f with each top-level key of an object, in its quotes, and its raw value, in order. It
// returns whether obj is a valid object of which f has accepted every member; f is not called behind one
// that it refuses. It does not allocate.
func Members(obj []byte, f func(key, value []byte) bool) bool {
	s := newScanner(obj, hardDepth)
	if s.next() != tokenObject {
		return false
	}
	for {
		switch s.next() {
		case tokenKey:
			key := s.raw()
			value, valid := s.value()
			if !valid || !f(key, value) {
				return false
			}
		case tokenObjectEnd:
			return s.next() == tokenEnd
		default:
			return false
		}
	}
}

// AppendJSONString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendJSONString(dst []byte, s string) []byte {
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
		if escaped(c) {
			dst = appendEscape(append(dst, s[start:i]...), c)
			start = i + 1
		}
		i++
	}
	return append(append(dst, s[start:]...), '"')
}

// appendQuoted appends UTF-8 as a JSON string.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i, c := range s {
		if escaped(c) {
			dst = appendEscape(append(dst, s[start:i]...), c)
			start = i + 1
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// quotedLen is how much appendQuoted appends.
func quotedLen(s []byte) int {
	n := len(s) + 2
	for _, c := range s {
		switch {
		case !escaped(c):
		case c < ' ' && c != '\n':
			n += 5
		default:
			n++
		}
	}
	return n
}

// escaped tells which characters may not stand in a JSON string as they are.
func escaped(c byte) bool { return c < ' ' || c == '"' || c == '\\' }

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// unquote returns what a valid JSON string spells. Half a surrogate pair becomes U+FFFD.
func unquote(raw []byte) string {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var b strings.Builder
	b.Grow(len(inner)) // an escape is never shorter than what it spells
	for len(inner) > 0 {
		if inner[0] == '\\' {
			r, n := unescape(inner)
			b.WriteRune(r)
			inner = inner[n:]
			continue
		}
		n := bytes.IndexByte(inner, '\\')
		if n < 0 {
			n = len(inner)
		}
		b.Write(inner[:n])
		inner = inner[n:]
	}
	return b.String()
}

// equalString tells whether a valid JSON string spells want.
func equalString(raw []byte, want string) bool {
	inner := raw[1 : len(raw)-1]
	for len(inner) > 0 && len(want) > 0 {
		if inner[0] != '\\' {
			if inner[0] != want[0] {
				return false
			}
			inner, want = inner[1:], want[1:]
			continue
		}
		spelt, n := unescape(inner)
		wanted, m := utf8.DecodeRuneInString(want)
		if spelt != wanted {
			return false
		}
		inner, want = inner[n:], want[m:]
	}
	return len(inner) == len(want)
}

// unescape reads the escape that a valid string begins with.
func unescape(b []byte) (r rune, n int) {
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
		r = unhex4(b[2:])
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if pair := utf16.DecodeRune(r, unhex4(b[8:])); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	}
	return rune(b[1]), 2 // " \ /
}

func unhex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		r = r<<4 | rune(unhex(c))
	}
	return r
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
