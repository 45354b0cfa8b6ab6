package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// A schema is a JSON Schema made of those keywords that mean the same in draft 2020-12
// and in AsyncAPI's own dialect, so that one text serves both. Further keys of an
// object are always allowed: newer publishers have more.
type schema struct {
	Ref                  string     `json:"$ref,omitempty"`
	Description          string     `json:"description,omitempty"`
	Type                 string     `json:"type,omitempty"`
	Format               string     `json:"format,omitempty"`
	Pattern              string     `json:"pattern,omitempty"`
	Enum                 []string   `json:"enum,omitempty"`
	Examples             []string   `json:"examples,omitempty"`
	Minimum              *int       `json:"minimum,omitempty"`
	Items                *schema    `json:"items,omitempty"`
	Required             []string   `json:"required,omitempty"`
	Properties           properties `json:"properties,omitempty"`
	AdditionalProperties any        `json:"additionalProperties,omitempty"` // *schema or true
	AllOf                []*schema  `json:"allOf,omitempty"`
	AnyOf                []*schema  `json:"anyOf,omitempty"`
}

// properties are an object's keys in the order of the Go fields.
type properties []property

type property struct {
	key string
	of  *schema
}

// MarshalJSON implements [json.Marshaler].
func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, one := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(one.key)
		if err != nil {
			return nil, err
		}
		value, err := marshal(one.of)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// marshal writes JSON as people read it: "<kind>" and not "\u003ckind\u003e".
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

const schemaPrefix = "#/components/schemas/"

func refTo(goName string) *schema { return &schema{Ref: schemaPrefix + goName} }

// open lists the fields whose enum is a suggestion: the service behind them takes
// other values too, of this form.
var open = map[string]string{"Notice.Type": "^[a-z0-9_]+$"}

// schemas returns a schema for every type of the model, by Go name.
func (m *model) schemas() (map[string]*schema, error) {
	all := map[string]*schema{}
	for _, typ := range m.types {
		var err error
		if typ.Kind() == reflect.String {
			all[typ.Name()], err = m.enumSchema(typ)
		} else {
			all[typ.Name()], err = m.objectSchema(typ)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (m *model) enumSchema(typ reflect.Type) (*schema, error) {
	members, closed, err := m.membersOf(typ)
	if err != nil {
		return nil, err
	}
	s := &schema{Type: "string", Description: m.describe(m.docOf(typ))}
	var values []string
	for _, c := range members {
		values = append(values, c.value)
		if c.doc != "" {
			s.Description += fmt.Sprintf("\n- `%s`: %s", c.value, m.describe(c.doc))
		}
	}
	if closed {
		s.Enum = values
	} else {
		s.Examples = values
	}
	return s, nil
}

func (m *model) objectSchema(typ reflect.Type) (*schema, error) {
	s := &schema{Type: "object", Description: m.describe(m.docOf(typ)), AdditionalProperties: true}
	return s, m.addKeys(s, typ)
}

// addKeys writes a struct's keys into s, those of embedded structs behind them.
func (m *model) addKeys(s *schema, typ reflect.Type) error {
	fields, embedded := m.fieldsOf(typ)
	for _, f := range fields {
		of, err := schemaOf(f.typ)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", typ.Name(), f.key, err)
		}
		if pattern := open[typ.Name()+"."+f.name]; pattern != "" {
			of = &schema{AnyOf: []*schema{of, {Type: "string", Pattern: pattern}}}
		}
		s.Properties = append(s.Properties, property{f.key, of.described(m.describe(f.doc))})
		if !f.optional {
			s.Required = append(s.Required, f.key)
		}
	}
	for _, e := range embedded {
		if err := m.addKeys(s, e); err != nil {
			return err
		}
	}
	return nil
}

// described adds a description. Readers of older dialects ignore what stands beside a
// $ref, so that one is wrapped.
func (s *schema) described(text string) *schema {
	if text == "" {
		return s
	}
	if s.Ref != "" {
		s = &schema{AllOf: []*schema{s}}
	}
	s.Description = text
	return s
}

// schemaOf returns the schema of a field's type.
func schemaOf(typ reflect.Type) (*schema, error) {
	switch kind := typ.Kind(); {
	case typ == timeType:
		return &schema{Type: "string", Format: "date-time"}, nil
	case raw(typ):
		return &schema{}, nil
	case kind == reflect.Struct || kind == reflect.String && typ.PkgPath() != "":
		return refTo(typ.Name()), nil
	case kind == reflect.String:
		return &schema{Type: "string"}, nil
	case kind == reflect.Bool:
		return &schema{Type: "boolean"}, nil
	case kind >= reflect.Int && kind <= reflect.Int64:
		return &schema{Type: "integer"}, nil
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		return &schema{Type: "integer", Minimum: new(int)}, nil
	case kind == reflect.Float32 || kind == reflect.Float64:
		return &schema{Type: "number"}, nil
	case kind == reflect.Pointer:
		return schemaOf(typ.Elem())
	case kind == reflect.Slice:
		items, err := schemaOf(typ.Elem())
		return &schema{Type: "array", Items: items}, err
	case kind == reflect.Map:
		of, err := schemaOf(typ.Elem())
		return &schema{Type: "object", AdditionalProperties: of}, err
	default:
		return nil, fmt.Errorf("%v has no JSON Schema", typ)
	}
}

// describe turns a Go comment into a description: links become code, the lines of a
// paragraph one line.
func (m *model) describe(doc string) string {
	doc = m.link(doc, func(goName string) string { return "`" + goName + "`" })
	paragraphs := strings.Split(doc, "\n\n")
	for i, p := range paragraphs {
		if !strings.HasPrefix(p, "\t") {
			paragraphs[i] = strings.ReplaceAll(p, "\n", " ")
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

// tokenOf is an event's name as a part of a subject.
func tokenOf(name string) string { return strings.ReplaceAll(name, ":", ".") }
