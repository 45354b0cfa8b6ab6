package msgd

import (
	"strings"
	"testing"
	"time"
)

func TestMessageIDs(t *testing.T) {
	now := time.UnixMilli(1_795_000_000_000)
	var p position
	last, seen := "", map[string]bool{}
	for i, step := range []time.Duration{0, 0, time.Millisecond, -time.Hour, time.Hour, 24 * 365 * 100 * time.Hour} {
		p = p.next(now.Add(step))
		id := newMessageID(p)
		got, ok := parseMessageID(id)
		if !ok || got != p || p.number != int64(i+1) {
			t.Errorf("%s reads as %+v, %v; want %+v", id, got, ok, p)
		}
		if id <= last || seen[id] {
			t.Errorf("%s does not sort behind %s", id, last)
		}
		last, seen[id] = id, true
	}
	if a, b := newMessageID(p), newMessageID(p); a == b {
		t.Error("two conversations' messages of one millisecond have one id")
	}
}

func TestParseMessageIDRefuses(t *testing.T) {
	good := newMessageID(position{number: 7, ms: 1})
	for name, id := range map[string]string{
		"empty": "", "of the original": "msg-1735000000000", "short": good[:idLen-1], "long": good + "0",
		"another prefix": "mzg-" + good[4:], "upper case": strings.ToUpper(good), "number 0": newMessageID(position{}),
		"not a digit": good[:10] + "z" + good[11:], "not ASCII": good[:10] + "é" + good[12:],
	} {
		if p, ok := parseMessageID(id); ok {
			t.Errorf("%s: %q reads as %+v", name, id, p)
		}
	}
}

// FuzzMessageID asserts that an id has one spelling.
func FuzzMessageID(f *testing.F) {
	f.Add(newMessageID(position{number: 1, ms: 1}))
	f.Add("msg-")
	f.Fuzz(func(t *testing.T, id string) {
		p, ok := parseMessageID(id)
		if !ok {
			return
		}
		if again := newMessageID(p); again[:idLen-tailDigits] != id[:idLen-tailDigits] {
			t.Errorf("%q reads as %+v, which is written %q", id, p, again)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(active{"conv-1", 5}.cursor())
	f.Add("zz.*")
	f.Fuzz(func(t *testing.T, cursor string) {
		a, err := parseCursor(cursor)
		if err != nil || cursor == "" {
			return
		}
		if b, err := parseCursor(a.cursor()); err != nil || a != b {
			t.Errorf("%q reads as %+v, which reads as %+v, %v", cursor, a, b, err)
		}
	})
}

func TestPagePut(t *testing.T) {
	var p page
	for _, n := range []int64{3, 1, 7, 2} {
		if !p.put(place{n, uint64(n) * 10, uint64(n) * 100, []string{"ann", "bob"}[n%2]}) {
			t.Errorf("%d was there already", n)
		}
	}
	if p.put(place{3, 1, 1, "eve"}) {
		t.Error("a slot was written twice")
	}
	if at, ok := p.at(3); !ok || at != (place{3, 30, 300, "bob"}) {
		t.Errorf("%+v %v", at, ok)
	}
	if _, ok := p.at(5); ok || p.full() || !p.valid() {
		t.Errorf("%+v", p)
	}
	for n := range int64(pageSize) {
		p.put(place{n + 1, 1, 1, "ann"})
	}
	if !p.full() || !p.valid() {
		t.Error("not full")
	}
}
