package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/health"
	"evenkeel/agent/plan"
)

// This file turns what was seen of an attempt into the evidence for its verdict.

// unsettled is a unit that came up and did not stay up.
type unsettled struct{ health.Finding }

func (u *unsettled) Error() string { return fmt.Sprintf("%s did not stay up: %s", u.Unit, u.Why) }

// blame sorts out whether a commit that was not carried out is at fault, or
// something else was in the way.
func (h *Host) blame(ctx context.Context, err error) Evidence {
	var step *apply.StepError
	var down *unsettled
	e := h.Open.evidence(h.Ledger)
	e.Cause, e.Reason = CauseStep, err.Error()
	switch {
	case errors.As(err, &down):
		e.Cause, e.Blame = CauseUnit, !down.Interrupted
		e.Details = down.Evidence
		return h.withJournal(ctx, e, []string{down.Unit})
	case errors.As(err, &step):
		e.Blame = step.Result != "" && step.Result != "canceled"
		return h.withJournal(ctx, e, []string{step.Unit})
	}
	return e
}

// evidence reads a report of the watch.
func (h *Host) evidence(ctx context.Context, r health.Report) Evidence {
	why, details := faults(r.Findings)
	e := h.Open.evidence(h.Ledger)
	e.Applied, e.Cause, e.Interrupted, e.Healthy, e.Except = true, causeOf(r.Findings), r.Interrupted, r.OK, r.StillRed
	e.Reason, e.Details = strings.Join(why, "; "), strings.Join(details, "\n")
	return h.withJournal(ctx, e, unitsDown(r.Findings))
}

// evidence is what is known of an attempt before anybody looked.
func (a *Attempt) evidence(l *Ledger) Evidence {
	return Evidence{Tries: l.Tries[a.tryKey()], Stays: a.OnFailure == plan.Hold}
}

// causeOf tells a unit that went down from a check that failed, and both from the
// guard. A unit that is down explains its checks, and a network that is down may
// explain everything.
func causeOf(findings []health.Finding) Cause {
	cause := CauseCheck
	for _, f := range findings {
		switch {
		case f.Why != "" && f.Unit == guardName:
			return CauseGuard
		case f.Why != "" && f.Check == "":
			cause = CauseUnit
		}
	}
	return cause
}

// withJournal adds to the evidence what failed units said during the open attempt.
func (h *Host) withJournal(ctx context.Context, e Evidence, failed []string) Evidence {
	if h.Journal == nil {
		return e
	}
	for _, unit := range failed {
		for line := range strings.Lines(h.Journal(ctx, unit, h.Open.Since)) {
			e.Details = strings.TrimPrefix(e.Details+"\n"+unit+": "+strings.TrimSuffix(line, "\n"), "\n")
		}
	}
	return e
}

// unitsDown names the units that are not well themselves, whatever their checks say.
func unitsDown(findings []health.Finding) []string {
	var down []string
	for _, f := range findings {
		if f.Why != "" && f.Check == "" && f.Unit != guardName {
			down = append(down, f.Unit)
		}
	}
	return down
}

func faults(findings []health.Finding) (why, details []string) {
	for _, f := range findings {
		if f.Why == "" {
			continue
		}
		text := f.Why
		if f.Unit == guardName || !strings.HasPrefix(f.Check, f.Unit+" ") { // a check's name begins with its unit
			text = f.Unit + ": " + text
		}
		why, details = append(why, text), append(details, f.Evidence)
	}
	return why, details
}

// exceptFor names the checks that failed before a good commit as well.
func exceptFor(checks []string) string {
	if len(checks) == 0 {
		return ""
	}
	return "except for what failed before as well: " + strings.Join(checks, ", ")
}
