package dashboardd

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/lexiflow/realtime/subjects"
)

func TestAudienceReadsTheScope(t *testing.T) {
	for scope, want := range map[string]audience{
		"":                                 {viewer: viewer{User: "u"}},
		"case:7":                           {viewer: viewer{User: "u", Cases: []string{"7"}}},
		"case:9 case:7 case:9":             {viewer: viewer{User: "u", Cases: []string{"7", "9"}}},
		"case:7 case:*":                    {viewer: viewer{User: "u", All: true}},
		"dashboard:firm":                   {viewer: viewer{User: "u"}, firm: true},
		"dashboard:other firm":             {viewer: viewer{User: "u"}},
		"team:b team:a team:b":             {viewer: viewer{User: "u"}, teams: []string{"b", "a"}},
		"case: team: :":                    {viewer: viewer{User: "u"}},
		"team:" + strings.Repeat("x", 129): {viewer: viewer{User: "u"}},
	} {
		if got := audienceOf(subjects.Caller{User: "u", Scope: scope}); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", scope, got, want)
		}
	}
	flood := strings.Repeat("case:1234 ", 100_000)
	if got := audienceOf(subjects.Caller{User: "u", Scope: flood}); len(got.Cases) != 1 {
		t.Errorf("a flood of words: %d cases", len(got.Cases))
	}
}

func TestRoomsAreSeparate(t *testing.T) {
	tally := newStory().add("case 7 case:created", `{}`).told(t)
	seen := make(map[string]string)
	check := func(who string, rooms []string) {
		for _, room := range rooms {
			if _, _, err := subjects.ParseRoom(room); err != nil {
				t.Errorf("%s: %v", who, err)
			}
			if other, taken := seen[room]; taken {
				t.Errorf("%s is of %s and of %s", room, other, who)
			}
			seen[room] = who
		}
	}
	for _, c := range []subjects.Caller{
		{User: "u1", Scope: "case:7"},
		{User: "all", Scope: "case:*"},
		{User: "firm", Scope: "dashboard:firm"},
		{User: "team", Scope: "team:t1"},
		{User: ":metrics-firm"},
		{User: strings.Repeat("x", 128), Scope: "case:" + strings.Repeat("y", 128)},
	} {
		for _, kind := range allTypes {
			check(c.User+" "+kind, tally.roomsFor(audienceOf(c), kind, roomsOfCases))
		}
	}
	if rooms := tally.roomsFor(audienceOf(subjects.Caller{User: ":metrics-firm"}), typeAlert, 1); len(rooms) != 0 {
		t.Errorf("a user with the name of a room is joined to %v", rooms)
	}
}

// An edge lets a service join a socket to 1,000 rooms.
func TestRoomsAreBounded(t *testing.T) {
	s := newStory()
	for i := range 2000 {
		s.add(fmt.Sprintf("case %d access:changed", i), `{"allow":["u1"],"deny":[],"revision":1}`)
	}
	tally := s.told(t)
	var scope strings.Builder
	for i := range 600 {
		fmt.Fprintf(&scope, "case:t%d team:%d ", i, i)
	}
	for _, words := range []string{"", scope.String()} {
		a, n := audienceOf(subjects.Caller{User: "u1", Scope: words}), 0
		for _, kind := range allTypes {
			n += len(tally.roomsFor(a, kind, roomsOfCases))
		}
		if n > 1000 {
			t.Errorf("%d rooms", n)
		}
	}
	if rooms := tally.roomsFor(audienceOf(subjects.Caller{User: "u1"}), typeActivity, roomsOfCases); rooms[0] != "case.1999" {
		t.Errorf("the newest case is not first: %s", rooms[0])
	}
}

func TestViewersWithOneTokenAreOne(t *testing.T) {
	hash := func(user, scope string) string {
		return audienceOf(subjects.Caller{User: user, Scope: scope}).hash()
	}
	if hash("u", "case:1 case:2 team:x") != hash("u", "case:2 case:1") {
		t.Error("the order of words makes two viewers")
	}
	distinct := map[string]bool{}
	for _, h := range []string{hash("u", ""), hash("v", ""), hash("u", "case:*"), hash("u", "case:1"), hash("u", "case:12"), hash("u", "case:1 case:2")} {
		distinct[h] = true
	}
	if len(distinct) != 6 {
		t.Errorf("%d different viewers of 6", len(distinct))
	}
}
