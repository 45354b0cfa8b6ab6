package msgd

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"
)

// An id of a message is "msg-", 9 digits of the time in milliseconds, 7 of its number in the
// conversation and 10 of chance, in an alphabet whose order is that of the bytes: ids sort by time
// everywhere, and by number within a conversation, because a message never takes an earlier time than
// the one before it. The number in it makes finding a message by its id a matter of two reads.

const (
	messagePrefix      = "msg-"
	conversationPrefix = "conv-"

	digits     = "0123456789abcdefghijklmnopqrstuv"
	timeDigits = 9 // 45 bits: until the year 3084
	numDigits  = 7 // 35 bits
	tailDigits = 10
	idLen      = len(messagePrefix) + timeDigits + numDigits + tailDigits

	maxNumber = 1<<(5*numDigits) - 1
)

// A position is what a message's id says about it.
type position struct {
	number int64 // from 1, without gaps, per conversation
	ms     int64 // Unix time in milliseconds
}

// newMessageID names the message at a position.
func newMessageID(p position) string {
	id := make([]byte, 0, idLen)
	id = append(id, messagePrefix...)
	id = appendDigits(id, p.ms, timeDigits)
	id = appendDigits(id, p.number, numDigits)
	var chance [tailDigits]byte
	_, _ = rand.Read(chance[:]) // never fails; it ends the program instead
	for _, b := range chance {
		id = append(id, digits[b&31])
	}
	return string(id)
}

// parseMessageID reads the position; ok is false for everything newMessageID would not have made.
func parseMessageID(id string) (p position, ok bool) {
	if len(id) != idLen || !strings.HasPrefix(id, messagePrefix) {
		return position{}, false
	}
	rest := id[len(messagePrefix):]
	var okMS, okNumber, okTail bool
	p.ms, okMS = readDigits(rest[:timeDigits])
	p.number, okNumber = readDigits(rest[timeDigits : timeDigits+numDigits])
	_, okTail = readDigits(rest[timeDigits+numDigits:])
	if !okMS || !okNumber || !okTail || p.number < 1 {
		return position{}, false
	}
	return p, true
}

func appendDigits(dst []byte, value int64, n int) []byte {
	for shift := 5 * (n - 1); shift >= 0; shift -= 5 {
		dst = append(dst, digits[value>>shift&31])
	}
	return dst
}

func readDigits(s string) (value int64, ok bool) {
	for i := range len(s) {
		d := strings.IndexByte(digits, s[i])
		if d < 0 {
			return 0, false
		}
		value = value<<5 | int64(d)
	}
	return value, true
}

var base32Lower = base32.NewEncoding(digits).WithPadding(base32.NoPadding)

// newConversationID is random, or, with a clientId, always the same for its user: a repeated create
// finds the key taken by itself.
func newConversationID(user, clientID string) string {
	if clientID != "" {
		return conversationPrefix + digest("conversation", user, clientID)
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // as above
	return conversationPrefix + base32Lower.EncodeToString(b[:])
}

// digest names a list of strings with 128 bits. Each is preceded by its length, so that no two lists
// are written alike.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		n := len(p)
		_, _ = h.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) // a hash takes everything
		_, _ = h.Write([]byte(p))
	}
	return base32Lower.EncodeToString(h.Sum(nil)[:16])
}

// nextPosition follows p: the next number, and a time that is not before it whatever the clock says.
func (p position) next(now time.Time) position {
	return position{number: p.number + 1, ms: max(p.ms, now.UnixMilli())}
}
