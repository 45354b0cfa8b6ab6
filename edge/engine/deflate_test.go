package engine

import (
	"bytes"
	"compress/flate" // not the package under test
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
)

const extensions = "Sec-WebSocket-Extensions"

// offerDeflate is what browsers and the ws package offer.
var offerDeflate = []string{extensions, "permessage-deflate; client_max_window_bits"}

const agreedDeflate = "permessage-deflate;server_no_context_takeover;client_no_context_takeover"

// squeeze compresses a message as a client does.
func squeeze(payload string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = io.WriteString(w, payload)
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), flushMark)
}

// bomb is so many MiB of zero bytes in as many KB.
func bomb(size int) string {
	part := squeeze(string(make([]byte, 1<<20))) + flushMark
	return strings.TrimSuffix(strings.Repeat(part, size), flushMark)
}

// ended compresses with a block that says it is the last (RFC 7692 section 7.2.3.4).
func ended(payload string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.HuffmanOnly)
	_, _ = io.WriteString(w, payload)
	_ = w.Close()
	return b.String()
}

func noise(size int) string {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func TestNegotiation(t *testing.T) {
	for name, c := range map[string]struct{ offer, want string }{
		"none":                     {"", ""},
		"plain":                    {"permessage-deflate", agreedDeflate},
		"browsers":                 {"permessage-deflate; client_max_window_bits", agreedDeflate},
		"no takeover":              {"permessage-deflate; server_no_context_takeover; client_no_context_takeover", agreedDeflate},
		"client window":            {"permessage-deflate; client_max_window_bits=10", agreedDeflate},
		"server window":            {"permessage-deflate; server_max_window_bits=10", agreedDeflate + ";server_max_window_bits=10"},
		"full server window":       {"permessage-deflate; server_max_window_bits=15", agreedDeflate + ";server_max_window_bits=15"},
		"quoted":                   {`permessage-deflate; server_max_window_bits="9"`, agreedDeflate + ";server_max_window_bits=9"},
		"the first acceptable":     {"permessage-deflate; server_max_window_bits=16, permessage-deflate; server_max_window_bits=12, permessage-deflate", agreedDeflate + ";server_max_window_bits=12"},
		"behind another":           {"x-webkit-deflate-frame, permessage-deflate", agreedDeflate},
		"another alone":            {"x-webkit-deflate-frame; x=1", ""},
		"unknown parameter":        {"permessage-deflate; mystery", ""},
		"unknown, then good":       {"permessage-deflate; mystery=1, permessage-deflate", agreedDeflate},
		"twice the same":           {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
		"twice without value":      {"permessage-deflate; client_max_window_bits; client_max_window_bits", ""},
		"twice different":          {"permessage-deflate; server_max_window_bits=9; server_max_window_bits=10", ""},
		"value where none belongs": {"permessage-deflate; server_no_context_takeover=1", ""},
		"no value":                 {"permessage-deflate; server_max_window_bits", ""},
		"window 7":                 {"permessage-deflate; server_max_window_bits=7", ""},
		"window 16":                {"permessage-deflate; client_max_window_bits=16", ""},
		"leading zero":             {"permessage-deflate; server_max_window_bits=010", ""},
		"sign":                     {"permessage-deflate; client_max_window_bits=+9", ""},
		"no number":                {"permessage-deflate; client_max_window_bits=x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, mode Mode) {
				s := serve(t, nil, Options{Mode: mode})
				var header []string
				if c.offer != "" {
					header = []string{extensions, c.offer}
				}
				client, status := s.dial("EIO=4&transport=websocket", header...)
				if got := client.answer.Get(extensions); status != http.StatusSwitchingProtocols || got != c.want {
					t.Errorf("%d %q, want %q", status, got, c.want)
				}
			})
		})
	}
}

