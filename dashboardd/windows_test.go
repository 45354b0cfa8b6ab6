package dashboardd

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestWindowCountsADay(t *testing.T) {
	at := func(d time.Duration) int64 { return day0.Add(d).UnixMilli() }
	for name, tt := range map[string]struct {
		events []time.Duration
		now    time.Duration
		want   int64
	}{
		"empty":               {nil, 0, 0},
		"now":                 {[]time.Duration{0}, 0, 1},
		"a day":               {[]time.Duration{0}, 24 * time.Hour, 1},
		"a day and a minute":  {[]time.Duration{0}, 24*time.Hour + time.Minute, 0},
		"a burst is one step": {[]time.Duration{0, time.Second, 2 * time.Second}, 0, 3},
		"some are old":        {[]time.Duration{0, 10 * time.Hour, 20 * time.Hour}, 30 * time.Hour, 2},
		"days are skipped":    {[]time.Duration{0, 100 * time.Hour}, 100 * time.Hour, 1},
		"asked for the past":  {[]time.Duration{0, time.Hour}, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var w window
			for _, e := range tt.events {
				w.add(at(e))
			}
			if got := w.count(at(tt.now)); got != tt.want {
				t.Fatalf("%d, want %d", got, tt.want)
			}
		})
	}
}

// A window says what a list of all events says, and forgets what is too old to matter.
func TestWindowIsTheListOfEvents(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var w window
	var list []int64
	at := day0.UnixMilli()
	for range 20_000 {
		at += r.Int64N(2 * minuteMillis)
		w.add(at)
		list = append(list, at/minuteMillis)
	}
	if len(w) > int(recentMinutes)+1 {
		t.Fatalf("it keeps %d minutes", len(w))
	}
	for d := range int64(1500) {
		now, want := at/minuteMillis+d, int64(0)
		for _, m := range list {
			if m >= now-recentMinutes {
				want++
			}
		}
		if got := w.count(now * minuteMillis); got != want {
			t.Fatalf("%d minutes later: %d, want %d", d, got, want)
		}
	}
}

func TestDues(t *testing.T) {
	var d dues
	day := 24 * time.Hour.Milliseconds()
	for _, due := range []int64{5 * day, 1 * day, 9 * day, 1 * day, 7 * day} {
		d.add(due)
	}
	for now, want := range map[int64]int64{0: 4, 1: 4, day: 4, day + 1: 2, 2 * day: 3, 9 * day: 1, 9*day + 1: 0, -8 * day: 0} {
		if got := d.upcoming(now); got != want {
			t.Errorf("at %d: %d, want %d", now, got, want)
		}
	}
	d.remove(1 * day)
	d.remove(6 * day) // is not there
	if got := d.upcoming(0); got != 3 || len(d) != 4 {
		t.Errorf("after removing: %d of %d", got, len(d))
	}
}
