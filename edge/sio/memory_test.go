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

// TestMsgpackMemory feeds what is long as JSON and short as MessagePack, and what announces much.
func TestMsgpackMemory(t *testing.T) {
	many := func(head, one string, n int) string { return asEvent(head + strings.Repeat(one, n)) }
	tests := map[string]string{
		"false":                  many("dd00010000", "c2", 1<<16),
		"false beyond the limit": many("dd00100000", "c2", 1<<20-30),
		"control characters":     many("db00010000", "01", 1<<16),
		"float64":                many("dd00010000", "cbffefffffffffffff", 1<<16),
		"float32":                many("dd00010000", "ca80800001", 1<<15) + strings.Repeat("ca80800001", 1<<15),
		"dates":                  many("dd00004000", "d700ffe14e6ec7cdf000", 1<<14),
		"empty keys":             many("df00010000", "a0c2", 1<<16),
		"undefined":              many("df00010000", "a0d40000", 1<<16),
		"attachments":            many("9a", "c400", 10),
		"too many attachments":   many("dc4000", "c400", 1<<14),
		"large attachments":      many("93", "c60000ffff"+strings.Repeat("00", 0xffff), 3),
		"a huge array":           asEvent("ddffffffff"),
		"a huge map":             asEvent("dfffffffff"),
		"a huge string":          asEvent("dbffffffff"),
		"huge arrays in arrays":  many("", "dd00001000", 1000),
		"deep":                   many("", "91", 1_000_000),
		"a long namespace":       "83 a474797065 00 a36e7370 db000f0000 2f" + strings.Repeat("61", 0xeffff) + "a464617461 80",
		"the same, malformed":    "83 a474797065 00 a36e7370 db000f0000 2f" + strings.Repeat("61", 0xeffff) + "a464617461 c1",
		"ignored keys":           "83 a474797065 01 a36e7370 a12f a178 dd00010000" + strings.Repeat("c2", 1<<16),
	}
	for name, message := range tests {
		t.Run(name, func(t *testing.T) { assertMsgpackMemory(t, unhexed(t, message)) })
	}
}

// assertMsgpackMemory holds decoding to the promise of DecodeMsgpack, and the allocator's rounding.
func assertMsgpackMemory(t *testing.T, msg []byte) {
	t.Helper()
	l := Limits{}.withDefaults()
	p, err := DecodeMsgpack(msg, Limits{})
	if len(p.Data) > min(6*len(msg)+40*len(p.Attachments), l.MaxBytes) || cap(p.Data) != len(p.Data) {
		t.Errorf("%d bytes became %d of JSON in room for %d", len(msg), len(p.Data), cap(p.Data))
	}
	promise := len(p.Data) + 24*len(p.Attachments) + len(p.Namespace)
	if e, ok := err.(Error); ok && e < ErrPacketMap && e != ErrTooLarge { //nolint:errorlint // the contract is this very type
		promise = min(6*len(msg)+1000, l.MaxBytes) // refused for what it says, perhaps after the second walk
	}
	limit := uint64(promise + promise/8 + 128)
	if promise > 32<<10 {
		limit += 8 << 10
	}
	if got := allocated(limit, func() { _, _ = DecodeMsgpack(msg, Limits{}) }); got > limit {
		t.Errorf("decoding %d bytes (%v) allocated %d bytes, promised are %d", len(msg), err, got, promise)
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
	packed := unhexed(t, asEvent("81 a161 cb3ff8000000000000"))
	packedCut := packed[:len(packed)-1]
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
		"refuse MessagePack":       func() { _, _ = DecodeMsgpack(packedCut, l) },
		"append MessagePack event": func() { buffer = MessagePack.AppendEvent(buffer[:0], "/events", "document:uploaded", payload) },
		"append MessagePack ack":   func() { buffer = MessagePack.AppendAck(buffer[:0], "/events", 7, payload) },
		"field":                    func() { Field(payload, "fileName") },
		"valid":                    func() { ValidJSON(payload, 0) },
		"append event":             func() { buffer = AppendEvent(buffer[:0], "/events", "document:uploaded", payload) },
		"append ack":               func() { buffer = AppendAck(buffer[:0], "/events", 7, payload) },
		"append args":              func() { buffer = AppendArgs(buffer[:0], p.Args()) },
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
	t.Run("decode MessagePack: its JSON alone", func(t *testing.T) {
		if n := testing.AllocsPerRun(100, func() { p, _ = DecodeMsgpack(packed, l) }); n != 1 {
			t.Errorf("%v allocations", n)
		}
	})
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

func BenchmarkDecodeMsgpack(b *testing.B) {
	event := []byte(`["message:send",{"conversationId":"c1","content":"` + strings.Repeat("hello ", 20) + `","tags":["a","b"]}]`)
	msg := AppendMsgpack(nil, Packet{Type: Event, Namespace: "/messaging", HasID: true, ID: 12, Data: event})
	l := Limits{Namespaces: []string{"/messaging"}}
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeMsgpack(msg, l); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendMsgpackEvent(b *testing.B) {
	payload := []byte(`{"documentId":"d1","fileName":"` + strings.Repeat("brief", 30) + `.pdf"}`)
	buffer := make([]byte, 0, 512)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		buffer = MessagePack.AppendEvent(buffer[:0], "/events", "document:uploaded", payload)
	}
}
