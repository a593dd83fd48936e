package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// maxSuspects bounds the walk through systemd's dependencies.
const maxSuspects = 2000

// ownService is the unit of the daemon. What takes it down cannot be taken back.
const ownService = "evenkeel.service"

// suspects are the units that a plan may disturb: those it names, and all that
// systemd's stop and restart propagation reaches from them, in the graph that
// is loaded and in the one that the target will load. It adds each to what is
// known of the host, so that a revert knows how it was.
func (h *Host) suspects(ctx context.Context, p plan.Plan, to plan.State, n *now) (plan.Suspect, error) {
	suspects := plan.Suspect{}
	var queue []string
	for _, step := range p.Steps() {
		suspects[step.Unit] = suspects[step.Unit] || step.Verb == units.Reload
		queue = append(queue, step.Unit)
	}
	slices.Sort(queue)
	for len(queue) > 0 && len(suspects) < maxSuspects {
		if queue[0] == ownService {
			return nil, fmt.Errorf("cannot touch these units: systemd would stop %s together with them", ownService)
		}
		name := queue[0]
		queue = queue[1:]
		if err := h.observeUnit(ctx, name, to.Units[name], n); err != nil {
			return nil, err
		}
		for _, next := range h.reached(name, to, n) {
			if _, known := suspects[next]; known {
				continue
			}
			if err := h.observeUnit(ctx, next, to.Units[next], n); err != nil {
				return nil, err
			}
			if n.state.Units[next].Ran {
				continue // nothing of it runs that could be disturbed
			}
			suspects[next] = false
			queue = append(queue, next)
		}
	}
	return suspects, nil
}

// reached are the units that a stop, restart or start of one may stop or restart.
func (h *Host) reached(name string, to plan.State, n *now) []string {
	d := n.details[name]
	reached := slices.Concat(d.RequiredBy, d.BoundBy, d.ConsistsOf)
	for other, u := range to.Units {
		if slices.Contains(u.Binds, name) {
			reached = append(reached, other)
		}
	}
	if strings.HasSuffix(name, ".socket") {
		reached = append(reached, d.Triggers...)
	}
	for _, other := range slices.Concat(d.Conflicts, d.ConflictedBy) {
		if !strings.HasSuffix(other, ".target") {
			reached = append(reached, other)
		}
	}
	slices.Sort(reached)
	return slices.Compact(slices.DeleteFunc(reached, isSystemTarget))
}

// isSystemTarget leaves out what no restart of a service takes down, and what
// nobody may restart: the boot's own milestones.
func isSystemTarget(name string) bool {
	return strings.HasSuffix(name, ".target") || strings.HasSuffix(name, ".slice") || name == ""
}

// softBefore are the files whose way back a reload is enough for: what the good commit
// says of them counts, and of those that it does not know what the new one says.
func (h *Host) softBefore(name string, to plan.State) map[string]bool {
	var good plan.Unit
	if h.Ledger.Good != nil {
		good = h.Ledger.Good.State.Units[name]
	}
	soft := maps.Clone(good.Soft)
	for p := range to.Units[name].Soft {
		if _, known := good.Inputs[p]; known || !to.Units[name].Soft[p] {
			continue
		}
		if soft == nil {
			soft = map[string]bool{}
		}
		soft[p] = true
	}
	return soft
}

// unitsBefore are the suspects as they were before the open attempt, or are now. With them are
// oneshots that have run and that nobody asks for any more: they are no suspects, but those of
// the next attempt, which may ask for them anew, are to know that they had run.
func (h *Host) unitsBefore(suspects plan.Suspect, to plan.State, n now) map[string]plan.Unit {
	before := map[string]plan.Unit{}
	for name := range suspects {
		u := n.state.Units[name]
		u.Soft = h.softBefore(name, to)
		before[name] = u
	}
	for name, want := range to.Units {
		if u := n.state.Units[name]; !want.Active && u.Active && u.Ran {
			before[name] = u
		}
	}
	if h.Open != nil {
		maps.Copy(before, h.Open.Before.Units)
	}
	return before
}
