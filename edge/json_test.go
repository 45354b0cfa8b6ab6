package edge

import (
	"encoding/json"
	"errors"
	"testing"
)

// jsonString reads what encoding/json reads, by a shorter way for what needs no decoding.
func FuzzJSONString(f *testing.F) {
	for _, seed := range []string{`"u1"`, `"eyJ.a-b_c"`, `""`, `"`, `"\u0041"`, `"é"`, "\"\xff\"", `"a"b"`, `"a" `, `7`, `"\"`, "\"\n\"", ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var want string
		ok := len(raw) > 1 && raw[0] == '"' && json.Unmarshal(raw, &want) == nil
		if got, read := jsonString(raw); read != ok || ok && got != want {
			t.Errorf("%q: %q, %v, want %q, %v", raw, got, read, want, ok)
		}
	})
}

func TestReadPut(t *testing.T) {
	for name, c := range map[string]struct {
		answer  string
		written uint64
		err     error
	}{
		"written":        {`{"stream":"KV_SESSIONS","seq":17}`, 17, nil},
		"with a domain":  {`{"stream":"KV_SESSIONS","domain":"d","seq":18446744073709551615}`, 1<<64 - 1, nil},
		"another's":      {`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"KV_SESSIONS","seq":0}`, 0, errTakenOver},
		"full":           {`{"error":{"code":503,"err_code":10077},"stream":"KV_SESSIONS","seq":0}`, 0, errNotKept},
		"no sequence":    {`{"stream":"KV_SESSIONS"}`, 0, errNotKept},
		"sequence 0":     {`{"stream":"KV_SESSIONS","seq":0}`, 0, errNotKept},
		"no number":      {`{"stream":"KV_SESSIONS","seq":"17"}`, 0, errNotKept},
		"not an object":  {`[]`, 0, errNotKept},
		"nothing at all": {``, 0, errNotKept},
	} {
		if written, err := readPut([]byte(c.answer)); written != c.written || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, %v", name, written, err)
		}
	}
}
