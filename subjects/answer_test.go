package subjects

import (
	"errors"
	"testing"
)

func TestAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		reply    Reply
		err      error
		code     Code
		text     string
		body     string
		joins    string
		internal string // what the service is told and the client is not
	}{
		"reply":                {reply: Reply{Ack: []byte(`{"n":1}`), Join: []string{"case.7"}}, body: `{"n":1}`, joins: "case.7"},
		"refusal":              {err: Errorf(CodeForbidden, "not\nyours,  \t%s", "sir\r\nLex-User: boss"), code: CodeForbidden, text: "not yours, sir Lex-User: boss"},
		"fault":                {err: errors.New("secret"), code: CodeInternal, text: "internal error", internal: "secret"},
		"reply beside a fault": {reply: Reply{Ack: []byte(`{}`)}, err: errors.New("secret"), code: CodeInternal, text: "internal error", internal: "secret"},
		"a room that is none":  {reply: Reply{Join: []string{"everything"}}, code: CodeInternal, internal: "x"},
	} {
		m, err := Answer("_INBOX.1", "test", c.reply, c.err)
		if m.Subject != "_INBOX.1" || m.Header.Get(HeaderService) != "test" || string(m.Data) != c.body || m.Header.Get(HeaderJoin) != c.joins {
			t.Errorf("%s: %+v", name, m)
		}
		if got := Code(m.Header.Get(HeaderErrorCode)); got != c.code || CodeOf(err) != c.code {
			t.Errorf("%s: the client is told %q, the service %v; want %q", name, got, err, c.code)
		}
		if got := m.Header.Get(HeaderError); c.text != "" && got != c.text {
			t.Errorf("%s: %q, want %q", name, got, c.text)
		}
		if c.internal == "secret" && (err == nil || err.Error() != "secret") {
			t.Errorf("%s: the service is told %v", name, err)
		}
	}
}
