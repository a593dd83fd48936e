package agent

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

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
	if err := h.stopUnmade(ctx, w, n); err != nil {
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

// stopUnmade wants the same of a service that is made from a Quadlet file and will not
// be any more: a volume stays "active" as long as systemd remembers that it was made.
func (h *Host) stopUnmade(ctx context.Context, w *wanted, n *now) error {
	for _, name := range slices.Sorted(maps.Keys(h.made())) {
		if _, named := w.to.Units[name]; named || w.target.Made[name] != "" || isTemplate(name) {
			continue
		}
		if err := h.observeUnit(ctx, name, plan.Unit{}, n); err != nil {
			return err
		}
		if n.details[name].IsActive() && isGenerated(n.details[name]) {
			w.to.Units[name] = plan.Unit{}
		}
	}
	return nil
}

// made are the services that Quadlet files of the good commit, and of the open attempt,
// make.
func (h *Host) made() map[string]string {
	made := map[string]string{}
	if h.Ledger.Good != nil {
		maps.Copy(made, h.Ledger.Good.Made)
	}
	if h.Open != nil {
		maps.Copy(made, h.Open.Made)
	}
	return made
}

// isGenerated reports whether a unit is one that a generator made.
func isGenerated(d units.Detail) bool { return strings.HasPrefix(d.Fragment, "/run/systemd/generator") }

// brought are the units of which the attempt brought the file, or the Quadlet file.
func (h *Host) brought(a *Attempt) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a.Made)) {
		if good := h.Ledger.Good; (good == nil || good.Made[name] == "") && !isTemplate(name) {
			names = append(names, name)
		}
	}
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
	for _, name := range h.brought(a) {
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
	return unitOf(p) == name && path.Dir(p) == "/etc/systemd/system" && !isTemplate(name)
}

func isTemplate(unit string) bool {
	_, instance, ok := units.Template(unit)
	return ok && instance == ""
}
