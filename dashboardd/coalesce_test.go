package dashboardd

import (
	"testing"
	"time"
)

func TestCoalescerKeepsTheInterval(t *testing.T) {
	a, other := push{typeMetrics, "firm"}, push{typeMetrics, "team:t"}
	type step struct {
		at   int // ms
		mark []push
		take []push
	}
	for name, steps := range map[string][]step{
		"at once after quiet":      {{0, []push{a}, []push{a}}, {5000, []push{a}, []push{a}}},
		"one of many":              {{0, []push{a, a, a}, []push{a}}},
		"nothing without a change": {{0, []push{a}, []push{a}}, {2000, nil, nil}},
		"held back":                {{0, []push{a}, []push{a}}, {10, []push{a}, nil}, {999, []push{a}, nil}, {1000, nil, []push{a}}, {1001, []push{a}, nil}, {2000, nil, []push{a}}},
		"each for itself":          {{0, []push{a}, []push{a}}, {10, []push{other, a}, []push{other}}, {1000, nil, []push{a}}},
		"late is not twice":        {{0, []push{a}, []push{a}}, {10, []push{a}, nil}, {5000, nil, []push{a}}, {5001, []push{a}, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCoalescer(time.Second)
			for _, s := range steps {
				now := day0.Add(time.Duration(s.at) * time.Millisecond)
				for _, p := range s.mark {
					c.mark(p, now)
				}
				got := c.take(now)
				if len(got) != len(s.take) || len(got) == 1 && got[0] != s.take[0] {
					t.Fatalf("at %d ms: %v, want %v", s.at, got, s.take)
				}
				if at, waits := c.next(); waits && !at.After(now) {
					t.Fatalf("at %d ms something is still due", s.at)
				}
			}
		})
	}
}

func TestCoalescerForgets(t *testing.T) {
	c := newCoalescer(time.Second)
	for i := range 1000 {
		now := day0.Add(time.Duration(i) * time.Second)
		c.mark(push{typeCaseStats, time.Duration(i).String()}, now)
		c.take(now)
	}
	if len(c.last) > 2 || len(c.due) != 0 {
		t.Fatalf("it remembers %d pushes and %d waiting", len(c.last), len(c.due))
	}
}
