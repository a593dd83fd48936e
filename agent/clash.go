package agent

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// This file holds the faults that only host and commit together have: something
// stands where something of another kind shall be. They are looked at again at
// each pass, because the host may be put right.

// unfit gives the problems of paths that cannot be looked at, each with the place
// that asks for it.
func (h *Host) unfit(t *plan.Target, n now, err error) manifest.Problems {
	all := []error{err}
	if joined, is := err.(interface{ Unwrap() []error }); is {
		all = joined.Unwrap()
	}
	var problems manifest.Problems
	for _, one := range all {
		var unfit *apply.Unfit
		if !errors.As(one, &unfit) {
			problems = append(problems, manifest.Problem{Message: one.Error()})
			continue
		}
		_, named := t.State.Paths[unfit.Path]
		if named || h.owns(unfit.Path) { // else it is a directory above one that is in the list too
			problems = append(problems, at(t, unfit.Path, h.wayTo(unfit, n)))
		}
	}
	if len(problems) == 0 {
		problems = manifest.Problems{{Message: err.Error()}}
	}
	return problems
}

// wayTo explains what is wrong with a path by what stands on the way to it.
func (h *Host) wayTo(unfit *apply.Unfit, n now) manifest.Problem {
	p := manifest.Problem{Message: unfit.Error()}
	for dir := path.Dir(unfit.Path); dir != "/"; dir = path.Dir(dir) {
		kind := n.state.Paths[dir].Kind
		switch kind {
		case plan.Absent, plan.Directory:
			continue
		case plan.Link:
			p.Hint = "name the path that it leads to: evenkeel follows no link"
		default:
			p.Hint = h.outOfTheWay(dir, kind)
		}
		p.Message = fmt.Sprintf("%q cannot be managed: on this host %q is %s", unfit.Path, dir, aKind(kind))
	}
	return p
}

// clashes lists the paths where a directory stands and none shall be, or the
// reverse.
func (h *Host) clashes(t *plan.Target, n now) manifest.Problems {
	var problems manifest.Problems
	for _, p := range slices.Sorted(maps.Keys(t.State.Paths)) {
		is, want := h.before(p, n).Kind, t.State.Paths[p].Kind
		if is == plan.Absent || is != plan.Other && (is == plan.Directory) == (want == plan.Directory) {
			continue
		}
		if h.stays(p, t, h.isFrozen(), n) {
			continue // it is drift, and told of as such
		}
		problems = append(problems, at(t, p, manifest.Problem{
			Message: fmt.Sprintf("%q cannot be %s: on this host it is %s", p, aKind(want), aKind(is)),
			Hint:    h.outOfTheWay(p, is),
		}))
	}
	return problems
}

func (h *Host) outOfTheWay(p string, is plan.Kind) string {
	left, known := plan.Path{}, false
	if h.Ledger.Good != nil {
		left, known = h.Ledger.Good.State.Paths.all()[p]
	}
	if h.owns(p) && (!known || left.Kind == is) {
		return "evenkeel brought it: let one commit take it away, and the next one bring the other"
	}
	return "move it away, or name another path"
}

// at gives a problem the place in the repository that asks for a path.
func at(t *plan.Target, p string, problem manifest.Problem) manifest.Problem {
	problem.File, problem.Line = t.Origin[p].File, t.Origin[p].Line
	return problem
}

func aKind(k plan.Kind) string {
	switch k {
	case plan.Link:
		return "a symbolic link"
	case plan.Other:
		return "a device, socket or pipe"
	}
	return "a " + string(k)
}
