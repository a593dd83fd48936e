package agent

import (
	"context"
	"maps"
	"path"
	"slices"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// addUnlisted adds to what is wanted the units that no role lists and that the target
// concerns all the same: those whose file goes while they run, and those for which files
// in well-known directories are.
func (h *Host) addUnlisted(ctx context.Context, w *wanted, n *now) error {
	if err := h.stopOrphans(ctx, w, n); err != nil {
		return err
	}
	return h.wellKnown(ctx, w, n)
}

// stopOrphans wants that a unit is stopped whose own file goes: a socket, a timer or a
// person started it, and without the file nobody could stop it as it should be.
func (h *Host) stopOrphans(ctx context.Context, w *wanted, n *now) error {
	for _, p := range slices.Sorted(maps.Keys(h.owned())) {
		name := path.Base(p)
		if _, named := w.to.Units[name]; named || unitOf(p) != name || units.Valid(name) != nil {
			continue
		}
		if at := n.state.Paths[p]; at.Kind != plan.File || w.to.Paths[p].Kind != plan.Absent {
			continue
		}
		if template, instance, ok := units.Template(name); ok && instance == "" && template == name {
			continue // the file of many: systemd names no unit of this name
		}
		if err := h.observeUnit(ctx, name, plan.Unit{}, n); err != nil {
			return err
		}
		if n.details[name].IsActive() && n.details[name].Fragment == p {
			w.to.Units[name] = plan.Unit{}
		}
	}
	return nil
}
