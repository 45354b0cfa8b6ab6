package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// transcript is a sink that writes down what it gets.
type transcript struct{ lines []string }

func (t *transcript) message(op byte, data []byte) bool {
	t.lines = append(t.lines, fmt.Sprintf("message %d %q", op, data))
	return true
}

func (t *transcript) control(op byte, data []byte) bool {
	t.lines = append(t.lines, fmt.Sprintf("control %d %q", op, data))
	return op != opClose
}

// feedCut feeds data in pieces of the given size, 0 = whole, and returns what was found.
func feedCut(data []byte, size int, may rules) (lines []string, code uint16, in *input) {
	var out transcript
	in = new(input)
	data = bytes.Clone(data) // feed unmasks in place
	if size == 0 {
		size = max(len(data), 1)
	}
	for len(data) > 0 && code == 0 {
		n := min(size, len(data))
		code = in.feed(data[:n:n], may, &out)
		data = data[n:]
		if k := len(out.lines); k > 0 && strings.HasPrefix(out.lines[k-1], "control 8") {
			break
		}
	}
	return out.lines, code, in
}

func frames(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestInput(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for name, c := range map[string]struct {
		bytes []byte
		want  []string
		code  uint16
	}{
		"text":                {masked(0x81, "4hi"), []string{`message 1 "4hi"`}, 0},
		"binary":              {masked(0x82, "\x00\xff"), []string{`message 2 "\x00\xff"`}, 0},
		"empty":               {masked(0x82, ""), []string{`message 2 ""`}, 0},
		"126 bytes":           {masked(0x82, long[:126]), []string{fmt.Sprintf("message 2 %q", long[:126])}, 0},
		"70000 bytes":         {masked(0x82, long), []string{fmt.Sprintf("message 2 %q", long)}, 0},
		"two":                 {frames(masked(0x81, "a"), masked(0x81, "b")), []string{`message 1 "a"`, `message 1 "b"`}, 0},
		"fragments":           {frames(masked(0x01, "a"), masked(0x00, ""), masked(0x80, "b")), []string{`message 1 "ab"`}, 0},
		"empty fragments":     {frames(masked(0x01, ""), masked(0x80, "")), []string{`message 1 ""`}, 0},
		"control in between":  {frames(masked(0x01, "a"), masked(0x89, "p"), masked(0x80, "b")), []string{`control 9 "p"`, `message 1 "ab"`}, 0},
		"close":               {frames(masked(0x88, "\x03\xe8bye"), masked(0x81, "late")), []string{`control 8 "\x03\xe8bye"`}, 0},
		"character in two":    {frames(masked(0x01, "\xc3"), masked(0x80, "\xa9")), []string{`message 1 "é"`}, 0},
		"unmasked":            {[]byte{0x81, 1, 'a'}, nil, codeProtocolError},
		"rsv1":                {masked(0xc1, "a"), nil, codeProtocolError},
		"rsv3":                {masked(0x91, "a"), nil, codeProtocolError},
		"reserved data":       {masked(0x83, "a"), nil, codeProtocolError},
		"reserved control":    {masked(0x8b, "a"), nil, codeProtocolError},
		"long ping":           {masked(0x89, long[:126]), nil, codeProtocolError},
		"ping in fragments":   {masked(0x09, "a"), nil, codeProtocolError},
		"stray continuation":  {masked(0x80, "a"), nil, codeProtocolError},
		"text in fragments":   {frames(masked(0x01, "a"), masked(0x81, "b")), nil, codeProtocolError},
		"bad UTF-8":           {masked(0x81, "\xff"), nil, codeBadPayload},
		"UTF-8 cut off":       {frames(masked(0x01, "\xc3"), masked(0x80, "a")), nil, codeBadPayload},
		"surrogate":           {masked(0x81, "\xed\xa0\x80"), nil, codeBadPayload},
		"too large":           {masked(0x82, strings.Repeat("x", 100_001)), nil, codeTooLarge},
		"too large together":  {frames(masked(0x02, long), masked(0x80, long)), nil, codeTooLarge},
		"absurd length":       {[]byte{0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, nil, codeTooLarge},
		"negative length":     {[]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, nil, codeProtocolError},
		"too many fragments":  {frames(masked(0x01, ""), bytes.Repeat(masked(0x00, ""), 2000)), nil, codeTooLarge},
		"many real fragments": {frames(masked(0x01, ""), bytes.Repeat(masked(0x00, strings.Repeat("y", 20)), 4000), masked(0x80, "")), []string{fmt.Sprintf("message 1 %q", strings.Repeat("y", 80_000))}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 1, 2, 3, 5, 7, 13, 64, 1000} {
				lines, code, in := feedCut(c.bytes, size, rules{limit: 100_000})
				if strings.Join(lines, "\n") != strings.Join(c.want, "\n") || code != c.code {
					t.Fatalf("cut at %d: %.200q code %d, want %.200q code %d", size, lines, code, c.want, c.code)
				}
				if code == 0 && name != "close" && in.part != nil {
					t.Errorf("cut at %d: an idle input holds a buffer", size)
				}
			}
		})
	}
}

func TestClosePayload(t *testing.T) {
	for payload, want := range map[string]uint16{
		"": codeNoStatus, "\x03\xe8": 1000, "\x03\xe9gone": 1001, "\x03": codeProtocolError,
		"\x03\xec": codeProtocolError, "\x03\xed": codeProtocolError, "\x03\xee": codeProtocolError,
		"\x03\xf7": codeProtocolError, "\x00\x00": codeProtocolError, "\x0b\xb8": 3000, "\x13\x87": 4999,
		"\x13\x88": codeProtocolError, "\x07\xd0": codeProtocolError, "\x03\xe8\xff": codeProtocolError,
		"\x03\xf3": 1011,
	} {
		if got := closePayload([]byte(payload)); got != want {
			t.Errorf("%x: %d, want %d", payload, got, want)
		}
	}
}

// A parser that meets every client's bytes must allocate nothing for whole frames.
func TestInputAllocatesNothing(t *testing.T) {
	frame := frames(masked(0x82, "hello"), masked(0x89, "p"))
	to := new(counter)
	var in input
	buf := make([]byte, len(frame))
	if n := testing.AllocsPerRun(100, func() {
		copy(buf, frame)
		in.feed(buf, rules{limit: 1000}, to)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type counter struct{ n int }

func (c *counter) message(byte, []byte) bool { c.n++; return true }
func (c *counter) control(byte, []byte) bool { c.n++; return true }

// FuzzInput wants the same messages and the same verdict from the same bytes, however they are cut,
// and no more memory than the limit allows.
func FuzzInput(f *testing.F) {
	f.Add(frames(masked(0x01, "a"), masked(0x89, "p"), masked(0x80, "b"), masked(0x88, "")), 3)
	f.Add(frames(masked(0x82, strings.Repeat("x", 200)), masked(0x81, "\xff")), 1)
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 4, 0, 1, 2, 3, 4, 5}, 4)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		const limit = 1000
		size = max(size%64, 1)
		whole, code, _ := feedCut(data, 0, rules{limit: limit})
		cut, cutCode, in := feedCut(data, size, rules{limit: limit})
		if strings.Join(whole, "\n") != strings.Join(cut, "\n") || code != cutCode {
			t.Fatalf("whole: %q %d\ncut at %d: %q %d", whole, code, size, cut, cutCode)
		}
		if in.part != nil && len(in.part.data) > limit {
			t.Fatalf("%d bytes kept of a message that may have %d", len(in.part.data), limit)
		}
	})
}
