package main

import (
	"reflect"

	"github.com/lexiflow/realtime/subjects"
)

// This file is what crosses the bus without a declaration of its own: undeclared
// events and commands, hello, the queue of notifications, what services ask each
// other, and what edges tell about connections.

const busDescription = `Microservices say what happened to a case; every browser that may know sees it at once. This document is written from
the side of a microservice: it **sends** events, **receives** commands and answers them.

- ` + "`lex.<kind>.<id>.<event>`" + ` happened: stored, in one total order, resumable. ` + "`state.…`" + ` is a gauge: the latest wins.
  ` + "`live.…`" + ` passes: dropped first, never stored. The event ` + "`document:uploaded`" + ` is ` + "`document.uploaded`" + ` in a subject.
- ` + "`<kind>.<id>`" + ` is the room of those who see it. An id keeps A-Z, a-z, 0-9, _ and -; every other byte is = and two upper-case
  hexadecimal digits (` + "`auth0|7`" + ` is ` + "`auth0=7C7`" + `).
- Nothing needs to be declared here: any event on such a subject reaches its room, and any service that listens on
  ` + "`cmd.<event>`" + ` has made that event a command.
- A payload is a JSON object. Further keys are always allowed, and enums may grow. An edge adds ` + "`timestamp`" + ` and, in the room
  of a case, ` + "`caseId`" + ` where they are absent.
- A command is never repeated by an edge. No answer within 5 s means "perhaps done".`

// The names of headers' schemas.
const (
	eventHeaders   = "EventHeaders"
	requestHeaders = "RequestHeaders"
	replyHeaders   = "ReplyHeaders"
	errorHeaders   = "ErrorHeaders"
)

// refusedMessage is the reply that says no.
const refusedMessage = "refused"

// furtherTypes are payloads of what is not declared.
func furtherTypes() []reflect.Type {
	return []reflect.Type{
		refusalType,
		reflect.TypeFor[subjects.Reply](),
		reflect.TypeFor[subjects.FigureChange](),
		reflect.TypeFor[subjects.Notice](), reflect.TypeFor[subjects.NotifyRequest](), reflect.TypeFor[subjects.NotifyAccepted](),
		reflect.TypeFor[subjects.PresenceGetRequest](), reflect.TypeFor[subjects.PresenceGetReply](),
		reflect.TypeFor[subjects.ConnBatch](), reflect.TypeFor[subjects.ConnSnapshot](), reflect.TypeFor[subjects.EdgeLease](),
	}
}

// An exchange is a channel with its messages and what a microservice does there.
type exchange struct {
	id, address, doc  string
	params            []string
	messages          map[string]message // new ones
	carries           []string
	action, operation string
	summary           string
	answers           []string // messages of the reply, if there is one
}

func exchanges() []exchange {
	return append(append(openExchanges(), serviceExchanges()...), edgeExchanges()...)
}

