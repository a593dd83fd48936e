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
		if _, named := w.to.Units[name]; named || !isUnitFile(p) {
			continue
		}
		if at := n.state.Paths[p]; at.Kind != plan.File || w.to.Paths[p].Kind != plan.Absent {
			continue
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

// brought are the units of which the attempt brought the file.
func (a *Attempt) brought() []string {
	var names []string
	for _, m := range a.Moves {
		if isUnitFile(m.Path) && m.Before.Kind == plan.Absent && m.After.Kind == plan.File {
			names = append(names, path.Base(m.Path))
		}
	}
	return names
}

// orphaned are the stops of units that the attempt brought without starting them: what
// else started one, its file goes now.
func (h *Host) orphaned(ctx context.Context, a *Attempt) []plan.UnitStep {
	var steps []plan.UnitStep
	for _, name := range a.brought() {
		if _, suspected := a.Suspect[name]; suspected {
			continue // it is in the plan
		}
		if d, err := h.Manager.Show(ctx, name); err == nil && (d.IsActive() || d.Active == "activating") {
			steps = append(steps, plan.UnitStep{Unit: name, Verb: units.Stop, Why: []string{"its file goes"}})
		}
	}
	return steps
}

// isUnitFile reports whether a path is that of a unit's own file, and not that of a
// template: no unit of that name runs.
func isUnitFile(p string) bool {
	name := path.Base(p)
	_, instance, isTemplate := units.Template(name)
	return unitOf(p) == name && path.Dir(p) == "/etc/systemd/system" && (!isTemplate || instance != "")
}
