package health

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"evenkeel/agent/plan"
)

// Tries of a check whose single failure would be no proof: before a commit,
// where it would excuse one after it, and at the end of a probation.
const (
	firstTries = 2
	lastTries  = 3
)

// Report is how a probation ended.
type Report struct {
	OK          bool      `json:"ok"`
	Interrupted bool      `json:"interrupted,omitempty"` // the context ended before anything was certain
	Findings    []Finding `json:"findings,omitempty"`    // one for each unit that was followed, then one for each check that failed
	Checks      []Result  `json:"checks,omitempty"`      // the last try of each check that was tried
	Regressed   []string  `json:"regressed,omitempty"`   // checks that passed before the commit and fail now
	StillRed    []string  `json:"still_red,omitempty"`   // checks that failed before as well; they do not count
}

// Baseline tries the checks of all services and tells which pass, by name: what
// Watch compares with after the next commit was applied. It is nil when the
// context ended first.
func (p *Prober) Baseline(ctx context.Context, services map[string]plan.Service) map[string]bool {
	var trials []*trial
	for unit, service := range services {
		for _, check := range named(unit, service) {
			trials = append(trials, &trial{namedCheck: check})
		}
	}
	each(trials, func(t *trial, slots chan struct{}) {
		t.repeat(ctx, p, slots, func(tries int) bool { return tries >= firstTries })
	})
	if ctx.Err() != nil {
		return nil
	}
	green := map[string]bool{}
	for _, t := range trials {
		green[t.name] = t.passed
	}
	return green
}

// Watch is the probation of a commit. Each unit has to stay up all the time, and
// each declared check has to pass once within its service's deadline, and again
// at the end. A failure that is certain ends the watch early, by the cancel
// function that is handed down as end; checks that are still within their
// deadline keep it going beyond the probation.
//
// baseline says which checks passed before the commit, by the names that
// Baseline gives. A check that failed then may fail now; one that is not in it
// is new and must pass; without a baseline all must.
func (p *Prober) Watch(ctx context.Context, watched []Watched, probation time.Duration, baseline map[string]bool) Report {
	inner, end := context.WithCancel(ctx)
	defer end()

	var units []Finding
	var following sync.WaitGroup
	enough := make(chan struct{})
	following.Go(func() {
		touched := slices.DeleteFunc(slices.Clone(watched), func(w Watched) bool { return w.ChecksOnly })
		units = follow(inner, p.Manager, touched, watchPoll, enough)
		if anyFailed(units) {
			end()
		}
	})

	trials := trialsOf(watched, probation, baseline)
	over := time.NewTimer(probation)
	defer over.Stop()
	p.prove(inner, trials, end)
	select {
	case <-over.C:
	case <-inner.Done():
	}
	p.proveAgain(inner, trials, end)
	close(enough)
	following.Wait()
	return report(ctx, units, trials)
}

func anyFailed(findings []Finding) bool {
	for _, f := range findings {
		if f.Why != "" {
			return true
		}
	}
	return false
}

func trialsOf(watched []Watched, probation time.Duration, baseline map[string]bool) []*trial {
	var all []*trial
	for _, w := range watched {
		for _, check := range named(w.Name, w.Service) {
			green, known := baseline[check.name]
			t := &trial{namedCheck: check, within: w.Service.Deadline, green: green, redBefore: known && !green}
			if t.redBefore {
				t.within = min(t.within, probation) // nobody waits longer for what need not pass
			}
			all = append(all, t)
		}
	}
	return all
}

// prove tries each check until it passes or its time is over.
func (p *Prober) prove(ctx context.Context, trials []*trial, end context.CancelFunc) {
	begin := time.Now()
	each(trials, func(t *trial, slots chan struct{}) {
		t.repeat(ctx, p, slots, func(int) bool { return time.Since(begin)+retryEvery > t.within })
		if ctx.Err() == nil && !t.passed {
			t.fail(fmt.Sprintf("check %q did not pass within %s", t.name, t.within), end)
		}
	})
}

// proveAgain tries the checks that passed once more.
func (p *Prober) proveAgain(ctx context.Context, trials []*trial, end context.CancelFunc) {
	passed := slices.DeleteFunc(slices.Clone(trials), func(t *trial) bool { return !t.passed })
	each(passed, func(t *trial, slots chan struct{}) {
		t.repeat(ctx, p, slots, func(tries int) bool { return tries >= lastTries })
		if ctx.Err() == nil && !t.passed {
			t.fail(fmt.Sprintf("check %q passed and does not pass any more", t.name), end)
		}
	})
}

func (t *trial) fail(why string, end context.CancelFunc) {
	if t.redBefore {
		return
	}
	t.why = why
	end()
}

// report closes a watch. What was certain when the context ended stays so.
func report(ctx context.Context, units []Finding, trials []*trial) Report {
	r := Report{Findings: units}
	for _, t := range trials {
		if t.last.Check != "" {
			r.Checks = append(r.Checks, t.last)
		}
		switch {
		case t.why != "":
			r.Findings = append(r.Findings, Finding{Unit: t.unit, Check: t.name, Why: t.why, Evidence: t.last.Evidence})
			if t.green {
				r.Regressed = append(r.Regressed, t.name)
			}
		case t.redBefore && !t.passed:
			r.StillRed = append(r.StillRed, t.name)
		}
	}
	failed := anyFailed(r.Findings)
	r.Interrupted = !failed && ctx.Err() != nil
	r.OK = !failed && !r.Interrupted
	return r
}
