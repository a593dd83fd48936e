package agent

import (
	"context"
	"maps"
	"slices"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// What a timer, a socket or a path starts runs when it is due, not when a commit
// comes. It counts when it did run, which needs to know how it was before.

// observeTriggered adds to what is known of the host the units that the listed
// timers, sockets and paths start.
func (h *Host) observeTriggered(ctx context.Context, services map[string]plan.Service, n *now) error {
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if err := h.observeUnit(ctx, name, plan.Unit{}, n); err != nil {
			return err
		}
		for _, started := range n.details[name].Triggers {
			if err := h.observeUnit(ctx, started, plan.Unit{}, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// touchTriggers notes the triggers that are to be watched: those that the plan
// touches, and those that start a unit of which the plan changes a file.
func (a *Attempt) touchTriggers(p plan.Plan, n now) {
	changed := map[string]bool{}
	for _, step := range p.Paths {
		if name := unitOf(step.Path); name != "" {
			changed[name] = true
		}
	}
	for name := range a.Services {
		if !a.After.Units[name].Active {
			continue
		}
		touch, touched := a.Touched[name]
		for _, started := range n.details[name].Triggers {
			template, _, _ := units.Template(started)
			touched = touched || changed[started] || changed[template]
			if d := n.details[started]; d.Active == "failed" || d.Result != "" && d.Result != "success" {
				touch.FailedBefore = append(touch.FailedBefore, started)
			}
		}
		if touched {
			a.Touched[name] = touch
		}
	}
}
