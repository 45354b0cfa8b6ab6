package sio

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// jsonSeeds are valid and invalid, each for a different reason.
var jsonSeeds = []string{
	``, ` `, `null`, `true`, `false`, `nul`, `truee`, `0`, `-0`, `-`, `01`, `1.`, `.5`, `1.5`, `1e`, `1e+`, `1E-5`, `+1`, `1 2`, `0x1`,
	`""`, `"`, `"a`, `"\"`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\u1234"`, `"\ud800"`, "\"\x1f\"", "\"\x7f\"", "\"\xff\"", "\"é\"",
	`[]`, `[`, `]`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `[1,2]`, `[[]]`, `[[}]`, `[1]]`, ` [ 1 , 2 ] `,
	`{}`, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1`, `{"a":1,}`, `{,}`, `{"a":1,"b"}`, `{a:1}`, `{1:1}`, `{"a" : 1 , "b" : [ ] }`, `{"a":1]`, `{"a"::1}`,
	"\ufeff1", "\u00a01", `1 //`, "[1,\n2]\r\n", "\"\t\"", `[{"a":[{}]},{}]`,
}

func TestValidJSON(t *testing.T) {
	for _, in := range jsonSeeds {
		t.Run(in, func(t *testing.T) {
			want := json.Valid([]byte(in)) && utf8.ValidString(in)
			if got := ValidJSON([]byte(in), 0); got != want {
				t.Errorf("ValidJSON(%q) is %v", in, got)
			}
		})
	}
}

func TestValidJSONDepth(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat(`{"a":[`, n/2) + strings.Repeat(`]}`, n/2)) }
	tests := map[string]struct {
		depth, limit int
		want         bool
	}{
		"at the default":     {128, 0, true},
		"beyond the default": {130, 0, false},
		"at a limit":         {10, 10, true},
		"beyond a limit":     {12, 10, false},
		"at the hard limit":  {1024, 5000, true},
		"beyond it":          {1026, 5000, false},
		"far beyond it":      {1 << 20, 1 << 30, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ValidJSON(nested(tt.depth), tt.limit); got != tt.want {
				t.Errorf("depth %d, limit %d: %v", tt.depth, tt.limit, got)
			}
		})
	}
}

func TestIsObject(t *testing.T) {
	for in, want := range map[string]bool{`{}`: true, " \n{\"a\":1} ": true, `[]`: false, `"{"`: false, `null`: false, ``: false, ` `: false} {
		if got := IsObject([]byte(in)); got != want {
			t.Errorf("IsObject(%q) is %v", in, got)
		}
	}
}

func TestField(t *testing.T) {
	tests := map[string]struct {
		obj, key, want string
		ok             bool
	}{
		"string":            {`{"token":"t"}`, "token", `"t"`, true},
		"among others":      {`{"a":{"token":1},"b":[{"token":2}],"token": 3 ,"c":4}`, "token", `3`, true},
		"object":            {`{"token":{"a":[1,2]}}`, "token", `{"a":[1,2]}`, true},
		"array with space":  {` { "token" : [ 1 , 2 ] } `, "token", `[ 1 , 2 ]`, true},
		"null":              {`{"token":null}`, "token", `null`, true},
		"escaped key":       {`{"tok\u0065n":"t"}`, "token", `"t"`, true},
		"escaped in want":   {`{"\ud83d\ude00é":1}`, "😀é", `1`, true},
		"escaped slash":     {`{"a\/b":1}`, "a/b", `1`, true},
		"the last counts":   {`{"token":1,"token":2}`, "token", `2`, true},
		"empty key":         {`{"":1}`, "", `1`, true},
		"prefix of the key": {`{"toke":1,"tokens":2}`, "token", "", false},
		"another case":      {`{"Token":1}`, "token", "", false},
		"only deeper":       {`{"a":{"token":1}}`, "token", "", false},
		"empty":             {`{}`, "token", "", false},
		"array":             {`["token",1]`, "token", "", false},
		"nothing":           {``, "token", "", false},
		"cut off":           {`{"token":1`, "token", "", false},
		"garbage behind":    {`{"token":1}}`, "token", "", false},
		"broken elsewhere":  {`{"token":1,"b":tru}`, "token", "", false},
		"no value":          {`{"token":}`, "token", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			raw, ok := Field([]byte(tt.obj), tt.key)
			if ok != tt.ok || string(raw) != tt.want {
				t.Errorf("got %q, %v", raw, ok)
			}
		})
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s), s)
	}
	f.Fuzz(func(t *testing.T, b []byte, s string) {
		if got, want := ValidJSON(b, hardDepth), json.Valid(b) && utf8.Valid(b); got != want && !tooDeep(b) {
			t.Errorf("ValidJSON(%q) is %v, encoding/json says %v", b, got, want)
		}
		// A string survives the way through AppendJSONString, and reads the same to the standard library.
		quoted := AppendJSONString(nil, s)
		var std string
		if err := json.Unmarshal(quoted, &std); err != nil {
			t.Fatalf("%q became %s: %v", s, quoted, err)
		}
		if std != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Errorf("%q became %q", s, std)
		}
		if got := unquote(quoted); got != std || !equalString(quoted, std) {
			t.Errorf("%s reads %q here, %q there", quoted, got, std)
		}
		fieldsAgree(t, b, s)
	})
}

// fieldsAgree holds Field and unquote against encoding/json.
func fieldsAgree(t *testing.T, b []byte, key string) {
	t.Helper()
	var text string
	if ValidJSON(b, 0) && b[0] == '"' && b[len(b)-1] == '"' && json.Unmarshal(b, &text) == nil {
		if got := unquote(b); got != text {
			t.Errorf("unquote(%s) is %q, want %q", b, got, text)
		}
	}
	raw, ok := Field(b, key)
	if !ok {
		return
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatalf("a field in %q: %v", b, err)
	}
	if want, found := fields[key]; !found || string(want) != string(raw) {
		t.Errorf("field %q of %q is %q, want %q", key, b, raw, want)
	}
}

func tooDeep(b []byte) bool {
	return check(b, hardDepth, 0) == ErrDepth
}
