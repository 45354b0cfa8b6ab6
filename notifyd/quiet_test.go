package notifyd

import (
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

func TestQuietHours(t *testing.T) {
	night := subjects.QuietHours{Enabled: true, Start: "22:00", End: "07:00", TimeZone: "Europe/Berlin"}
	lunch := subjects.QuietHours{Enabled: true, Start: "12:00", End: "13:30"}
	weekend := subjects.QuietHours{Enabled: true, Start: "00:00", End: "00:00", TimeZone: "America/New_York", Days: subjects.List[int]{6, 0}}
	friday := subjects.QuietHours{Enabled: true, Start: "20:00", End: "08:00", Days: subjects.List[int]{5}}
	for name, c := range map[string]struct {
		hours subjects.QuietHours
		at    string
		quiet bool
	}{
		"never":                             {subjects.QuietHours{}, "2026-03-02T23:00:00Z", false},
		"switched off":                      {subjects.QuietHours{Start: "00:00", End: "23:59"}, "2026-03-02T12:00:00Z", false},
		"22:00 in Berlin in winter":         {night, "2026-03-02T21:00:00Z", true},
		"a minute before":                   {night, "2026-03-02T20:59:59Z", false},
		"22:00 in Berlin in summer":         {night, "2026-07-02T20:00:00Z", true},
		"06:59 there":                       {night, "2026-07-03T04:59:59Z", true},
		"07:00 there":                       {night, "2026-07-03T05:00:00Z", false},
		"the hour that spring leaves out":   {night, "2026-03-29T01:00:00Z", true},
		"07:00 on that day":                 {night, "2026-03-29T05:00:00Z", false},
		"06:59 on that day":                 {night, "2026-03-29T04:59:00Z", true},
		"the hour that autumn has twice, 1": {night, "2026-10-25T00:30:00Z", true},
		"the hour that autumn has twice, 2": {night, "2026-10-25T01:30:00Z", true},
		"lunch":                             {lunch, "2026-03-02T12:00:00Z", true},
		"after lunch":                       {lunch, "2026-03-02T13:30:00Z", false},
		"Saturday in New York":              {weekend, "2026-03-07T05:00:00Z", true},
		"still Friday there":                {weekend, "2026-03-07T04:59:00Z", false},
		"Sunday there":                      {weekend, "2026-03-09T03:59:00Z", true},
		"Monday there":                      {weekend, "2026-03-09T04:00:00Z", false},
		"Friday evening":                    {friday, "2026-03-06T20:00:00Z", true},
		"Saturday morning":                  {friday, "2026-03-07T07:59:00Z", true},
		"Saturday evening":                  {friday, "2026-03-07T20:00:00Z", false},
		"Friday morning":                    {friday, "2026-03-06T07:00:00Z", false},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := newQuietHours(c.hours)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := h.at(at); got != c.quiet {
				t.Errorf("at %s it is quiet %t", c.at, got)
			}
		})
	}
}

func TestQuietHoursRefused(t *testing.T) {
	for name, q := range map[string]subjects.QuietHours{
		"no end":        {Enabled: true, Start: "22:00"},
		"24 o'clock":    {Enabled: true, Start: "24:00", End: "07:00"},
		"short":         {Enabled: true, Start: "7:00", End: "08:00"},
		"no such zone":  {Start: "22:00", End: "07:00", TimeZone: "Europe/Atlantis"},
		"this machine":  {Start: "22:00", End: "07:00", TimeZone: "Local"},
		"a path":        {Start: "22:00", End: "07:00", TimeZone: "../../etc/passwd"},
		"an eighth day": {Start: "22:00", End: "07:00", Days: subjects.List[int]{7}},
		"too many days": {Start: "22:00", End: "07:00", Days: subjects.List[int]{1, 1, 1, 1, 1, 1, 1, 1}},
	} {
		if _, err := newQuietHours(q); err == nil {
			t.Errorf("%s: allowed", name)
		}
	}
}
