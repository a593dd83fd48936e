package agent

import (
	"maps"
	"slices"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Prediction is what the daemon does with a commit.
type Prediction struct {
	plan.Plan
	Asks string // why a person is asked before any of it happens, "" when nobody is
}

// Predict says what the daemon does on a host that is at one target when a
// commit asks for another: the same code on the record that the first one
// leaves. A nil "from" is a host that evenkeel has not touched.
//
// What only the host knows is taken to be the plainest: nothing stood at the
// paths before evenkeel came, no unit of the host ran, and none but those of the
// target hang on each other. Directories that no target names are left out, since
// most hosts have them.
func Predict(from, to *plan.Target) Prediction {
	h := &Host{Ledger: &Ledger{Version: ledgerVersion}}
	n := now{state: plan.State{}, details: map[string]units.Detail{}}
	if from != nil {
		w := h.complete(from, "", "", n)
		h.Ledger.Owned, h.Ledger.Found = w.owned, w.found
		n.state = settledAt(w.to)
		h.Ledger.Good = &Good{State: n.state}
	}
	w := h.complete(to, "", "", n)
	p := plan.Diff(n.state, w.to, nil)
	p.Paths = slices.DeleteFunc(p.Paths, func(s plan.PathStep) bool {
		return isDirectory(s) && !names(from, s.Path) && !names(to, s.Path)
	})
	return Prediction{p, h.Ledger.pruning(w).asks()}
}

// settledAt is how a host is seen once it was brought to a state: all units run,
// each with what it should have read.
func settledAt(s plan.State) plan.State {
	seen := plan.State{Paths: s.Paths, Units: map[string]plan.Unit{}}
	for name, u := range s.Units {
		if u.Active {
			u.Invocation = "settled"
		}
		u.Soft = nil
		u.Inputs = maps.Clone(u.Inputs)
		seen.Units[name] = u
	}
	return seen
}

func isDirectory(s plan.PathStep) bool {
	return s.From.Kind == plan.Directory && s.To.Kind == plan.Absent ||
		s.From.Kind == plan.Absent && s.To.Kind == plan.Directory
}

// names reports whether a target itself asks for a path.
func names(t *plan.Target, p string) bool {
	if t == nil {
		return false
	}
	_, named := t.State.Paths[p]
	return named
}
