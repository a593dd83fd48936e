package agent

import (
	"context"

	"evenkeel/agent/plan"
)

// forgetStops clears the failures of units that are gone and did not take their stop well,
// as a container that is killed: nobody could mend them any more.
func (h *Host) forgetStops(ctx context.Context, p plan.Plan) {
	for _, step := range p.Stop {
		d, err := h.Manager.Show(ctx, step.Unit)
		if err == nil && d.Load == "not-found" && d.Active == "failed" {
			err = h.Manager.ResetFailed(ctx, step.Unit)
		}
		if err != nil {
			h.Log.Warn("the failure of a unit that is gone stays", "unit", step.Unit, "err", err)
		}
	}
}

// forgetStarts clears the start limits of the units that are about to start:
// those that earlier commits asked for say nothing about this one. In a correction a unit
// that failed comes later, see forgetStart.
func (h *Host) forgetStarts(ctx context.Context, a *Attempt, p plan.Plan) {
	left := h.leftBy(a)
	for _, wave := range p.Waves {
		for _, step := range wave {
			if !left(step.Unit) {
				h.resetStart(ctx, step.Unit)
			}
		}
	}
}

// forgetStart clears the start limit of a unit that a correction starts, right before it
// does: one whose turn never comes, because the correction fails before, stays failed.
func (h *Host) forgetStart(ctx context.Context, a *Attempt, name string) {
	if h.leftBy(a)(name) {
		h.resetStart(ctx, name)
	}
}

func (h *Host) resetStart(ctx context.Context, name string) {
	if err := h.Manager.ResetFailed(ctx, name); err != nil {
		h.Log.Warn("earlier starts of a unit count against its start limit", "unit", name, "err", err)
	}
}
