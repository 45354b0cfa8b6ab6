package sio

import (
	"runtime"
	"strings"
	"testing"
)

// allocated is what f allocates, in bytes. The counter is the process's, so other goroutines can only add to
// it: the smallest of several runs is taken once the first seems too much.
func allocated(limit uint64, f func()) uint64 {
	least := ^uint64(0)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		if least = min(least, after.TotalAlloc-before.TotalAlloc); least <= limit {
			break
		}
	}
	return least
}

// perMessage is what the package comment allows beside twice the size.
const perMessage = 128

// TestDecodeMemory feeds what made other decoders allocate. Each body is decoded as a polling client would
// send it, to the end or to the first error.
func TestDecodeMemory(t *testing.T) {
	tests := map[string]string{
		"a million elements":        `42["x"` + strings.Repeat(`,1`, 500_000) + `]`,
		"a million objects":         `42["x"` + strings.Repeat(`,{}`, 300_000) + `]`,
		"a million keys":            `42["x",{"a":1` + strings.Repeat(`,"a":1`, 150_000) + `}]`,
		"a deep packet":             `42["x",` + strings.Repeat(`[`, 1_000_000),
		"a long name":               `42["` + strings.Repeat(`x`, 1_000_000) + `"]`,
		"a name of escapes":         `42["` + strings.Repeat(`\u00e9`, 150_000) + `"]`,
		"a long namespace":          `40/` + strings.Repeat(`n`, 1_000_000),
		"a huge count":              `45999999999-["x"]`,
		"the count of the limit":    `4510-["x"]`,
		"a large header":            `4510-["x","` + strings.Repeat(`x`, 500_000) + `"]`,
		"tiny attachments":          `4510-["x"]` + strings.Repeat("\x1eb", 10),
		"many packets with tiny":    strings.Repeat(`4510-["x"]`+strings.Repeat("\x1eb", 10)+"\x1e", 1000) + "2",
		"large attachments":         `453-["x"]` + strings.Repeat("\x1eb"+strings.Repeat("QUJD", 50_000), 3),
		"a million separators":      strings.Repeat("\x1e", 1_000_000),
		"many pings":                strings.Repeat("2\x1e", 300_000) + "2",
		"placeholders":              `451-["x"` + strings.Repeat(`,{"_placeholder":true,"num":0}`, 30_000) + `]` + "\x1ebAQID",
		"digits":                    `42` + strings.Repeat("1", 1_000_000) + `["x"]`,
		"zeros":                     `42` + strings.Repeat("0", 1_000_000) + `["x"]`,
		"digits of a count":         `45` + strings.Repeat("1", 1_000_000) + `-["x"]`,
		"header behind header":      strings.Repeat(`451-["x"]`+"\x1e", 1000) + "2",
		"event behind event, names": strings.Repeat(`42/a,["x"]`+"\x1e", 10_000) + "2",
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) { assertMemory(t, []byte(body)) })
	}
}

func assertMemory(t *testing.T, body []byte) {
	t.Helper()
	messages := strings.Count(string(body), "\x1e") + 1
	limit := uint64(2*len(body) + perMessage*messages)
	scratch := make([]byte, len(body))
	got := allocated(limit, func() {
		copy(scratch, body) // decoding overwrites base64
		decodeBody(scratch)
	})
	if got > limit {
		t.Errorf("decoding %d bytes in %d messages allocated %d bytes", len(body), messages, got)
	}
}

// decodeBody does what a gateway does with a polling body, and drops the result.
func decodeBody(body []byte) {
	var d Decoder
	r := NewPayloadReader(body)
	for {
		e, ok, err := r.Next()
		if !ok || err != nil {
			return
		}
		if e.Type != Message {
			continue
		}
		decode := d.Text
		if e.Binary {
			decode = d.Binary
		}
		p, complete, err := decode(e.Data, Limits{})
		if err != nil {
			return
		}
		if complete && (p.Type == Event || p.Type == BinaryEvent) {
			if _, args, err := p.Event(); err == nil {
				args.Len()
			}
		}
	}
}

func TestNoAllocations(t *testing.T) {
	l := Limits{Namespaces: []string{"/events", "/messaging"}}
	event := []byte(`2/messaging,12["message:send",{"conversationId":"c1","content":"hello é","tags":["a","b"]}]`)
	plain := []byte(`2["x",1,[2,{"a":"b"}]]`)
	body := []byte("42[\"x\"]\x1e3\x1e2probe")
	payload := []byte(`{"documentId":"d1","fileName":"brief.pdf"}`)
	buffer := make([]byte, 0, 512)
	var d Decoder
	var p Packet
	ack, cut := []byte(`37[1]`), []byte(`2["x",`)
	tests := map[string]func(){
		"decode an event of a known namespace": func() { p, _, _ = d.Text(event, l) },
		"decode an event of the root":          func() { p, _, _ = d.Text(plain, l) },
		"decode an ack":                        func() { p, _, _ = d.Text(ack, l) },
		"refuse":                               func() { _, _, _ = d.Text(cut, l) },
		"refuse an unannounced binary":         func() { _, _, _ = d.Binary(plain, l) },
		"arguments": func() {
			p, _, _ = d.Text(plain, l)
			_, rest, _ := p.Args().Next()
			if rest.Len() != 2 {
				t.Error("wrong count")
			}
		},
		"field":        func() { Field(payload, "fileName") },
		"valid":        func() { ValidJSON(payload, 0) },
		"append event": func() { buffer = AppendEvent(buffer[:0], "/events", "document:uploaded", payload) },
		"append ack":   func() { buffer = AppendAck(buffer[:0], "/events", 7, payload) },
		"append args":  func() { buffer = AppendArgs(buffer[:0], p.Args()) },
		"payload": func() {
			r := NewPayloadReader(body)
			for _, ok, _ := r.Next(); ok; _, ok, _ = r.Next() {
			}
		},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	msg := []byte(`2/messaging,12["message:send",{"conversationId":"c1","content":"` + strings.Repeat("hello ", 20) + `","tags":["a","b"]}]`)
	l := Limits{Namespaces: []string{"/messaging"}}
	var d Decoder
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.Text(msg, l); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	payload := []byte(`{"documentId":"d1","fileName":"` + strings.Repeat("brief", 30) + `.pdf"}`)
	buffer := make([]byte, 0, 512)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		buffer = AppendEvent(buffer[:0], "/events", "document:uploaded", payload)
	}
}
