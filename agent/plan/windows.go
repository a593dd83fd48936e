package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	_ "time/tzdata" // a zone that "check" knows must be known on every host
)

// Windows say when a commit may begin: in one of Allow, or at any time when there
// is none, and in none of Deny. What counts is what a clock on the wall shows, in
// the zone: a time that is skipped in spring is in no window, and an hour that comes
// twice in autumn is in its window twice. The zero value is always open.
type Windows struct {
	Zone  string // IANA name; "" is UTC
	Allow []Window
	Deny  []Window
}

// Window is a part of some days of the week. One that ends at or before the time at
// which it begins goes on into the next day.
type Window struct {
	Days     []time.Weekday // on which it begins; none: all
	From, To int            // minutes since midnight; To 1440 is the end of the day
}

// minutesADay is how far a clock on the wall goes.
const minutesADay = 24 * 60

// horizon bounds the search for an opening: a week repeats, but for the days on which
// clocks change.
const horizon = 15 * 24 * time.Hour

// holds reports whether a time of a day is in the window.
func (w Window) holds(day time.Weekday, minute int) bool {
	if w.From < w.To {
		return w.begins(day) && w.From <= minute && minute < w.To
	}
	return w.begins(day) && w.From <= minute || w.begins((day+6)%7) && minute < w.To
}

func (w Window) begins(day time.Weekday) bool {
	return len(w.Days) == 0 || slices.Contains(w.Days, day)
}

// open reports whether a commit may begin at a time of a day of the week.
func (w *Windows) open(day time.Weekday, minute int) bool {
	in := func(win Window) bool { return win.holds(day, minute) }
	return (len(w.Allow) == 0 || slices.ContainsFunc(w.Allow, in)) && !slices.ContainsFunc(w.Deny, in)
}

// Ever reports whether there is any time at which a commit may begin.
func (w *Windows) Ever() bool {
	for day := range time.Weekday(7) {
		for minute := range minutesADay {
			if w.open(day, minute) {
				return true
			}
		}
	}
	return false
}

// Location is the zone. The error names the one that is unknown.
func (w *Windows) Location() (*time.Location, error) {
	// What "Local" is depends on who asks.
	if zone, err := time.LoadLocation(w.Zone); err == nil && w.Zone != "Local" {
		return zone, nil
	}
	return nil, fmt.Errorf("unknown time zone %q", w.Zone)
}

// At reports whether a commit may begin at a time, and when it may begin next where
// not; a zero time is never. Nil is always open.
func (w *Windows) At(now time.Time) (open bool, opens time.Time, err error) {
	if w == nil {
		return true, time.Time{}, nil
	}
	zone, err := w.Location()
	if err != nil {
		return false, time.Time{}, err
	}
	if w.openAt(now.In(zone)) {
		return true, time.Time{}, nil
	}
	// No zone is off by part of a minute, so that windows begin with one.
	for at := now.Truncate(time.Minute).Add(time.Minute); at.Before(now.Add(horizon)); at = at.Add(time.Minute) {
		if w.openAt(at.In(zone)) {
			return false, at.In(zone), nil
		}
	}
	return false, time.Time{}, nil
}

func (w *Windows) openAt(t time.Time) bool { return w.open(t.Weekday(), t.Hour()*60+t.Minute()) }

// ParseWeekday reads a day's English name or its first three letters.
func ParseWeekday(name string) (time.Weekday, bool) {
	name = strings.ToLower(name)
	for day := range time.Weekday(7) {
		if whole := strings.ToLower(day.String()); name == whole || name == whole[:3] {
			return day, true
		}
	}
	return 0, false
}
