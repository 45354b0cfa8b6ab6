package subjects

import "strings"

// A Class is the first token of a subject that carries an event to clients. It
// decides what happens to the event when a client is slow or away.
type Class uint8

// The classes. The zero Class is none of them.
const (
	Log   Class = iota + 1 // "lex": happened, stored, resumable, never dropped
	State                  // "state": a gauge, the latest wins
	Live                   // "live": passing, dropped first
)

// String returns the token, "" for a class that is none.
func (c Class) String() string {
	switch c {
	case Log:
		return "lex"
	case State:
		return "state"
	case Live:
		return "live"
	default:
		return ""
	}
}

// Subject builds the subject of an event of this class; see [Build].
func (c Class) Subject(kind Kind, id, event string) (string, error) {
	return Build(Subject{Class: c, Kind: kind, ID: id, Event: event})
}

// A Kind says what sort of thing an event is about, and with an id it names the
// room of those who see it.
type Kind string

// The kinds.
const (
	KindCase         Kind = "case"
	KindUser         Kind = "user" // every socket of that user
	KindConversation Kind = "conversation"
	KindDashboard    Kind = "dashboard" // id: a user
	KindPresence     Kind = "presence"  // id: the user who is present or not
	KindTeam         Kind = "team"
	KindRoom         Kind = "room"   // the generic rooms of join_room
	KindAll          Kind = "all"    // id: [AllID], nothing else
	KindMetric       Kind = "metric" // numbers for dashboards; no client may join
)

// AllID is the one id of [KindAll].
const AllID = "all"

// Valid reports whether k is one of the kinds.
func (k Kind) Valid() bool {
	switch k {
	case KindCase, KindUser, KindConversation, KindDashboard, KindPresence, KindTeam, KindRoom, KindAll, KindMetric:
		return true
	default:
		return false
	}
}

// Sizes in bytes.
const (
	MaxID    = 128 // of an id, before escaping
	MaxEvent = 128 // of an event name
)

// Subjects and prefixes to subscribe to or to build on.
const (
	AllLog   = "lex.>"
	AllState = "state.>"
	AllLive  = "live.>"

	CommandPrefix    = "cmd."
	HelloPrefix      = "hello."
	ServicePrefix    = "svc."
	ControlPrefix    = "ctl."
	DeadLetterPrefix = "deadletter."
)

// A Subject is an event's address, taken apart.
type Subject struct {
	Class Class
	Kind  Kind
	ID    string // not escaped
	Event string // the Socket.IO name: "document:uploaded"
}

// Build writes s as a NATS subject. Whatever the fields hold, the result has no
// wildcard, no space and exactly the tokens of s, or there is an error with the
// code INVALID_INPUT or INVALID_EVENT.
func Build(s Subject) (string, error) {
	if s.Class.String() == "" {
		return "", Errorf(CodeInvalidInput, "class %d is none of Log, State, Live", s.Class)
	}
	room, err := Room(s.Kind, s.ID)
	if err != nil {
		return "", err
	}
	if !ValidEvent(s.Event) {
		return "", invalidEvent(s.Event)
	}
	return s.Class.String() + "." + room + "." + eventToken(s.Event), nil
}

// Parse reads a subject that [Build] wrote and refuses every other. It allocates
// only for an escaped id and for an event name of several parts that is not
// declared in this package; [ParseRoute] never does.
func Parse(subject string) (Subject, error) {
	r, err := ParseRoute(subject)
	if err != nil {
		return Subject{}, err
	}
	id, err := Unescape(r.Room[len(r.Kind)+1:])
	if err != nil {
		return Subject{}, err
	}
	return Subject{Class: r.Class, Kind: r.Kind, ID: id, Event: r.Event()}, nil
}

// A Route is what an edge needs of a subject: parts of the subject itself.
type Route struct {
	Class      Class
	Kind       Kind
	Room       string // "case.123": the room key, see [Room]
	EventToken string // "document.uploaded"
}

// Event returns the Socket.IO name: "document:uploaded". It allocates only for a
// name of several parts that is not declared in this package.
func (r Route) Event() string { return eventName(r.EventToken) }

// ParseRoute validates all of subject, exactly as [Parse] does, and returns its
// parts without an allocation.
func ParseRoute(subject string) (Route, error) {
	token, rest, _ := strings.Cut(subject, ".")
	r := Route{Class: classOf(token)}
	if r.Class == 0 {
		return Route{}, Errorf(CodeInvalidInput, "subject %q begins with none of lex, state, live", subject)
	}
	kind, tail, ok := strings.Cut(rest, ".")
	id, event, more := strings.Cut(tail, ".")
	r.Kind = Kind(kind)
	if !ok || !more || !validRoom(r.Kind, id) {
		return Route{}, Errorf(CodeInvalidInput, "subject %q names no room: want %s.<kind>.<escaped id>.<event>", subject, token)
	}
	if !validName(event, '.') {
		return Route{}, Errorf(CodeInvalidEvent, "subject %q ends in no event name", subject)
	}
	r.Room = rest[:len(kind)+1+len(id)]
	r.EventToken = event
	return r, nil
}

func classOf(token string) Class {
	switch token {
	case "lex":
		return Log
	case "state":
		return State
	case "live":
		return Live
	default:
		return 0
	}
}

// Room returns the room's key, "case.123": two tokens, the id escaped. Edges
// index their members by it, and it travels in Lex-Join and Lex-Leave.
func Room(kind Kind, id string) (string, error) {
	if !kind.Valid() {
		return "", Errorf(CodeInvalidInput, "kind %.64q is unknown", string(kind))
	}
	if kind == KindAll && id != AllID {
		return "", Errorf(CodeInvalidInput, "kind all has the one id %q", AllID)
	}
	token, err := Escape(id)
	if err != nil {
		return "", err
	}
	return string(kind) + "." + token, nil
}

// ParseRoom reads a key that [Room] wrote and refuses every other.
func ParseRoom(room string) (Kind, string, error) {
	kind, token, _ := strings.Cut(room, ".")
	if !validRoom(Kind(kind), token) {
		return "", "", Errorf(CodeInvalidInput, "%.512q is not a room: want <kind>.<escaped id>", room)
	}
	id, err := Unescape(token)
	return Kind(kind), id, err
}

func validRoom(kind Kind, token string) bool {
	return kind.Valid() && (kind != KindAll || token == AllID) && unescapedLen(token) > 0
}

// CommandSubject returns the subject that carries a client's event to the
// service behind it: "cmd.notification.mark-read".
func CommandSubject(event string) (string, error) {
	if !ValidEvent(event) {
		return "", invalidEvent(event)
	}
	return CommandPrefix + eventToken(event), nil
}

func invalidEvent(event string) *Error {
	return Errorf(CodeInvalidEvent,
		"%.160q is not an event name: letters, digits, _ and - in parts joined by colons, %d bytes at most, no name Socket.IO reserves",
		event, MaxEvent)
}
