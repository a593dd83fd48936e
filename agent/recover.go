package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Load reads the ledger and the record of an open attempt, and clears what a
// crash left of attempts that never began.
func (h *Host) Load() error {
	// What is seen here may not be lasting yet: a daemon that was killed has left
	// renames that were never synced, and what follows builds on them.
	if err := h.State.Sync(); err != nil {
		return fmt.Errorf("cannot sync the state directory: %w", err)
	}
	var err error
	if h.Ledger, err = loadLedger(h.State, h.decode); err != nil {
		return err
	}
	h.readAnchor()
	open, leftover, err := loadAttempts(h.State, h.decode)
	if err != nil {
		return err
	}
	h.Open, h.leftover = open, leftover
	if hold := h.Ledger.Hold; hold != nil && !hold.Asks && (open == nil || open.phase != PhaseHeld && open.phase != PhaseStay) {
		h.Ledger.Hold = nil // the ledger is behind: the attempt that it is about was overtaken
	}
	return h.clean()
}

// retire removes the record of an attempt that has nothing to say any more.
func (h *Host) retire(a *Attempt) error {
	h.leftover = append(h.leftover, a)
	return h.clean()
}

// clean removes what attempts that are over, or never began, have left, the
// oldest first: no record may outlive that of a later attempt, because a daemon
// that found it alone would take back what came after it.
func (h *Host) clean() error {
	for len(h.leftover) > 0 {
		a := h.leftover[0]
		if h.Open != nil && a.Number == h.Open.Number {
			// The note of an attempt that did begin: it goes when the record is lasting.
			if err := h.State.Sync(); err != nil {
				return fmt.Errorf("cannot sync the state directory: %w", err)
			}
		}
		if a.phase == PhaseStage && (h.Open == nil || a.Number > h.Open.Number) {
			if err := apply.Unstage(h.Disk, a.Moves); err != nil {
				return fmt.Errorf("cannot clean up after attempt %d, which never began: %w", a.Number, err)
			}
		}
		if a.unfinished {
			if err := apply.Finish(h.Disk, a.Moves); err != nil {
				h.Log.Warn("some old files stay beside the managed ones", "err", err)
			}
		}
		if err := a.remove(h.State); err != nil {
			return err
		}
		h.leftover = slices.Delete(h.leftover, 0, 1) // and not a slice of it, which would keep the attempt in memory
	}
	return h.sweepState()
}

// sweepState removes half-written files of the state directory.
func (h *Host) sweepState() error {
	names, err := h.State.Names()
	for _, name := range names {
		if strings.HasSuffix(name, "+") {
			if err := h.State.Remove(name); err != nil {
				return fmt.Errorf("cannot clean up the state directory: %w", err)
			}
		}
	}
	return err
}

// Recover goes on with an open attempt after a start of the daemon: it ends it
// or, when its watch can be begun again, leaves it open and answers true. Where it
// fails it must be called again: nobody has made sure yet that a watch means anything.
func (h *Host) Recover(ctx context.Context) (watch bool, err error) {
	defer func() { h.recovered = h.recovered || err == nil }()
	a := h.Open
	if a == nil {
		return false, nil
	}
	h.Log.Info("an attempt is open", "attempt", a.Number, "commit", a.Commit, "phase", a.phase, "tries", a.tries)
	// The phase that is seen may not be lasting: what only an earlier one would
	// need must not go before.
	if err := h.State.Sync(); err != nil {
		return false, fmt.Errorf("cannot sync the state directory: %w", err)
	}
	switch a.phase {
	case PhaseWatch:
		if a.tries < maxTries && h.goesOn(ctx, a) {
			return true, a.move(h.State, PhaseWatch)
		}
		_, err = h.judge(ctx, h.interrupted("interrupted during the watch"))
	case PhaseApply:
		_, err = h.judge(ctx, h.interrupted("interrupted while it was applied"))
	case PhaseKeep:
		err = h.finishKeep(nil)
	case PhaseRevert, PhaseUndo:
		_, err = h.again(ctx)
	case PhaseReverted, PhaseUndone:
		h.fold("interrupted")
	}
	return false, err
}

// isWatching reports whether an attempt is in its watch.
func (h *Host) isWatching() bool { return h.Open != nil && h.Open.phase == PhaseWatch }