// Two headers count like one list; a header that cannot be read is refused; switched off, no offer is taken.
func TestNegotiationOfHeaders(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		c := s.websocket(extensions, "permessage-deflate; no", extensions, "permessage-deflate", extensions, "permessage-deflate; server_max_window_bits=9")
		if got := strings.Join(c.answer.Values(extensions), "|"); got != agreedDeflate {
			t.Errorf("%q", got)
		}
		if _, status := s.dial("EIO=4&transport=websocket", extensions, "permessage-deflate; ="); status != http.StatusBadRequest {
			t.Errorf("a malformed header: %d", status)
		}
		off := serve(t, nil, Options{Mode: mode, NoCompression: true})
		c = off.websocket(offerDeflate...)
		if got := c.answer.Get(extensions); got != "" {
			t.Errorf("switched off: %q", got)
		}
		c.raw(masked(0xc1, squeeze("4a")))
		c.wantClose(codeProtocolError)
	})
}

// A room of clients with and without the extension: one compression for all of them, small messages
// plain, and what cannot shrink too.
func TestCompressedOnce(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, CompressThreshold: 500})
		var clients []*wsClient
		var sessions []*Session
		for i := range 20 {
			var header []string
			if i%4 != 0 {
				header = offerDeflate
			}
			clients = append(clients, s.websocket(header...))
			sessions = append(sessions, s.session())
		}
		big, even, small, random := strings.Repeat("brief ", 500), strings.Repeat("e", 499), strings.Repeat("s", 498), noise(2000)
		frames := []*Frame{Text([]byte(big)), Text([]byte(even)), Text([]byte(small)), Binary([]byte(random)), Binary([]byte(big))}
		for _, f := range frames {
			for _, session := range sessions {
				session.Send(f)
			}
		}
		for i, c := range clients {
			c.wantText("4"+big, "4"+even, "4"+small)
			for _, want := range []string{random, big} {
				if op, got, err := c.next(); op != opBinary || string(got) != want || err != nil {
					t.Fatalf("client %d: %d, %d bytes, %v", i, op, len(got), err)
				}
			}
			want := 0
			if i%4 != 0 {
				want = 3 // of 3000, 500 and 3000 bytes
			}
			if c.compressed != want {
				t.Errorf("client %d got %d messages compressed, want %d", i, c.compressed, want)
			}
		}
		if n := s.Stats().Compressed; n != 3 {
			t.Errorf("%d frames compressed, want 3", n)
		}
	})
}

// A client with a small window gets compressed what it can hold, and the rest plain.
func TestSmallWindow(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, CompressThreshold: 100})
		c := s.websocket(extensions, "permessage-deflate; server_max_window_bits=9")
		session := s.session()
		for _, size := range []int{400, 600} {
			text := strings.Repeat("w", size)
			session.Send(Text([]byte(text)))
			c.wantText("4" + text)
		}
		if c.compressed != 1 {
			t.Errorf("%d messages compressed, want that of 400 bytes alone", c.compressed)
		}
	})
}

