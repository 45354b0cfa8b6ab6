package edge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lexiflow/realtime/subjects"
)

// AccessMode says who may watch a case.
type AccessMode uint8

const (
	// AccessMember lets a token's scope decide: "case:123" or "case:*". It is the default.
	AccessMember AccessMode = iota
	// AccessOpen lets every authenticated user watch every case, as the original did.
	AccessOpen
)

// ParseAccess reads the value of --access.
func ParseAccess(value string) (AccessMode, error) {
	switch value {
	case "member":
		return AccessMember, nil
	case "open":
		return AccessOpen, nil
	}
	return 0, fmt.Errorf("%q: member or open is allowed", value)
}

func (m AccessMode) String() string {
	if m == AccessOpen {
		return "open"
	}
	return "member"
}

// mayEnter reports whether a client may ask for this room by itself. Rooms of all other kinds are
// entered through a service's reply (Lex-Join) alone.
func (m AccessMode) mayEnter(who *identity, kind subjects.Kind, id string) bool {
	switch kind {
	case subjects.KindRoom:
		return true
	case subjects.KindUser:
		return id == who.user
	case subjects.KindCase:
		return m == AccessOpen || hasScope(who.scope, string(kind), id)
	}
	return false
}

// accessList is who may enter one room: the whole state, as access:changed announces it.
type accessList subjects.AccessChangedEvent

// admits lets the list and the token's scope decide together: deny beats allow, from wherever.
func (l accessList) admits(who *identity, kind subjects.Kind, id string) bool {
	if slices.Contains(l.Deny, who.user) {
		return false
	}
	return slices.Contains(l.Allow, who.user) || hasScope(who.scope, string(kind), id)
}

// hasScope looks for "kind:id" or "kind:*" among the space-separated words of a scope claim (RFC 8693,
// section 4.2).
func hasScope(scope, kind, id string) bool {
	for word := range strings.FieldsSeq(scope) {
		k, what, ok := strings.Cut(word, ":")
		if ok && k == kind && (what == "*" || what == id) {
			return true
		}
	}
	return false
}
