package main

import (
	"fmt"
	"strings"
	"time"

	"evenkeel/agent"
)

// verdict is the first line of a status: all that somebody who was just woken
// must know.
type verdict struct {
	code     int
	sentence string
}

// verdictOf asks the questions in the order of how bad a yes is.
func verdictOf(s agent.Status, now time.Time) verdict {
	bad := func(format string, args ...any) verdict { return verdict{exitFound, fmt.Sprintf(format, args...)} }
	fine := func(format string, args ...any) verdict { return verdict{exitFine, fmt.Sprintf(format, args...)} }
	newest := commit(s.Target)
	rejection, rejected := rejectionOf(s)
	down := servicesDown(s)
	switch {
	case s.Held != nil:
		return bad("HELD: evenkeel does nothing here since %s: %s. To go on: %s", ago(now, s.Held.Since), s.Held.Reason, s.Held.Do)
	case s.Stage == agent.StageReverting && s.Attempt != nil && len(s.Attempt.Corrects) > 0:
		return bad("REVERTING: a correction of %s failed here; evenkeel puts back what stood there.", count(len(s.Attempt.Corrects), "place"))
	case s.Stage == agent.StageReverting:
		return bad("REVERTING: %s failed here; evenkeel is putting %s back.", attempted(s), before(s))
	case s.Attempt != nil && len(s.Attempt.Corrects) > 0:
		return fine("WORKING: evenkeel corrects %s, which somebody changed; the host stays at %s.",
			count(len(s.Attempt.Corrects), "place"), before(s))
	case s.Attempt != nil:
		return fine("WORKING: evenkeel is bringing this host to %s, try %d, for %s%s.",
			attempted(s), max(s.Attempt.Try, 1), since(now, s.Attempt.Since), prefixed(": waiting for ", s.Attempt.WaitingFor))
	case len(s.Refused) > 0:
		return bad("REFUSED: %s has %s, nothing was touched; the host stays at %s.", newest, count(len(s.Refused), "problem"), before(s))
	case s.Rollback != nil && len(s.Waiting) == 0 && len(down) == 0 && s.Result != agent.ResultRejected:
		return bad("ROLLED BACK: a person took this host back to %s %s ago; it stays there until the branch moves, or \"evenkeel resume\".",
			short(s.Rollback.Commit), since(now, s.Rollback.Since))
	case rejected:
		return bad("REJECTED: %s failed here %s ago (%s) and is not tried again; the host is at %s.",
			newest, since(now, rejection.When), rejection.Reason, before(s))
	case s.Result == agent.ResultRefused || s.Result == agent.ResultRejected:
		return bad("%s: %s: %s; the host stays at %s.", strings.ToUpper(string(s.Result)), newest, s.Reason, before(s))
	case len(s.Waiting) > 0:
		return bad("WAITING: %s waits for %s; the host stays at %s.", newest, strings.Join(s.Waiting, ", "), before(s))
	case len(down) > 0:
		return bad("DOWN: the host is at %s, but %s.", before(s), strings.Join(down, ", "))
	case s.Config != nil && len(s.Config.Problems) > 0:
		return bad("BAD CONFIGURATION: since %s, %s; what it said before stays in force, and the host is at %s.",
			ago(now, s.Config.Since), firstOf(s.Config.Problems), before(s))
	case s.Paused != nil:
		return bad("PAUSED: since %s%s: %s; the host stays at %s%s. To go on: \"evenkeel resume\".",
			ago(now, s.Paused.Since), prefixed(" until ", clockOrNothing(s.Paused.Until)), s.Paused.Reason, before(s), keptBack(s))
	case s.Frozen != nil:
		return bad("FROZEN: since %s%s: %s; the host is at %s%s, and what drifts stays. To go on: \"evenkeel resume\".",
			ago(now, s.Frozen.Since), prefixed(" until ", clockOrNothing(s.Frozen.Until)), s.Frozen.Reason, before(s), drifts(s))
	case len(s.Stale) > 0:
		return bad("STALE: %s; the host stays at %s.", strings.Join(s.Stale, ", and "), before(s))
	case s.ContactError != "" && s.Good == nil:
		return fine("NO REPOSITORY: it has not answered yet (%s); nothing was touched.", s.ContactError)
	case s.ContactError != "":
		return fine("OK, but the repository does not answer since %s (%s); the host stays at %s.",
			ago(now, s.Contact), s.ContactError, before(s))
	case s.Good == nil && s.Deferred != nil:
		return fine("STARTING: no commit has proved itself here yet; %s is %s.", newest, s.Deferred.Reason)
	case s.Good == nil:
		return fine("STARTING: no commit has proved itself here yet.")
	}
	if s.Deferred != nil {
		return fine("OK: the host is at %s since %s%s; %s is %s.", commit(s.Good), ago(now, s.Good.Since), servicesUp(s), newest, s.Deferred.Reason)
	}
	return fine("OK: the host is at %s since %s%s%s%s.", commit(s.Good), ago(now, s.Good.Since), servicesUp(s), exceptions(s), drifts(s))
}

