// Package schema knows the JSON Schemas of everything that is declared in subjects,
// and checks payloads against them. It is for tools and tests: services decode into Go
// types, and an edge passes payloads on as they are.
//
// The schemas come from asyncapi.json, which subjects/generate writes; they are JSON
// Schema 2020-12 and AsyncAPI's own dialect at the same time.
//
// What a check finds is of two kinds. What is wrong (a type, a member of an enum, a
// date) would break a reader: it is a fault. What is missing is only told: the edge
// fills in some keys, readers leave others zero, and a publisher that is being written
// starts with two keys and not with twelve. Keys that no schema knows are welcome.
//
// It does not promise that a payload without findings makes sense, nor that one with
// findings is refused anywhere else: NATS takes both.
package schema

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/lexiflow/realtime/subjects"
)

//go:embed asyncapi.json
var asyncAPI []byte

// AsyncAPI returns the AsyncAPI 3.0 document of the bus. It is the caller's.
func AsyncAPI() []byte { return bytes.Clone(asyncAPI) }

// A Part says what of a declared name a schema describes.
type Part string

// The parts.
const (
	Event   Part = "event"   // the payload of an event
	Request Part = "request" // what a client emits with a command
	Ack     Part = "ack"     // what a command is acked with when it was carried out
)

// A Schema is one JSON Schema 2020-12 that needs no other.
type Schema struct {
	Name string // of the event or command
	Part Part
	JSON []byte // indented
}

// Of returns the schemas of a declared name: one of an event, two of a command, three
// of a name that is both. An undeclared name has none.
func Of(name string) ([]Schema, error) {
	var all []Schema
	for _, part := range []Part{Event, Request, Ack} {
		text, err := text(name, part)
		if err != nil {
			return nil, err
		}
		if text != nil {
			all = append(all, Schema{Name: name, Part: part, JSON: text})
		}
	}
	return all, nil
}

// document is what is read of asyncapi.json.
type document struct {
	Components struct {
		Schemas  map[string]json.RawMessage `json:"schemas"`
		Messages map[string]struct {
			Payload json.RawMessage `json:"payload"`
		} `json:"messages"`
	} `json:"components"`
}

var parsed = sync.OnceValues(func() (*document, error) {
	d := new(document)
	if err := json.Unmarshal(asyncAPI, d); err != nil {
		return nil, fmt.Errorf("asyncapi.json: %w", err)
	}
	return d, nil
})

const (
	dialect   = "https://json-schema.org/draft/2020-12/schema"
	refPrefix = "#/components/schemas/"
	refInside = "#/$defs/"
)

var refTo = regexp.MustCompile(`"\$ref":\s*"` + refPrefix + `(\w+)"`)

// text cuts a schema out of the document, together with all that it refers to. It is
// nil where the document has none.
func text(name string, part Part) ([]byte, error) {
	d, err := parsed()
	if err != nil {
		return nil, err
	}
	message, ok := d.Components.Messages[string(part)+"."+strings.ReplaceAll(name, ":", ".")]
	if !ok || !declared(name, part) {
		return nil, nil
	}
	root := message.Payload
	if found := refTo.FindSubmatch(root); found != nil {
		root = d.Components.Schemas[string(found[1])]
	}
	definitions := d.reachable(root)
	title := name
	if part != Event {
		title += " " + string(part)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"$schema":%q,"title":%q,`, dialect, title)
	b.Write(bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimSpace(root), []byte("{")), []byte("}")))
	for i, of := range definitions {
		b.WriteString([]string{`,"$defs":{`, `,`}[min(i, 1)])
		fmt.Fprintf(&b, "%q:%s", of, d.Components.Schemas[of])
	}
	if len(definitions) > 0 {
		b.WriteByte('}')
	}
	b.WriteByte('}')
	var indented bytes.Buffer
	err = json.Indent(&indented, bytes.ReplaceAll(b.Bytes(), []byte(refPrefix), []byte(refInside)), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", title, err)
	}
	return indented.Bytes(), nil
}

// declared tells the name of a declaration from that of another message in the
// document, "event.undeclared.lex".
func declared(name string, part Part) bool {
	return slices.ContainsFunc(subjects.Declarations(), func(d subjects.Declaration) bool {
		return d.Name == name && (d.Role == subjects.RoleCommand) == (part != Event)
	})
}

// reachable lists the schemas that one refers to, and those that these refer to.
func (d *document) reachable(from json.RawMessage) (names []string) {
	waiting := []json.RawMessage{from}
	for len(waiting) > 0 {
		for _, found := range refTo.FindAllSubmatch(waiting[0], -1) {
			if name := string(found[1]); !slices.Contains(names, name) {
				names = append(names, name)
				waiting = append(waiting, d.Components.Schemas[name])
			}
		}
		waiting = waiting[1:]
	}
	slices.Sort(names)
	return names
}
