package presence

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// TestApply tells stories: facts in their order, each line "seconds fact", and what viewers see whenever
// that changes. After every fact the state is settled, and again whenever it asked for it, as the service
// does.
func TestApply(t *testing.T) {
	for name, story := range map[string]struct{ facts, seen string }{
		"one socket comes and leaves": {
			`0 open s1; 10 close s1`,
			`0 online 1 desktop:1; 10 offline 0 seen 10`,
		},
		"who was lost is away after the grace, and was last seen when it was lost": {
			`0 open s1; 10 lose s1; 20 pass`,
			`0 online 1 desktop:1; 15 offline 0 seen 10`,
		},
		"a resume within the grace was never away": {
			`0 open s1; 10 lose s1; 12 open s1 e2; 30 pass`,
			`0 online 1 desktop:1`,
		},
		"a resume on the same edge": {
			`0 open s1; 10 lose s1; 14 open s1; 30 pass`,
			`0 online 1 desktop:1`,
		},
		"a resume before the old edge has noticed": {
			`0 open s1; 10 open s1 e2; 11 lose s1; 30 pass; 31 close s1 e2`,
			`0 online 1 desktop:1; 31 offline 0 seen 31`,
		},
		"the old edge notices after the resumed socket is gone": {
			`0 open s1; 10 open s1 e2; 11 close s1 e2; 12 lose s1; 30 pass`,
			`0 online 1 desktop:1; 17 offline 0 seen 12`,
		},
		"a reload within the grace is a new socket and no event": {
			`0 open s1; 10 lose s1; 11 open s2; 30 pass; 40 close s2`,
			`0 online 1 desktop:1; 40 offline 0 seen 40`,
		},
		"a phone does not take the place of a lost desktop": {
			`0 open s1; 10 lose s1; 11 open s2 e1 /events mobile; 30 pass`,
			`0 online 1 desktop:1; 11 online 2 desktop:1 mobile:1; 15 online 1 mobile:1`,
		},
		"another namespace does not either": {
			`0 open s1; 10 lose s1; 11 open s2 e1 /messaging; 30 pass`,
			`0 online 1 desktop:1; 11 online 2 desktop:1; 15 online 1 desktop:1`,
		},
		"a resume after the grace": {
			`0 open s1; 10 lose s1; 16 open s1 e2`,
			`0 online 1 desktop:1; 15 offline 0 seen 10; 16 online 1 desktop:1`,
		},
		"offline only when the last device goes": {
			`0 open s1; 1 open s2 e2 /events mobile; 2 close s1; 3 close s2 e2`,
			`0 online 1 desktop:1; 1 online 2 desktop:1 mobile:1; 2 online 1 mobile:1; 3 offline 0 seen 3`,
		},
		"a page with four namespaces is one device": {
			`0 open s1 e1 /events; 0 open s2 e1 /messaging; 0 open s3 e1 /dashboard; 1 open s4 e1 /notifications; 2 open s5 e1 /events`,
			`0 online 1 desktop:1; 0 online 2 desktop:1; 0 online 3 desktop:1; 1 online 4 desktop:1; 2 online 5 desktop:2`,
		},
		"told twice": {
			`0 open s1; 1 open s1; 2 lose s1; 3 lose s1; 10 pass; 11 close s1`,
			`0 online 1 desktop:1; 7 offline 0 seen 2`,
		},
		"a clean close that comes after the loss was found": {
			`0 open s1; 10 lose s1; 11 close s1`,
			`0 online 1 desktop:1; 11 offline 0 seen 11`,
		},
		"a close of what nobody knows": {`0 close s9; 1 lose s9; 2 idle s9`, ``},

		"away when every socket is idle": {
			`0 open s1; 1 open s2 e2; 10 idle s1; 11 idle s2 e2; 20 active s1`,
			`0 online 1 desktop:1; 1 online 2 desktop:2; 11 away 2 desktop:2 seen 11; 20 online 2 desktop:2`,
		},
		"the active one leaves": {
			`0 open s1; 1 open s2; 10 idle s1; 11 close s2`,
			`0 online 1 desktop:1; 1 online 2 desktop:2; 11 away 1 desktop:1`,
		},
		"an idle one comes beside an active one": {
			`0 open s1; 1 idle s1; 2 open s2; 3 close s2`,
			`0 online 1 desktop:1; 1 away 1 desktop:1; 2 online 2 desktop:2; 3 away 1 desktop:1`,
		},
		"a lost socket that was idle stays so": {
			`0 open s1; 1 idle s1; 2 lose s1; 10 pass`,
			`0 online 1 desktop:1; 1 away 1 desktop:1; 7 offline 0 seen 2`,
		},

		"an explicit status stays": {
			`0 open s1; 1 status busy; 2 beat online; 3 open s2; 4 idle s1; 5 idle s2; 6 active s1; 7 beat online`,
			`0 online 1 desktop:1; 1 busy 1 desktop:1 seen 1; 3 busy 2 desktop:2`,
		},
		"and outlives every device": {
			`0 open s1; 1 status busy; 2 close s1; 9 open s2`,
			`0 online 1 desktop:1; 1 busy 1 desktop:1; 2 offline 0; 9 busy 1 desktop:1`,
		},
		"away by choice is not undone by activity": {
			`0 open s1; 1 status away; 2 active s1; 3 activity writing`,
			`0 online 1 desktop:1; 1 away 1 desktop:1; 3 away 1 desktop:1 "writing"`,
		},
		"busy never becomes away": {
			`0 open s1; 1 status busy; 400 idle s1`,
			`0 online 1 desktop:1; 1 busy 1 desktop:1`,
		},
		"online leaves it to idleness again, and counts as activity": {
			`0 open s1; 1 status away; 2 idle s1; 3 status online; 400 idle s1`,
			`0 online 1 desktop:1; 1 away 1 desktop:1; 3 online 1 desktop:1; 400 away 1 desktop:1`,
		},
		"online after idleness does not flip back": {
			`0 open s1; 300 idle s1; 301 status online; 302 pass`,
			`0 online 1 desktop:1; 300 away 1 desktop:1; 301 online 1 desktop:1 seen 301`,
		},
		"the same status again is no event": {
			`0 open s1; 1 status busy; 2 status busy; 3 status busy`,
			`0 online 1 desktop:1; 1 busy 1 desktop:1`,
		},
		"offline by choice looks like it": {
			`0 open s1; 1 activity writing; 2 status offline; 3 open s2; 4 custom hi; 5 status online`,
			`0 online 1 desktop:1; 1 online 1 desktop:1 "writing"; 2 offline 0; 5 online 2 desktop:2 "writing" 'hi'`,
		},
		"a status before the edge has said that the socket is there": {
			`0 status busy; 1 open s1`,
			`1 busy 1 desktop:1`,
		},

		"activity counts as such, clearing it does not": {
			`0 open s1; 10 idle s1; 20 activity writing; 30 activity; 40 pass`,
			`0 online 1 desktop:1; 10 away 1 desktop:1 seen 10; 20 online 1 desktop:1 "writing" seen 20; 30 online 1 desktop:1 seen 20`,
		},
		"a custom status does not count as activity": {
			`0 open s1; 10 idle s1; 20 custom out; 30 custom`,
			`0 online 1 desktop:1; 10 away 1 desktop:1; 20 away 1 desktop:1 'out' seen 10; 30 away 1 desktop:1 seen 10`,
		},
		"offline hides the custom status and drops the activity": {
			`0 open s1; 1 custom out; 2 activity writing; 3 close s1; 4 open s2`,
			`0 online 1 desktop:1; 1 online 1 desktop:1 'out'; 2 online 1 desktop:1 "writing" 'out'; 3 offline 0; 4 online 1 desktop:1 'out'`,
		},
		"a custom status of who is not there is remembered": {
			`0 custom out; 10 open s1`,
			`10 online 1 desktop:1 'out'`,
		},

		"a heartbeat refills what was lost": {
			`0 open s1; 1 beat busy writing out`,
			`0 online 1 desktop:1; 1 busy 1 desktop:1 "writing" 'out'`,
		},
		"a heartbeat refills once": {
			`0 open s1; 1 beat busy; 2 beat away`,
			`0 online 1 desktop:1; 1 busy 1 desktop:1`,
		},
		"a heartbeat does not overrule the user": {
			`0 open s1; 1 status busy; 2 status online; 3 open s2; 4 beat away`,
			`0 online 1 desktop:1; 1 busy 1 desktop:1; 2 online 1 desktop:1; 3 online 2 desktop:2`,
		},
		"a heartbeat that believes offline or nothing says nothing": {
			`0 open s1; 1 beat offline; 2 beat online; 3 beat; 4 beat busy`,
			`0 online 1 desktop:1; 4 busy 1 desktop:1`,
		},

		"absent on the only socket": {
			`0 open s1; 1 absent s1; 2 here s1`,
			`0 online 1 desktop:1; 1 offline 0; 2 online 1 desktop:1`,
		},
		"absent on one of two": {
			`0 open s1; 1 open s2; 2 absent s1; 3 absent s2; 4 here s1`,
			`0 online 1 desktop:1; 1 online 2 desktop:2; 3 offline 0; 4 online 2 desktop:2`,
		},
		"absent before the edge has said that the socket is there": {
			`0 absent s1; 1 open s1`, ``,
		},
		"a new socket beside the absent one": {
			`0 open s1; 1 absent s1; 2 open s2; 3 close s2; 4 close s1; 5 open s3`,
			`0 online 1 desktop:1; 1 offline 0; 2 online 2 desktop:2; 3 offline 0; 5 online 1 desktop:1`,
		},
		"setting a status on the absent socket": {
			`0 open s1; 1 absent s1; 2 status busy`,
			`0 online 1 desktop:1; 1 offline 0; 2 busy 1 desktop:1`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			teller := &teller{t: t, s: state{user: "u"}}
			for line := range strings.SplitSeq(story.facts, ";") {
				teller.tell(strings.Fields(line))
			}
			teller.compare(strings.Split(story.seen, ";"))
		})
	}
}

