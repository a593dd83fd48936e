package main

import (
	"testing"
	"time"
)

func TestSpansHaveDaysAndWeeks(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90m": 90 * time.Minute, "2d": 48 * time.Hour, "1w": 168 * time.Hour, "1w2d3h30m": 219*time.Hour + 30*time.Minute, "-1h": -time.Hour, "0s": 0,
	} {
		var s span
		if err := s.Set(text); err != nil || time.Duration(s) != want {
			t.Errorf("%q is %v, %v, want %v", text, time.Duration(s), err, want)
		}
	}
	for _, text := range []string{"", "2", "2 d", "d", "1d-1h", "1dw", "999999w", "106751d48h", "two days"} {
		var s span
		if err := s.Set(text); err == nil {
			t.Errorf("%q is %v, want an error", text, time.Duration(s))
		}
	}
}
