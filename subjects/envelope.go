package subjects

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// Headers of messages on the bus. Headers beginning with Nats- that a publisher
// sets can be forged; those beginning with Lex- on cmd. and hello. come from edges
// alone, because only edges may publish there.
const (
	HeaderMsgID     = "Nats-Msg-Id"             // unique name of the message; the log stores it once in two minutes
	HeaderError     = "Nats-Service-Error"      // reply: what went wrong, in words
	HeaderErrorCode = "Nats-Service-Error-Code" // reply: its [Code]
	HeaderTrace     = "traceparent"             // W3C trace context
	HeaderExcept    = "Lex-Except"              // event: a socket id, or user.<escaped id>, that does not get it
	HeaderJoin      = "Lex-Join"                // reply: rooms the socket enters, before the ack; comma-separated keys
	HeaderLeave     = "Lex-Leave"               // reply: rooms the socket leaves
	HeaderEvents    = "Lex-Events"              // reply: "1" says that the body is a [Reply], not the bare ack
	HeaderUser      = "Lex-User"                // request: the user of the verified token
	HeaderSocket    = "Lex-Socket"              // request: the Socket.IO sid
	HeaderEdge      = "Lex-Edge"                // request: the edge that asks
	HeaderScope     = "Lex-Scope"               // request: the token's scope
	HeaderDeadline  = "Lex-Deadline"            // request: until when it is worth carrying out; Unix milliseconds
	HeaderService   = "Lex-Service"             // reply: the service that answered
	HeaderSubject   = "Lex-Subject"             // dead letter: the subject it came on
	HeaderOrigin    = "Lex-Origin"              // dead letter: its stream and sequence, if it had them
	HeaderSize      = "Lex-Size"                // dead letter: the payload's size in bytes before it was cut
)

// A Caller is on whose behalf a request is made. Its fields come from a verified
// token, never from a payload.
type Caller struct {
	User   string // not escaped
	Socket string
	Edge   string
	Scope  string // words separated by spaces
}

// SetHeaders writes c into h. A value that a header line would not carry unchanged
// (line breaks, surrounding space) is left out: a service then sees no user, which
// it must refuse, and never another one.
func (c Caller) SetHeaders(h nats.Header) {
	for _, f := range [...]struct{ key, value string }{
		{HeaderUser, c.User}, {HeaderSocket, c.Socket}, {HeaderEdge, c.Edge}, {HeaderScope, c.Scope},
	} {
		if f.value != "" && headerSafe(f.value) {
			h[f.key] = []string{f.value}
		} else {
			delete(h, f.key)
		}
	}
}

// CallerOf reads the caller of a request. An empty User means that nobody is
// known to have asked.
func CallerOf(h nats.Header) Caller {
	return Caller{User: h.Get(HeaderUser), Socket: h.Get(HeaderSocket), Edge: h.Get(HeaderEdge), Scope: h.Get(HeaderScope)}
}

func headerSafe(value string) bool {
	return !strings.ContainsAny(value, "\r\n") && strings.TrimSpace(value) == value
}

// A Reply answers a request on cmd. or hello. The edge applies it in this order:
// rooms joined, rooms left, the ack, the events.
type Reply struct {
	Ack    json.RawMessage `json:"ack,omitempty"`    // any JSON; empty means {"success":true}
	Events []Emit          `json:"events,omitempty"` // for the asking socket alone

	Join  []string `json:"-"` // room keys, in Lex-Join
	Leave []string `json:"-"` // room keys, in Lex-Leave
}

// An Emit is an event for one socket.
type Emit struct {
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

var defaultAck = json.RawMessage(`{"success":true}`)

// ParseReply reads a reply in either form and checks everything in it, so that
// nothing a service got wrong travels further: it is INTERNAL.
func ParseReply(msg *nats.Msg) (Reply, error) {
	var r Reply
	if !utf8.Valid(msg.Data) {
		return Reply{}, Errorf(CodeInternal, "a reply of %d bytes is not UTF-8", len(msg.Data))
	}
	if msg.Header.Get(HeaderEvents) != "" {
		if err := json.Unmarshal(msg.Data, &r); err != nil {
			return Reply{}, Errorf(CodeInternal, "the reply on %s is not understood: %w", msg.Subject, err)
		}
	} else if len(msg.Data) > 0 {
		if !json.Valid(msg.Data) {
			return Reply{}, Errorf(CodeInternal, "a reply of %d bytes is not JSON", len(msg.Data))
		}
		r.Ack = msg.Data
	}
	if len(r.Ack) == 0 {
		r.Ack = defaultAck
	}
	err := checkEvents(r.Events)
	if err != nil {
		return Reply{}, err
	}
	if r.Join, err = roomsIn(msg.Header, HeaderJoin); err != nil {
		return Reply{}, err
	}
	r.Leave, err = roomsIn(msg.Header, HeaderLeave)
	return r, err
}

// checkEvents refuses what no client may get: an event whose last argument is a
// string would be taken for a cursor of the log.
func checkEvents(events []Emit) error {
	for _, e := range events {
		if !ValidEvent(e.Event) {
			return Errorf(CodeInternal, "a reply carries an event without a valid name: %w", invalidEvent(e.Event))
		}
		if !isObject(e.Data) {
			return Errorf(CodeInternal, "the data of %s in a reply is not a JSON object", e.Event)
		}
	}
	return nil
}

func roomsIn(h nats.Header, key string) ([]string, error) {
	var rooms []string
	for _, line := range h.Values(key) {
		for room := range strings.SplitSeq(line, ",") {
			if room = strings.TrimSpace(room); room == "" {
				continue
			}
			if _, _, err := ParseRoom(room); err != nil {
				return nil, Errorf(CodeInternal, "%s of a reply: %w", key, err)
			}
			rooms = append(rooms, room)
		}
	}
	return rooms, nil
}

// Encode returns the body and the headers that say r, for any way of responding:
// req.Respond(body, micro.WithHeaders(micro.Headers(header))).
func (r Reply) Encode() (body []byte, header nats.Header, err error) {
	header = nats.Header{}
	for key, rooms := range map[string][]string{HeaderJoin: r.Join, HeaderLeave: r.Leave} {
		for _, room := range rooms {
			if _, _, err := ParseRoom(room); err != nil {
				return nil, nil, Errorf(CodeInternal, "%s: %w", key, err)
			}
		}
		if len(rooms) > 0 {
			header[key] = []string{strings.Join(rooms, ",")}
		}
	}
	if len(r.Events) == 0 {
		return r.Ack, header, nil
	}
	if err := checkEvents(r.Events); err != nil {
		return nil, nil, err
	}
	header[HeaderEvents] = []string{"1"}
	if body, err = json.Marshal(r); err != nil {
		return nil, nil, Errorf(CodeInternal, "a reply cannot be written as JSON: %w", err)
	}
	return body, header, nil
}

// ErrorOf returns the error that a reply carries in its headers, nil if none. A
// code that may not cross the bus becomes INTERNAL.
func ErrorOf(msg *nats.Msg) error {
	code, text := Code(msg.Header.Get(HeaderErrorCode)), msg.Header.Get(HeaderError)
	if code == "" && text == "" {
		return nil
	}
	if !code.Valid() {
		code = CodeInternal
	}
	if text == "" {
		text = "the service gave no reason"
	}
	return &Error{Code: code, Message: text}
}