const testGrace = 5 * time.Second

var epoch = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// teller plays the service's part.
type teller struct {
	t    *testing.T
	s    state
	next time.Time
	seen []subjects.PresenceUpdateEvent
	at   []time.Time
}

func (n *teller) tell(words []string) {
	var seconds int
	if _, err := fmt.Sscan(words[0], &seconds); err != nil {
		n.t.Fatal(err)
	}
	now := epoch.Add(time.Duration(seconds) * time.Second)
	for !n.next.IsZero() && !n.next.After(now) {
		n.settle(n.next)
	}
	n.settle(now, n.fact(words[1], words[2:], now)...)
}

func (n *teller) fact(verb string, args []string, now time.Time) []fact {
	arg := func(i int, otherwise string) string {
		if i < len(args) {
			return args[i]
		}
		return otherwise
	}
	edge := arg(1, "e1")
	switch verb {
	case "open":
		return []fact{opened{socket{edge: edge, id: args[0], namespace: arg(2, "/events"), device: arg(3, "desktop")}}}
	case "close":
		return []fact{closed{edge: edge, id: args[0]}}
	case "lose":
		return []fact{closed{edge: edge, id: args[0], lost: now, until: now.Add(testGrace)}}
	case "idle", "active":
		return []fact{turned{edge, args[0], verb == "idle"}}
	case "status":
		return []fact{statusSet{"s1", subjects.PresenceStatus(args[0])}}
	case "activity":
		return []fact{activitySet{"s1", arg(0, "")}}
	case "custom":
		return []fact{customSet{arg(0, "")}}
	case "beat":
		return []fact{beaten{subjects.PresenceStatus(arg(0, "")), arg(1, ""), arg(2, "")}}
	case "absent", "here":
		return []fact{shown{args[0], verb == "here"}}
	case "pass":
		return nil
	}
	n.t.Fatalf("unknown fact %q", verb)
	return nil
}

