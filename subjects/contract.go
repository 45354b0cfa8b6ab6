package subjects

import (
	"cmp"
	"context"
	"encoding/json"
	"reflect"
	"slices"

	"github.com/nats-io/nats.go"
)

//go:generate go run ./generate -root ..

// This file is the machinery of declarations; the declarations themselves stand
// beside their payload types in cases.go, notifications.go and so on. Each ties a
// Socket.IO name to a Go type exactly once: a second one panics at start.

// An Event is published on the bus and reaches the clients in its room.
type Event[T any] struct {
	name  string
	class Class
	kind  Kind
}

// A SocketEvent goes to a single socket and never over the bus as a subject of its
// own: the edge sends it, or a service puts it into a [Reply].
type SocketEvent[T any] struct{ name string }

// A Command is what a client emits; the ack is a Resp, or an error.
type Command[Req, Resp any] struct{ name string }

// A Role tells declarations apart.
type Role string

// The roles.
const (
	RoleEvent   Role = "event"   // [Event]
	RoleSocket  Role = "socket"  // [SocketEvent]
	RoleCommand Role = "command" // [Command]
)

// A Declaration describes one declared name, for generators and documentation.
type Declaration struct {
	Name       string
	Role       Role
	Class      Class        // events only
	Kind       Kind         // events only: the usual kind of room
	Namespaces []string     // shared, do not change; without the aliases
	Payload    reflect.Type // the event's payload or the command's request
	Ack        reflect.Type // commands only
	AtEdge     bool         // commands only: answered by the edge itself, no service is asked
}

var (
	declarations  []Declaration
	declaredNames = map[string]string{} // event token → name, for eventName
)

// Declarations returns all declared names, sorted by name and role. A name may be
// both an event and a command ("typing:start").
func Declarations() []Declaration {
	all := slices.Clone(declarations)
	slices.SortFunc(all, func(a, b Declaration) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Role, b.Role))
	})
	return all
}

// declare runs while package variables are initialised, so its panics are seen by
// whoever wrote the declaration and by nobody else.
func declare(d Declaration) {
	if !ValidEvent(d.Name) {
		panic("subjects: " + d.Name + " is not an event name")
	}
	for _, other := range declarations {
		if other.Name == d.Name && (other.Role == RoleCommand) == (d.Role == RoleCommand) {
			panic("subjects: " + d.Name + " is declared twice")
		}
	}
	if d.Namespaces == nil {
		d.Namespaces = Namespaces(d.Name)
	}
	declarations = append(declarations, d)
	declaredNames[eventToken(d.Name)] = d.Name
}

func event[T any](name string, class Class, kind Kind) Event[T] {
	declare(Declaration{Name: name, Role: RoleEvent, Class: class, Kind: kind, Payload: reflect.TypeFor[T]()})
	return Event[T]{name: name, class: class, kind: kind}
}

func socketEvent[T any](name string, namespaces []string) SocketEvent[T] {
	declare(Declaration{Name: name, Role: RoleSocket, Namespaces: namespaces, Payload: reflect.TypeFor[T]()})
	return SocketEvent[T]{name: name}
}

func command[Req, Resp any](name string) Command[Req, Resp] {
	declare(Declaration{
		Name: name, Role: RoleCommand,
		Payload: reflect.TypeFor[Req](), Ack: reflect.TypeFor[Resp](),
	})
	return Command[Req, Resp]{name: name}
}

func edgeCommand[Req, Resp any](name string, namespaces []string) Command[Req, Resp] {
	declare(Declaration{
		Name: name, Role: RoleCommand, Namespaces: namespaces, AtEdge: true,
		Payload: reflect.TypeFor[Req](), Ack: reflect.TypeFor[Resp](),
	})
	return Command[Req, Resp]{name: name}
}

// Name returns the Socket.IO name.
func (e Event[T]) Name() string { return e.name }

// Class returns the class it is published under.
func (e Event[T]) Class() Class { return e.class }

// Kind returns the kind of room it is published to.
func (e Event[T]) Kind() Kind { return e.kind }

// To returns the same event for rooms of another kind: SystemAlert.To(KindUser)
// warns one user instead of everybody.
func (e Event[T]) To(kind Kind) Event[T] {
	e.kind = kind
	return e
}

// Subject returns the event's subject in one room of its kind.
func (e Event[T]) Subject(id string) (string, error) { return e.class.Subject(e.kind, id, e.name) }

// Filter returns the subject that matches the event in every room of its kind.
func (e Event[T]) Filter() string {
	return e.class.String() + "." + string(e.kind) + ".*." + eventToken(e.name)
}

// Publish sends payload to the room <kind>.<id>. For an event of class [Log] it
// returns after the log has stored it, with its sequence; others are handed to the
// connection and have the sequence 0. A ctx without deadline waits 5 s.
func (e Event[T]) Publish(ctx context.Context, pub *Publisher, id string, payload T, opts ...PublishOption) (seq uint64, err error) {
	body, err := encode(e.name, payload)
	if err != nil {
		return 0, err
	}
	return pub.Publish(ctx, Subject{Class: e.class, Kind: e.kind, ID: id, Event: e.name}, body, opts...)
}

// Decode reads a payload. Additional keys are ignored, missing ones stay zero.
func (e Event[T]) Decode(data []byte) (T, error) { return decode[T](e.name, data) }

// Emit returns the event for the [Reply] to one socket.
func (e Event[T]) Emit(payload T) (Emit, error) { return emit(e.name, payload) }

// Name returns the Socket.IO name.
func (e SocketEvent[T]) Name() string { return e.name }

// Emit returns the event for the [Reply] to one socket.
func (e SocketEvent[T]) Emit(payload T) (Emit, error) { return emit(e.name, payload) }

// Name returns the Socket.IO name.
func (c Command[Req, Resp]) Name() string { return c.name }

// Subject returns where the service behind the command listens.
func (c Command[Req, Resp]) Subject() string { return CommandPrefix + eventToken(c.name) }

// Decode reads a request; what is not JSON of its type is INVALID_INPUT. No
// argument at all gives the zero Req.
func (c Command[Req, Resp]) Decode(data []byte) (Req, error) {
	if len(data) == 0 || string(data) == "null" {
		var none Req
		return none, nil
	}
	return decode[Req](c.name, data)
}

// Call sends the command as the edge would and returns the ack. Errors are those
// of [Request]. It is for services, commands and tests; events and rooms in the
// reply are lost on it.
func (c Command[Req, Resp]) Call(ctx context.Context, nc *nats.Conn, caller Caller, req Req) (Resp, error) {
	var resp Resp
	body, err := encode(c.name, req)
	if err != nil {
		return resp, err
	}
	msg, err := Request(ctx, nc, c.Subject(), caller, body)
	if err != nil {
		return resp, err
	}
	reply, err := ParseReply(msg)
	if err != nil {
		return resp, err
	}
	if err := json.Unmarshal(reply.Ack, &resp); err != nil {
		return resp, Errorf(CodeInternal, "the ack of %s is not understood: %w", c.name, err)
	}
	return resp, nil
}

func encode(name string, payload any) ([]byte, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return nil, Errorf(CodeInvalidInput, "%s cannot be written as JSON: %w", name, err)
	}
	return body, nil
}

func decode[T any](name string, data []byte) (T, error) {
	var payload T
	if err := json.Unmarshal(data, &payload); err != nil {
		return payload, Errorf(CodeInvalidInput, "the payload of %s is not understood: %w", name, err)
	}
	return payload, nil
}

func emit(name string, payload any) (Emit, error) {
	body, err := encode(name, payload)
	return Emit{Event: name, Data: body}, err
}