// What a client sends compressed, and the code that a server closes with.
func TestInflate(t *testing.T) {
	const limit = 100_000
	long := strings.Repeat("0123456789", 5000)
	deflated := squeeze("4" + long)
	message := func(payload string) []string { return []string{fmt.Sprintf("message 1 %q", payload)} }
	for name, c := range map[string]struct {
		bytes []byte
		want  []string
		code  uint16
	}{
		"text":                  {masked(0xc1, squeeze("4hi")), message("4hi"), 0},
		"RFC 7692 7.2.3.1":      {masked(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), message("Hello"), 0},
		"stored block":          {masked(0xc1, "\x00\x05\x00\xfa\xffHello\x00"), message("Hello"), 0},
		"last block, zero":      {masked(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), message("Hello"), 0},
		"last block alone":      {masked(0xc1, ended("4hi")), message("4hi"), 0},
		"two blocks":            {masked(0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), message("Hello"), 0},
		"empty":                 {masked(0xc2, "\x00"), []string{`message 2 ""`}, 0},
		"nothing at all":        {masked(0xc2, ""), []string{`message 2 ""`}, 0},
		"binary":                {masked(0xc2, squeeze("\x00\xff")), []string{`message 2 "\x00\xff"`}, 0},
		"plain beside it":       {frames(masked(0x81, "4a"), masked(0xc1, squeeze("4b")), masked(0x81, "4c")), []string{`message 1 "4a"`, `message 1 "4b"`, `message 1 "4c"`}, 0},
		"long":                  {masked(0xc1, deflated), message("4" + long), 0},
		"fragments":             {frames(masked(0x41, deflated[:7]), masked(0x00, deflated[7:9]), masked(0x00, ""), masked(0x80, deflated[9:])), message("4" + long), 0},
		"control in between":    {frames(masked(0x41, deflated[:7]), masked(0x89, "p"), masked(0x80, deflated[7:])), append([]string{`control 9 "p"`}, message("4"+long)...), 0},
		"character in two":      {frames(masked(0x41, squeeze("4é")[:3]), masked(0x80, squeeze("4é")[3:])), message("4é"), 0},
		"at the limit":          {masked(0xc2, squeeze(noise(limit))), []string{fmt.Sprintf("message 2 %q", noise(limit))}, 0},
		"beyond the limit":      {masked(0xc2, squeeze(noise(limit+1))), nil, codeTooLarge},
		"bomb":                  {masked(0xc1, bomb(4)), nil, codeTooLarge},
		"bomb in fragments":     {frames(masked(0x41, bomb(4)[:100]), masked(0x80, bomb(4)[100:])), nil, codeTooLarge},
		"too much unread":       {masked(0xc2, noise(limit+limit/8)), nil, codeTooLarge},
		"RSV1 on continuation":  {frames(masked(0x41, deflated[:7]), masked(0xc0, deflated[7:])), nil, codeProtocolError},
		"RSV1 on ping":          {masked(0xc9, "p"), nil, codeProtocolError},
		"RSV1 on pong":          {masked(0xca, ""), nil, codeProtocolError},
		"RSV1 on close":         {masked(0xc8, "\x03\xe8"), nil, codeProtocolError},
		"RSV1 and RSV2":         {masked(0xe1, squeeze("4hi")), nil, codeProtocolError},
		"RSV2":                  {masked(0xa1, squeeze("4hi")), nil, codeProtocolError},
		"reserved opcode":       {masked(0xc3, squeeze("4hi")), nil, codeProtocolError},
		"stray":                 {masked(0xc0, squeeze("4hi")), nil, codeProtocolError},
		"message in a message":  {frames(masked(0x41, deflated[:7]), masked(0xc1, squeeze("4hi"))), nil, codeProtocolError},
		"bad UTF-8":             {masked(0xc1, squeeze("4\xff")), nil, codeBadPayload},
		"bad UTF-8 from binary": {masked(0xc2, squeeze("4\xff")), []string{`message 2 "4\xff"`}, 0},
		"not compressed":        {masked(0xc1, "4hi, I am plain"), nil, codeBadPayload},
		"reserved block":        {masked(0xc1, "\x07"), nil, codeBadPayload},
		"bad stored length":     {masked(0xc1, "\x00\x05\x00\x00\x00Hello"), nil, codeBadPayload},
		"truncated":             {masked(0xc1, deflated[:len(deflated)/2]), nil, codeBadPayload},
		"truncated stored":      {masked(0xc1, "\x00\x50\x00\xaf\xffHello"), nil, codeBadPayload},
		"distance too far":      {masked(0xc1, "\x63\x00\x12"), nil, codeBadPayload},
		"junk behind the last":  {masked(0xc1, ended("4hi")+"junk"), nil, codeBadPayload},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 1, 2, 3, 7, 64, 1000} {
				lines, code, in := feedCut(c.bytes, size, rules{limit, true})
				if strings.Join(lines, "\n") != strings.Join(c.want, "\n") || code != c.code {
					t.Fatalf("cut at %d: %.200q code %d, want %.200q code %d", size, lines, code, c.want, c.code)
				}
				if code == 0 && in.part != nil {
					t.Errorf("cut at %d: an idle input holds a buffer", size)
				}
			}
		})
	}
}

