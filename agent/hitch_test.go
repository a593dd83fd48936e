package agent

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"evenkeel/agent/apply"
)

// TestCorrectionOnAFullDiskIsTriedLessAndLess: it was tried every five seconds, with a
// rendering and lines in the log each time.
func TestCorrectionOnAFullDiskIsTriedLessAndLess(t *testing.T) {
	now := time.Now()
	full := func(free int) error { return &apply.NoRoom{Dir: "/srv", Free: apply.Space{Bytes: uint64(free)}} }
	motd := []string{"/etc/motd"}
	var x hitch
	if x.left(motd, now) != 0 {
		t.Error("the first try is put off")
	}
	var waits []time.Duration
	tries, told := 0, 0
	for end := now.Add(time.Hour); now.Before(end); tries++ {
		if x.hit(motd, full(tries<<10), now) {
			told++
		}
		wait := x.left(motd, now)
		waits = append(waits, wait)
		now = now.Add(wait)
		if x.left(motd, now) != 0 {
			t.Fatal("it is not tried when its time has come")
		}
	}
	if waits[0] != hitchFirst || waits[1] != 2*hitchFirst || tries > 40 || waits[tries-1] != hitchMost {
		t.Errorf("%d tries in an hour, after %s", tries, waits)
	}
	if told != 1 {
		t.Errorf("it is told %d times", told)
	}
	if x.left([]string{"/etc/app.conf", "/etc/motd"}, now.Add(-time.Second)) != 0 {
		t.Error("what drifted since waits as well")
	}
	if x.left(motd, now.Add(-24*time.Hour)) > hitchMost {
		t.Error("a clock that was set back puts it off for a day")
	}
	if !x.hit(motd, errors.New("another fault"), now) {
		t.Error("another fault is not told")
	}
	x.hit(motd, fmt.Errorf("cannot stage it: %w", apply.ErrForeign), now)
	if x.left(motd, now) != 0 {
		t.Error("a fight is put off, and never given up")
	}
}
