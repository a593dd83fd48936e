package agent

// ResultUndone is the result of an attempt that was interrupted, through no
// fault of its commit; the host is back and the commit is tried again.
const ResultUndone Result = "undone"

// ResultWatching is the result of a watch that something interrupted: a newer
// commit, or the end of the daemon. The attempt stays open.
const ResultWatching Result = "watching"

// Verdict is what becomes of an attempt.
type Verdict string

// The verdicts.
const (
	Keep   Verdict = "keep"   // the target is the new good one
	Revert Verdict = "revert" // back, and never again
	Undo   Verdict = "undo"   // back, and again later
	Stay   Verdict = "hold"   // no way back: stay, and wait for a person or another commit
	Again  Verdict = "again"  // no way back, and no fault of the commit: try it once more from here
	Wait   Verdict = "wait"   // stay in the watch: the watch itself was interrupted
)

// Cause is the kind of failure that made a commit go back, as metrics count it.
type Cause string

// The causes.
const (
	CauseStep        Cause = "step"        // something could not be done
	CauseUnit        Cause = "unit"        // a unit did not stay up
	CauseCheck       Cause = "check"       // a declared check failed
	CauseGuard       Cause = "guard"       // the repository is out of reach, or a check of the guard failed
	CauseInterrupted Cause = "interrupted" // nothing failed: a crash, a reboot
)

// Evidence is all that a verdict rests on.
type Evidence struct {
	Applied     bool // every step was done, every unit settled
	Blame       bool // the commit is to blame for what was not done
	Interrupted bool // the watch ended before it could tell
	Healthy     bool // every touched unit stayed up, and every check passed that did not fail before
	Tries       int  // attempts at this commit so far, this one included
	Stays       bool // the commit says that there may be no way back

	Cause   Cause    // what kind of thing failed
	Reason  string   // what was seen, one line
	Details string   // what systemd and the checks said
	Except  []string // checks that were red before and still are
}

// maxTries bounds how often an interrupted commit is tried.
const maxTries = 3

// Decide is the table of verdicts; the first row that fits counts.
func Decide(e Evidence) Verdict {
	failed := !e.Applied && (e.Blame || e.Tries >= maxTries) || e.Applied && !e.Interrupted && !e.Healthy
	switch {
	case failed && e.Stays:
		return Stay
	case failed:
		return Revert
	case !e.Applied && e.Stays:
		return Again
	case !e.Applied:
		return Undo
	case e.Interrupted:
		return Wait
	}
	return Keep
}
