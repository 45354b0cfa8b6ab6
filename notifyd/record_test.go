package notifyd

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func filled(n int) *record {
	r := newRecord("u|1", "u=7C1")
	for i := range n {
		r.add(cause{seq: uint64(i + 1), epoch: 1, name: uint64(i + 1)}, []byte(`{"title":"x"}`), false, 500)
	}
	return r
}

func TestTheSameCauseTwice(t *testing.T) {
	for name, c := range map[string]struct {
		second cause
		added  bool
	}{
		"another":                        {cause{seq: 6, epoch: 1, name: 6}, true},
		"the same message":               {cause{seq: 5, epoch: 1, name: 5}, false},
		"its number, no name":            {cause{seq: 5, epoch: 1}, false},
		"its name under another number":  {cause{seq: 9, epoch: 1, name: 5}, false},
		"its name, not from the queue":   {cause{name: 5}, false},
		"its number in another queue":    {cause{seq: 5, epoch: 2, name: 6}, true},
		"a late copy of what is removed": {cause{seq: 4, epoch: 1, name: 99, floor: 4}, false},
		"without any cause":              {cause{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecord("u", "u")
			r.add(cause{seq: 5, epoch: 1, name: 5}, []byte(`{"a":1}`), false, 500)
			if got := r.add(c.second, []byte(`{"a":1}`), false, 500); got != c.added {
				t.Errorf("added %t", got)
			}
			want := 1
			if c.added {
				want = 2
			}
			if len(r.items) != want || r.unread() != int64(want) {
				t.Errorf("%d kept, %d unread, want %d", len(r.items), r.unread(), want)
			}
		})
	}
}

func TestNamesAndNumbersStayFew(t *testing.T) {
	r := newRecord("u", "u")
	for i := range uint64(5000) {
		r.add(cause{seq: i + 1, epoch: 1, floor: max(i, 100) - 100, name: i + 1}, []byte(`{"a":1}`), false, 200)
	}
	if len(r.names) != keepNames || len(r.seen.runs) != 1 || len(r.items) != 200 {
		t.Errorf("%d names, %d runs, %d items", len(r.names), len(r.seen.runs), len(r.items))
	}
}

func TestTheOldestReadGoesFirst(t *testing.T) {
	r := filled(5)
	if err := r.mark(r.id(3), true, noon); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		r.add(cause{name: uint64(100 + i)}, []byte(`{"a":1}`), false, 5)
	}
	var left []uint64
	for _, it := range r.items {
		left = append(left, it.n)
	}
	if want := []uint64{2, 4, 5, 6, 7}; !reflect.DeepEqual(left, want) {
		t.Errorf("%v are left, want %v", left, want)
	}
}

func TestMarking(t *testing.T) {
	r := filled(3)
	r.seal()
	r.out, r.changed = nil, false
	id := r.id(2)
	for i, step := range []struct {
		do     func() error
		unread int64
		events int
	}{
		{func() error { return r.mark(id, true, noon) }, 2, 1},
		{func() error { return r.mark(id, true, noon.Add(time.Hour)) }, 2, 1},
		{func() error { return r.mark(id, false, noon) }, 3, 2},
		{func() error { r.markAll(noon); return nil }, 0, 3},
		{func() error { r.markAll(noon); return nil }, 0, 3},
		{func() error { return r.delete(id) }, 0, 4},
		{func() error { return r.delete(id) }, 0, 4},
	} {
		if err := step.do(); err != nil || r.unread() != step.unread || len(r.out) != step.events {
			t.Errorf("step %d: %v, %d unread, %d events", i, err, r.unread(), len(r.out))
		}
	}
	for name, bad := range map[string]struct {
		id   string
		want error
	}{
		"empty":           {"", errInvalid},
		"long":            {strings.Repeat("x", 200), errInvalid},
		"not an id":       {"x", errUnknown},
		"not yet":         {r.id(4), errUnknown},
		"of another user": {newRecord("v", "v").id(1), errUnknown},
		"not canonical":   {"ntf-1-" + tag(r.user), errUnknown},
		"deleted":         {id, errUnknown},
	} {
		if err := r.mark(bad.id, true, noon); !errors.Is(err, bad.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecordComesBack(t *testing.T) {
	r := filled(40)
	r.fence = [kinds]uint64{1, 2, 3, 4, 5, 6}
	if err := r.mark(r.id(7), true, noon); err != nil {
		t.Fatal(err)
	}
	r.seal()
	back := stored1(t, r, 17)
	if back.unread() != 39 || len(back.out) != len(r.out) || back.rev != 17 {
		t.Fatalf("%+v", back)
	}
	back.announced()
	page, data := back.cut()
	if page == 0 || bytes.Count(data, []byte{'\n'}) != 40 {
		t.Fatalf("page %d of %d bytes", page, len(data))
	}
	back.add(cause{name: 77}, []byte(`{"title":"y"}`), true, 500)
	back.seal()
	third := stored1(t, back, 18)
	if len(third.items) != 41 || third.items[0].page != page || third.items[40].body == nil || third.unread() != 40 {
		t.Errorf("%+v", third)
	}
	if again, _ := stored1(t, r, 17).cut(); again != page {
		t.Error("the same record is cut into another page")
	}
	for i := range 40 {
		if err := third.delete(third.id(uint64(i + 1))); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(third.drop, []uint64{page}) {
		t.Errorf("an empty page is not dropped: %v", third.drop)
	}
}

func stored1(t *testing.T, r *record, rev uint64) *record {
	t.Helper()
	data, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := parse(r.user, r.key, rev, data)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	again, err := back.encode()
	if err != nil || !bytes.Equal(data, again) {
		t.Fatalf("%s\ncame back as\n%s, %v", data, again, err)
	}
	return back
}

func TestWhatIsNoRecordIsRefused(t *testing.T) {
	good, err := filled(2).encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty":            nil,
		"not JSON":         []byte("x"),
		"a newer version":  bytes.Replace(good, []byte(`"v":1`), []byte(`"v":2`), 1),
		"a body too few":   good[:bytes.LastIndexByte(good, '\n')],
		"a body too many":  append(bytes.Clone(good), "\n{}"...),
		"damaged items":    []byte(`{"v":1,"next":9,"items":"gA=="}`),
		"items from later": []byte(`{"v":1,"next":1,"items":"AQAA"}` + "\n{}"),
		"half a name":      []byte(`{"v":1,"names":"AAAA"}`),
	} {
		if _, err := parse("u", "u", 1, data); !errors.Is(err, errRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, n := range []int{0, 1, 20} {
		data, err := filled(n).encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse("u", "u", 1, data)
		if err != nil {
			return
		}
		stored1(t, r, 1)
	})
}

func FuzzNotice(f *testing.F) {
	f.Add(noticeJSON("t"))
	f.Add([]byte(`{"type":"a","title":"t","metadata":{"a":{"b":[1,2]}},"createdAt":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, n, bad := decode(data, noon, maxNotice)
		if bad != nil {
			return
		}
		r := newRecord("u", "u")
		r.add(cause{seq: 1}, n.rest, false, 500)
		if got := stored1(t, r, 1); got.unread() != 1 {
			t.Errorf("%q: %+v", data, got)
		}
	})
}

func TestIDsSortByTime(t *testing.T) {
	r := newRecord("u", "u")
	last := ""
	for _, n := range []uint64{1, 9, 10, 99, 1000, 999999, 9999999999} {
		if id := r.id(n); id <= last {
			t.Errorf("%s comes before %s", id, last)
		} else {
			last = id
		}
	}
}
