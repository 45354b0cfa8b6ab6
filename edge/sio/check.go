package sio

// check tells whether b is one JSON value within depth, and, when attachments is not zero, whether every
// placeholder in it refers to one of them.
func check(b []byte, depth, attachments int) Error {
	s := newScanner(b, depth)
	holes := placeholders{count: attachments}
	for {
		t := s.next()
		switch t {
		case tokenEnd:
			return 0
		case tokenInvalid:
			return ErrJSON
		case tokenTooDeep:
			return ErrDepth
		}
		if attachments > 0 && !holes.see(&s, t) {
			return ErrPlaceholder
		}
	}
}

// placeholders finds {"_placeholder":true,"num":N} among the tokens of a binary packet.
//
// It looks at every duplicate of both keys, because decoders differ in which one counts: an object is a
// placeholder if any of its _placeholder is true, and then each num must be right.
type placeholders struct {
	count int
	key   placeholderKey // of the value that comes next

	// By level, counted like the scanner's.
	marked, right, wrong levels
}

type placeholderKey uint8

const (
	otherKey placeholderKey = iota
	markKey                 // _placeholder
	numKey                  // num
)

// see takes the next token; false means that a placeholder which ends here is wrong.
func (p *placeholders) see(s *scanner, t token) bool {
	switch t {
	case tokenKey:
		p.key = keyOf(s.raw())
		return true
	case tokenObjectEnd:
		level := s.depth // the level that has just been closed
		return !p.marked.has(level) || (p.right.has(level) && !p.wrong.has(level))
	case tokenArrayEnd:
		return true
	}
	key := p.key
	p.key = otherKey
	level := s.depth - 1 // of the object that the key, if there was one, is in
	if t == tokenObject || t == tokenArray {
		level--
		p.marked.drop(s.depth - 1)
		p.right.drop(s.depth - 1)
		p.wrong.drop(s.depth - 1)
	}
	switch {
	case key == markKey && t == tokenTrue:
		p.marked.add(level)
	case key == numKey && t == tokenNumber && p.inRange(s.raw()):
		p.right.add(level)
	case key == numKey:
		p.wrong.add(level)
	}
	return true
}

func keyOf(raw []byte) placeholderKey {
	switch {
	case equalString(raw, "_placeholder"):
		return markKey
	case equalString(raw, "num"):
		return numKey
	}
	return otherKey
}

// inRange accepts plain integers only: 0.0, -0 and 1e0 are what no encoder writes.
func (p *placeholders) inRange(number []byte) bool {
	n := 0
	for _, c := range number {
		if !isDigit(c) {
			return false
		}
		if n = n*10 + int(c-'0'); n >= p.count {
			return false
		}
	}
	return true
}