// Over the wire, where the session ends and the next client is served.
func TestHostileCompression(t *testing.T) {
	giga := masked(0xc1, bomb(1<<10))
	for name, c := range map[string]struct {
		bytes  []byte
		code   uint16
		reason Reason
	}{
		"a bomb of 4 MB in 4 KB": {masked(0xc1, bomb(4)), 1009, ReasonMessageTooLarge},
		"a bomb of 1 GiB":        {giga, 1009, ReasonMessageTooLarge},
		"truncated":              {masked(0xc1, squeeze("4" + noise(1000))[:500]), 1007, ReasonParseError},
		"no deflate":             {masked(0xc1, "\x07\x07\x07"), 1007, ReasonParseError},
		"bad UTF-8":              {masked(0xc1, squeeze("4\xc3\x28")), 1007, ReasonParseError},
		"compressed ping":        {masked(0xc9, "p"), 1002, ReasonForbiddenFrame},
		"compressed rest":        {frames(masked(0x41, "x"), masked(0xc0, "x")), 1002, ReasonForbiddenFrame},
	} {
		t.Run(name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, mode Mode) {
				s := serve(t, nil, Options{Mode: mode, MaxPayload: 1 << 20})
				client := s.websocket(offerDeflate...)
				client.raw(masked(0xc1, squeeze("4first")))
				client.wantText("4first")
				_, _ = client.nc.Write(c.bytes) // it may be closed before it has read all
				client.wantClose(c.code)
				s.reason(c.reason)
				s.websocket(offerDeflate...)
			})
		})
	}
}

// A session that was begun on polling compresses from the upgrade on; what waited before arrives.
func TestCompressionAfterUpgrade(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		query := s.poll()
		session := s.session()
		c, _ := s.dial(strings.Replace(query, "polling", "websocket", 1), offerDeflate...)
		c.send(opText, "2probe")
		c.wantText("3probe")
		text := strings.Repeat("upgrade ", 1000)
		session.Send(Text([]byte("a" + text)))
		c.raw(masked(0xc1, squeeze("5")))
		c.wantText("4a" + text)
		session.Send(Text([]byte("b" + text)))
		c.wantText("4b" + text)
		if c.compressed != 2 {
			t.Errorf("%d messages compressed, want 2", c.compressed)
		}
	})
}

// net/http's way to a loop or a goroutine knows the extension too.
func TestCompressionThroughHTTP(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		c := s.over(nc)
		c.raw([]byte("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n" + // hands the connection to net/http
			handshakeHead("/socket.io/?EIO=4&transport=websocket", "x", offerDeflate...)))
		for range 2 {
			res, err := http.ReadResponse(c.br, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.answer = res.Header
			if res.StatusCode == http.StatusOK {
				_, _ = io.Copy(io.Discard, res.Body)
			}
			_ = res.Body.Close()
		}
		c.inflates = c.answer.Get(extensions) == agreedDeflate
		c.text()
		long := strings.Repeat("x", 5000)
		c.raw(masked(0xc1, squeeze("4"+long)))
		c.wantText("4" + long)
		if c.compressed != 1 {
			t.Errorf("%d messages compressed", c.compressed)
		}
	})
}

// A reader that pauses so that writes end in the middle of compressed frames: all arrives, in order,
// and the queue is empty in the end.
func TestCompressionUnderBackpressure(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, QueueFrames: 1 << 20, QueueBytes: 1 << 30})
		c := s.websocket(offerDeflate...)
		session := s.session()
		random := noise(64 << 10)
		text := func(i int) string {
			size := i * 97 % 40_000
			return fmt.Sprintf("%d %x%s", i, random[size:size+size/8], strings.Repeat("y", size))
		}
		const count = 600
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range count {
				session.Send(Text([]byte(text(i))))
			}
		}()
		<-sent // the socket is full by now
		for i := range count {
			c.wantText("4" + text(i))
		}
		eventually(t, "nothing pending", func() bool { frames, bytes := session.Pending(); return frames == 0 && bytes == 0 })
		if c.compressed < count/2 {
			t.Errorf("%d of %d messages compressed", c.compressed, count)
		}
	})
}