// lastWords is the verdict when no daemon runs: what it said last may not be so
// any more.
func lastWords(s agent.Status, now time.Time) verdict {
	next := ""
	if s.Attempt != nil && s.Held == nil {
		next = " The next start ends that attempt."
	}
	return verdict{exitFailed, fmt.Sprintf("STOPPED: evenkeel does not run. Its last word, at %s: %s%s",
		ago(now, s.Written), verdictOf(s, now).sentence, next)}
}

// keptBack names the commit that waits for the end of a pause.
func keptBack(s agent.Status) string {
	if s.Deferred == nil {
		return ""
	}
	return ", and " + commit(s.Target) + " is not applied"
}

// exceptions says that not all was well before the good commit, and still is not.
func exceptions(s agent.Status) string {
	if len(s.Except) == 0 {
		return ""
	}
	return fmt.Sprintf("; good except for %s that failed before it as well", count(len(s.Except), "check"))
}

// drifts says that not all is as the good commit left it.
func drifts(s agent.Status) string {
	if len(s.Drift) == 0 {
		return ""
	}
	return fmt.Sprintf("; %s changed by hand, see \"evenkeel drift\"", count(len(s.Drift)+s.DriftMore, "place"))
}

// firstOf is the first of some problems, and says how many there are besides.
func firstOf(problems []string) string {
	if more := len(problems) - 1; more > 0 {
		return fmt.Sprintf("%s (and %d more)", problems[0], more)
	}
	return problems[0]
}

// rejectionOf finds out whether the newest commit is one that failed here.
func rejectionOf(s agent.Status) (agent.RejectedEntry, bool) {
	for _, r := range s.Rejected {
		if s.Target != nil && r.Commit == s.Target.Commit {
			return r, true
		}
	}
	return agent.RejectedEntry{}, false
}

// servicesDown tells which services shall run and do not. "inactive" alone says nothing:
// it is how a oneshot or a timer's service rests.
func servicesDown(s agent.Status) []string {
	var down []string
	for _, unit := range s.Units {
		switch {
		case unit.Active == "failed":
			down = append(down, unit.Name+" has failed"+prefixed(", ", unit.Problem))
		case unit.IsDown():
			down = append(down, unit.Name+": "+unit.Problem)
		}
	}
	return down
}

// servicesUp counts the services of a host on which none is down: those that are not up
// rest until something starts them.
func servicesUp(s agent.Status) string {
	rest := 0
	for _, unit := range s.Units {
		if unit.Active != "active" && unit.Active != "reloading" {
			rest++
		}
	}
	switch up := len(s.Units) - rest; {
	case len(s.Units) == 0:
		return ""
	case rest > 0:
		return fmt.Sprintf("; %s up, %d at rest", count(up, "service"), rest)
	default:
		return fmt.Sprintf("; %s up", count(up, "service"))
	}
}

// before names what the host is at, or goes back to.
func before(s agent.Status) string {
	if s.Good == nil {
		return "what was found here, no commit has proved itself yet"
	}
	return commit(s.Good)
}

func attempted(s agent.Status) string {
	if s.Attempt == nil || s.Target != nil && s.Target.Commit == s.Attempt.Commit {
		return commit(s.Target)
	}
	return commit(&agent.CommitStatus{Commit: s.Attempt.Commit})
}

// commit names a commit as people do: the short hash and the subject.
func commit(c *agent.CommitStatus) string {
	switch {
	case c == nil:
		return "the newest commit"
	case c.Subject == "":
		return short(c.Commit)
	}
	return fmt.Sprintf("%s %q", short(c.Commit), c.Subject)
}

func short(commit string) string {
	if len(commit) > 12 {
		return commit[:12]
	}
	return commit
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// since says how long ago something was, in one unit: nobody needs the second.
func since(now, then time.Time) string {
	if then.IsZero() {
		return "an unknown time"
	}
	switch d := now.Sub(then).Round(time.Second); {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
}

// ago gives the time of day, for the one who looks at graphs beside this, and
// how long ago that was.
func ago(now, then time.Time) string {
	if then.IsZero() {
		return "an unknown time"
	}
	layout := "15:04"
	if now.Sub(then) > 12*time.Hour {
		layout = "2006-01-02 15:04"
	}
	return fmt.Sprintf("%s (%s)", then.Format(layout), since(now, then))
}
