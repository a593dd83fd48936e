package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Phase is how far an attempt has come. It stands in the name of the attempt's
// file, attempt.NUMBER.PHASE.TRIES, so that a rename, which needs no space,
// moves it on:
//
//	stage -> apply -> watch -> keep -> (gone)
//	           |        |
//	           +--------+--> revert -> reverted -> (gone)   the commit is rejected
//	           |        |
//	           +--------+--> undo -> undone -> (gone)       the commit is not to blame
//
// from undo to revert when the commit was interrupted too often, which nobody counts early
// in the boot; and from revert or undo to held when the host cannot be put back. From there a
// person's retry leads to undo, and a newer commit overtakes it. From apply or watch
// it goes to stay when the commit says on_failure: hold; from there any commit, the
// same one included, overtakes it.
type Phase string

// The phases.
const (
	PhaseStage    Phase = "stage"    // files may stand beside their targets
	PhaseApply    Phase = "apply"    // anything may have been changed
	PhaseWatch    Phase = "watch"    // everything was changed; health decides
	PhaseKeep     Phase = "keep"     // it is good; what a revert would need goes
	PhaseRevert   Phase = "revert"   // it is rejected; the host is being put back
	PhaseReverted Phase = "reverted" // the host is back, the ledger does not say so yet
	PhaseUndo     Phase = "undo"     // it was interrupted; the host is being put back
	PhaseUndone   Phase = "undone"   // the host is back, the ledger does not say so yet
	PhaseHeld     Phase = "held"     // it is rejected, and the host cannot be put back by itself
	PhaseStay     Phase = "stay"     // it failed, and the host stays at it
)

// Attempt is one try to bring the host to one commit. Its file is written once,
// before the first effect; only its name changes after that.
type Attempt struct {
	Number   int                     `json:"number"`
	Commit   string                  `json:"commit"`
	Subject  string                  `json:"subject,omitempty"`
	Signer   string                  `json:"signer,omitempty"`
	Minimum  string                  `json:"minimum,omitempty"` // minimum_commit, which it was proven to contain
	Digest   string                  `json:"digest"`            // of the target
	Key      string                  `json:"key"`
	Roles    []string                `json:"roles,omitempty"`
	Boot     string                  `json:"boot"` // boot id when it began
	Since    time.Time               `json:"since"`
	Before   plan.State              `json:"before"` // suspects' units included
	After    plan.State              `json:"after"`
	Leaves   plan.State              `json:"leaves,omitzero"` // what the commit asks for where After is drift that it leaves alone
	Suspect  plan.Suspect            `json:"suspect"`
	Moves    []apply.Move            `json:"moves"`
	Services map[string]plan.Service `json:"services,omitempty"`
	Touched  map[string]Touch        `json:"touched,omitempty"` // units that the plan starts, restarts or reloads
	Owned    map[string]Owned        `json:"owned,omitempty"`   // what Owned will be once it is kept
	Found    map[string]bool         `json:"found,omitempty"`
	Baseline map[string]bool         `json:"baseline,omitempty"` // check -> was green before; nil without a good commit
	Restarts []string                `json:"restarts,omitempty"` // for the history
	Secret   map[string]bool         `json:"secret,omitempty"`   // paths whose content is nobody's business

	Quiet    map[string]bool         `json:"quiet,omitempty"`    // paths with feeds: none
	Corrects []string                `json:"corrects,omitempty"` // the drifted paths and units that it puts right; none: it is for a new commit
	Drift    map[string]plan.OnDrift `json:"drift,omitempty"`    // see Target.Drift
	DropIns  []string                `json:"drop_ins"`           // see Good.DropIns
	Made     map[string]string       `json:"made,omitempty"`     // see Target.Made

	Sysctl      map[string]string `json:"sysctl,omitempty"`       // values of the kernel that it may change, as they were before
	SysctlFirst map[string]string `json:"sysctl_first,omitempty"` // what Ledger.Sysctl will be once it is kept

	Past      bool           `json:"past,omitempty"`       // a person went back to it
	Guard     plan.Service   `json:"guard,omitzero"`       // what must still be reached
	Probation time.Duration  `json:"probation,omitempty"`  // how long it must prove itself
	OnFailure plan.OnFailure `json:"on_failure,omitempty"` // what becomes of it when it does not

	phase      Phase
	tries      int                     // how often this phase was begun, 1 the first time
	resets     map[string]string       // values of the kernel that no file sets any more, as they were before the first did
	unfinished bool                    // it is kept, and some old files stay beside the managed ones
	cameUp     map[string]units.Detail // touched units right after their jobs, as far as this process saw them
}

// Touch is what the watch must know of a unit that an attempt touches.
type Touch struct {
	Skipped      bool     `json:"skipped,omitempty"`       // that its condition keeps it from starting is no fault: it was so before, or a file that it asks for goes
	FailedBefore []string `json:"failed_before,omitempty"` // of the units that it starts, those whose last run had failed already
}

