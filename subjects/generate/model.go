package main

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/lexiflow/realtime/subjects"
)

// A model is the contract as both outputs need it.
type model struct {
	source       *source
	declarations []declaration
	types        []reflect.Type // structs and string types, in the order of the source
}

// A declaration is a declared name with what the source says about it.
type declaration struct {
	subjects.Declaration
	in variable
}

// hiddenEvent is for edges and services alone; an edge keeps it from clients.
const hiddenEvent = "access:changed"

func (d declaration) command() bool { return d.Role == subjects.RoleCommand }

// newModel collects everything that declarations and further types reach.
func newModel(s *source, declared []subjects.Declaration, further ...reflect.Type) (*model, error) {
	m := &model{source: s}
	found := map[reflect.Type]bool{}
	for _, d := range declared {
		v, ok := s.variables[variableKey{d.Name, d.Role == subjects.RoleCommand}]
		if !ok {
			return nil, fmt.Errorf("no variable holds the declaration of %s", d.Name)
		}
		m.declarations = append(m.declarations, declaration{d, v})
		if err := reach(d.Payload, found); err != nil {
			return nil, fmt.Errorf("the payload of %s: %w", d.Name, err)
		}
		if d.Ack != nil {
			if err := reach(d.Ack, found); err != nil {
				return nil, fmt.Errorf("the ack of %s: %w", d.Name, err)
			}
		}
	}
	for _, typ := range further {
		if err := reach(typ, found); err != nil {
			return nil, err
		}
	}
	for typ := range found {
		m.types = append(m.types, typ)
	}
	slices.SortFunc(m.types, func(a, b reflect.Type) int { return cmp.Compare(s.order[a.Name()], s.order[b.Name()]) })
	slices.SortFunc(m.declarations, func(a, b declaration) int { return cmp.Compare(a.in.order, b.in.order) })
	return m, nil
}

var (
	timeType = reflect.TypeFor[subjects.Time]()
	baseType = reflect.TypeFor[subjects.Base]()
	noneType = reflect.TypeFor[subjects.None]()
)

// raw reports a type that holds any JSON.
func raw(typ reflect.Type) bool {
	return typ.Kind() == reflect.Interface || typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Uint8
}

// reach notes every named type inside typ. What has no form in JSON is an error, so
// that a new kind of field is seen by who adds it.
func reach(typ reflect.Type, found map[reflect.Type]bool) error {
	switch {
	case typ == timeType || raw(typ):
		return nil
	case typ.Kind() == reflect.String:
		if typ.PkgPath() != "" {
			found[typ] = true
		}
		return nil
	case typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer:
		return reach(typ.Elem(), found)
	case typ.Kind() == reflect.Map && typ.Key().Kind() == reflect.String:
		return reach(typ.Elem(), found)
	case typ.Kind() == reflect.Struct:
		return reachStruct(typ, found)
	case typ.Kind() >= reflect.Bool && typ.Kind() <= reflect.Float64 && typ.Kind() != reflect.Uintptr:
		return nil
	default:
		return fmt.Errorf("%v has no form in JSON that the generator knows", typ)
	}
}

func reachStruct(typ reflect.Type, found map[reflect.Type]bool) error {
	if found[typ] {
		return nil
	}
	if typ.Name() == "" {
		return fmt.Errorf("%v needs a name of its own", typ)
	}
	found[typ] = true
	for field := range typ.Fields() {
		if field.Anonymous {
			if err := reach(field.Type, found); err != nil {
				return err
			}
			continue
		}
		if field.Tag.Get("json") == "-" {
			continue
		}
		if name, _ := jsonName(field); name == "" {
			return fmt.Errorf("%s.%s has no JSON name", typ.Name(), field.Name)
		}
		if err := reach(field.Type, found); err != nil {
			return fmt.Errorf("%s.%s: %w", typ.Name(), field.Name, err)
		}
	}
	return nil
}

// A field is one key of an object.
type field struct {
	name     string // in Go
	key, doc string
	optional bool
	typ      reflect.Type
}

// fieldsOf lists the keys of a struct, without those of embedded ones, and the
// embedded structs.
func (m *model) fieldsOf(typ reflect.Type) (fields []field, embedded []reflect.Type) {
	for f := range typ.Fields() {
		name, optional := jsonName(f)
		switch {
		case f.Anonymous:
			embedded = append(embedded, f.Type)
		case name != "":
			fields = append(fields, field{f.Name, name, m.source.fields[typ.Name()][f.Name], optional, f.Type})
		}
	}
	return fields, embedded
}

// jsonName returns a field's key, "" for a field that JSON does not have.
func jsonName(f reflect.StructField) (name string, optional bool) {
	name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" {
		return "", false
	}
	return name, option == "omitempty" || option == "omitzero"
}

// membersOf returns the constants of a string type. For an [subjects.Enum] they are
// exactly its values.
func (m *model) membersOf(typ reflect.Type) (members []constant, closed bool, err error) {
	members = m.source.constants[typ.Name()]
	enum, closed := reflect.TypeAssert[subjects.Enum](reflect.Zero(typ))
	if !closed {
		return members, false, nil
	}
	var values []string
	for _, c := range members {
		values = append(values, c.value)
	}
	if !slices.Equal(values, enum.Values()) {
		return nil, true, fmt.Errorf("%s has the constants %q and the values %q", typ.Name(), values, enum.Values())
	}
	return members, true, nil
}

// docOf returns what the source says about a type.
func (m *model) docOf(typ reflect.Type) string { return m.source.docs[typ.Name()] }

// doc links: [CaseCreated], [NotifySend].
var docLink = regexp.MustCompile(`\[([A-Z]\w*)(?:\.\w+)?\]`)

// link rewrites the links of a Go comment: to a declaration by its name on the wire,
// to anything else by what named says.
func (m *model) link(doc string, named func(string) string) string {
	return docLink.ReplaceAllStringFunc(doc, func(found string) string {
		target := docLink.FindStringSubmatch(found)[1]
		if name, ok := m.source.names[target]; ok {
			return "`" + name + "`"
		}
		return named(target)
	})
}

// docOfName returns what the source says about a declaration, under its name on the
// wire.
func (m *model) docOfName(d declaration) string {
	if rest, ok := strings.CutPrefix(d.in.doc, d.in.name+" "); ok {
		return "`" + d.Name + "` " + rest
	}
	return d.in.doc
}

// firstSentence returns the first sentence of a comment on one line.
func firstSentence(doc string) string {
	sentence, _, more := strings.Cut(strings.ReplaceAll(doc, "\n", " "), ". ")
	if more {
		sentence += "."
	}
	return sentence
}
