package agent

import (
	"context"
	"fmt"
	"maps"

	"evenkeel/agent/plan"
)

// assumeRead is for services that somebody started between the look for drift and the
// moment at which a correction put their files back: they may run with what stood there
// before, and nobody can see it afterwards. That is recorded as what they run with, so the
// look that follows restarts them. One too many is restarted where the start came after.
func (h *Host) assumeRead(ctx context.Context, a *Attempt, n now) error {
	if !a.isCorrection() {
		return nil
	}
	stood := map[string]plan.Path{}
	for _, m := range a.Moves {
		stood[m.Path] = m.Before
	}
	found := false
	for _, name := range h.Ledger.Good.units() {
		inputs := withStood(h.Ledger.Good.State.Units[name].Inputs, stood)
		if _, touched := a.Touched[name]; touched || inputs == nil {
			continue // it is started anew by this attempt, or reads nothing of it
		}
		d, err := h.Manager.Show(ctx, name)
		if err != nil {
			return fmt.Errorf("cannot ask systemd for %q: %w", name, err)
		}
		runs := d.IsActive() || d.Active == "activating"
		if runs && (d.Invocation != n.details[name].Invocation || n.state.Units[name].Moving) {
			h.Log.Info("a service was started while its files were put back, and may have read the others", "unit", name)
			h.record(name, Started{Invocation: d.Invocation, Inputs: inputs})
			found = true
		}
	}
	if !found {
		return nil
	}
	return h.Ledger.save(h.State)
}

// withStood is what a unit read that was started before its files were put back, nil when
// none of them is among its inputs.
func withStood(inputs map[string]string, stood map[string]plan.Path) map[string]string {
	var read map[string]string
	for p := range inputs {
		if at, moved := stood[p]; moved {
			if read == nil {
				read = maps.Clone(inputs)
			}
			read[p] = at.Fingerprint()
		}
	}
	return read
}