// settle applies facts as the service does, and checks besides that apply is pure and that a second
// settling changes nothing.
func (n *teller) settle(now time.Time, facts ...fact) {
	n.t.Helper()
	n.next = time.Time{}
	before := fmt.Sprintf("%+v", n.s)
	after, c := applyAll(n.s, append(facts, settled{}), now)
	if now := fmt.Sprintf("%+v", n.s); now != before {
		n.t.Errorf("%T changed what it was given\n%s\n%s", facts, before, now)
	}
	if c.seen && !c.store {
		n.t.Errorf("%T shows what is not stored", facts)
	}
	if !c.store {
		after.record = n.s.record
	}
	n.s, n.next = after, c.next
	if c.seen {
		n.seen, n.at = append(n.seen, after.record.public), append(n.at, now)
	}
	if again, c := apply(after, settled{}, now); c.store || fmt.Sprint(again.sockets) != fmt.Sprint(after.sockets) {
		n.t.Errorf("settling twice is not settling once: %+v", c)
	}
}

// compare matches what was seen with lines like `15 offline 0 desktop:1 "activity" 'custom' seen 10`.
func (n *teller) compare(want []string) {
	n.t.Helper()
	want = slices.DeleteFunc(want, func(line string) bool { return strings.TrimSpace(line) == "" })
	var got []string
	for i, p := range n.seen {
		line := fmt.Sprintf("%d %s %d", int(n.at[i].Sub(epoch).Seconds()), p.Status, p.ActiveConnections)
		for _, d := range p.Devices {
			line += fmt.Sprintf(" %s:%d", d.Kind, d.Count)
		}
		if p.CurrentActivity != "" {
			line += fmt.Sprintf(" %q", p.CurrentActivity)
		}
		if p.CustomStatus != "" {
			line += " '" + p.CustomStatus + "'"
		}
		if i < len(want) && strings.Contains(want[i], " seen ") {
			line += fmt.Sprintf(" seen %d", int(p.LastSeen.Sub(epoch).Seconds()))
		}
		if p.UserID != "u" || p.LastSeen.IsZero() || p.Timestamp.IsZero() {
			n.t.Errorf("incomplete: %+v", p)
		}
		got = append(got, line)
	}
	for i := range want {
		want[i] = strings.TrimSpace(want[i])
	}
	if !slices.Equal(got, want) {
		n.t.Errorf("seen\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestSettleIsFenced(t *testing.T) {
	s := state{user: "u"}
	s, _ = apply(s, opened{socket{edge: "e1", id: "s1", device: "desktop"}}, epoch)
	s, _ = apply(s, settled{marks: map[string]mark{"e1": {"x", 7}}}, epoch)
	online := s
	s, _ = apply(s, closed{edge: "e1", id: "s1"}, epoch)
	for name, c := range map[string]struct {
		marks map[string]mark
		store bool
	}{
		"as far":                        {map[string]mark{"e1": {"x", 7}}, true},
		"further":                       {map[string]mark{"e1": {"x", 9}}, true},
		"behind":                        {map[string]mark{"e1": {"x", 6}}, false},
		"of another incarnation":        {map[string]mark{"e1": {"y", 1}}, true},
		"of an edge that is dead":       {nil, true},
		"of another edge, and as far":   {map[string]mark{"e1": {"x", 7}, "e2": {"z", 1}}, true},
		"of another edge, and behind":   {map[string]mark{"e1": {"x", 1}, "e2": {"z", 9}}, false},
		"ahead of an edge it is not on": {map[string]mark{"e2": {"z", 9}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			after, got := apply(s, settled{marks: c.marks}, epoch)
			if got.store != c.store {
				t.Errorf("stores: %v", got.store)
			}
			if !c.store && (got.next.IsZero() || after.record.public.Status != subjects.PresenceOnline) {
				t.Errorf("does not wait: %+v, %+v", got, after.record)
			}
		})
	}
	if m := online.record.counted.Marks["e1"]; m != (mark{"x", 7}) {
		t.Errorf("the record is marked %+v", m)
	}
}

func TestNobodyGoesOfflineBefore(t *testing.T) {
	s := state{user: "u"}
	s, _ = apply(s, opened{socket{edge: "e1", id: "s1"}}, epoch)
	s, _ = apply(s, settled{}, epoch)
	s, _ = apply(s, closed{edge: "e1", id: "s1"}, epoch)
	from := epoch.Add(time.Minute)
	s, c := apply(s, settled{offlineFrom: from}, epoch)
	if c.store || !c.next.Equal(from) {
		t.Fatalf("got %+v", c)
	}
	s, c = apply(s, settled{offlineFrom: from}, from)
	if !c.seen || s.record.public.Status != subjects.PresenceOffline {
		t.Errorf("got %+v, %+v", c, s.record.public)
	}
}

// FuzzApply asserts what holds after any facts in any order.
func FuzzApply(f *testing.F) {
	f.Add([]byte("\x00\x10\x21\x32\x43\x54\x65\x76\x87"))
	f.Fuzz(func(t *testing.T, facts []byte) {
		n := &teller{t: t, s: state{user: "u"}}
		for i, b := range facts {
			id, edge := fmt.Sprintf("s%d", b>>4&3), fmt.Sprintf("e%d", b>>6)
			verb := []string{
				"open", "close", "lose", "idle", "active", "absent", "here", "status", "custom", "activity", "beat", "pass", "pass", "open", "lose", "close",
			}[b&15]
			args := []string{id, edge}
			if verb == "status" || verb == "beat" {
				args = []string{[]string{"online", "away", "busy", "offline"}[b>>4&3]}
			}
			n.tell(append([]string{fmt.Sprint(i), verb}, args...))
			p := n.s.record.public
			if (p.Status == "" || p.Status == subjects.PresenceOffline) != (p.ActiveConnections == 0) {
				t.Fatalf("%s with %d connections", p.Status, p.ActiveConnections)
			}
		}
		n.tell([]string{"1000", "pass"})
		open := slices.ContainsFunc(n.s.sockets, func(k socket) bool { return k.lost.IsZero() })
		if (n.s.record.counted.Connections > 0) != open {
			t.Fatalf("%d connections, open: %v", n.s.record.counted.Connections, open)
		}
	})
}