// openExchanges are for names that nobody has declared.
func openExchanges() []exchange {
	anything := &schema{Type: "object", AdditionalProperties: true}
	var all []exchange
	for _, class := range []struct{ class, doc string }{
		{"lex", "Any event that happened. The log stores it before the publish is acknowledged."},
		{"state", "Any gauge: a waiting older one of the same room and event is replaced."},
		{"live", "Anything that passes: dropped first for a slow reader."},
	} {
		id := "event.undeclared." + class.class
		all = append(all, exchange{
			id: class.class, address: class.class + ".{kind}.{id}.{event}", doc: class.doc, params: []string{"kind", "id", "event"},
			messages: map[string]message{id: {Name: "an undeclared event", Headers: refTo(eventHeaders), Payload: anything, Tags: tagged(class.class)}},
			carries:  []string{id}, action: "send", operation: "send." + class.class, summary: "Tell the clients in a room anything.",
		})
	}
	return append(
		all,
		exchange{
			id: "cmd", address: subjects.CommandPrefix + "{event}", params: []string{"event"},
			doc: "Any event that clients emit and no edge answers itself. The reply is the ack.",
			messages: map[string]message{
				"request.undeclared": {Name: "an undeclared command", Headers: refTo(requestHeaders), Payload: &schema{}, Tags: tagged("command")},
				"ack.undeclared": {
					Name: "an ack", Headers: refTo(replyHeaders), Payload: &schema{}, Tags: tagged("ack"),
					Description: "Any JSON; nothing at all is `{\"success\":true}`.",
				},
				"reply": {
					Name: "a reply with events", Headers: refTo(replyHeaders), Payload: refTo("Reply"), Tags: tagged("ack"),
					Description: "Any ack, and events for the asking socket, with the header `Lex-Events: 1`.",
				},
				refusedMessage: {
					Name: "a refusal", Headers: refTo(errorHeaders), Tags: tagged("ack"),
					Description: "The command was not carried out. The client's ack becomes `{\"success\":false,\"error\",\"code\"}`, see the schema `Refusal`.",
				},
			},
			carries: []string{"request.undeclared"}, action: "receive", operation: "answer",
			summary: "Answer a client that emits anything.", answers: []string{"ack.undeclared", "reply", refusedMessage},
		},
		exchange{
			id: "hello", address: subjects.HelloPrefix + "{namespace}", params: []string{"namespace"},
			doc: "Asked by an edge for every fresh socket, and again after it lost the bus. Any number of services may answer.",
			messages: map[string]message{
				"hello": {Name: "hello", Headers: refTo(requestHeaders), Tags: tagged("hello"), Description: "Who has connected is in the headers."},
			},
			carries: []string{"hello"}, action: "receive", operation: "answer.hello",
			summary: "Say which rooms a fresh socket enters and what it gets first.", answers: []string{"reply", refusedMessage},
		},
		exchange{
			id: "lex.metric", address: "lex." + string(subjects.KindMetric) + ".{scope}.{figure}", params: []string{"scope", "figure"},
			doc: "Figures for dashboards that the log cannot tell.",
			messages: map[string]message{
				"figure": {Name: "figure", Headers: refTo(eventHeaders), Payload: refTo("FigureChange"), Tags: tagged("lex")},
			},
			carries: []string{"figure"}, action: "send", operation: "send.metric", summary: "Announce a figure.",
		},
	)
}

// serviceExchanges are what services ask each other.
func serviceExchanges() []exchange {
	return []exchange{
		{
			id: "notify.user", address: subjects.NotifyUserPrefix + "{user}", params: []string{"user"},
			doc: "The queue of notifications to one user; notifyd takes each once.",
			messages: map[string]message{
				"notice": {Name: "notice", Headers: refTo(eventHeaders), Payload: refTo("Notice"), Tags: tagged("notify")},
			},
			carries: []string{"notice"}, action: "send", operation: "notify.user", summary: "Notify one user.",
		},
		{
			id: "notify.many", address: subjects.NotifyMany, doc: "The same to an audience, each of its members once.",
			messages: map[string]message{
				"notice.many": {Name: "notice to an audience", Headers: refTo(eventHeaders), Payload: refTo("NotifyRequest"), Tags: tagged("notify")},
			},
			carries: []string{"notice.many"}, action: "send", operation: "notify.many", summary: "Notify an audience.",
		},
		{
			id: "svc.notify.send", address: subjects.NotifySend, doc: "The queue in the form of a request, which answers with errors.",
			messages: map[string]message{
				"notify.request":  {Name: "notify request", Headers: refTo(eventHeaders), Payload: refTo("NotifyRequest"), Tags: tagged("svc")},
				"notify.accepted": {Name: "notify accepted", Payload: refTo("NotifyAccepted"), Tags: tagged("svc")},
			},
			carries: []string{"notify.request"}, action: "send", operation: "ask.notify.send",
			summary: "Notify, and learn whether it was taken.", answers: []string{"notify.accepted", refusedMessage},
		},
		{
			id: "svc.presence.get", address: subjects.PresenceGet, doc: "Who is here, of up to a thousand users.",
			messages: map[string]message{
				"presence.request": {Name: "presence request", Payload: refTo("PresenceGetRequest"), Tags: tagged("svc")},
				"presence.reply":   {Name: "presence reply", Payload: refTo("PresenceGetReply"), Tags: tagged("svc")},
			},
			carries: []string{"presence.request"}, action: "send", operation: "ask.presence.get",
			summary: "Ask who is here.", answers: []string{"presence.reply", refusedMessage},
		},
	}
}

