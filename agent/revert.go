package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/health"
	"evenkeel/agent/plan"
)

// takeBack puts the host back to what it was before the open attempt. The
// rejection is durable before the first effect: the rename of the record is it,
// which works on a full disk as well.
func (h *Host) takeBack(ctx context.Context, verdict Verdict, e Evidence) (Outcome, error) {
	phase := PhaseUndo
	if verdict == Revert {
		phase = PhaseRevert
	}
	if err := h.Open.move(h.State, phase); err != nil {
		return Outcome{}, err
	}
	if phase == PhaseRevert {
		h.Ledger.blameFor(h.Open, e.Reason, e.Details, h.Now())
		h.trySave()
	}
	if h.Reverted != nil {
		h.Reverted(e.Cause)
	}
	return h.putBack(ctx, e.Reason)
}

// putBack restores files, links, units and processes, and proves it. It may be
// called again after a crash at any point.
func (h *Host) putBack(ctx context.Context, reason string) (Outcome, error) {
	a := h.Open
	h.tell(StageReverting, a.Commit)
	// What a newer commit staged in vain may stand in directories that are to go.
	if err := h.makeWay(); err != nil {
		h.Log.Warn("what an attempt left that never began stays for now", "err", err)
	}
	failed := a.phase == PhaseRevert
	err := h.restore(ctx, a)
	h.noteAside(a)
	if err == nil {
		err = h.verify(ctx, a)
	}
	if err != nil {
		return h.hold(err)
	}
	phase, result := PhaseUndone, ResultUndone
	if failed {
		phase, result = PhaseReverted, ResultRejected
	}
	if failed && a.isCorrection() {
		result = ResultFailed
	}
	if err := a.move(h.State, phase); err != nil {
		return Outcome{}, err
	}
	h.fold(reason)
	return Outcome{Result: result, Reason: reason}, nil
}

// noteAside remembers the files of others that the revert had to move out of the
// way, so that people are told until they took them.
func (h *Host) noteAside(a *Attempt) {
	for _, file := range apply.Aside(h.Disk, a.Moves) {
		if slices.Contains(h.Ledger.Aside, file) || len(h.Ledger.Aside) >= maxAside {
			continue
		}
		h.Ledger.Aside = append(h.Ledger.Aside, file)
		h.Log.Warn("somebody else wrote to a managed path; their file was set aside", "file", file)
	}
}

// restore applies Diff(now, before, suspect).
func (h *Host) restore(ctx context.Context, a *Attempt) error {
	n, err := h.observeBack(ctx, a)
	if err != nil {
		return err
	}
	var errs []error
	left := h.leftBy(a)
	for _, name := range slices.DeleteFunc(slices.Sorted(maps.Keys(a.Suspect)), left) {
		if err := h.Manager.ResetFailed(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("cannot reset %s: %w", name, err))
		}
	}
	p := plan.Diff(n.state, a.before(n.state.Paths, left), a.Suspect)
	jobs := apply.Jobs{Manager: h.Manager, Log: h.Log, Was: n.state.Units, AtOnce: h.AtOnce, Always: true, Done: func(ctx context.Context, wave []apply.Started) error {
		h.recordBack(a, wave)
		return nil
	}}
	errs = append(errs, jobs.Stop(ctx, p.Stop), jobs.Stop(ctx, h.orphaned(ctx, a)))
	if err := apply.Backward(h.Disk, a.Moves); err != nil {
		// Services must not start on a mixed set of files.
		return errors.Join(append(errs, err)...)
	}
	if err := h.Manager.DaemonReload(ctx); err != nil {
		return errors.Join(append(errs, fmt.Errorf("cannot make systemd read its unit files: %w", err))...)
	}
	// Before services start, and once more when systemd-sysctl has set what files say.
	_ = h.restoreSysctl(ctx, a)
	errs = append(errs, h.create(ctx, a, kindBefore), jobs.Waves(ctx, p.Waves), h.forgetFailures(ctx, a), h.restoreSysctl(ctx, a))
	h.startLeft(ctx, a)
	return errors.Join(errs...)
}

