package agent

import "evenkeel/agent/apply"

// keep makes the open attempt's target the good one. The rename comes first:
// from then on there is no way back.
func (h *Host) keep(e Evidence) (Outcome, error) {
	if err := h.Open.move(h.State, PhaseKeep); err != nil {
		return Outcome{}, err
	}
	correction, what := h.Open.isCorrection(), someOf(h.Open.Corrects)
	if err := h.finishKeep(e.Except); err != nil {
		return Outcome{}, err
	}
	if correction {
		return Outcome{Result: ResultCorrected, Reason: "correct " + what}, nil
	}
	return Outcome{Result: ResultGood, Reason: exceptFor(e.Except)}, nil
}

// finishKeep clears what only a revert would have needed, and brings the ledger
// up to date. It may run twice.
func (h *Host) finishKeep(except []string) error {
	a, l := h.Open, h.Ledger
	if a.isCorrection() {
		return h.finishCorrection()
	}
	unfinished := apply.Finish(h.Disk, a.Moves)
	if err := h.moveAnchorFor(a.Past, a.Commit, a.Minimum); err != nil {
		return err
	}
	l.Good = &Good{Commit: a.Commit, Subject: a.Subject, Signer: a.Signer, Digest: a.Digest, When: h.Now(), State: goodStateOf(a.asked()), Services: a.Services, Except: except, Secret: a.Secret, Drift: a.Drift, DropIns: a.DropIns, Made: a.Made}
	l.Proved(PastGood{Commit: a.Commit, Subject: a.Subject, Digest: a.Digest, When: h.Now()})
	l.Owned, l.Found, l.Sysctl, l.Roles, l.Key = shelve(a.Owned), a.Found, a.SysctlFirst, a.Roles, a.Key
	l.Hold, l.Approved, l.CameUp = nil, nil, nil
	h.forgetSecrets()
	l.Corrections = nil // another commit, another try
	delete(l.Tries, a.Commit)
	for name, run := range l.Runs {
		// Whatever runs here read what it should have, or the plan had restarted it.
		if want, runs := a.After.Units[name]; runs {
			l.Runs[name] = Started{Invocation: run.Invocation, Inputs: want.Inputs}
		} else {
			delete(l.Runs, name)
		}
	}
	if n := len(l.History); n == 0 || l.History[n-1].Attempt != a.Number {
		l.Note(Entry{When: h.Now(), Commit: a.Commit, Attempt: a.Number, Result: ResultGood, Reason: exceptFor(except), Restarts: a.Restarts})
	}
	if err := l.save(h.State); err != nil {
		return err
	}
	h.Open = nil
	h.dropOriginals()
	if unfinished != nil {
		h.Log.Warn("some old files stay beside the managed ones for now", "err", unfinished)
		a.unfinished = true
		h.leftover = append(h.leftover, a)
		return nil
	}
	if err := h.retire(a); err != nil {
		h.Log.Warn("the record of a finished attempt stays for now", "err", err)
	}
	return nil
}