const attemptPrefix = "attempt."

func (a *Attempt) file() string { return attemptName(a.Number, a.phase, a.tries) }

func attemptName(number int, phase Phase, tries int) string {
	return fmt.Sprintf("%s%06d.%s.%d", attemptPrefix, number, phase, tries)
}

func parseAttemptName(name string) (number int, phase Phase, tries int, ok bool) {
	parts := strings.Split(strings.TrimPrefix(name, attemptPrefix), ".")
	if !strings.HasPrefix(name, attemptPrefix) || len(parts) != 3 {
		return 0, "", 0, false
	}
	number, err := strconv.Atoi(parts[0])
	tries, bad := strconv.Atoi(parts[2])
	return number, Phase(parts[1]), tries, err == nil && bad == nil
}

// move renames the attempt's file to another phase, or to the same one with
// one more try, and makes that lasting.
func (a *Attempt) move(dir apply.Dir, phase Phase) error {
	tries := 1
	if phase == a.phase {
		tries = a.tries + 1
	}
	if err := dir.Rename(a.file(), attemptName(a.Number, phase, tries)); err != nil {
		return fmt.Errorf("cannot record phase %q of attempt %d: %w", phase, a.Number, err)
	}
	a.phase, a.tries = phase, tries
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("cannot record phase %q of attempt %d: %w", phase, a.Number, err)
	}
	return nil
}

// leaveToLedger takes out of the record of a correction what it does not change and what the
// ledger says as well, which may be much: all that is owned, and what shall stand where no
// unit reads anything.
func (a *Attempt) leaveToLedger(n now) {
	read := map[string]plan.Path{}
	for _, all := range []map[string]plan.Unit{a.After.Units, a.Before.Units, n.state.Units} {
		for _, u := range all {
			for p := range u.Inputs {
				if at, there := a.After.Paths[p]; there {
					read[p] = at
				}
			}
		}
	}
	a.Owned, a.After.Paths = nil, read
}

// note records what is about to be staged, so that it can be cleaned up.
func (a *Attempt) note(dir apply.Dir) error {
	a.phase, a.tries = PhaseStage, 1
	return a.write(dir)
}

// intend makes the attempt durable: from here on a crash ends in a revert.
func (a *Attempt) intend(dir apply.Dir) error {
	old := a.file()
	a.phase, a.tries = PhaseApply, 1
	if err := a.write(dir); err != nil {
		return err
	}
	// Only now: until the intent is durable the note is what cleans up.
	if err := dir.Remove(old); err != nil {
		return fmt.Errorf("cannot remove the note of attempt %d: %w", a.Number, err)
	}
	return nil
}

// retract takes back an intent that could not be made durable and may be there
// all the same. After an error it stands, and the attempt is open.
func (a *Attempt) retract(dir apply.Dir) error {
	if a.phase == PhaseStage {
		return nil
	}
	if err := dir.Remove(a.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot take back the record of attempt %d: %w", a.Number, err)
	}
	a.phase, a.tries = PhaseStage, 1
	return nil
}

func (a *Attempt) write(dir apply.Dir) error {
	data, err := json.Marshal(a)
	if err == nil {
		err = writeState(dir, a.file(), data)
	}
	if err != nil {
		return fmt.Errorf("cannot record attempt %d: %w", a.Number, err)
	}
	return nil
}

func (a *Attempt) remove(dir apply.Dir) error {
	if err := dir.Remove(a.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the record of attempt %d: %w", a.Number, err)
	}
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("cannot remove the record of attempt %d: %w", a.Number, err)
	}
	return nil
}

// loadAttempts reads the records of attempts: the open one, nil when there is
// none, and those that were only staging or that the open one overtook.
func loadAttempts(dir apply.Dir, decode decoder) (open *Attempt, leftover []*Attempt, err error) {
	names, err := dir.Names()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot list the state directory: %w", err)
	}
	for _, name := range names { // sorted, so by number
		number, phase, tries, ok := parseAttemptName(name)
		if !ok {
			continue
		}
		data, err := dir.Read(name, apply.MaxFile)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot read the record %q: %w", name, err)
		}
		a := new(Attempt)
		if err := decode.read(data, a); err != nil || a.Number != number {
			return nil, nil, fmt.Errorf("cannot read the record %q: it is damaged: %v; \"evenkeel reset-state\" forgets it, and what the attempt replaced may still stand beside the managed files, as .NAME.evenkeel~", name, err)
		}
		a.phase, a.tries = phase, tries
		switch {
		case phase == PhaseStage:
			leftover = append(leftover, a)
		case open == nil || a.Number > open.Number:
			if open != nil {
				leftover = append(leftover, open)
			}
			open = a
		}
	}
	return open, leftover, nil
}
