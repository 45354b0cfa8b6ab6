package edge

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
)

// elsewhere is what one other edge has said of a user, and how long ago.
type elsewhere struct {
	sockets uint16 // in /events
	rooms   []string
	ago     time.Duration // before now; the question was asked a second before now
}

// sharesOf has other edges hold this for the user u1.
func sharesOf(now time.Time, edges []elsewhere) *shares {
	s := newShares()
	for i, e := range edges {
		var held share
		held.sockets[nsEvents] = e.sockets
		for _, room := range e.rooms {
			held.rooms = append(held.rooms, hashOf(room))
		}
		news := shareNews{incarnation: 1, seq: 1, users: []userShare{{hashOf("u1"), held}, {hashOf("u2"), share{rooms: []hash{1}}}}}
		s.note(fmt.Sprint("edge-", i), news, now.Add(-e.ago))
	}
	return s
}

const askedAgo = time.Second

// settled asks so long ago that there is no doubt about this edge.
func settled() attempt {
	now := time.Unix(1_700_000_000, 0)
	return attempt{asked: now.Add(-shareSettle), now: now}
}

func TestConnectionsOverEdges(t *testing.T) {
	const live, before, dead = 100 * time.Millisecond, askedAgo - shareSettle + 1, shareSilence + 1
	tests := map[string]struct {
		own   int
		edges []elsewhere
		want  verdict
		count int
	}{
		"nobody else":                   {4, nil, admitted, 4},
		"full here":                     {5, nil, refused, 5},
		"over the limit here":           {7, nil, refused, 7},
		"room left over all":            {2, []elsewhere{{sockets: 1, ago: live}, {sockets: 1, ago: live}}, admitted, 4},
		"full over three edges":         {2, []elsewhere{{sockets: 2, ago: live}, {sockets: 1, ago: live}}, refused, 5},
		"full on another alone":         {0, []elsewhere{{sockets: 5, ago: live}}, refused, 5},
		"heard before the question":     {2, []elsewhere{{sockets: 3, ago: before}}, doubtful, 5},
		"heard at the last moment":      {2, []elsewhere{{sockets: 3, ago: askedAgo - shareSettle}}, refused, 5},
		"silent, at the last moment":    {0, []elsewhere{{sockets: 5, ago: shareSilence}}, doubtful, 5},
		"dead":                          {0, []elsewhere{{sockets: 5, ago: dead}}, admitted, 0},
		"dead, and full here":           {5, []elsewhere{{sockets: 5, ago: dead}}, refused, 5},
		"doubt about one of two":        {1, []elsewhere{{sockets: 2, ago: live}, {sockets: 2, ago: before}}, doubtful, 5},
		"doubt that changes nothing":    {1, []elsewhere{{sockets: 4, ago: live}, {sockets: 2, ago: before}}, refused, 7},
		"doubt without need":            {1, []elsewhere{{sockets: 1, ago: before}}, admitted, 2},
		"dead and living":               {1, []elsewhere{{sockets: 3, ago: live}, {sockets: 5, ago: dead}}, admitted, 4},
		"full here, doubtful elsewhere": {5, []elsewhere{{sockets: 1, ago: before}}, refused, 6},
	}
	now := time.Unix(1_700_000_000, 0)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := sharesOf(now, test.edges)
			q := attempt{asked: now.Add(-askedAgo), now: now}
			held := s.sockets(hashOf("u1"), nsEvents, test.own, q)
			if v := held.verdict(5); v != test.want || held.counted != test.count {
				t.Errorf("verdict %d of %+v, want %d of %d", v, held, test.want, test.count)
			}
			if at := (attempt{now, now}); s.sockets(hashOf("u1"), nsEvents, test.own, at).verdict(5) == refused {
				t.Error("refused without a moment's thought")
			}
			for _, other := range []tally{s.sockets(hashOf("u1"), nsMessaging, 0, q), s.sockets(hashOf("u3"), nsEvents, 0, q)} {
				if other.counted != 0 {
					t.Errorf("another namespace or user counts %d", other.counted)
				}
			}
		})
	}
}

