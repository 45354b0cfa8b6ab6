package subjects

import "strings"

// This file is about single tokens: how a free-form id becomes one, and what may
// be an event name. Both have exactly one spelling, so that equal subjects mean
// equal things.

const upperHex = "0123456789ABCDEF"

// plain reports the bytes that stand for themselves in a token.
func plain(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_'
}

// Escape turns an id of 1 to [MaxID] bytes into one subject token: A-Z, a-z,
// 0-9, '_' and '-' stay, every other byte becomes '=' and two upper-case
// hexadecimal digits. "auth0|7" gives "auth0=7C7".
func Escape(id string) (string, error) {
	if id == "" || len(id) > MaxID {
		return "", Errorf(CodeInvalidInput, "an id has 1 to %d bytes, this one has %d", MaxID, len(id))
	}
	special := 0
	for i := range len(id) {
		if !plain(id[i]) {
			special++
		}
	}
	if special == 0 {
		return id, nil
	}
	token := make([]byte, 0, len(id)+2*special)
	for i := range len(id) {
		if b := id[i]; plain(b) {
			token = append(token, b)
		} else {
			token = append(token, '=', upperHex[b>>4], upperHex[b&15])
		}
	}
	return string(token), nil
}

// Unescape reverses [Escape]. It refuses every token that Escape would not have
// written ("=61" for "a", lower-case digits), so that an id has one token only.
func Unescape(token string) (string, error) {
	n := unescapedLen(token)
	if n == 0 {
		return "", Errorf(CodeInvalidInput, "%.512q is not an escaped id", token)
	}
	if n == len(token) {
		return token, nil
	}
	id := make([]byte, 0, n)
	for i := 0; i < len(token); i++ {
		b := token[i]
		if b == '=' {
			b = byte(hexValue(token[i+1])<<4 | hexValue(token[i+2]))
			i += 2
		}
		id = append(id, b)
	}
	return string(id), nil
}

// unescapedLen validates a token and returns the length of its id in bytes; 0
// says that the token is not canonical, or too long.
func unescapedLen(token string) int {
	n := 0
	for i := 0; i < len(token); i++ {
		b := token[i]
		if !plain(b) {
			if b != '=' || i+2 >= len(token) {
				return 0
			}
			high, low := hexValue(token[i+1]), hexValue(token[i+2])
			if high < 0 || low < 0 || plain(byte(high<<4|low)) {
				return 0
			}
			i += 2
		}
		n++
	}
	if n > MaxID {
		return 0
	}
	return n
}

// hexValue returns the value of an upper-case hexadecimal digit, -1 for others.
func hexValue(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	default:
		return -1
	}
}

// ValidEvent reports whether name may be an event: [A-Za-z0-9_-]+ in parts joined
// by ':', [MaxEvent] bytes at most, and none of the names that Socket.IO keeps for
// itself, since a client would take them for news about its connection.
func ValidEvent(name string) bool { return validName(name, ':') }

func validName(name string, separator byte) bool {
	if name == "" || len(name) > MaxEvent {
		return false
	}
	start, parts := 0, 1
	for i := range len(name) {
		if plain(name[i]) {
			continue
		}
		if name[i] != separator || i == start {
			return false
		}
		start = i + 1
		parts++
	}
	return start < len(name) && (parts > 1 || !reserved(name))
}

// reserved lists the names the reference implementation refuses to emit.
func reserved(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	default:
		return false
	}
}

func eventToken(name string) string { return strings.ReplaceAll(name, ":", ".") }

// eventName reverses eventToken. Declared names come from a table that is fixed
// at start, so that the events a system is made of cost no allocation and
// invented ones cannot fill a cache.
func eventName(token string) string {
	if strings.IndexByte(token, '.') < 0 {
		return token
	}
	if name, ok := declaredNames[token]; ok {
		return name
	}
	return strings.ReplaceAll(token, ".", ":")
}
