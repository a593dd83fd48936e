package health

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Watched is a unit that has to prove itself after a job on it ended.
type Watched struct {
	Name          string
	Was           units.Detail // right after its job ended
	Oneshot       bool         // its process shall end; so for Type=oneshot without this
	SkippedBefore bool         // a condition kept it from starting before the commit as well
	ChecksOnly    bool         // the commit does not touch it: how it runs does not count, its checks do
	Service       plan.Service

	// What a timer, socket or path starts counts when it ran since then, except
	// where its run before had failed as well.
	Since        time.Time
	FailedBefore []string
}

// Finding is what a watch says about one unit.
type Finding struct {
	Unit        string `json:"unit"`
	Check       string `json:"check,omitempty"`       // the check that failed, "" when the unit itself did
	OK          bool   `json:"ok"`                    // it had not failed when the watch ended
	Interrupted bool   `json:"interrupted,omitempty"` // the context ended first: neither good nor bad
	Why         string `json:"why,omitempty"`         // one sentence, when not OK
	Evidence    string `json:"evidence,omitempty"`    // what systemd says, or what a check got
}

// mark is what one look at a unit means.
type mark int

const (
	good    mark = iota
	between      // somebody restarts it right now: the next looks will tell
	renewed      // somebody restarted it, without a failure
	bad          // certain
)

// judge compares how a unit is with how it was right after its job, or after the
// last renewal. triggered says that a socket, timer or path that starts the unit
// is active.
//
// A failure is never waited out: systemd has no way back from one that is not a
// restart, and under Restart=always a unit that was restarted looks healthy
// between two crashes.
func judge(w Watched, now units.Detail, triggered bool) (mark, string) {
	switch {
	case now.Load != "" && now.Load != "loaded":
		return bad, "systemd could not load it"
	case now.Active == "failed":
		return bad, "it failed"
	case strings.HasPrefix(now.Sub, "auto-restart"):
		return bad, "it ended by itself and systemd is about to restart it"
	case now.Restarts > w.Was.Restarts:
		return bad, fmt.Sprintf("systemd had to restart it %d times", now.Restarts-w.Was.Restarts)
	case now.Active == "deactivating" && now.Job != "":
		return between, "it did not come back" // asked for, so how the old process ends is its own affair
	case !succeeded(now):
		return bad, "its last run failed"
	case now.IsActive() && (isOneshot(w, now) || now.Invocation == w.Was.Invocation):
		return good, ""
	case now.IsActive():
		return renewed, ""
	case now.Active == "activating" && isOneshot(w, now):
		return good, "" // its own job is over: a timer, or somebody, has it run again
	case now.Active == "activating" || now.Active == "deactivating" || now.Job != "":
		return between, "it did not come back"
	}
	return judgeInactive(w, now, triggered)
}

// judgeInactive is judge for a unit that does not run and has nothing to run for.
func judgeInactive(w Watched, now units.Detail, triggered bool) (mark, string) {
	// A later start attempt, such as a timer's, may be skipped without making the
	// first run undone.
	skipped := !w.Was.IsActive() && !w.Was.Condition && !w.Was.ConditionAt.IsZero()
	switch {
	case skipped && w.SkippedBefore:
		return good, ""
	case skipped:
		return bad, "a condition in the unit kept it from starting"
	case triggered:
		return good, ""
	case isOneshot(w, now) && !now.RemainAfterExit && (now.Invocation != "" || forgotten(now)):
		return good, "" // its job ended well, or nobody would watch it
	case now.Invocation == "":
		return bad, "it was never started"
	case !now.Condition:
		return bad, "a condition in the unit kept it from starting again"
	}
	return bad, "it stopped"
}

// judgeTriggered judges a unit that the watched one starts. It counts only when it
// ran: nobody knows when a timer's next run is due, or a socket's first client.
func judgeTriggered(w Watched, now units.Detail) (mark, string) {
	ran := !w.Since.IsZero() && now.MainStart.After(w.Since)
	if ran && !slices.Contains(w.FailedBefore, now.Name) && (now.Active == "failed" || !succeeded(now)) {
		return bad, "it started " + now.Name + ", which failed"
	}
	return good, ""
}

func isOneshot(w Watched, now units.Detail) bool { return w.Oneshot || now.Type == "oneshot" }

// forgotten reports whether systemd has dropped all that it knew of a unit, as it
// does with a oneshot that has run and that nothing refers to.
func forgotten(now units.Detail) bool { return now.Invocation == "" && now.ConditionAt.IsZero() }

// succeeded holds for units without a Result as well, such as targets.
func succeeded(now units.Detail) bool { return now.Result == "" || now.Result == "success" }

// says puts what systemd knows about a unit in one line.
func says(now units.Detail) string {
	text := fmt.Sprintf("%s is %s (%s)", now.Name, now.Active, now.Sub)
	if now.Load != "" && now.Load != "loaded" {
		text += ", load state " + now.Load
	}
	if now.Result != "" {
		text += ", result " + now.Result
	}
	if now.ExitStatus != 0 {
		text += fmt.Sprintf(", exit status %d", now.ExitStatus)
	}
	if now.Restarts != 0 {
		text += fmt.Sprintf(", restarted %d times", now.Restarts)
	}
	if !now.ConditionAt.IsZero() && !now.Condition {
		text += ", condition not met at " + now.ConditionAt.UTC().Format(time.RFC3339)
	}
	return text
}
