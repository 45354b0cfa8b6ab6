package sio

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func (p EnginePacket) string() string {
	kind := "text"
	if p.Binary {
		kind = "binary"
	}
	return fmt.Sprintf("%c %s %q", p.Type, kind, p.Data)
}

func TestHandshake(t *testing.T) {
	tests := map[string]struct {
		in   Handshake
		want string
	}{
		"polling": {
			Handshake{SID: "lv_VI97HAXpY6yYWAAAC", Upgrades: []string{"websocket"}, PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, MaxPayload: 1000000},
			`0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`,
		},
		"websocket": {
			Handshake{SID: "a", PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, MaxPayload: 1},
			`0{"sid":"a","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1}`,
		},
		"two upgrades": {
			Handshake{Upgrades: []string{"websocket", "webtransport"}},
			`0{"sid":"","upgrades":["websocket","webtransport"],"pingInterval":0,"pingTimeout":0,"maxPayload":0}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := string(tt.in.Append(nil)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseEngine(t *testing.T) {
	tests := map[string]struct {
		in, want string
		err      error
	}{
		"open":            {"0{}", `0 text "{}"`, nil},
		"close":           {"1", `1 text ""`, nil},
		"ping":            {"2", `2 text ""`, nil},
		"probe":           {"2probe", `2 text "probe"`, nil},
		"pong":            {"3", `3 text ""`, nil},
		"message":         {"4hello é", `4 text "hello é"`, nil},
		"upgrade":         {"5", `5 text ""`, nil},
		"noop":            {"6", `6 text ""`, nil},
		"binary":          {"bAQIDBA==", `4 binary "\x01\x02\x03\x04"`, nil},
		"binary, nothing": {"b", `4 binary ""`, nil},
		"empty":           {"", "", ErrEmptyPacket},
		"7":               {"7", "", ErrEngineType},
		"a letter":        {"abc", "", ErrEngineType},
		"a space":         {" 2", "", ErrEngineType},
		"no padding":      {"bAQIDBA", "", ErrBase64},
		"padding inside":  {"bAQ==AQ==", "", ErrBase64},
		"stray bits":      {"bAR==", "", ErrBase64},
		"line break":      {"bAQID\nBAUG", "", ErrBase64},
		"carriage return": {"bAQID\r", "", ErrBase64},
		"url alphabet":    {"b-_-_", "", ErrBase64},
		"not base64":      {"b????", "", ErrBase64},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := ParseEngine([]byte(tt.in))
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %s, %v", p.string(), err)
			}
			if err == nil && p.string() != tt.want {
				t.Errorf("got %s, want %s", p.string(), tt.want)
			}
		})
	}
}

func TestPayload(t *testing.T) {
	const rs = "\x1e"
	tests := map[string]struct {
		body string
		want []string
		err  error // behind what is wanted
	}{
		"one":                {"2", []string{`2 text ""`}, nil},
		"three":              {"4a" + rs + "2" + rs + "4c", []string{`4 text "a"`, `2 text ""`, `4 text "c"`}, nil},
		"header, attachment": {"451-[]" + rs + "bAQID" + rs + "4x", []string{`4 text "51-[]"`, `4 binary "\x01\x02\x03"`, `4 text "x"`}, nil},
		"long base64":        {"b" + strings.Repeat("YWJj", 1000), []string{fmt.Sprintf("4 binary %q", strings.Repeat("abc", 1000))}, nil},
		"empty":              {"", nil, ErrEmptyPacket},
		"trailing separator": {"4a" + rs, []string{`4 text "a"`}, ErrEmptyPacket},
		"leading separator":  {rs + "4a", nil, ErrEmptyPacket},
		"two separators":     {"4a" + rs + rs + "4b", []string{`4 text "a"`}, ErrEmptyPacket},
		"bad type":           {"4a" + rs + "xyz" + rs + "4b", []string{`4 text "a"`}, ErrEngineType},
		"bad base64":         {"b!" + rs + "4b", nil, ErrBase64},
		"not UTF-8":          {"4a" + rs + "4\xff", []string{`4 text "a"`}, ErrUTF8},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := NewPayloadReader([]byte(tt.body))
			for i := 0; ; i++ {
				p, ok, err := r.Next()
				if !ok {
					if !errors.Is(err, tt.err) || i != len(tt.want) {
						t.Fatalf("ended after %d packets with %v", i, err)
					}
					break
				}
				if i >= len(tt.want) || p.string() != tt.want[i] {
					t.Fatalf("packet %d is %s", i, p.string())
				}
			}
			if _, ok, err := r.Next(); ok || err != nil {
				t.Errorf("behind the end: %v, %v", ok, err)
			}
		})
	}
}

func TestAppendPayload(t *testing.T) {
	var body []byte
	body = AppendPayload(body, EnginePacket{Type: Message, Data: []byte(`51-["x"]`)})
	body = AppendPayload(body, EnginePacket{Type: Message, Binary: true, Data: []byte{1, 2, 3, 4}})
	body = AppendPayload(body, EnginePacket{Type: Message, Binary: true})
	body = AppendPayload(body, EnginePacket{Type: Ping})
	if got, want := string(body), "451-[\"x\"]\x1ebAQIDBA==\x1eb\x1e2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
