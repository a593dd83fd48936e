package plan

import (
	"testing"
	"time"
)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := (&Windows{Zone: "Europe/Berlin"}).Location()
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// nights are from Monday to Friday, from 22 to 4 o'clock, in Berlin, but not the
// night that begins on Thursday the whole day.
func nights() *Windows {
	return &Windows{Zone: "Europe/Berlin", Allow: []Window{{Days: []time.Weekday{1, 2, 3, 4, 5}, From: 22 * 60, To: 4 * 60}},
		Deny: []Window{{Days: []time.Weekday{time.Thursday}, To: minutesADay}}}
}

func TestWindows(t *testing.T) {
	half := func(from, to int) *Windows {
		return &Windows{Zone: "Europe/Berlin", Allow: []Window{{From: from, To: to}}}
	}
	for _, row := range []struct {
		about   string
		windows *Windows
		now     string // in Berlin, or with an offset
		open    bool
		opens   string
	}{
		{"no windows at all", nil, "2026-11-25 12:00", true, ""},
		{"windows that say nothing", &Windows{}, "2026-11-25 12:00", true, ""},
		{"the minute before", nights(), "2026-11-25 21:59", false, "2026-11-25T22:00:00+01:00"},
		{"the first second", nights(), "2026-11-25 22:00", true, ""},
		{"after midnight it is the window of the day before, and a day that is denied", nights(), "2026-11-26 00:00", false, "2026-11-27T00:00:00+01:00"},
		{"the night that began on the day that is denied", nights(), "2026-11-27 03:59", true, ""},
		{"its last minute is over", nights(), "2026-11-27 04:00", false, "2026-11-27T22:00:00+01:00"},
		{"Friday night ends on Saturday", nights(), "2026-11-28 03:59", true, ""},
		{"the weekend", nights(), "2026-11-28 04:00", false, "2026-11-30T22:00:00+01:00"},
		{"Sunday night is not Monday's", nights(), "2026-11-30 02:00", false, "2026-11-30T22:00:00+01:00"},
		{"until midnight", half(12*60, minutesADay), "2026-11-25 23:59", true, ""},
		{"midnight is the next day", half(12*60, minutesADay), "2026-11-26 00:00", false, "2026-11-26T12:00:00+01:00"},
		{"an end at 00:00 is midnight too", half(12*60, 0), "2026-11-26 00:00", false, "2026-11-26T12:00:00+01:00"},
		{"in another zone it is another day", &Windows{Zone: "Pacific/Auckland", Allow: []Window{{Days: []time.Weekday{time.Thursday}, To: minutesADay}}},
			"2026-11-25 12:00", true, ""},
		{"without a zone it is UTC", &Windows{Allow: []Window{{From: 11 * 60, To: 12 * 60}}}, "2026-11-25 12:30", true, ""},
		{"never", &Windows{Deny: []Window{{To: minutesADay}}}, "2026-11-25 12:00", false, ""},

		// On 2026-03-29 the clock goes from 02:00 +01:00 to 03:00 +02:00.
		{"a window with a beginning that is skipped", half(2*60+30, 4*60), "2026-03-29 01:59", false, "2026-03-29T03:00:00+02:00"},
		{"a window with an end that is skipped is open until the skip", half(60, 2*60+30), "2026-03-29 01:59", true, ""},
		{"and not after it", half(60, 2*60+30), "2026-03-29 03:00", false, "2026-03-30T01:00:00+02:00"},
		{"a window that is skipped as a whole does not open on that day", half(2*60+15, 2*60+45), "2026-03-29 01:00", false, "2026-03-30T02:15:00+02:00"},
		{"a night over the skip", half(22*60, 4*60), "2026-03-29 03:59", true, ""},
		{"its end is the clock's", half(22*60, 4*60), "2026-03-29 04:00", false, "2026-03-29T22:00:00+02:00"},

		// On 2026-10-25 the clock goes from 03:00 +02:00 back to 02:00 +01:00.
		{"an hour that comes twice, the first time", half(2*60, 3*60), "2026-10-25T02:30:00+02:00", true, ""},
		{"an hour that comes twice, the second time", half(2*60, 3*60), "2026-10-25T02:30:00+01:00", true, ""},
		{"and then it is over", half(2*60, 3*60), "2026-10-25T03:00:00+01:00", false, "2026-10-26T02:00:00+01:00"},
		{"a beginning in the hour that comes twice counts the first time", half(2*60+30, 5*60), "2026-10-25T02:29:00+02:00", false, "2026-10-25T02:30:00+02:00"},
		{"what the clock shows again counts again", half(60, 2*60+30), "2026-10-25T02:45:00+02:00", false, "2026-10-25T02:00:00+01:00"},
	} {
		now, err := time.Parse(time.RFC3339, row.now)
		if err != nil {
			if now, err = time.ParseInLocation("2006-01-02 15:04", row.now, berlin(t)); err != nil {
				t.Fatal(err)
			}
		}
		open, opens, err := row.windows.At(now)
		said := ""
		if !opens.IsZero() {
			said = opens.Format(time.RFC3339)
		}
		if err != nil || open != row.open || said != row.opens {
			t.Errorf("%s: open %v, opens %q, %v; want %v, %q", row.about, open, said, err, row.open, row.opens)
		}
	}
}

// In the middle of a minute the opening is still the minute's begin.
func TestWindowOpensWithTheMinute(t *testing.T) {
	now := time.Date(2026, 11, 25, 20, 59, 59, 999, time.UTC)
	if open, opens, err := nights().At(now); err != nil || open || !opens.Equal(time.Date(2026, 11, 25, 21, 0, 0, 0, time.UTC)) {
		t.Errorf("open %v, opens %v, %v", open, opens, err)
	}
}

func TestWindowsInAZoneThatNobodyKnows(t *testing.T) {
	for _, zone := range []string{"Europe/Berlni", "Local", "../etc/passwd"} {
		w := &Windows{Zone: zone}
		if open, _, err := w.At(time.Unix(0, 0)); open || err == nil {
			t.Errorf("%s: open %v, %v", zone, open, err)
		}
	}
}

func TestWindowsThatNeverOpen(t *testing.T) {
	for _, row := range []struct {
		about string
		w     Windows
		ever  bool
	}{
		{"nothing said", Windows{}, true},
		{"allow and deny are one", Windows{Allow: []Window{{From: 60, To: 120}}, Deny: []Window{{To: minutesADay}}}, false},
		{"one minute a week is left", Windows{Allow: []Window{{Days: []time.Weekday{6}, From: 60, To: 120}}, Deny: []Window{{From: 61, To: 60}}}, true},
	} {
		if row.w.Ever() == row.ever {
			continue
		}
		t.Errorf("%s: ever %v", row.about, !row.ever)
	}
}
