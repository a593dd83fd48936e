package main

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"time"
)

// span is a length of time on the command line: as Go writes it, with days of 24
// hours and weeks besides, because people keep hands off for days.
type span time.Duration

var long = regexp.MustCompile(`^(\d{1,6})([dw])`)

// String is "" for none, which the help then leaves out.
func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

// Type is what the help calls it.
func (s *span) Type() string { return "duration" }

// Set reads it.
func (s *span) Set(text string) error {
	sum, rest := time.Duration(0), text
	for m := long.FindStringSubmatch(rest); m != nil; m = long.FindStringSubmatch(rest) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return err
		}
		day := 24 * time.Hour
		if m[2] == "w" {
			day *= 7
		}
		if n > int((math.MaxInt64-sum)/day) {
			return errors.New("it is too long")
		}
		sum, rest = sum+time.Duration(n)*day, rest[len(m[0]):]
	}
	if rest != "" || text == "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 && sum > 0 {
			return errors.New("say it as 90m, 2h, 1d12h or 2w")
		}
		if d > math.MaxInt64-sum {
			return errors.New("it is too long")
		}
		sum += d
	}
	*s = span(sum)
	return nil
}