func TestRoomsOverEdges(t *testing.T) {
	const live, before, dead = 100 * time.Millisecond, askedAgo, shareSilence + 1
	tests := map[string]struct {
		own   []string
		edges []elsewhere
		want  verdict
		count int
	}{
		"two devices in the same rooms": {[]string{"a", "b"}, []elsewhere{{rooms: []string{"b", "a"}, ago: live}}, admitted, 2},
		"the same rooms everywhere":     {nil, []elsewhere{{rooms: []string{"a", "b"}, ago: live}, {rooms: []string{"a", "b"}, ago: live}}, admitted, 2},
		"full together":                 {[]string{"a", "b"}, []elsewhere{{rooms: []string{"b", "c"}, ago: live}}, refused, 3},
		"full, but it is in it there":   {[]string{"a", "b"}, []elsewhere{{rooms: []string{"x"}, ago: live}}, admitted, 3},
		"full, and in it in doubt":      {[]string{"a", "b", "c"}, []elsewhere{{rooms: []string{"x"}, ago: before}}, admitted, 4},
		"in it on a dead edge":          {[]string{"a", "b", "c"}, []elsewhere{{rooms: []string{"x"}, ago: dead}}, refused, 3},
		"full in doubt":                 {[]string{"a"}, []elsewhere{{rooms: []string{"b", "c"}, ago: before}}, doubtful, 3},
		"full here":                     {[]string{"a", "b", "c"}, []elsewhere{{rooms: []string{"c"}, ago: before}}, refused, 3},
		"dead":                          {[]string{"a"}, []elsewhere{{rooms: []string{"b", "c"}, ago: dead}}, admitted, 1},
		"doubt about a room held twice": {[]string{"a"}, []elsewhere{{rooms: []string{"b", "c"}, ago: live}, {rooms: []string{"c"}, ago: before}}, refused, 3},
	}
	now := time.Unix(1_700_000_000, 0)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAccounts(Limits{RoomsPerUser: 3}.withDefaults())
			a.elsewhere = sharesOf(now, test.edges)
			acc, _ := a.open("u1", nsEvents, true, true, attempt{})
			for _, room := range test.own {
				a.adopt(acc, room)
			}
			held := len(acc.rooms)
			n, v := a.enter(acc, "x", attempt{asked: now.Add(-askedAgo), now: now})
			if v != test.want || n != test.count {
				t.Errorf("verdict %d of %d rooms, want %d of %d", v, n, test.want, test.count)
			}
			if entered := len(acc.rooms) > held; entered != (v == admitted) {
				t.Errorf("verdict %d, entered %v", v, entered)
			}
		})
	}
}

