package dashboardd

import (
	"slices"
	"sort"
	"time"
)

// Sliding counts. Times are milliseconds since 1970 by the log, never by this process's clock: what is
// counted must not depend on who counts it, or when.

const (
	recentSpan   = 24 * time.Hour     // "recent" in design 4
	upcomingSpan = 7 * 24 * time.Hour // "upcoming" in design 4

	minuteMillis  = int64(time.Minute / time.Millisecond)
	recentMinutes = int64(recentSpan / time.Minute)
)

// window counts events in minutes, so that a case with a burst of a thousand events costs as much as
// one with a single event. An event counts until its whole minute is 24 hours old: up to 59 s longer
// than 24 hours and never shorter.
type window []minute

// minute is the minutes since 1970, and how many events fell into it.
type minute [2]int64

// add counts an event at a time that is not before any earlier one, and forgets what no window can
// reach any more.
func (w *window) add(at int64) {
	m := at / minuteMillis
	if last := len(*w) - 1; last >= 0 && (*w)[last][0] == m {
		(*w)[last][1]++
		return
	}
	old := 0
	for old < len(*w) && (*w)[old][0] < m-recentMinutes {
		old++
	}
	*w = append(slices.Delete(*w, 0, old), minute{m, 1})
}

// count returns how many events the 24 hours before now hold.
func (w window) count(now int64) (n int64) {
	from := now/minuteMillis - recentMinutes
	for i := len(w) - 1; i >= 0 && w[i][0] >= from; i-- {
		n += w[i][1]
	}
	return n
}

// merged returns the windows as one. Adding them up later or adding their events up is the same.
func merged(all []window) window {
	sum := make(map[int64]int64)
	for _, w := range all {
		for _, m := range w {
			sum[m[0]] += m[1]
		}
	}
	out := make(window, 0, len(sum))
	for at, n := range sum {
		out = append(out, minute{at, n})
	}
	slices.SortFunc(out, func(a, b minute) int { return int(a[0] - b[0]) })
	return out
}

// upcoming reports whether a deadline lies in the 7 days from now on.
func upcoming(due, now int64) bool { return due >= now && due <= now+upcomingSpan.Milliseconds() }

// dues are the due times of many deadlines, sorted, so that the firm's number costs no look at every
// deadline.
type dues []int64

func (d *dues) add(due int64) {
	*d = slices.Insert(*d, d.search(due), due)
}

func (d *dues) remove(due int64) {
	if i := d.search(due); i < len(*d) && (*d)[i] == due {
		*d = slices.Delete(*d, i, i+1)
	}
}

// upcoming counts those in the 7 days from now on.
func (d *dues) upcoming(now int64) int64 {
	return int64(d.search(now+upcomingSpan.Milliseconds()+1) - d.search(now))
}

func (d *dues) search(at int64) int {
	return sort.Search(len(*d), func(i int) bool { return (*d)[i] >= at })
}
