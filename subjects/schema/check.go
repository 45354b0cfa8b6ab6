package schema

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/lexiflow/realtime/subjects"
)

// A Report is what a check found.
type Report struct {
	Declared bool      // there is a schema to check against
	Wrong    []Finding // what breaks a reader
	Missing  []Finding // keys that the contract has and the payload has not
}

// A Finding is one place in a payload.
type Finding struct {
	Pointer string // JSON pointer (RFC 6901); "" is the whole
	Says    string // what is the matter with it
}

// String returns the finding in a line.
func (f Finding) String() string {
	if f.Pointer == "" {
		return "the payload " + f.Says
	}
	return f.Pointer + " " + f.Says
}

// Check compares an event's payload with the schema of its name. An undeclared event
// passes with an empty report. What is not JSON at all is an error.
//
// Keys that an edge adds are not missing: timestamp, and caseId in the room of a case.
func Check(event subjects.Subject, payload []byte) (Report, error) {
	text, err := text(event.Event, Event)
	if text == nil || err != nil {
		return Report{}, err
	}
	compiled, err := compile(event.Event, text)
	if err != nil {
		return Report{}, err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return Report{}, subjects.Errorf(subjects.CodeInvalidInput, "the payload of %s is not JSON: %w", event.Event, err)
	}
	r := Report{Declared: true}
	if err := compiled.Validate(value); err != nil {
		failed, ok := errors.AsType[*jsonschema.ValidationError](err)
		if !ok {
			return Report{}, err
		}
		r.add(failed)
	}
	r.Missing = slices.DeleteFunc(r.Missing, func(f Finding) bool {
		return event.Kind == subjects.KindCase && f.Pointer == "/caseId"
	})
	for _, findings := range [][]Finding{r.Wrong, r.Missing} {
		slices.SortFunc(findings, func(a, b Finding) int { return cmp.Compare(a.Pointer, b.Pointer) })
	}
	return r, nil
}

// compile reads one schema. Formats are checked, which the standard leaves open.
func compile(name string, text []byte) (*jsonschema.Schema, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", name, err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	url := "urn:lexiflow:" + strings.ReplaceAll(name, ":", ".")
	if err := c.AddResource(url, value); err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", name, err)
	}
	return c.Compile(url)
}

// add sorts a tree of errors into findings. Only its leaves say something, but for
// alternatives, whose leaves say too much.
func (r *Report) add(e *jsonschema.ValidationError) {
	if _, alternatives := e.ErrorKind.(*kind.AnyOf); len(e.Causes) > 0 && !alternatives {
		for _, cause := range e.Causes {
			r.add(cause)
		}
		return
	}
	if absent, ok := e.ErrorKind.(*kind.Required); ok {
		for _, key := range absent.Missing {
			r.Missing = append(r.Missing, Finding{pointer(append(slices.Clone(e.InstanceLocation), key)), "is missing"})
		}
		return
	}
	r.Wrong = append(r.Wrong, Finding{pointer(e.InstanceLocation), says(e.ErrorKind)})
}

// says puts an error of those keywords into words that our schemas use.
func says(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("is %s, must be %s", withArticle(k.Got), withArticle(strings.Join(k.Want, " or ")))
	case *kind.Enum:
		return fmt.Sprintf("is %s, must be one of %s", show(k.Got), list(k.Want))
	case *kind.Format:
		return fmt.Sprintf("is %s, must be a %s such as 2026-01-31T09:30:00.000Z", show(k.Got), k.Want)
	case *kind.Minimum:
		return fmt.Sprintf("is %s, must be at least %s", k.Got.RatString(), k.Want.RatString())
	case *kind.Pattern:
		return fmt.Sprintf("is %s, must match %s", show(k.Got), k.Want)
	default:
		return "does not fit " + strings.Join(k.KeywordPath(), "/")
	}
}

func withArticle(typ string) string {
	switch typ {
	case "null":
		return typ
	case "array", "object", "integer":
		return "an " + typ
	default:
		return "a " + typ
	}
}

// show quotes a value and cuts a long one.
func show(v any) string {
	const enough = 60
	s, ok := v.(string)
	if !ok {
		s = fmt.Sprint(v)
	}
	if len(s) > enough {
		s = strings.ToValidUTF8(s[:enough], "") + "…"
	}
	if ok {
		return strconv.Quote(s)
	}
	return s
}

func list(values []any) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = fmt.Sprint(v)
	}
	return strings.Join(all, ", ")
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

func pointer(location []string) string {
	var b strings.Builder
	for _, part := range location {
		b.WriteByte('/')
		b.WriteString(pointerEscapes.Replace(part))
	}
	return b.String()
}