// TestSharesRepairGaps sends an edge's messages with losses, and compares what is known at the end.
func TestSharesRepairGaps(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	user := func(name string, sockets uint16) userShare {
		return userShare{hashOf(name), share{sockets: [nsCount]uint16{nsEvents: sockets}}}
	}
	s := newShares()
	say := func(incarnation, seq uint64, part sharePart, users ...userShare) (ask bool) {
		now = now.Add(shareBeat)
		return s.note("e", shareNews{incarnation, seq, part, users}, now)
	}
	counts := func(when string, want ...int) {
		t.Helper()
		for i, name := range []string{"u1", "u2", "u3"} {
			if got := s.sockets(hashOf(name), nsEvents, 0, attempt{now, now}).counted; got != want[i] {
				t.Errorf("%s: %s counts %d, want %d", when, name, got, want[i])
			}
		}
	}
	asks := func(when string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: asks %v", when, got)
		}
	}
	asks("the first message", say(1, 1, partChange, user("u1", 1)), false)
	asks("the second", say(1, 2, partChange, user("u2", 2)), false)
	counts("in order", 1, 2, 0)
	asks("behind a gap", say(1, 4, partChange, user("u3", 1)), true)
	counts("behind a gap", 1, 2, 1)
	now = now.Add(-shareBeat) // at the same time
	asks("again at once", say(1, 5, partChange), false)
	asks("again later", say(1, 6, partChange), true)
	asks("a first part", say(1, 7, partWhole|partFirst, user("u1", 3)), false)
	counts("while the whole arrives", 1, 2, 1)
	asks("a last part", say(1, 8, partWhole|partLast, user("u3", 2)), false)
	counts("behind the whole", 3, 0, 2)
	asks("a part is lost", say(1, 9, partWhole|partFirst, user("u1", 1)) || !say(1, 11, partWhole|partLast, user("u3", 1)), false)
	counts("a whole with a hole", 3, 0, 2)
	asks("the whole in one", say(1, 12, partWhole|partFirst|partLast, user("u2", 1)), false)
	counts("the whole in one", 0, 1, 0)
	asks("a user leaves", say(1, 13, partChange, user("u2", 0)), false)
	counts("a user has left", 0, 0, 0)
	say(1, 14, partChange, user("u1", 5))
	asks("a new process, heard late", say(2, 7, partChange, user("u2", 1)), true)
	counts("a new process", 0, 1, 0)
	say(2, 8, partBye)
	counts("goodbye", 0, 0, 0)
	say(3, 1, partChange, user("u1", 5))
	now = now.Add(shareForget + 1)
	if alive := s.forget(now); alive != 0 || len(s.edges) != 0 {
		t.Errorf("%d edges alive, %d kept", alive, len(s.edges))
	}
}

func TestShareNewsInParts(t *testing.T) {
	users := make([]userShare, 60_000)
	for i := range users {
		users[i] = userShare{hash(i), share{sockets: [nsCount]uint16{nsEvents: 1, nsMessaging: 300}, rooms: []hash{1, 2, hash(i)}}}
	}
	const whole = partWhole | partFirst | partLast
	s := newShares()
	part, seq, rest := whole, uint64(0), users
	for len(rest) > 0 {
		seq++
		message, n := shareNews{9, seq, part, rest}.encode()
		if len(message) > shareBytes+8*shareMost+32 || n == 0 {
			t.Fatalf("%d users in %d bytes", n, len(message))
		}
		news, err := parseShareNews(message)
		if err != nil || len(news.users) != n {
			t.Fatal(len(news.users), err)
		}
		s.note("e", news, time.Now())
		rest = rest[n:]
		part &^= partFirst
	}
	if e := s.edges["e"]; seq < 3 || len(e.users) != len(users) || !e.complete || e.next != nil {
		t.Fatalf("%d parts, %d users, complete %v", seq, len(e.users), e.complete)
	}
	if got := s.edges["e"].users[77]; !reflect.DeepEqual(got, users[77].share) {
		t.Fatalf("got %+v", got)
	}
}

// TestAccountsTellTheirChanges follows an account through a burst, and a user who leaves and comes back.
func TestAccountsTellTheirChanges(t *testing.T) {
	a := newAccounts(Limits{}.withDefaults())
	s := newShares()
	var seq uint64
	tell := func() {
		seq++
		s.note("e", shareNews{1, seq, partChange, a.changes()}, time.Now())
	}
	q := attempt{time.Now(), time.Now()}
	acc, _ := a.open("u1", nsEvents, true, false, q)
	a.enter(acc, "case.1", q)
	a.enter(acc, "case.1", q)
	tell()
	if held := s.edges["e"].users[hashOf("u1")]; held.sockets[nsEvents] != 1 || len(held.rooms) != 1 {
		t.Fatalf("told %+v", held)
	}
	a.leave(acc, "case.1") // the other socket is in it still
	if changed := a.changes(); changed != nil {
		t.Fatalf("nothing changed, told %+v", changed)
	}
	a.leave(acc, "case.1")
	a.close(acc, nsEvents, true)
	acc, _ = a.open("u1", nsDashboard, true, false, q)
	tell()
	if held := s.edges["e"].users[hashOf("u1")]; held.sockets != [nsCount]uint16{nsDashboard: 1} || len(held.rooms) != 0 {
		t.Fatalf("after coming back %+v", held)
	}
	a.close(acc, nsDashboard, true)
	tell()
	if n := len(s.edges["e"].users); n != 0 {
		t.Fatalf("%d users hold nothing and are kept", n)
	}
}

