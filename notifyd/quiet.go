package notifyd

import (
	"errors"
	"fmt"
	"slices"
	"time"
	_ "time/tzdata" // a container has no time zones of its own

	"github.com/lexiflow/realtime/subjects"
)

// quietHours is [subjects.QuietHours] made ready to be asked. The zero value is never
// quiet. It is a pure function of the time asked for.
type quietHours struct {
	enabled    bool
	start, end time.Duration // since midnight, by the wall clock
	zone       *time.Location
	days       []int
}

const maxZone = 64 // bytes of a zone's name

func newQuietHours(q subjects.QuietHours) (quietHours, error) {
	if !q.Enabled && q.Start == "" && q.End == "" && q.TimeZone == "" && len(q.Days) == 0 {
		return quietHours{}, nil
	}
	h := quietHours{enabled: q.Enabled, days: q.Days}
	var err error
	if h.start, err = wallTime(q.Start); err != nil {
		return quietHours{}, fmt.Errorf("start: %w", err)
	}
	if h.end, err = wallTime(q.End); err != nil {
		return quietHours{}, fmt.Errorf("end: %w", err)
	}
	if len(q.TimeZone) > maxZone || q.TimeZone == "Local" {
		return quietHours{}, errors.New("timeZone is not the name of a time zone")
	}
	if h.zone, err = time.LoadLocation(q.TimeZone); err != nil {
		return quietHours{}, errors.New("timeZone is not the name of a time zone")
	}
	if len(q.Days) > 7 || slices.ContainsFunc(q.Days, func(d int) bool { return d < 0 || d > 6 }) {
		return quietHours{}, errors.New("days are 0 (Sunday) to 6, each once")
	}
	return h, nil
}

// wallTime reads "22:00".
func wallTime(s string) (time.Duration, error) {
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return 0, errors.New(`not a time of day like "22:00"`)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// at reports whether now is quiet. What counts is what the clock on the wall shows: an
// hour that occurs twice in autumn is twice quiet or twice not.
func (h *quietHours) at(now time.Time) bool {
	if !h.enabled {
		return false
	}
	local := now.In(h.zone)
	clock := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute
	today := int(local.Weekday())
	if h.start < h.end {
		return h.on(today) && clock >= h.start && clock < h.end
	}
	return h.on(today) && clock >= h.start || h.on((today+6)%7) && clock < h.end
}

// on reports whether quiet hours start on a day of the week.
func (h *quietHours) on(day int) bool { return len(h.days) == 0 || slices.Contains(h.days, day) }
