package sio

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// bodySeeds are what broke other parsers, as polling bodies: that form reaches every decoder here.
var bodySeeds = []string{
	"40", "40/a,", `40/a,{"token":"t"}`, "41", "41/a,", `42["x",{"a":[1,2]}]`, `42/a,7["x"]`, `43/a,7[{"success":true}]`, `44/a,{"message":"no"}`,
	"451-[\"x\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID",
	"452-/a,7[\"e\",{\"_placeholder\":true,\"num\":0},{\"k\":{\"_placeholder\":true,\"num\":1}}]\x1ebAQ==\x1e3\x1eb",
	"461-9[{\"_placeholder\":true,\"num\":0}]\x1ebAQID\x1e42[\"y\"]",
	"2probe\x1e3probe\x1e5\x1e6\x1e1", "",
	// Unbounded attachments and huge counts.
	`45999999999-["x"]`, `450-["x"]`, `4510-["x"]` + strings.Repeat("\x1eb", 11), `45-["x"]`, `451["x"]`, `451e1-["x"]`, `4599999999999999999999-[]`,
	// Packets that are no objects or no arrays.
	`40null`, `40"x"`, `40[]`, `42null`, `42{"toString":"foo"}`, `42[{"toString":"foo"}]`, `42[]`, `43{}`, `41{}`, `42["connect"]`, `42["\u0063onnect"]`,
	// Deep JSON.
	`42["x",` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `]`, `42["x",` + strings.Repeat(`{"a":`, 130),
	// Placeholders that point elsewhere.
	`451-["x",{"_placeholder":true,"num":"splice"}]` + "\x1eb", `451-["x",{"_placeholder":true,"num":-1}]`, `451-["x",{"_placeholder":true,"num":1}]`,
	`451-["x",{"_placeholder":true,"num":0.5}]`, `451-["x",{"\u005fplaceholder":true,"num":1e9}]`, `451-["x",{"num":0,"_placeholder":true,"num":1}]`,
	// Binary without header, text instead of an attachment.
	"bAQID", "451-[\"x\"]\x1e42[\"y\"]", "451-[\"x\"]\x1e451-[\"x\"]",
	// Tiny fragments and separators.
	"4", "b", "\x1e", "4\x1e4\x1e4", "42[\"x\"]\x1e", "bA", "b=", "b\n", "4\xff", "40/\xff",
	`429007199254740992["x"]`, `4200["x"]`, `42/a`, `42/,["x"]`,
}

// FuzzDecode decodes bodies. Nothing may panic, nothing may allocate beyond the promise, and what was
// accepted must mean the same after encoding and decoding it again.
func FuzzDecode(f *testing.F) {
	for _, s := range bodySeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		assertMemory(t, body)
		var d Decoder
		r := NewPayloadReader(body)
		for {
			e, ok, err := r.Next()
			if err != nil {
				requireError(t, err)
			}
			if !ok {
				return
			}
			roundTripEngine(t, e)
			if e.Type != Message {
				continue
			}
			decode := d.Text
			if e.Binary {
				decode = d.Binary
			}
			p, complete, err := decode(e.Data, Limits{})
			if err != nil {
				requireError(t, err)
				return
			}
			if complete {
				roundTrip(t, p)
			}
		}
	})
}

func requireError(t *testing.T, err error) {
	t.Helper()
	e, ok := err.(Error) //nolint:errorlint // the contract is this very type, unwrapped
	if !ok || e.Reason() == "unknown" {
		t.Errorf("%T %v is no named error", err, err)
	}
}

func roundTripEngine(t *testing.T, e EnginePacket) {
	t.Helper()
	r := NewPayloadReader(AppendPayload(nil, e))
	again, ok, err := r.Next()
	if err != nil || !ok || again.Type != e.Type || again.Binary != e.Binary || !bytes.Equal(again.Data, e.Data) {
		t.Errorf("%s became %s, %v", e.string(), again.string(), err)
	}
}

func roundTrip(t *testing.T, p Packet) {
	t.Helper()
	text := AppendPacket(nil, p)
	var d Decoder
	again, complete, err := d.Text(text, Limits{})
	for _, a := range p.Attachments {
		if err != nil || complete {
			break
		}
		again, complete, err = d.Binary(a, Limits{})
	}
	if err != nil || !complete || !equalPackets(again, p) {
		t.Fatalf("%+v became %q and then %+v, %v", p, text, again, err)
	}
	if !bytes.Equal(AppendPacket(nil, again), text) {
		t.Errorf("%q is not stable", text)
	}
	if p.Data != nil && p.Data[0] == '[' {
		again.Data = AppendArgs(nil, p.Args())
		if again.Args().Len() != p.Args().Len() || !ValidJSON(again.Data, 0) {
			t.Errorf("arguments of %q became %q", p.Data, again.Data)
		}
	}
	if name, _, err := p.Event(); err == nil && !strings.Contains(strings.ToValidUTF8(name, ""), name) {
		t.Errorf("name %q is not UTF-8", name)
	}
}

