package agent

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// A commit changes what it asks for anew. What drifted elsewhere and is not to be
// corrected, because the repository says so or a person froze the host, outlasts it:
// else the first commit about something else would take away what somebody needs.

// leaveDrift lets a commit leave such places as they are. What it asks for there goes to
// wanted.leaves: that is what they drift from.
func (h *Host) leaveDrift(w *wanted, n now) {
	good, frozen := h.Ledger.Good, h.isFrozen()
	if good == nil {
		return
	}
	w.leaves = plan.State{Paths: map[string]plan.Path{}, Units: map[string]plan.Unit{}}
	for p := range w.target.State.Paths {
		if h.stays(p, w.target, frozen, n) {
			w.leavePath(p, n)
			if !h.owns(p) {
				delete(w.owned, p) // a link of the vendor that somebody took away is not what evenkeel brings
			}
		}
	}
	if frozen {
		for _, name := range slices.Sorted(maps.Keys(good.Services)) {
			if h.staysDown(name, w, n) {
				u := w.to.Units[name]
				w.leaves.Units[name] = u
				u.Active = false
				w.to.Units[name] = u
			}
		}
	}
	if len(w.leaves.Paths) > 0 {
		w.readWhatIsLeft(n)
	}
	if len(w.leaves.Paths)+len(w.leaves.Units) == 0 {
		w.leaves = plan.State{}
	}
}

// stays reports whether a commit leaves what drifted at a path that it asks for.
func (h *Host) stays(p string, t *plan.Target, frozen bool, n now) bool {
	good, asked := h.Ledger.Good, t.State.Paths[p]
	return good != nil && asksTheSame(p, good.State.Paths.all()[p], asked) && (frozen || onDrift(t.Drift, p) != plan.Correct) && h.hasDrifted(p, asked, n)
}

// asksTheSame reports whether a commit asks for the same at a path as the good one did. A
// link that enables a unit may have had the vendor's text.
func asksTheSame(p string, was, asked plan.Path) bool {
	return was == asked || isEnablement(p) && was.Kind == plan.Link && asked.Kind == plan.Link && path.Base(was.Link) == path.Base(asked.Link)
}

// hasDrifted reports whether something else stands at a path than is asked for and kept,
// and no attempt that is open has to do with it. A directory that is gone is made anew,
// because what is below may be asked for.
func (h *Host) hasDrifted(p string, asked plan.Path, n now) bool {
	is := n.state.Paths[p]
	return h.isKept(h.Ledger.Good, p, asked, is) && is != asked && h.before(p, n) == is && (asked.Kind != plan.Directory || is.Kind == plan.Directory)
}

// staysDown reports whether a service is down, and the commit asks for nothing of it that
// the good one did not.
func (h *Host) staysDown(name string, w *wanted, n now) bool {
	was, asked := h.Ledger.Good.State.Units[name], w.to.Units[name]
	is, detail := n.state.Units[name], n.details[name]
	if !asked.Active || !was.Active || is.Active || is.Moving || detail.Job != "" || !maps.Equal(was.Inputs, asked.Inputs) {
		return false
	}
	if h.Open != nil {
		if _, disturbed := h.Open.Suspect[name]; disturbed {
			return false
		}
	}
	_, down := h.unitDown(name, detail)
	return down
}

func (w *wanted) leavePath(p string, n now) {
	w.leaves.Paths[p] = w.target.State.Paths[p]
	if at, there := n.state.Paths[p]; there {
		w.to.Paths[p] = at
	} else {
		delete(w.to.Paths, p)
	}
}

// reads wants that a unit runs with what it read at a path.
func (w *wanted) reads(name, p, fingerprint string) {
	u := w.to.Units[name]
	u.Inputs = maps.Clone(u.Inputs)
	u.Inputs[p] = fingerprint
	w.to.Units[name] = u
}

// readWhatIsLeft: that a path stays as it is is no reason to restart what has read
// something else; and what is started reads what stands there.
func (w *wanted) readWhatIsLeft(n now) {
	readers := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(w.to.Units)) {
		for p := range w.leaves.Paths {
			if _, reads := w.to.Units[name].Inputs[p]; reads {
				readers[name] = append(readers[name], p)
			}
		}
		for _, p := range readers[name] {
			if read, known := n.state.Units[name].Inputs[p]; known {
				w.reads(name, p, read)
			} else {
				w.reads(name, p, w.to.Paths[p].Fingerprint())
			}
		}
	}
	for _, step := range plan.Diff(n.state, w.to, nil).Steps() {
		for _, p := range readers[step.Unit] {
			if readsAnew(step, w.to.Units[step.Unit], p, n) {
				w.reads(step.Unit, p, w.to.Paths[p].Fingerprint())
			}
		}
	}
}

// hindered lists what a commit waits for: files that are gone, are left so, and without
// which a unit cannot run that it starts, restarts or reloads. It would fail through no
// fault of its own, and the way back from it as well.
func (h *Host) hindered(w wanted, n now) []string {
	if len(w.leaves.Paths) == 0 {
		return nil
	}
	why := "the repository says drift: report or ignore"
	if h.isFrozen() {
		why = "the host is frozen"
	}
	var list []string
	for _, step := range plan.Diff(n.state, w.to, nil).Steps() {
		if step.Verb == units.Stop {
			continue
		}
		for _, r := range w.target.Reads[step.Unit] {
			if _, left := w.leaves.Paths[r.Path]; left && r.Must && isGone(w.to.Paths[r.Path]) && !(r.Path == maskOf(step.Unit) && behindMask(step.Unit) != "") {
				list = append(list, fmt.Sprintf("%s, without which %s cannot %s: it was taken away, and %s", r.Path, step.Unit, step.Verb, why))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// isGone reports whether no unit can read what stands somewhere.
func isGone(at plan.Path) bool {
	return at.Kind == plan.Absent || at.Kind == plan.Directory || isMask(at)
}

// asked is what the commit of an attempt asks for, also where it left drift alone: what
// stands there, what is down, and what a unit has read there is not the good state.
func (a *Attempt) asked() plan.State {
	if len(a.Leaves.Paths)+len(a.Leaves.Units) == 0 {
		return a.After
	}
	s := plan.State{Paths: maps.Clone(a.After.Paths), Units: maps.Clone(a.After.Units)}
	maps.Copy(s.Paths, a.Leaves.Paths)
	for name, u := range s.Units {
		if left, down := a.Leaves.Units[name]; down {
			u.Active = left.Active
		}
		for p, asked := range a.Leaves.Paths {
			if _, reads := u.Inputs[p]; reads {
				u.Inputs = maps.Clone(u.Inputs)
				u.Inputs[p] = asked.Fingerprint()
			}
		}
		s.Units[name] = u
	}
	return s
}