// forgetFailures clears the failures of units that are gone, and of what the attempt's
// timers, sockets and paths started: once those are as before, so is what they start. What
// had failed before the attempt stays so, and what is left to systemd.
func (h *Host) forgetFailures(ctx context.Context, a *Attempt) error {
	var errs []error
	for _, name := range slices.DeleteFunc(h.brought(a), h.leftBy(a)) {
		errs = append(errs, h.Manager.ResetFailed(ctx, name))
	}
	for _, name := range slices.DeleteFunc(slices.Sorted(maps.Keys(a.Touched)), h.leftBy(a)) {
		trigger, err := h.Manager.Show(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, started := range union(trigger.Triggers, a.After.Units[name].Triggers) {
			if !slices.Contains(a.Touched[name].FailedBefore, started) {
				errs = append(errs, h.Manager.ResetFailed(ctx, started))
			}
		}
	}
	return errors.Join(errs...)
}

// union gives the words of both lists, sorted, each once.
func union(a, b []string) []string {
	both := slices.Concat(a, b)
	slices.Sort(both)
	return slices.Compact(both)
}

// before is the state that a revert goes back to. Paths that the attempt did
// not move are as they are, and units that are left to systemd, or are no suspects, are
// not in it.
func (a *Attempt) before(seen map[string]plan.Path, left func(unit string) bool) plan.State {
	before := plan.State{Paths: maps.Clone(seen), Units: maps.Clone(a.Before.Units)}
	maps.DeleteFunc(before.Units, func(name string, _ plan.Unit) bool {
		_, suspected := a.Suspect[name]
		return !suspected || left(name)
	})
	for _, m := range a.Moves {
		if delete(before.Paths, m.Path); m.Before.Kind != plan.Absent {
			before.Paths[m.Path] = m.Before
		}
	}
	return before
}

// observeBack looks at all that a revert may change.
func (h *Host) observeBack(ctx context.Context, a *Attempt) (now, error) {
	target := &plan.Target{State: plan.State{Paths: map[string]plan.Path{}, Units: a.Before.Units}}
	for _, u := range a.Before.Units {
		for p := range u.Inputs {
			target.State.Paths[p] = plan.Path{}
		}
	}
	n, err := h.look(ctx, target)
	if err != nil {
		return n, err
	}
	return n, h.observeSuspects(ctx, a, target, &n)
}

// recordBack notes what restarted units run with: what stands on the disk now.
func (h *Host) recordBack(a *Attempt, wave []apply.Started) {
	accounts, err := apply.ReadAccounts(h.Disk)
	if err != nil {
		return
	}
	for _, s := range wave {
		was := a.Before.Units[s.Step.Unit]
		seen, err := h.index.Look(h.Disk, accounts, slices.Sorted(maps.Keys(was.Inputs)))
		if err != nil {
			continue
		}
		run := Started{Invocation: s.Unit.Invocation, Inputs: map[string]string{}}
		for p := range was.Inputs {
			run.Inputs[p] = seen.Paths[p].Fingerprint()
		}
		h.record(s.Step.Unit, run)
	}
}

// verify proves the revert: every path by its digest, every suspect that ran by
// its state, and the services by the checks of the good commit.
func (h *Host) verify(ctx context.Context, a *Attempt) error {
	n, err := h.observeBack(ctx, a)
	if err != nil {
		return err
	}
	var wrong []string
	for _, m := range a.Moves {
		switch {
		case n.state.Paths[m.Path] == m.Before:
		case m.IsOurs(n.seen.IDs[m.Path]):
			wrong = append(wrong, fmt.Sprintf("%s is not as it was before", m.Path))
		default:
			h.Log.Warn("left alone: somebody else changed it", "path", m.Path)
		}
	}
	var watched []health.Watched
	for _, name := range slices.DeleteFunc(slices.Sorted(maps.Keys(a.Suspect)), h.leftBy(a)) {
		was, is := a.Before.Units[name], n.state.Units[name]
		switch {
		case !was.Active && n.details[name].IsActive() && a.started(name) && len(n.details[name].TriggeredBy) == 0:
			wrong = append(wrong, fmt.Sprintf("%s did not run before and does now", name))
		case was.Active && !is.Active:
			wrong = append(wrong, fmt.Sprintf("%s ran before and does not now%s", name, apply.Describe(n.details[name])))
		case was.Active && is.Invocation != was.Invocation:
			watched = append(watched, health.Watched{Name: name, Was: n.details[name], Oneshot: isOneshot(n.details[name]), Service: h.goodService(name)})
		}
	}
	if len(wrong) == 0 {
		for _, f := range h.Health.Settle(ctx, watched) {
			if f.Why != "" {
				wrong = append(wrong, fmt.Sprintf("%s does not stay up: %s", f.Unit, f.Why))
			}
		}
	}
	if len(wrong) == 0 {
		wrong = h.verifyChecks(ctx, a)
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// started reports whether the attempt started a unit.
func (a *Attempt) started(name string) bool {
	_, touched := a.Touched[name]
	return touched
}

func (h *Host) goodService(name string) plan.Service {
	if h.Ledger.Good == nil {
		return plan.Service{}
	}
	return h.Ledger.Good.Services[name]
}

// verifyChecks runs the checks of the good commit. Those that failed before the
// attempt as well prove nothing.
func (h *Host) verifyChecks(ctx context.Context, a *Attempt) []string {
	if h.Ledger.Good == nil {
		return nil
	}
	r := h.Health.Watch(ctx, checksOnly(h.Ledger.Good.Services, nil), 0, a.Baseline)
	why, _ := faults(r.Findings)
	return why
}

// hold stops acting: the host could not be put back by itself.
func (h *Host) hold(cause error) (Outcome, error) {
	if h.goesDown(context.Background()) {
		return Outcome{}, h.leave(cause.Error())
	}
	h.Log.Error("holding: the host could not be put back", "commit", h.Open.Commit, "err", cause)
	reason := "the revert failed: " + cause.Error()
	if h.Open.phase == PhaseRevert && h.Open.tries < maxTries || h.Open.phase == PhaseUndo && h.Open.tries < maxTries {
		if err := h.Open.move(h.State, h.Open.phase); err == nil {
			return h.putBack(context.Background(), reason)
		}
	}
	h.Ledger.Hold = &Hold{Reason: reason, Commit: h.Open.Commit, Since: h.Now()}
	// Until the ledger has the rejection, the phase is what remembers it.
	if err := h.Ledger.save(h.State); err != nil && h.Open.phase == PhaseRevert {
		return Outcome{}, errors.Join(errors.New(reason), err)
	}
	if err := h.Open.move(h.State, PhaseHeld); err != nil {
		return Outcome{}, err
	}
	return Outcome{Result: ResultHeld, Reason: reason}, nil
}

// passHeld lets a newer commit overtake the held attempt. The files must be back
// before, as far as they still exist: only then is what stands on the disk all
// that the newer one has to know. That units are down is no obstacle: the commit
// may be the one that mends them.
func (h *Host) passHeld(ctx context.Context) error {
	if len(apply.Pending(h.Disk, h.Open.Moves)) == 0 {
		return nil
	}
	err := apply.Backward(h.Disk, h.Open.Moves)
	if pending := apply.Pending(h.Disk, h.Open.Moves); len(pending) > 0 {
		return fmt.Errorf("the revert failed: %s is not as it was before: %w", pending[0], err)
	}
	if err := h.Manager.DaemonReload(ctx); err != nil {
		return fmt.Errorf("cannot make systemd read its unit files: %w", err)
	}
	return nil
}

// fold brings the ledger up to date with an attempt that was taken back. Where
// that needs space that is not there, the record of the attempt stays and says
// the same.
func (h *Host) fold(reason string) {
	a, l := h.Open, h.Ledger
	result, evidence := ResultUndone, ""
	if a.phase == PhaseReverted {
		result = ResultRejected
		if a.isCorrection() {
			result = ResultFailed
			l.leaveAlone(a.Corrects, reason)
		} else if r, known := l.IsRejected(a.Commit, ""); known {
			evidence = r.Evidence
		} else {
			l.Reject(Rejection{Commit: a.Commit, Digest: a.Digest, Reason: reason, When: h.Now()})
		}
		delete(l.Tries, a.tryKey())
		if !a.isCorrection() {
			l.Key, l.Approved = a.Key, nil
		}
	}
	if n := len(l.History); n == 0 || l.History[n-1].Attempt != a.Number {
		l.Note(Entry{When: h.Now(), Commit: a.Commit, Attempt: a.Number, Result: result, Reason: reason, Evidence: evidence})
	}
	left := h.leftBy(a)
	for name, was := range a.Before.Units {
		run, ran := l.Runs[name]
		switch {
		case left(name):
		case !was.Active:
			delete(l.Runs, name) // else a oneshot would count as run for the next commit
		case was.Ran && ran: // the record may be that of the attempt, where a crash lost what came after
			l.Runs[name] = Started{Invocation: run.Invocation, Inputs: was.Inputs}
		}
	}
	if l.Hold != nil && !l.Hold.Asks {
		l.Hold = nil
	}
	h.Open, l.CameUp = nil, nil
	h.Ledger.Aside = slices.DeleteFunc(h.Ledger.Aside, func(file string) bool { return !apply.Exists(h.Disk, file) })
	if !h.trySave() {
		h.leftover = append(h.leftover, a) // until the ledger says the same
		return
	}
	h.dropOriginals()
	if err := h.retire(a); err != nil {
		h.Log.Warn("the record of a finished attempt stays for now", "err", err)
	}
}

// trySave writes the ledger where there is space for it.
func (h *Host) trySave() bool {
	if err := h.Ledger.save(h.State); err != nil {
		h.Log.Error("the ledger is behind", "err", err)
		return false
	}
	return true
}
