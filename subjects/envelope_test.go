package subjects

import (
	"reflect"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestCallerHeaders(t *testing.T) {
	for name, c := range map[string]struct{ in, want Caller }{
		"all":             {Caller{"auth0|7", "sid", "e1", "case:1 case:*"}, Caller{"auth0|7", "sid", "e1", "case:1 case:*"}},
		"some":            {Caller{User: "é"}, Caller{User: "é"}},
		"a line break":    {Caller{User: "u\nLex-Scope: firm", Socket: "s"}, Caller{Socket: "s"}},
		"trailing space":  {Caller{User: "u "}, Caller{}},
		"carriage return": {Caller{Scope: "a\rb"}, Caller{}},
	} {
		t.Run(name, func(t *testing.T) {
			h := nats.Header{HeaderUser: {"forged"}}
			c.in.SetHeaders(h)
			if got := CallerOf(h); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestParseReply(t *testing.T) {
	emit := Emit{Event: "presence:update", Data: []byte(`{"userId":"u"}`)}
	for name, c := range map[string]struct {
		body   string
		header nats.Header
		want   Reply
	}{
		"empty":    {"", nil, Reply{Ack: defaultAck}},
		"bare ack": {`{"success":true,"unreadCount":3}`, nil, Reply{Ack: []byte(`{"success":true,"unreadCount":3}`)}},
		"any JSON": {`7`, nil, Reply{Ack: []byte(`7`)}},
		"rooms": {
			"",
			nats.Header{HeaderJoin: {"conversation.c1, team.t1"}, HeaderLeave: {"room.a=20b"}},
			Reply{Ack: defaultAck, Join: []string{"conversation.c1", "team.t1"}, Leave: []string{"room.a=20b"}},
		},
		"events": {
			`{"ack":[1],"events":[{"event":"presence:update","data":{"userId":"u"}}]}`,
			nats.Header{HeaderEvents: {"1"}},
			Reply{Ack: []byte(`[1]`), Events: []Emit{emit}},
		},
		"events alone": {
			`{"events":[{"event":"presence:update","data":{"userId":"u"}}]}`,
			nats.Header{HeaderEvents: {"1"}},
			Reply{Ack: defaultAck, Events: []Emit{emit}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseReply(&nats.Msg{Data: []byte(c.body), Header: c.header})
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, c.want)
			}
			body, header, err := got.Encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseReply(&nats.Msg{Data: body, Header: header})
			if err != nil || !reflect.DeepEqual(again, c.want) {
				t.Errorf("sent again it is %+v, %v", again, err)
			}
		})
	}
}

func TestParseReplyRefuses(t *testing.T) {
	events := nats.Header{HeaderEvents: {"1"}}
	for name, c := range map[string]struct {
		body   string
		header nats.Header
	}{
		"text":                 {"done", nil},
		"a broken body":        {`{"ack":`, events},
		"a wildcard room":      {"", nats.Header{HeaderJoin: {"case.*"}}},
		"a room of no kind":    {"", nats.Header{HeaderLeave: {"1"}}},
		"an event of no name":  {`{"events":[{"event":"a b","data":{}}]}`, events},
		"a reserved event":     {`{"events":[{"event":"disconnect","data":{}}]}`, events},
		"an event with a text": {`{"events":[{"event":"pong","data":"pong"}]}`, events},
		"an event of nothing":  {`{"events":[{"event":"pong"}]}`, events},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseReply(&nats.Msg{Data: []byte(c.body), Header: c.header}); CodeOf(err) != CodeInternal {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, r := range map[string]Reply{
		"a wildcard room":      {Join: []string{"case.*"}},
		"two rooms in one":     {Leave: []string{"case.1,case.2"}},
		"an event with a text": {Events: []Emit{{Event: "pong", Data: []byte(`"pong"`)}}},
		"an event of no name":  {Events: []Emit{{Data: []byte(`{}`)}}},
	} {
		if body, header, err := r.Encode(); err == nil {
			t.Errorf("%s: %s %v", name, body, header)
		}
	}
}

func TestErrorOf(t *testing.T) {
	for name, c := range map[string]struct {
		header nats.Header
		code   Code
		text   string
	}{
		"none":          {nil, "", ""},
		"both":          {nats.Header{HeaderErrorCode: {"FORBIDDEN"}, HeaderError: {"not yours"}}, CodeForbidden, "not yours"},
		"its own code":  {nats.Header{HeaderErrorCode: {"ALREADY_PAID"}, HeaderError: {"paid"}}, "ALREADY_PAID", "paid"},
		"a number":      {nats.Header{HeaderErrorCode: {"404"}, HeaderError: {"none"}}, "404", "none"},
		"no text":       {nats.Header{HeaderErrorCode: {"CONFLICT"}}, CodeConflict, "the service gave no reason"},
		"no code":       {nats.Header{HeaderError: {"oops"}}, CodeInternal, "oops"},
		"not a code":    {nats.Header{HeaderErrorCode: {"not found!"}, HeaderError: {"x"}}, CodeInternal, "x"},
		"other headers": {nats.Header{HeaderService: {"msgd"}}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := ErrorOf(&nats.Msg{Header: c.header})
			if CodeOf(err) != c.code || MessageOf(err) != c.text {
				t.Errorf("got %v %q", CodeOf(err), MessageOf(err))
			}
		})
	}
}
