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

// stay leaves the host at a commit that failed. Where the commit is not to blame,
// the next pass goes on with it from here.
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
	reason := fmt.Sprintf("commit %.12s failed and says on_failure: hold, so the host stays at it: %s", a.Commit, e.Reason)
	h.Log.Error("holding", "commit", a.Commit, "reason", e.Reason, "evidence", e.Details)
	h.Ledger.Hold = &Hold{Reason: reason, Evidence: shorten(e.Details), Commit: a.Commit, Since: h.Now(), Do: toLeave}
	h.Ledger.Note(Entry{When: h.Now(), Commit: a.Commit, Attempt: a.Number, Result: ResultHeld, Reason: e.Reason, Evidence: shorten(e.Details), Restarts: a.Restarts})
	delete(h.Ledger.Tries, a.Commit)
	h.trySave()
	return Outcome{Result: ResultHeld, Reason: reason}, nil
}

// complement makes files and systemd those of the attempt, all of them.
func (h *Host) complement(ctx context.Context, a *Attempt) error {
	return errors.Join(apply.Forward(h.Disk, a.Moves), h.Manager.DaemonReload(ctx))
}

// staying ends a pass while the host stays at a commit that failed, until the
// commit to follow is another one, or a person asks for another try.
func (d *daemon) staying(ctx context.Context) (Outcome, bool) {
	hold := d.host.Ledger.Hold
	if hold == nil {
		return Outcome{}, false
	}
	newest, err := d.follow(ctx)
	if err == nil && newest.tip.Commit != d.host.Open.Commit {
		return Outcome{}, false
	}
	return Outcome{Result: ResultHeld, Reason: hold.Reason, Evidence: hold.Evidence}, true
}
