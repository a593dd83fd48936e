package agent

import (
	"errors"
	"slices"
	"time"

	"evenkeel/agent/apply"
)

// Bounds of the time until the next try of a correction that could not begin. It doubles
// with each: a try renders the good commit once more, and a disk may be full for days.
const (
	hitchFirst = 5 * time.Second
	hitchMost  = 2 * time.Minute
)

// hitch is a correction that could not begin.
type hitch struct {
	names []string // what was to be corrected
	until time.Time
	wait  time.Duration
	fault string // what is in the way
	kind  string // the same without what changes all the time
}

// left is how long the next try is off, 0 when it is due: others than the last time are
// corrected at once.
func (x *hitch) left(names []string, now time.Time) time.Duration {
	if !slices.Equal(x.names, names) {
		return 0
	}
	return max(0, min(x.until.Sub(now), hitchMost)) // somebody may have set the clock
}

// hit puts off the next try, and reports whether people have not been told of the fault.
func (x *hitch) hit(names []string, err error, now time.Time) (isNew bool) {
	if slices.Equal(x.names, names) {
		x.wait = min(2*x.wait, hitchMost)
	} else {
		x.names, x.wait = names, hitchFirst
	}
	if errors.Is(err, apply.ErrForeign) {
		x.wait = 0 // it is not the host's fault: whoever it was may have finished, or is to be given up
	}
	x.until = now.Add(x.wait)
	x.wait = max(x.wait, hitchFirst)
	was := x.kind
	x.fault, x.kind = err.Error(), err.Error()
	if full := new(apply.NoRoom); errors.As(err, &full) {
		x.kind = "room below " + full.Dir
	}
	return x.kind != was
}
