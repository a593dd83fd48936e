package agent

import (
	"maps"
	"path"
	"slices"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// parentDirectory is what a directory is like that only stands because
// something below it shall.
var parentDirectory = plan.Path{Kind: plan.Directory, Mode: 0o755, Owner: "root", Group: "root"}

// complete adds to a target what its commit does not say: the directories that
// its paths need, and what is to become of paths and units that we brought and
// that it does not name. They go back to what stood there before us.
func (h *Host) complete(target *plan.Target, digest, key string, n now) wanted {
	w := wanted{target: target, digest: digest, key: key, owned: h.owned(), found: h.found()}
	w.to = plan.State{Paths: maps.Clone(target.State.Paths), Units: maps.Clone(target.State.Units)}
	if w.to.Paths == nil {
		w.to.Paths = map[string]plan.Path{}
	}
	if w.to.Units == nil {
		w.to.Units = map[string]plan.Unit{}
	}
	h.settleLinks(w.to, n)
	for _, p := range slices.Sorted(maps.Keys(w.to.Paths)) {
		w.addParents(p, n)
	}
	absent := w.takesAway(h, n)
	for _, p := range slices.Sorted(maps.Keys(w.owned)) {
		if _, named := w.to.Paths[p]; !named && !absent[p] {
			if back := w.goesBack(h, p, n); back.Kind != plan.Absent {
				w.to.Paths[p] = back
			}
			delete(w.owned, p)
		}
	}
	// What is not ours stays as it is: say so, or Diff would remove it.
	for p, at := range n.state.Paths {
		if _, named := w.to.Paths[p]; !named && !absent[p] && !h.owns(p) && !h.isLeftover(p, at) {
			w.to.Paths[p] = at
		}
	}
	for p := range w.to.Paths {
		if _, ours := w.owned[p]; !ours && h.takes(p, target, w, n) {
			w.owned[p] = ownedFrom(h.before(p, n), n.packaged.conffiles[p].MD5)
		}
	}
	w.units(n)
	h.leaveDrift(&w, n)
	return w
}

// takesAway are the links that shall not stand and that somebody else made. They
// become ours, so that they come back when nobody minds them any more.
func (w *wanted) takesAway(h *Host, n now) map[string]bool {
	absent := map[string]bool{}
	for _, p := range w.target.Absent {
		o, ours := w.owned[p]
		switch before := h.before(p, n); {
		case ours && o.original().Kind == plan.Link:
			absent[p] = true
		case !ours && before.Kind == plan.Link:
			absent[p] = true
			w.owned[p] = ownedFrom(before, "")
		}
	}
	return absent
}

// takes reports whether a path becomes ours: the target names it, or it is a
// directory that we make.
func (h *Host) takes(p string, target *plan.Target, w wanted, n now) bool {
	if at, named := target.State.Paths[p]; named {
		return w.to.Paths[p] == at // an enablement link that somebody else made stays theirs
	}
	return w.to.Paths[p].Kind == plan.Directory && h.before(p, n).Kind == plan.Absent
}

// before is what stood at a path before the open attempt, or stands there now.
func (h *Host) before(p string, n now) plan.Path {
	if h.Open != nil {
		for _, m := range h.Open.Moves {
			if m.Path == p {
				return m.Before
			}
		}
	}
	return n.state.Paths[p]
}

// owns reports whether evenkeel brought what stands at a path.
func (h *Host) owns(p string) bool {
	if h.Open != nil {
		if _, ours := h.Open.Owned[p]; ours {
			return true
		}
	}
	_, ours := h.Ledger.Owned.all()[p]
	return ours
}

// isLeftover reports whether a directory is that of an attempt which was
// overtaken by one that does not want it: it goes with the last of them.
func (h *Host) isLeftover(p string, at plan.Path) bool {
	return h.Open != nil && at.Kind == plan.Directory && slices.ContainsFunc(h.Open.Moves, func(m apply.Move) bool {
		return m.Path == p && m.Before.Kind == plan.Absent
	})
}

func (h *Host) owned() map[string]Owned {
	owned := map[string]Owned{}
	maps.Copy(owned, h.Ledger.Owned.all())
	if h.Open != nil {
		maps.Copy(owned, h.Open.Owned)
	}
	return owned
}

func (h *Host) found() map[string]bool {
	found := map[string]bool{}
	maps.Copy(found, h.Ledger.Found)
	if h.Open != nil {
		maps.Copy(found, h.Open.Found)
	}
	return found
}

// addParents names the directories above a path that are missing, or that we
// made and still need.
func (w *wanted) addParents(p string, n now) {
	for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
		if _, named := w.to.Paths[dir]; named {
			continue
		}
		if at, there := n.state.Paths[dir]; there {
			w.to.Paths[dir] = at
		} else {
			w.to.Paths[dir] = parentDirectory
		}
	}
}

// settleLinks accepts an enablement link that already does its job: the same
// name, pointing to a unit of the same name. Vendors write other, equal texts.
func (h *Host) settleLinks(to plan.State, n now) {
	for p, want := range to.Paths {
		is := n.state.Paths[p]
		if want.Kind == plan.Link && is.Kind == plan.Link && !h.owns(p) && isEnablement(p) &&
			path.Base(want.Link) == path.Base(is.Link) && path.IsAbs(is.Link) {
			to.Paths[p] = is
		}
	}
}

// units gives units that nothing asks for any more back the state in which
// they were found, and remembers how those were that are new.
func (w *wanted) units(n now) {
	for name, active := range w.found {
		if _, named := w.target.State.Units[name]; named {
			continue
		}
		back := plan.Unit{Active: active && (n.details[name].Load == "loaded" || w.unmasks(name, n))}
		if back.Active {
			back = n.state.Units[name]
			back.Active = active
			back.Inputs = nil
		}
		w.to.Units[name] = back
		delete(w.found, name)
	}
	for name := range w.target.State.Units {
		if _, known := w.found[name]; !known {
			w.found[name] = n.state.Units[name].Active
		}
	}
}

// unmasks reports whether a unit is masked now and will not be: the link that masks
// it goes, or becomes what stood there before.
func (w *wanted) unmasks(name string, n now) bool {
	link := maskOf(name)
	return n.details[name].Load == "masked" && isMask(n.state.Paths[link]) && !isMask(w.to.Paths[link])
}

// maskOf is where a link masks a unit.
func maskOf(name string) string { return "/etc/systemd/system/" + name }

func isMask(p plan.Path) bool { return p.Kind == plan.Link && p.Link == "/dev/null" }
