package health

import (
	"context"
	"slices"
	"sync"
	"time"

	"evenkeel/agent/plan"
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
	sideBySide(trials, func(t *trial, s slots) { t.tryBefore(ctx, p, s) })
	if ctx.Err() != nil {
		return nil
	}
	green := map[string]bool{}
	for _, t := range trials {
		green[t.name] = t.passed
	}
	return green
}

// Watch is the probation of a commit. Each unit has to stay up all the time. Each
// declared check has to pass within its service's deadline, to go on passing, and
// to pass at the end again. A failure that is certain ends the watch early; checks
// that are still within their deadline keep it going beyond the probation.
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
	p.prove(inner, trials, probation, end)
	close(enough)
	following.Wait()
	return report(ctx, units, trials)
}

// prove takes all checks through their trial. Probation is over when its time is,
// and when no check has still to pass for the first time.
func (p *Prober) prove(ctx context.Context, trials []*trial, probation time.Duration, end context.CancelFunc) {
	over := make(chan struct{})
	var proving, timing sync.WaitGroup
	proving.Add(len(trials))
	timing.Go(func() {
		pause(ctx, probation, nil)
		proving.Wait()
		close(over)
	})
	sideBySide(trials, func(t *trial, s slots) {
		t.pass(ctx, p, s, end)
		proving.Done()
		if t.passed {
			t.stay(ctx, p, s, over, end)
		}
	})
	timing.Wait()
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
			if !w.ChecksOnly { // else it was not started just now
				t.delay = check.check.StartDelay
			}
			if t.redBefore {
				t.within = min(t.within, probation) // nobody waits longer for what need not pass
			}
			all = append(all, t)
		}
	}
	return all
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
