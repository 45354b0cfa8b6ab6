package main

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lexiflow/realtime/subjects"
)

// Every Go type must write what its schema says, and its schema must notice when it
// does not.

const documentURL = "urn:lexiflow:asyncapi"

// compiler returns a compiler that knows the generated document.
func compiler(t *testing.T) *jsonschema.Compiler {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(generated(t)[asyncAPIFile]))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(documentURL, value); err != nil {
		t.Fatal(err)
	}
	return c
}

func schemaNamed(t *testing.T, c *jsonschema.Compiler, name string) *jsonschema.Schema {
	t.Helper()
	s, err := c.Compile(documentURL + schemaPrefix + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill sets v: to the least that its schema allows, or every field of it.
func fill(v reflect.Value, every bool) {
	switch {
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(subjects.At(time.Date(2026, 1, 31, 9, 30, 0, 5e6, time.UTC))))
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes([]byte(`{"any":["thing"]}`))
	case v.Kind() == reflect.Interface:
		v.Set(reflect.ValueOf("anything"))
	case v.Kind() == reflect.Struct:
		for field, value := range v.Fields() {
			if _, optional := jsonName(field); every || !optional {
				fill(value, every)
			}
		}
	case v.Kind() == reflect.String:
		v.SetString("text")
		if enum, ok := reflect.TypeAssert[subjects.Enum](v); ok {
			v.SetString(enum.Values()[0])
		}
	case !every: // numbers are 0, lists and maps empty
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), every)
		fill(v.Index(1), every)
	case v.Kind() == reflect.Map:
		of := reflect.New(v.Type().Elem()).Elem()
		fill(of, every)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), of)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), every)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(7)
	case v.CanUint():
		v.SetUint(7)
	case v.CanFloat():
		v.SetFloat(0.5)
	default:
		panic("no example of " + v.Type().String())
	}
}

// example marshals a filled value and reads it as JSON.
func example(t *testing.T, typ reflect.Type, every bool) any {
	t.Helper()
	v := reflect.New(typ)
	fill(v.Elem(), every)
	text, err := json.Marshal(v.Interface())
	if err != nil {
		t.Fatalf("%v: %v", typ, err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("%v: %v", typ, err)
	}
	return value
}

func TestTypesWriteWhatTheirSchemasSay(t *testing.T) {
	m, c := testModel(t), compiler(t)
	if len(m.types) < 100 {
		t.Fatalf("only %d types", len(m.types))
	}
	for _, typ := range m.types {
		s := schemaNamed(t, c, typ.Name())
		for _, every := range []bool{false, true} {
			value := example(t, typ, every)
			if err := s.Validate(value); err != nil {
				t.Errorf("%s, every field %v: %v", typ.Name(), every, err)
			}
			object, ok := value.(map[string]any)
			if ok && !every {
				if got, want := slices.Sorted(maps.Keys(object)), slices.Sorted(slices.Values(resolved(s).Required)); !slices.Equal(got, want) {
					t.Errorf("%s writes at least %q, required are %q", typ.Name(), got, want)
				}
			}
			if ok && every {
				if got, want := slices.Sorted(maps.Keys(object)), slices.Sorted(maps.Keys(resolved(s).Properties)); !slices.Equal(got, want) {
					t.Errorf("%s writes at most %q, known are %q", typ.Name(), got, want)
				}
			}
		}
	}
}

func resolved(s *jsonschema.Schema) *jsonschema.Schema {
	for s.Ref != nil {
		s = s.Ref
	}
	return s
}

// TestSchemasNoticeWhatIsWrong spoils every key of every type, one at a time.
func TestSchemasNoticeWhatIsWrong(t *testing.T) {
	m, c := testModel(t), compiler(t)
	spoiled := 0
	for _, typ := range m.types {
		s := schemaNamed(t, c, typ.Name())
		object, ok := example(t, typ, true).(map[string]any)
		if !ok {
			if err := s.Validate(json.Number("1")); err == nil {
				t.Errorf("%s takes a number", typ.Name())
			}
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			was := object[key]
			if slices.Contains(resolved(s).Required, key) {
				delete(object, key)
				if s.Validate(object) == nil {
					t.Errorf("%s without %s passes", typ.Name(), key)
				}
			}
			for _, other := range []any{"text", json.Number("7"), true, nil, []any{}, map[string]any{}} {
				if reflect.TypeOf(other) == reflect.TypeOf(was) || anyValue(resolved(s).Properties[key]) {
					continue
				}
				object[key] = other
				if s.Validate(object) == nil {
					t.Errorf("%s with %s = %#v passes", typ.Name(), key, other)
				}
				spoiled++
			}
			object[key] = was
			if err := s.Validate(object); err != nil {
				t.Fatalf("%s was not mended: %v", typ.Name(), err)
			}
		}
	}
	if spoiled < 1000 {
		t.Errorf("only %d values were spoiled", spoiled)
	}
}

// anyValue reports a schema that takes everything.
func anyValue(s *jsonschema.Schema) bool {
	return s != nil && s.Types == nil && s.Ref == nil && s.AllOf == nil && s.AnyOf == nil
}

// TestValuesAreChecked: enums are closed, dates are dates, counts are whole numbers.
func TestValuesAreChecked(t *testing.T) {
	c := compiler(t)
	for name, cases := range map[string]map[string]bool{
		"PresenceStatus": {`"busy"`: true, `"Busy"`: false, `""`: false},
		"Code":           {`"NOT_FOUND"`: true, `"MY_OWN"`: true, `7`: false},
		"ConnSocket": {
			`{"socket":"s","user":"u","namespace":"/events","at":1}`:   true,
			`{"socket":"s","user":"u","namespace":"/events","at":1.5}`: false,
		},
		"ConnSnapshot": {
			`{"edge":"e","incarnation":"i","seq":0,"sockets":[]}`:       true,
			`{"edge":"e","incarnation":"i","seq":-1,"sockets":[]}`:      false,
			`{"edge":"e","incarnation":"i","seq":0,"sockets":[{}]}`:     false,
			`{"edge":"e","incarnation":"i","seq":0,"sockets":[],"x":1}`: true,
		},
		"MessageVersion": {
			`{"version":1,"content":"","at":"2026-01-31T09:30:00.000Z"}`:    true,
			`{"version":1,"content":"","at":"2026-01-31T09:30:00+02:00"}`:   true,
			`{"version":1,"content":"","at":"2026-02-31T09:30:00.000Z"}`:    false,
			`{"version":1,"content":"","at":"2026-01-31"}`:                  false,
			`{"version":1,"content":"","at":"Sat, 31 Jan 2026 09:30 GMT"}`:  false,
			`{"version":null,"content":"","at":"2026-01-31T09:30:00.000Z"}`: false,
		},
		"Notice": {
			`{"type":"case_update","title":"","message":""}`:   true,
			`{"type":"hearing_moved","title":"","message":""}`: true,
			`{"type":"Hearing moved","title":"","message":""}`: false,
		},
		"FigureChange": {`{"set":1.5}`: true, `{"add":"1"}`: false},
	} {
		s := schemaNamed(t, c, name)
		for text, want := range cases {
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(value); (err == nil) != want {
				t.Errorf("%s: %s gives %v", name, text, err)
			}
		}
	}
}