// A Gauge that waits is replaced whatever form waits, and a packet is one with its attachments.
func TestCompressionAndClasses(t *testing.T) {
	s, session := stuck(t, Options{CompressThreshold: 10})
	long := []byte(strings.Repeat("g", 1000))
	old := Text(long).As(Gauge, 1)
	session.Send(old.packed(s.Engine, maxWindow), Binary(long))
	session.Send(Text(long).As(Gauge, 1))
	if frames, bytes := session.Pending(); frames != 1 || bytes != old.Size() {
		t.Errorf("%d frames, %d bytes wait", frames, bytes)
	}
	if n := s.Stats().Dropped["replaced"]; n != 1 {
		t.Errorf("%d replaced", n)
	}
}

// FuzzInflate wants the same messages and the same verdict however the bytes are cut, and no message
// above the limit.
func FuzzInflate(f *testing.F) {
	f.Add(masked(0xc1, squeeze("4hello hello hello")), 3)
	f.Add(frames(masked(0x41, squeeze("4ab")[:2]), masked(0x89, "p"), masked(0x80, squeeze("4ab")[2:])), 1)
	f.Add(masked(0xc2, bomb(1)), 7)
	f.Add(masked(0xc1, ended("4x")+"\x00"), 0)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		const limit = 1000
		size = max(size%64, 1)
		whole, code, _ := feedCut(data, 0, rules{limit, true})
		cut, cutCode, in := feedCut(data, size, rules{limit, true})
		if strings.Join(whole, "\n") != strings.Join(cut, "\n") || code != cutCode {
			t.Fatalf("whole: %q %d\ncut at %d: %q %d", whole, code, size, cut, cutCode)
		}
		for _, line := range whole {
			if len(line) > 4*limit+20 { // quoted
				t.Fatalf("a message of %d bytes", len(line))
			}
		}
		if in.part != nil && len(in.part.data) > compressedLimit(limit) {
			t.Fatalf("%d bytes kept of a message that may have %d", len(in.part.data), limit)
		}
	})
}

// FuzzInflateMessage gives one compressed message to this decompressor and to another: what the one
// reads the other reads, and only what it refuses is refused.
func FuzzInflateMessage(f *testing.F) {
	for _, s := range []string{squeeze("4hi"), ended("4hi"), ended("4hi") + "\x00", ended("a") + ended("b"), "\x00\x05\x00\xfa\xffHello\x00", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 16
		source := bytes.NewReader(append(bytes.Clone(data), inflateEnd...))
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(source), limit+1))
		z := inflaters.New().(*inflater)
		got, code := z.inflate(data, limit)
		switch {
		case len(want) > limit:
			if code != codeTooLarge {
				t.Fatalf("more than %d bytes: code %d", limit, code)
			}
		case len(data) == 0: // see inflate
		case err != nil:
			if code != codeBadPayload {
				t.Fatalf("%v: code %d", err, code)
			}
		case code == 0 && !bytes.Equal(got, want):
			t.Fatalf("%q, want %q", got, want)
		case code != 0 && source.Len() == 0:
			t.Fatalf("code %d for %q", code, want)
		}
	})
}

// FuzzDeflate reads back what was compressed, whatever it is.
func FuzzDeflate(f *testing.F) {
	f.Add([]byte(strings.Repeat("case 123 ", 100)), 50)
	f.Add([]byte(noise(300)), 1)
	f.Fuzz(func(t *testing.T, data []byte, threshold int) {
		group := join([]*Frame{Text(data), Binary(data)})
		wire := deflateWire(group.wire, max(threshold, 1))
		for _, want := range []string{"4" + string(data), string(data)} {
			if len(wire) == 0 {
				t.Fatalf("nothing instead of %q", want)
			}
			deflated := wire[0]&rsv1Bit != 0
			op, got, rest := nextMessage(wire)
			if deflated {
				if len(want) < threshold || len(got) >= len(want) {
					t.Fatalf("%d bytes from %d, threshold %d", len(got), len(want), threshold)
				}
				z := inflaters.New().(*inflater)
				var code uint16
				if got, code = z.inflate(got, 1<<30); code != 0 {
					t.Fatalf("code %d", code)
				}
			}
			if string(got) != want || op != wire[0]&0x0f {
				t.Fatalf("op %d: %q, want %q", op, got, want)
			}
			wire = rest
		}
	})
}