// goesOn reports whether the watch of an attempt can be begun anew. In another
// boot nobody knows what the host was booted for, and the attempt is undone; but
// one that shall never go back has nothing to lose by another look.
func (h *Host) goesOn(ctx context.Context, a *Attempt) bool {
	if a.OnFailure == plan.Hold {
		return h.filesAsRecorded(a)
	}
	return h.Boot == a.Boot && h.asRecorded(ctx, a)
}

// isHeld reports whether the host is neither at a good commit nor could be put back.
func (h *Host) isHeld() bool {
	return h.Open != nil && h.Open.phase == PhaseHeld && h.Ledger.Hold != nil
}

// interrupted is the evidence about an attempt that was cut short.
func (h *Host) interrupted(reason string) Evidence {
	e := h.Open.evidence(h.Ledger)
	e.Cause, e.Reason = CauseInterrupted, reason
	return e
}

// again goes on with a revert that was interrupted, a bounded number of times.
func (h *Host) again(ctx context.Context) (Outcome, error) {
	if h.Open.tries >= maxTries+1 {
		return h.hold(fmt.Errorf("it was interrupted %d times", h.Open.tries))
	}
	reason := "interrupted while it was taken back"
	if h.Open.phase == PhaseUndo && h.Open.Boot != h.Boot {
		reason = "the host was started anew before it had proved itself"
	}
	if tries := h.Ledger.Tries[h.Open.tryKey()]; h.Open.phase == PhaseUndo && tries >= maxTries {
		// It was early in the boot that its files were put back, and nobody counted there.
		e := h.interrupted(fmt.Sprintf("%s, %d times", reason, tries))
		return h.takeBack(ctx, Revert, e)
	}
	if err := h.Open.move(h.State, h.Open.phase); err != nil {
		return Outcome{}, err
	}
	return h.putBack(ctx, reason)
}

// asRecorded reports whether the host is just as the open attempt left it, so
// that its watch means something: each unit that it touched still runs as it did
// right after its job, also those that are not ours. One that crashed since, and
// that systemd has started again, would look healthy.
func (h *Host) asRecorded(ctx context.Context, a *Attempt) bool {
	target := &plan.Target{State: a.After}
	n, err := h.look(ctx, target)
	if err == nil {
		err = h.observeSuspects(ctx, a, target, &n)
	}
	if err != nil {
		h.Log.Warn("cannot look at the host", "err", err)
		return false
	}
	if !h.settled(a, n.seen) {
		return false
	}
	came := map[string]units.Detail{}
	for _, name := range slices.Sorted(maps.Keys(a.Touched)) {
		up, known := h.Ledger.CameUp[name]
		d := n.details[name]
		// systemd forgets oneshots that have run when nobody holds them any more.
		forgotten := d.Invocation == "" && isOneshot(d)
		if !known || up != d.Invocation && !forgotten {
			h.Log.Info("not as the attempt left it", "unit", name)
			return false
		}
		came[name] = d
	}
	a.cameUp = came
	return true
}

// filesAsRecorded is asRecorded without the units.
func (h *Host) filesAsRecorded(a *Attempt) bool {
	var paths []string
	for _, m := range a.Moves {
		paths = append(paths, m.Path)
	}
	accounts, err := apply.ReadAccounts(h.Disk)
	if err != nil {
		return false
	}
	seen, err := h.index.Look(h.Disk, accounts, paths)
	return err == nil && h.settled(a, seen)
}

func (h *Host) settled(a *Attempt, seen apply.Seen) bool {
	for _, m := range a.Moves {
		if !m.Settled(seen.IDs[m.Path]) {
			h.Log.Info("not as the attempt left it", "path", m.Path)
			return false
		}
	}
	return true
}

// RecoverFiles is what runs early in the boot, before the services: it puts the
// files of an open attempt back and answers whether systemd must read its unit
// files again. The daemon does the rest later.
func (h *Host) RecoverFiles() (reload bool, err error) {
	open, _, err := loadAttempts(h.State, h.decode)
	if err != nil || open == nil {
		return false, err
	}
	switch {
	case open.OnFailure == plan.Hold && open.phase == PhaseApply:
		return true, apply.Forward(h.Disk, open.Moves) // all of it or nothing, and there is no way back
	case open.OnFailure == plan.Hold && open.phase == PhaseWatch:
		return false, nil
	}
	switch open.phase {
	case PhaseApply, PhaseWatch:
		if err := open.move(h.State, PhaseUndo); err != nil {
			return false, err
		}
	case PhaseRevert, PhaseUndo, PhaseHeld:
	default:
		return false, nil
	}
	return true, apply.Backward(h.Disk, open.Moves)
}
