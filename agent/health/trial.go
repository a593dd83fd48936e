package health

import (
	"context"
	"fmt"
	"sync"
	"time"

	"evenkeel/agent/plan"
)

const (
	atOnce     = 8 // checks that are tried side by side
	firstTries = 2 // of a check before a commit: one failure would excuse one after it
)

// namedCheck is a check under a name that no other check of the host has.
type namedCheck struct {
	name    string
	unit    string
	service plan.Service
	check   plan.Check
}

// named lists the checks of one service. A check that prints like an earlier
// one, such as the same program with other arguments, gets a number.
func named(unit string, service plan.Service) []namedCheck {
	seen := map[string]int{}
	var all []namedCheck
	for _, check := range service.Checks {
		name := unit + " " + check.String()
		seen[name]++
		if n := seen[name]; n > 1 {
			name = fmt.Sprintf("%s (%d)", name, n)
		}
		all = append(all, namedCheck{name, unit, service, check.WithDefaults()})
	}
	return all
}

// trial is one check on its way to a verdict:
//
//	start_delay   tries until it passes       tries while others prove      once more
//	----------->  ------------------------->  themselves, and through  -->  at the end
//	              (within: deadline)          probation (failures)          (failures)
type trial struct {
	namedCheck
	within    time.Duration // for the first part, the delay included
	delay     time.Duration
	redBefore bool // may fail
	green     bool // was green before
	last      Result
	passed    bool   // and has not failed since
	why       string // it failed, for certain
}

// slots bounds how many checks are tried at a time.
type slots chan struct{}

// sideBySide runs a function on every trial at once, and waits for all of them.
func sideBySide(trials []*trial, do func(t *trial, s slots)) {
	s := make(slots, atOnce)
	var all sync.WaitGroup
	for _, t := range trials {
		all.Go(func() { do(t, s) })
	}
	all.Wait()
}

// try tries the check once. It tells how long it had to wait for its turn: checks
// that hang must not eat the time of others.
func (t *trial) try(ctx context.Context, p *Prober, s slots) (queued time.Duration) {
	begin := time.Now()
	select {
	case s <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	queued = time.Since(begin)
	result := p.Try(ctx, t.check)
	<-s
	if ctx.Err() == nil { // what the end of the context did to this try says nothing
		t.last = result
		t.last.Check = t.name
	}
	return queued
}

// tryBefore finds out how a check stands before a commit. A try that got no answer
// in its time is not repeated: nobody shall wait long for what is down anyway.
func (t *trial) tryBefore(ctx context.Context, p *Prober, s slots) {
	for n := 1; ctx.Err() == nil; n++ {
		t.try(ctx, p, s)
		t.passed = t.last.OK
		if t.passed || n == firstTries || t.last.Took >= t.check.Timeout {
			return
		}
		pause(ctx, plan.DefaultInterval, nil)
	}
}

// pass tries the check until it passes, or its time is over.
func (t *trial) pass(ctx context.Context, p *Prober, s slots, end context.CancelFunc) {
	begin := time.Now()
	within := t.within
	pause(ctx, t.delay, nil)
	for row := 0; ctx.Err() == nil; {
		within += t.try(ctx, p, s)
		if ctx.Err() != nil {
			return
		}
		if row++; !t.last.OK {
			row = 0
		}
		if t.passed = row >= t.check.Successes; t.passed {
			return
		}
		if time.Since(begin)+t.check.Interval > within {
			t.fail(fmt.Sprintf("%s%s within %s", t.what("did not pass", "does not answer any more, not even"), timesInARow(t.check.Successes), t.within), end)
			return
		}
		pause(ctx, t.check.Interval, nil)
	}
}

func timesInARow(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" %d times in a row", n)
}

// stay tries a check that has passed until over is closed, and then once more;
// that last try must pass. The repository is asked at the end only: a fleet would
// be a flood.
func (t *trial) stay(ctx context.Context, p *Prober, s slots, over <-chan struct{}, end context.CancelFunc) {
	var tries recent
	wait := t.check.Interval
	if t.check.Repository {
		wait = forEver
	}
	for ctx.Err() == nil {
		if !closed(over) {
			pause(ctx, wait, over)
		}
		last := closed(over)
		t.try(ctx, p, s)
		if ctx.Err() != nil {
			return
		}
		tries = tries.with(t.last.OK, 2*t.check.Failures)
		if tries.failed() >= t.check.Failures {
			t.passed = false
			t.fail(tries.says(t), end)
			return
		}
		if last && t.last.OK {
			return
		}
		if last {
			pause(ctx, t.check.Interval, nil)
		}
	}
}

// recent are the last tries of a check that has passed before, the newest last.
type recent []bool

func (r recent) with(passed bool, most int) recent {
	r = append(r, passed)
	return r[max(0, len(r)-most):]
}

func (r recent) failed() int {
	n := 0
	for _, passed := range r {
		if !passed {
			n++
		}
	}
	return n
}

// says tells a check that broke from one that flaps.
func (r recent) says(t *trial) string {
	for i := len(r) - r.failed(); i < len(r); i++ {
		if r[i] {
			return fmt.Sprintf("%s by turns: %d of the last %d tries failed", t.what("passes and fails", "answers and is silent"), r.failed(), len(r))
		}
	}
	return t.what("passed and does not pass any more", "answered and does not answer any more")
}

// what names the check in a sentence. The repository is not known by a name.
func (t *trial) what(did, answered string) string {
	if t.check.Repository {
		return "the repository " + answered
	}
	return fmt.Sprintf("check %q %s", t.name, did)
}

func (t *trial) fail(why string, end context.CancelFunc) {
	if t.redBefore {
		return
	}
	t.why = why
	end()
}

// forEver is longer than any watch.
const forEver = 1000 * time.Hour

// pause waits for a time, or until early is closed or the context ends.
func pause(ctx context.Context, d time.Duration, early <-chan struct{}) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-early:
	case <-timer.C:
	}
}
