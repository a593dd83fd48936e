package agent

import (
	"context"

	"evenkeel/units"
)

// A correction that goes back leaves the services to systemd that were down before it and
// that shall run. One that failed stays failed, and one that runs, or that systemd is about
// to start again, is what the good commit asks for. To stop it, or to clear its failure,
// would take from people what they must hear of, and make a crash look like a person's stop.

// leftBy tells which units an attempt leaves to systemd on its way back.
func (h *Host) leftBy(a *Attempt) func(unit string) bool {
	good := h.Ledger.Good
	return func(unit string) bool {
		return a.isCorrection() && good != nil && good.State.Units[unit].Active && !a.Before.Units[unit].Active
	}
}

// startLeft starts what an interrupted correction was about to start: its failure may be
// cleared already, and then nobody could tell it from a service that a person stopped. How
// that ends is for the next look.
func (h *Host) startLeft(ctx context.Context, a *Attempt) {
	if a.phase != PhaseUndo {
		return
	}
	left := h.leftBy(a)
	for _, name := range a.Corrects {
		if !left(name) {
			continue
		}
		d, err := h.Manager.Show(ctx, name)
		if err != nil || d.Active != "inactive" || d.Job != "" {
			continue
		}
		h.Log.Info(string(units.Start), "unit", name, "why", "its correction was interrupted")
		if result, err := h.Manager.Run(ctx, units.Start, name); err != nil || result != units.Done {
			h.Log.Warn("a service stays down for now", "unit", name, "job", result, "err", err)
		}
	}
}
