package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/lexiflow/realtime/subjects"
)

// An asyncAPI is the document of everything on the bus, as a microservice sees it: it
// sends events and receives commands.
type asyncAPI struct {
	AsyncAPI           string               `json:"asyncapi"`
	Info               info                 `json:"info"`
	DefaultContentType string               `json:"defaultContentType"`
	Servers            map[string]server    `json:"servers"`
	Channels           map[string]channel   `json:"channels"`
	Operations         map[string]operation `json:"operations"`
	Components         components           `json:"components"`
}

type info struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description"`
}

type server struct {
	Host        string `json:"host"`
	Protocol    string `json:"protocol"`
	Description string `json:"description"`
}

type reference struct {
	Ref string `json:"$ref"`
}

type channel struct {
	Address     *string              `json:"address"`
	Description string               `json:"description,omitempty"`
	Messages    map[string]reference `json:"messages"`
	Parameters  map[string]reference `json:"parameters,omitempty"`
}

type operation struct {
	Action   string      `json:"action"`
	Channel  reference   `json:"channel"`
	Summary  string      `json:"summary,omitempty"`
	Messages []reference `json:"messages,omitempty"`
	Reply    *reply      `json:"reply,omitempty"`
}

type reply struct {
	Channel  reference   `json:"channel"`
	Messages []reference `json:"messages"`
}

type components struct {
	Schemas    map[string]*schema   `json:"schemas"`
	Messages   map[string]message   `json:"messages"`
	Parameters map[string]parameter `json:"parameters"`
}

type message struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Headers     *schema   `json:"headers,omitempty"`
	Payload     *schema   `json:"payload,omitempty"`
	SocketIO    *socketIO `json:"x-socketio,omitempty"`
	Tags        []tag     `json:"tags,omitempty"`
}

// socketIO says how a message looks from a browser.
type socketIO struct {
	Event      string   `json:"event"`
	Namespaces []string `json:"namespaces"`
}

type tag struct {
	Name string `json:"name"`
}

type parameter struct {
	Description string   `json:"description"`
	Enum        []string `json:"enum,omitempty"`
	Examples    []string `json:"examples,omitempty"`
}

// replyChannel is the inbox of whoever asks: NATS makes up its subject.
const replyChannel = "reply"

// asyncAPIDocument returns the document as JSON.
func asyncAPIDocument(m *model) (string, error) {
	schemas, err := m.schemas()
	if err != nil {
		return "", err
	}
	maps.Copy(schemas, headerSchemas())
	d := &document{model: m, asyncAPI: asyncAPI{
		AsyncAPI: "3.0.0",
		Info: info{
			Title: "LexiFlow Realtime: the bus", Version: "1.0.0", Description: busDescription,
		},
		DefaultContentType: "application/json",
		Servers: map[string]server{"local": {
			Host: "127.0.0.1:4222", Protocol: "nats",
			Description: "What `lexiflow up` and `lexiflow nats` serve. In production it is your own NATS cluster.",
		}},
		Channels:   map[string]channel{replyChannel: {Description: "The inbox of whoever asks.", Messages: map[string]reference{}}},
		Operations: map[string]operation{},
		Components: components{Schemas: schemas, Messages: map[string]message{}, Parameters: parameters()},
	}}
	for _, decl := range m.declarations {
		d.declare(decl)
	}
	for _, e := range exchanges() {
		d.exchange(e)
	}
	return d.text()
}

// A document is an AsyncAPI document that is being made.
type document struct {
	asyncAPI
	model *model
}

// text writes the document with two spaces of indentation.
func (d *document) text() (string, error) {
	compact, err := marshal(d.asyncAPI)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		return "", err
	}
	return b.String() + "\n", nil
}

// declare adds a declared name: its messages, and its channel and operation if it
// crosses the bus.
func (d *document) declare(decl declaration) {
	wire := &socketIO{Event: decl.Name, Namespaces: decl.Namespaces}
	if decl.Name == hiddenEvent {
		wire = nil
	}
	doc, token := d.model.describe(d.model.docOfName(decl)), tokenOf(decl.Name)
	switch decl.Role {
	case subjects.RoleEvent:
		id := "event." + token
		address, room := eventAddress(decl)
		on := decl.Class.String() + "." + token
		d.message(id, message{
			Name: decl.Name, Description: doc, Headers: refTo(eventHeaders), Payload: payloadOf(decl.Payload),
			SocketIO: wire, Tags: tagged(decl.Class.String()),
		})
		d.channel(on, address, "", room, id)
		d.operation("send."+token, operation{
			Action: "send", Channel: channelRef(on), Summary: "Tell the clients in the room `" + decl.Name + "`.",
		})
	case subjects.RoleSocket:
		d.message("event."+token, message{
			Name: decl.Name, Payload: payloadOf(decl.Payload), SocketIO: wire, Tags: tagged("socket"),
			Description: join(doc, "For one socket alone: in a `Reply`, or by the edge itself."),
		})
	default:
		d.command(decl, wire, doc)
	}
}