// TestDoubtsKeepTheirOrder retries in the order of the questions, and only who is not settled.
func TestDoubtsKeepTheirOrder(t *testing.T) {
	d := newDoubts()
	var tried []int
	start := time.Unix(1_700_000_000, 0)
	for i := range 4 {
		asked := start.Add(time.Duration(i))
		d.add(asked, func(q attempt) bool {
			if !q.asked.Equal(asked) {
				t.Errorf("asked at %v, want %v", q.asked, asked)
			}
			tried = append(tried, i)
			if i == 0 {
				d.add(q.now, func(attempt) bool { return true }) // while the others are looked at
			}
			return q.now.Sub(start) > time.Duration(i)*time.Second
		})
	}
	d.retry(start.Add(1500 * time.Millisecond))
	d.retry(start.Add(time.Minute))
	if !slices.Equal(tried, []int{0, 1, 2, 3, 2, 3}) || d.count() != 0 {
		t.Errorf("tried %v, %d left", tried, d.count())
	}
}

// TestSharesFromManyGoroutines is for the race detector: users come and go while edges talk, and the
// limit holds for what is known.
func TestSharesFromManyGoroutines(t *testing.T) {
	const users, limit = 8, 3
	a := newAccounts(Limits{ConnectionsPerUser: limit, RoomsPerUser: limit}.withDefaults())
	var group sync.WaitGroup
	for g := range 16 {
		group.Go(func() {
			for i := range 300 {
				now := time.Now()
				q := attempt{now, now}
				acc, no := a.open(fmt.Sprint("u", (g+i)%users), nsEvents, true, false, q)
				if no != nil || acc == nil {
					continue
				}
				rooms := []string{fmt.Sprint("case.", i%5), "case.x"}
				entered := rooms[:0]
				for _, room := range rooms {
					if _, v := a.enter(acc, room, q); v == admitted {
						entered = append(entered, room)
					}
				}
				for _, room := range entered {
					a.leave(acc, room)
				}
				a.close(acc, nsEvents, true)
			}
		})
	}
	for e := range 4 {
		group.Go(func() {
			for i := range 300 {
				u := userShare{hashOf(fmt.Sprint("u", i%users)), share{sockets: [nsCount]uint16{uint16(i % 3)}, rooms: []hash{hash(i)}}}
				a.elsewhere.note(fmt.Sprint("e", e), shareNews{uint64(i / 100), uint64(i%100 + 1), partChange, []userShare{u}}, time.Now())
				a.elsewhere.forget(time.Now())
				a.changes()
				a.all()
			}
		})
	}
	group.Wait()
	if clients, users, _ := a.usage(); clients != 0 || users != 0 || len(a.all()) != 0 {
		t.Fatalf("%d clients of %d users are left", clients, users)
	}
}

func FuzzShareNews(f *testing.F) {
	news := shareNews{7, 300, partWhole | partFirst, []userShare{
		{1, share{sockets: [nsCount]uint16{1, 0, 300}, rooms: []hash{5, 6}}}, {2, share{}},
	}}
	seed, _ := news.encode()
	f.Add(seed)
	f.Add(seed[:len(seed)-3])
	bye, _ := shareNews{7, 1, partBye, nil}.encode()
	f.Add(bye)
	f.Fuzz(func(t *testing.T, data []byte) {
		news, err := parseShareNews(data)
		if err != nil || len(data) > shareBytes {
			return
		}
		again, n := news.encode()
		if !bytes.Equal(again, data) || n != len(news.users) {
			t.Fatalf("%x became %x", data, again)
		}
		newShares().note("e", news, time.Now())
	})
}
