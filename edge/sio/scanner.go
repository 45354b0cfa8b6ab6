package sio

import "unicode/utf8"

// hardDepth is the deepest nesting that a scanner can follow: one bit a level, on the stack.
const hardDepth = 1024

// levels is a set of nesting levels.
type levels [hardDepth / 64]uint64

func (l *levels) has(depth int) bool { return l[depth/64]&(1<<(depth%64)) != 0 }
func (l *levels) add(depth int)      { l[depth/64] |= 1 << (depth % 64) }
func (l *levels) drop(depth int)     { l[depth/64] &^= 1 << (depth % 64) }

type token uint8

const (
	tokenInvalid token = iota
	tokenTooDeep
	tokenEnd // of the input, behind one whole value
	tokenObject
	tokenObjectEnd
	tokenArray
	tokenArrayEnd
	tokenKey
	tokenString
	tokenNumber
	tokenTrue
	tokenFalse
	tokenNull
)

// expectation is what may come next.
type expectation uint8

const (
	wantValue   expectation = iota
	wantElement             // behind [ : a value or ]
	wantMember              // behind { : a key or }
	wantKey                 // behind a comma in an object
	wantComma               // behind a value: a comma or the closing bracket
	wantNothing             // behind the outermost value
)

// scanner reads JSON token by token. It neither recurses nor allocates: what is open is a bit per level.
type scanner struct {
	b          []byte
	pos        int // where to read on
	start, end int // of the last token; a key ends before its colon

	limit   int
	depth   int
	objects levels // which open levels are objects; levels count from 0
	want    expectation
}

func newScanner(b []byte, limit int) scanner { return scanner{b: b, limit: limit} }

// raw is the text of the last token.
func (s *scanner) raw() []byte { return s.b[s.start:s.end:s.end] }

func (s *scanner) space() {
	for s.pos < len(s.b) && isSpace(s.b[s.pos]) {
		s.pos++
	}
}

// next reads one token with the comma before it and, behind a key, the colon. Behind an error it is not
// to be called.
func (s *scanner) next() token {
	s.comma()
	s.start = s.pos
	if s.pos >= len(s.b) {
		if s.want == wantNothing {
			return tokenEnd
		}
		return tokenInvalid
	}
	t := s.read(s.b[s.pos])
	if t != tokenKey {
		s.end = s.pos
	}
	return t
}

// comma skips what separates the next token from the last.
func (s *scanner) comma() {
	s.space()
	if s.pos < len(s.b) && s.want == wantComma && s.b[s.pos] == ',' {
		s.pos++
		s.want = wantValue
		if s.objects.has(s.depth - 1) {
			s.want = wantKey
		}
		s.space()
	}
}

// read reads the token that begins with c.
func (s *scanner) read(c byte) token {
	switch s.want {
	case wantComma:
		return s.close(c)
	case wantElement:
		if c == ']' {
			return s.close(c)
		}
		return s.any(c)
	case wantMember:
		if c == '}' {
			return s.close(c)
		}
		return s.key(c)
	case wantKey:
		return s.key(c)
	case wantValue:
		return s.any(c)
	default: // wantNothing: something behind the outermost value
		return tokenInvalid
	}
}

// value reads one whole value and returns its text.
func (s *scanner) value() (raw []byte, ok bool) {
	outside := s.depth
	start := -1
	for {
		t := s.next()
		if t <= tokenEnd {
			return nil, false
		}
		if start < 0 {
			start = s.start
		}
		if s.depth == outside {
			return s.b[start:s.pos:s.pos], true
		}
		if s.depth < outside {
			return nil, false // the end of what surrounds it: there was no value
		}
	}
}

func (s *scanner) open(t token) token {
	if s.depth >= s.limit {
		return tokenTooDeep
	}
	s.pos++
	if t == tokenObject {
		s.objects.add(s.depth)
		s.want = wantMember
	} else {
		s.objects.drop(s.depth)
		s.want = wantElement
	}
	s.depth++
	return t
}

func (s *scanner) close(c byte) token {
	object := s.objects.has(s.depth - 1)
	if (object && c != '}') || (!object && c != ']') {
		return tokenInvalid
	}
	s.pos++
	s.depth--
	s.done()
	if object {
		return tokenObjectEnd
	}
	return tokenArrayEnd
}

// done notes that a value is complete.
func (s *scanner) done() {
	s.want = wantComma
	if s.depth == 0 {
		s.want = wantNothing
	}
}

// key reads a key with its colon.
func (s *scanner) key(c byte) token {
	if c != '"' || !s.string() {
		return tokenInvalid
	}
	s.end = s.pos
	s.space()
	if s.pos >= len(s.b) || s.b[s.pos] != ':' {
		return tokenInvalid
	}
	s.pos++
	s.want = wantValue
	return tokenKey
}

// any reads a scalar, or the opening bracket of a value.
func (s *scanner) any(c byte) token {
	var t token
	switch {
	case c == '{':
		return s.open(tokenObject)
	case c == '[':
		return s.open(tokenArray)
	case c == '"' && s.string():
		t = tokenString
	case (c == '-' || isDigit(c)) && s.number():
		t = tokenNumber
	case c == 't' && s.literal("true"):
		t = tokenTrue
	case c == 'f' && s.literal("false"):
		t = tokenFalse
	case c == 'n' && s.literal("null"):
		t = tokenNull
	default:
		return tokenInvalid
	}
	s.done()
	return t
}

func (s *scanner) literal(word string) bool {
	if len(s.b)-s.pos < len(word) || string(s.b[s.pos:s.pos+len(word)]) != word {
		return false
	}
	s.pos += len(word)
	return true
}

// string reads from the opening quote to behind the closing one.
func (s *scanner) string() bool {
	ascii := true
	start := s.pos
	for i := s.pos + 1; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.pos = i + 1
			return ascii || utf8.Valid(s.b[start:i])
		case c == '\\':
			n := escapeLen(s.b[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		case c < ' ':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return false
}

// escapeLen is the length of the escape that b begins with, 0 when it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]) {
			return 6
		}
	}
	return 0
}

// number reads -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?
func (s *scanner) number() bool {
	if s.b[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.b) && s.b[s.pos] == '0' {
		s.pos++
	} else if !s.digits() {
		return false
	}
	if s.pos < len(s.b) && s.b[s.pos] == '.' {
		s.pos++
		if !s.digits() {
			return false
		}
	}
	if s.pos < len(s.b) && (s.b[s.pos] == 'e' || s.b[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.b) && (s.b[s.pos] == '+' || s.b[s.pos] == '-') {
			s.pos++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.b) && isDigit(s.b[s.pos]) {
		s.pos++
	}
	return s.pos > start
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')
}
