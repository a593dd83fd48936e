package agent

import (
	"context"
	"maps"
	"slices"
	"time"

	"evenkeel/agent/manifest"
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
// paths before evenkeel came, no unit of the host ran but those that well-known
// directories are for, and none but those of the target hang on each other.
// Directories that no target names are left out, since most hosts have them.
func Predict(from, to *plan.Target) Prediction {
	h := &Host{Ledger: &Ledger{Version: ledgerVersion}}
	n := nothingSeen()
	if from != nil {
		h.Manager = plainHost{listed: from.Services}
		w := h.complete(from, "", "", n)
		seen := nothingSeen()
		seen.state = settledAt(w.to)
		seen.seen.Paths = seen.state.Paths
		h.addSystemUnits(&w, n)
		h.Ledger.Owned, h.Ledger.Found = shelve(w.owned), w.found
		h.Ledger.Good = &Good{State: goodStateOf(w.to)}
		h.Ledger.Runs = map[string]Started{}
		for name, u := range w.to.Units {
			h.Ledger.Runs[name] = Started{Invocation: settledRun, Inputs: u.Inputs}
		}
		n = seen
	}
	h.Manager = plainHost{listed: to.Services, runs: h.Ledger.Runs}
	w := h.complete(to, "", "", n)
	h.addSystemUnits(&w, n)
	p := plan.Diff(n.state, w.to, nil)
	p.Paths = slices.DeleteFunc(p.Paths, func(s plan.PathStep) bool {
		return isDirectory(s) && !names(from, s.Path) && !names(to, s.Path)
	})
	return Prediction{p, h.Ledger.pruning(w).asks()}
}

func nothingSeen() now {
	return now{state: plan.State{Units: map[string]plan.Unit{}}, details: map[string]units.Detail{}}
}

// addSystemUnits is addUnlisted where nothing can go wrong.
func (h *Host) addSystemUnits(w *wanted, n now) {
	if err := h.addUnlisted(context.Background(), w, &n); err != nil {
		panic("internal error: a host that does not exist does not answer: " + err.Error())
	}
}

// plainHost is the systemd of a prediction: of each well-known directory the first unit
// that its files are for runs, unless a role is about to start it, and no other.
type plainHost struct {
	units.Manager
	listed map[string]plan.Service
	runs   map[string]Started
}

// Show is that of units.Manager.
func (p plainHost) Show(_ context.Context, name string) (units.Detail, error) {
	d := units.Detail{}
	d.Name, d.Load, d.Active = name, "not-found", "inactive"
	_, listed := p.listed[name]
	_, runs := p.runs[name]
	if IsSystemUnit(name) && (runs || !listed) {
		d.Load, d.Active, d.Invocation, d.ActiveAt = "loaded", "active", settledRun, time.Unix(1, 0)
	}
	return d, nil
}

// IsSystemUnit reports whether a prediction takes a unit to run on each host, because
// well-known directories are for it.
func IsSystemUnit(name string) bool {
	return slices.ContainsFunc(manifest.WellKnownFiles(), func(k manifest.WellKnown) bool {
		return len(k.Units) > 0 && k.Units[0] == name
	})
}

// settledRun is the invocation of all that runs in a prediction.
const settledRun = "settled"

// settledAt is how a host is seen once it was brought to a state: all units run,
// each with what it should have read.
func settledAt(s plan.State) plan.State {
	seen := plan.State{Paths: s.Paths, Units: map[string]plan.Unit{}}
	for name, u := range s.Units {
		if u.Active {
			u.Invocation = settledRun
		}
		u.Ran, u.Soft = u.Ran && u.Active, nil
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