// edgeExchanges are what edges tell about connections. The rest of ctl. is between
// edges alone.
func edgeExchanges() []exchange {
	ask := func(name, doc, payload string) exchange {
		return exchange{
			id: "ctl.edge." + name, address: subjects.ControlPrefix + "edge.{edge}." + name, params: []string{"edge"}, doc: doc,
			messages: map[string]message{
				"edge." + name + ".request": {Name: name + " request", Tags: tagged("ctl")},
				"edge." + name + ".reply":   {Name: name, Payload: refTo(payload), Tags: tagged("ctl")},
			},
			carries: []string{"edge." + name + ".request"}, action: "send", operation: "ask.edge." + name,
			summary: doc, answers: []string{"edge." + name + ".reply"},
		}
	}
	return []exchange{
		{
			id: "ctl.conn", address: subjects.ControlPrefix + "conn.{edge}", params: []string{"edge"},
			doc: "What changed among an edge's sockets, in numbered batches. A gap is repaired by asking for the whole.",
			messages: map[string]message{
				"connections.batch": {Name: "batch", Payload: refTo("ConnBatch"), Tags: tagged("ctl")},
			},
			carries: []string{"connections.batch"}, action: "receive", operation: "hear.connections", summary: "Hear who connects and leaves.",
		},
		ask("connections", "All sockets of an edge.", "ConnSnapshot"),
		ask("alive", "Whether an edge lives.", "EdgeLease"),
	}
}

// parameters are what stands in braces in an address.
func parameters() map[string]parameter {
	id := func(of string, examples ...string) parameter {
		return parameter{Description: "The id of " + of + ", escaped.", Examples: examples}
	}
	return map[string]parameter{
		"case":         id("a case", "123"),
		"user":         id("a user", "u1", "auth0=7C7"),
		"conversation": id("a conversation", "c1"),
		"dashboard":    id("the user whose dashboard it is", "u1"),
		"presence":     id("the user who is present or not", "u1"),
		"team":         id("a team", "t1"),
		"room":         id("a generic room", "chat-123"),
		"id":           id("what it is about", "123"),
		"edge":         id("an edge"),
		"kind":         {Description: "What it is about.", Enum: kinds()},
		"event":        {Description: "The event's name with . for :", Examples: []string{"invoice.sent"}},
		"namespace": {
			Description: "The Socket.IO namespace of the socket, without its slash.",
			Enum:        []string{"events", "notifications", "dashboard", "messaging", "root", "ws"},
		},
		"scope":  {Description: "Whose figure it is, escaped: firm, team:<id> or user:<id>.", Examples: []string{"firm", "team=3At1"}},
		"figure": {Description: "The figure's name.", Examples: []string{"revenue", "billable-hours"}},
	}
}

func kinds() (names []string) {
	for _, k := range []subjects.Kind{
		subjects.KindCase, subjects.KindUser, subjects.KindConversation, subjects.KindDashboard,
		subjects.KindPresence, subjects.KindTeam, subjects.KindRoom, subjects.KindAll, subjects.KindMetric,
	} {
		names = append(names, string(k))
	}
	return names
}

// headerSchemas describe the headers that matter to a microservice.
func headerSchemas() map[string]*schema {
	header := func(key, doc string) property {
		return property{key, &schema{Type: "string", Description: doc}}
	}
	trace := header(subjects.HeaderTrace, "W3C trace context, passed on.")
	object := func(doc string, required []string, keys ...property) *schema {
		return &schema{Type: "object", Description: doc, Properties: keys, Required: required, AdditionalProperties: true}
	}
	return map[string]*schema{
		eventHeaders: object("Headers of an event.", nil,
			header(subjects.HeaderMsgID, "The message's name. The log stores a name once in two minutes, so that repeating a publish is safe."),
			header(subjects.HeaderExcept, "A socket id, or `user.<escaped id>`, that does not get it."),
			trace),
		requestHeaders: object("Headers of what an edge asks: on whose behalf, from the verified token.", []string{subjects.HeaderUser},
			header(subjects.HeaderUser, "The user, not escaped."),
			header(subjects.HeaderSocket, "The Socket.IO sid."),
			header(subjects.HeaderEdge, "The edge that asks."),
			header(subjects.HeaderScope, "What the token allows: words separated by spaces."),
			trace),
		replyHeaders: object("Headers of a reply, in the order in which the edge applies them: rooms, then the ack, then events.", nil,
			header(subjects.HeaderJoin, "Rooms that the socket enters: `<kind>.<escaped id>`, comma-separated."),
			header(subjects.HeaderLeave, "Rooms that the socket leaves."),
			header(subjects.HeaderEvents, "`1` says that the body is a `Reply` and not the bare ack."),
			header(subjects.HeaderService, "The service that answered.")),
		errorHeaders: object("Headers of a refusal.", []string{subjects.HeaderErrorCode},
			header(subjects.HeaderError, "What went wrong, in words that a client may see."),
			property{subjects.HeaderErrorCode, refTo("Code")}),
	}
}