func (d *document) command(decl declaration, wire *socketIO, doc string) {
	token := tokenOf(decl.Name)
	request := message{Name: decl.Name, Description: doc, Payload: payloadOf(decl.Payload), SocketIO: wire, Tags: tagged("command")}
	ack := message{Name: decl.Name + " ack", Payload: payloadOf(decl.Ack), SocketIO: wire, Tags: tagged("ack")}
	if decl.AtEdge {
		request.Description = join(doc, "Answered by the edge itself; it does not cross the bus.")
	} else {
		request.Headers, ack.Headers = refTo(requestHeaders), refTo(replyHeaders)
	}
	d.message("request."+token, request)
	d.message("ack."+token, ack)
	if decl.AtEdge {
		return
	}
	d.channel("cmd."+token, subjects.CommandPrefix+token, "", nil, "request."+token)
	d.operation("answer."+token, operation{
		Action: "receive", Channel: channelRef("cmd." + token), Summary: "Answer a client that emits `" + decl.Name + "`.",
		Reply: d.reply("ack."+token, refusedMessage),
	})
}

// eventAddress returns the subject of an event in the rooms of its usual kind, and the
// parameters in it.
func eventAddress(d declaration) (address string, params []string) {
	id := subjects.AllID
	if d.Kind != subjects.KindAll {
		id = "{" + string(d.Kind) + "}"
		params = []string{string(d.Kind)}
	}
	return strings.Join([]string{d.Class.String(), string(d.Kind), id, tokenOf(d.Name)}, "."), params
}

// exchange adds what no declaration stands for.
func (d *document) exchange(e exchange) {
	for id, m := range e.messages {
		d.message(id, m)
	}
	d.channel(e.id, e.address, e.doc, e.params, e.carries...)
	op := operation{Action: e.action, Channel: channelRef(e.id), Summary: e.summary}
	if e.answers != nil {
		op.Reply = d.reply(e.answers...)
	}
	d.operation(e.operation, op)
}

func (d *document) message(id string, m message) {
	if _, taken := d.Components.Messages[id]; taken {
		panic("two messages are called " + id) // a fault of this program, whatever is declared
	}
	d.Components.Messages[id] = m
}

func (d *document) channel(id, address, doc string, params []string, messages ...string) {
	c := channel{Address: &address, Description: doc, Messages: map[string]reference{}}
	for _, m := range messages {
		c.Messages[m] = reference{"#/components/messages/" + m}
	}
	for _, p := range params {
		if c.Parameters == nil {
			c.Parameters = map[string]reference{}
		}
		c.Parameters[p] = reference{"#/components/parameters/" + p}
	}
	if _, taken := d.Channels[id]; taken {
		panic("two channels are called " + id)
	}
	d.Channels[id] = c
}

func (d *document) operation(id string, op operation) {
	if _, taken := d.Operations[id]; taken {
		panic("two operations are called " + id)
	}
	d.Operations[id] = op
}

// reply returns the reply with one of these messages, and adds them to the inbox.
func (d *document) reply(messages ...string) *reply {
	r := &reply{Channel: channelRef(replyChannel)}
	for _, m := range messages {
		d.Channels[replyChannel].Messages[m] = reference{"#/components/messages/" + m}
		r.Messages = append(r.Messages, reference{fmt.Sprintf("#/channels/%s/messages/%s", replyChannel, m)})
	}
	return r
}

func channelRef(id string) reference { return reference{"#/channels/" + id} }

// payloadOf returns a payload's schema: a reference, or what a plain type is.
func payloadOf(typ reflect.Type) *schema {
	s, err := schemaOf(typ)
	if err != nil {
		panic(err) // the model has been through all types
	}
	return s
}

func tagged(names ...string) (tags []tag) {
	for _, n := range names {
		tags = append(tags, tag{n})
	}
	return tags
}

// join puts sentences together.
func join(texts ...string) string {
	var b strings.Builder
	for _, t := range texts {
		if t == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t)
		if !strings.HasSuffix(t, ".") {
			b.WriteByte('.')
		}
	}
	return b.String()
}