// FuzzEncodeEvent encodes events with any name and payload and decodes them again.
func FuzzEncodeEvent(f *testing.F) {
	f.Add("/events", "document:uploaded", `{"a":1}`, uint64(7))
	f.Add("/", "", `"\u0000"`, uint64(0))
	f.Add("", "a\"b\\c\nd\x00é\u2028", `[[]]`, uint64(1<<53-1))
	f.Fuzz(func(t *testing.T, nsp, name, payload string, id uint64) {
		if nsp != "" && (nsp[0] != '/' || strings.ContainsAny(nsp, ",")) || !ValidJSON([]byte(payload), 100) || id > maxAckID {
			return
		}
		var d Decoder
		p, _, err := d.Text(AppendEventID(nil, nsp, id, name, []byte(payload)), Limits{})
		if err != nil {
			if !errors.Is(err, ErrReservedEvent) && !errors.Is(err, ErrNamespace) {
				t.Fatal(err)
			}
			return
		}
		got, args, err := p.Event()
		raw, rest, ok := args.Next()
		if err != nil || !ok || rest.Len() != 0 || p.ID != id || !p.HasID {
			t.Fatalf("%q: %+v %v", name, p, err)
		}
		if got != strings.ToValidUTF8(name, "\ufffd") && strings.ToValidUTF8(name, "") == name {
			t.Errorf("name %q became %q", name, got)
		}
		if string(raw) != string(trimSpace([]byte(payload))) {
			t.Errorf("payload %q became %q", payload, raw)
		}
	})
}

// FuzzMsgpack decodes messages. Nothing may panic or allocate beyond the promise, and what was accepted is a
// packet that both forms can carry and that means the same in both.
func FuzzMsgpack(f *testing.F) {
	for _, g := range goldenPackets(f) {
		f.Add(unhexed(f, g.Msgpack))
	}
	for _, value := range []string{
		"c1", "dd7fffffff", "df7fffffff", "dbffffffff00", "c6ffffffff", "c9ffffffff00", "81c0c0", "81a0d40000", "d70080000000", placeholder7,
		"92c400" + placeholder7, "cb7ff0000000000000", "cf8000000000000001", strings.Repeat("91", 127) + "c400", "a2c328", "a3eda080",
	} {
		f.Add(unhexed(f, asEvent(value)))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		assertMsgpackMemory(t, msg)
		p, err := DecodeMsgpack(msg, Limits{})
		if err != nil {
			requireError(t, err)
			return
		}
		roundTrip(t, p)
		if len(p.Attachments) > 0 {
			return
		}
		again, err := DecodeMsgpack(AppendMsgpack(nil, p), Limits{MaxBytes: 3 << 20, MaxDepth: hardDepth})
		if err != nil || !sameJSON(t, again.Data, p.Data) {
			t.Fatalf("%s became %s, %v", p.Data, again.Data, err)
		}
		again.Data, p.Data = nil, nil
		if !equalPackets(again, p) {
			t.Errorf("%+v became %+v", p, again)
		}
	})
}

// FuzzTranscode turns JSON into MessagePack and back: it must mean the same.
func FuzzTranscode(f *testing.F) {
	for _, g := range goldenPackets(f) {
		if _, args, ok := strings.Cut(g.JSON, "["); ok {
			f.Add([]byte("[" + args))
		}
	}
	for _, s := range []string{`1e400`, `-0.0`, `9007199254740993`, `1e15`, `1.5`, `[[[[[[[[[[[]]]]]]]]]]]`, `"\ud800\udc00\ud800"`, `{"\u0000":{"":[]}}`, ` [ 1 , 2 ] `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		const around = 32 // what the packet has beside the payload
		ack := MessagePack.AppendAck(nil, "/", 1, value)
		if 2*len(ack) > 5*len(value)+2*around {
			t.Errorf("%d bytes of JSON became %d", len(value), len(ack))
		}
		p, err := DecodeMsgpack(ack, Limits{MaxBytes: 8 << 20, MaxDepth: hardDepth})
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		var want any
		if check(value, hardDepth-1, 0) != 0 {
			value = []byte("null")
		} else if json.Unmarshal(value, &want) != nil {
			return // a number that Go cannot hold
		}
		if got, _, _ := p.Args().Next(); !sameJSON(t, got, value) {
			t.Errorf("%q became %q", value, got)
		}
	})
}
