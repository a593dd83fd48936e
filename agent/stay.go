package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// A commit with on_failure: hold never goes back by itself, whatever happens to
// it: the data that its services have changed may have no way back. Its files are
// completed, so that the host is at it as a whole, and then a person decides, or
// another commit.

// toLeave is what ends a hold of this kind.
const toLeave = "push a fix; or run \"evenkeel retry\" to try it again, or \"evenkeel rollback\" to go back"

// onFailure is what becomes of an attempt at a target when it fails. One that
// overtakes an attempt that would have stayed stays as well: there may be no way
// back past that.
func (h *Host) onFailure(t *plan.Target) plan.OnFailure {
	if h.Open != nil && h.Open.OnFailure == plan.Hold {
		return plan.Hold
	}
	return cmp.Or(t.OnFailure, plan.Revert)
}

// stay leaves the host at a commit that failed, and rejects that one: also when somebody
// goes back from it, it is not tried again. Where the commit is not to blame, the next
// pass goes on with it from here.
func (h *Host) stay(ctx context.Context, verdict Verdict, e Evidence) (Outcome, error) {
	a := h.Open
	if err := h.complement(ctx, a); err != nil {
		h.Log.Error("the host is not wholly at the commit", "commit", a.Commit, "err", err)
		e.Reason += "; and its files could not be completed: " + err.Error()
	}
	if err := a.move(h.State, PhaseStay); err != nil {
		return Outcome{}, err
	}
	if verdict == Again {
		return Outcome{Result: ResultFailed, Reason: e.Reason + "; it goes on from there"}, nil
	}
	h.Log.Error("holding", "commit", a.Commit, "reason", e.Reason, "evidence", e.Details)
	h.Ledger.blameFor(a, e.Reason, e.Details, h.Now())
	h.Ledger.Hold = nil // of another commit
	hold := h.holdHere()
	h.Ledger.Note(Entry{When: h.Now(), Commit: a.Commit, Attempt: a.Number, Result: ResultHeld, Reason: e.Reason, Evidence: shorten(e.Details), Restarts: a.Restarts})
	delete(h.Ledger.Tries, a.Commit)
	h.trySave()
	return Outcome{Result: ResultHeld, Reason: hold.Reason}, nil
}

// holdHere is the hold of a host that stays at a commit that failed, nil for others. A
// rollback that did not come to anything has forgotten it, and a question about a newer
// commit has taken its place.
func (h *Host) holdHere() *Hold {
	if h.Open == nil || h.Open.phase != PhaseStay {
		return nil
	}
	failed, known := h.Ledger.IsRejected(h.Open.Commit, "")
	if hold := h.Ledger.Hold; known && (hold == nil || hold.Question != nil) {
		reason := fmt.Sprintf("commit %.12s failed and says on_failure: hold, so the host stays at it: %s", failed.Commit, failed.Reason)
		h.Ledger.Hold = &Hold{Reason: reason, Evidence: failed.Evidence, Commit: failed.Commit, Since: failed.When, Do: toLeave}
	}
	return h.Ledger.Hold
}

// complement makes files and systemd those of the attempt, all of them.
func (h *Host) complement(ctx context.Context, a *Attempt) error {
	return errors.Join(apply.Forward(h.Disk, a.Moves), h.Manager.DaemonReload(ctx))
}

// staying ends a pass while the host stays at a commit that failed, until the
// commit to follow is another one, or a person asks for another try.
func (d *daemon) staying(ctx context.Context) (Outcome, bool) {
	h := d.host
	if _, failed := h.Ledger.IsRejected(h.Open.Commit, ""); !failed && h.Ledger.Hold == nil {
		return Outcome{}, false
	}
	newest, err := d.follow(ctx)
	if err == nil && newest.tip.Commit != h.Open.Commit {
		return Outcome{}, false
	}
	hold := h.Ledger.Hold
	if hold == nil || err == nil {
		hold = h.holdHere()
	}
	return Outcome{Result: ResultHeld, Reason: hold.Reason, Evidence: hold.Evidence}, true
}
