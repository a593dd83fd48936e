package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Drift is that the host differs from the last good commit although no commit asked
// for it: Diff(now, good, nil) is not empty. This file finds it and decides, place by
// place, what becomes of it; correct.go puts it right.

// Deviation is one path or unit that is not as the good commit left it.
type Deviation struct {
	Name   string       `json:"name"` // the path, or the unit
	Kind   DriftKind    `json:"kind"`
	How    string       `json:"how"`
	Since  time.Time    `json:"since,omitzero"` // zero: nobody knows
	Policy plan.OnDrift `json:"policy"`
	Alone  string       `json:"alone,omitempty"` // why it is left alone although it is to be corrected
	Secret bool         `json:"secret,omitempty"`

	step plan.PathStep // of a path
}

// DriftKind is what drifted, as metrics count it.
type DriftKind string

// The kinds.
const (
	DriftFile      DriftKind = "file"
	DriftLink      DriftKind = "link"
	DriftDirectory DriftKind = "directory"
	DriftUnit      DriftKind = "unit"
)

// Corrected reports whether the deviation is to be put right.
func (d Deviation) Corrected() bool { return d.Policy == plan.Correct && d.Alone == "" }

// Does says what will be done about it.
func (d Deviation) Does() string {
	switch {
	case d.Policy == plan.Report:
		return "reported, and left as it is"
	case d.Alone != "":
		return "left alone: " + d.Alone
	}
	return "corrected"
}

// drift is what a look found.
type drift struct {
	now  now
	to   plan.State // the good state, but for all that is left alone
	list []Deviation

	handsOff string // why nothing is corrected now, "" when it is
}

// corrections are the deviations that are to be put right.
func (d drift) corrections() []Deviation {
	return slices.DeleteFunc(slices.Clone(d.list), func(x Deviation) bool { return !x.Corrected() })
}

func (d drift) correctedNames() []string {
	var names []string
	for _, x := range d.corrections() {
		names = append(names, x.Name)
	}
	return names
}

// findDrift compares the host with the good commit. A host without one has no drift,
// and neither has one that is on its way to another.
func (h *Host) findDrift(ctx context.Context) (drift, error) {
	good := h.Ledger.Good
	if good == nil || h.Open != nil {
		return drift{}, nil
	}
	n, unfit, err := h.lookForDrift(ctx, good)
	if err != nil {
		return drift{}, err
	}
	d := drift{now: n, handsOff: h.handsOff()}
	d.to.Paths = h.driftOfPaths(good, &d, unfit)
	h.driftOfDropIns(good, &d)
	d.to.Units = h.driftOfUnits(good, &d)
	slices.SortFunc(d.list, func(a, b Deviation) int { return cmp.Compare(a.Name, b.Name) })
	return d, nil
}

// lookForDrift looks at all that the good commit asks for. What cannot be looked at is
// given apart, and hinders nothing else.
func (h *Host) lookForDrift(ctx context.Context, good *Good) (now, map[string]error, error) {
	n := now{details: map[string]units.Detail{}}
	var err error
	if n.accounts, err = apply.ReadAccounts(h.Disk); err != nil {
		return n, nil, err
	}
	target := &plan.Target{State: plan.State{Paths: good.State.Paths.all()}}
	n.seen, err = h.index.Look(h.Disk, n.accounts, h.paths(target))
	unfit, err := unfitPaths(err)
	if err != nil {
		return n, nil, err
	}
	n.state = plan.State{Paths: n.seen.Paths, Units: map[string]plan.Unit{}}
	for _, name := range good.units() {
		if err := h.observeUnit(ctx, name, good.State.Units[name], &n); err != nil {
			return n, nil, err
		}
	}
	return n, unfit, nil
}

// unfitPaths takes the error of a look apart: what is wrong with single paths, and
// what is wrong with the look.
func unfitPaths(err error) (map[string]error, error) {
	if err == nil {
		return nil, nil
	}
	all := []error{err}
	if joined, is := err.(interface{ Unwrap() []error }); is {
		all = joined.Unwrap()
	}
	unfit := map[string]error{}
	for _, one := range all {
		var u *apply.Unfit
		if !errors.As(one, &u) {
			return nil, err
		}
		unfit[u.Path] = u.Err
	}
	return unfit, nil
}

// driftOfPaths lists the paths that drifted and gives what shall stand at all of them:
// that of the good commit, or what stands there where it is left alone.
func (h *Host) driftOfPaths(good *Good, d *drift, unfit map[string]error) map[string]plan.Path {
	is := d.now.state.Paths
	to := maps.Clone(is)
	for p, want := range good.State.Paths.all() {
		if h.isKept(good, p, want, is[p]) && unfit[p] == nil {
			to[p] = want
		}
	}
	stay := func(p string) {
		if at, there := is[p]; there {
			to[p] = at
		} else {
			delete(to, p)
		}
	}
	for _, step := range plan.Diff(plan.State{Paths: is}, plan.State{Paths: to}, nil).Paths {
		x := h.deviation(good, step, d.now)
		if x.Policy == plan.Correct {
			x.Alone = cmp.Or(h.whyAlone(x, to), d.handsOff)
		}
		if !x.Corrected() {
			stay(step.Path) // what is in a directory that stays away finds that below
		}
		if x.Policy != plan.Ignore {
			d.list = append(d.list, x)
		}
	}
	for p, err := range unfit {
		if _, ours := h.Ledger.Owned.all()[p]; ours && h.onDrift(p) != plan.Ignore {
			want := good.State.Paths.all()[p]
			d.list = append(d.list, Deviation{Name: p, Kind: kindOf(want.Kind), How: "it cannot be looked at: " + err.Error(), Policy: h.onDrift(p), Alone: "nobody can see what stands there"})
		}
	}
	return to
}

// isKept reports whether a path shall be as the good commit left it: what evenkeel
// brought, and the links that enable its services, whoever made them.
func (h *Host) isKept(good *Good, p string, want, is plan.Path) bool {
	if _, ours := h.Ledger.Owned.all()[p]; ours {
		return true
	}
	service := path.Base(p)
	return want.Kind == plan.Link && isEnablement(p) && good.Services[service].Enabled &&
		(is.Kind != plan.Link || path.Base(is.Link) != path.Base(want.Link))
}

// deviation is what a step back would be for.
func (h *Host) deviation(good *Good, step plan.PathStep, n now) Deviation {
	x := Deviation{
		Name: step.Path, Kind: kindOf(step.To.Kind), How: differs(step), Since: n.seen.Changed[step.Path].UTC(),
		Policy: h.onDrift(step.Path), Secret: good.Secret[step.Path], step: step,
	}
	if step.From.Kind == plan.Absent {
		x.Since = time.Time{} // when it went nobody knows
	}
	return x
}

// whyAlone gives a reason not to correct a path, "" when there is none.
func (h *Host) whyAlone(x Deviation, to map[string]plan.Path) string {
	from, want := x.step.From.Kind, x.step.To.Kind
	parent := path.Dir(x.Name)
	switch {
	case from == plan.Other:
		return "a device, socket or pipe stands there; move it away"
	case from != plan.Absent && (from == plan.Directory) != (want == plan.Directory):
		return fmt.Sprintf("%s stands where %s was; move it away", aKind(from), aKind(want))
	case parent != "/" && to[parent].Kind != plan.Directory:
		return fmt.Sprintf("its directory %s is not there", parent)
	}
	if why := h.notReplaced(x.step); why != "" {
		return why
	}
	return h.gaveUp(x.Name)
}

// notReplaced gives a reason not to replace the file that stands somewhere: it may be
// something of somebody else, or too large to be kept.
func (h *Host) notReplaced(step plan.PathStep) string {
	if step.From.Kind != plan.File {
		return ""
	}
	dir, err := h.Disk.OpenDir(path.Dir(step.Path))
	if err != nil {
		return ""
	}
	defer func() { _ = dir.Close() }()
	info, err := dir.Stat(path.Base(step.Path))
	switch {
	case err != nil:
	case info.Links > 1:
		return "the file that stands there has other names (hard links); remove it"
	case info.Size > maxKeptFile && step.From.Digest != step.To.Digest:
		return fmt.Sprintf("the file that stands there is too large to be kept (%d bytes); move it away", info.Size)
	}
	return ""
}

// onDrift is what the repository says about drift at a path, or of a unit.
func (h *Host) onDrift(name string) plan.OnDrift {
	return onDrift(h.Ledger.Good.Drift, name)
}

func onDrift(said map[string]plan.OnDrift, name string) plan.OnDrift {
	if isEnablement(name) { // it is a part of its unit
		return cmp.Or(said[name], said[path.Base(name)], said[""], plan.Correct)
	}
	return cmp.Or(said[name], said[""], plan.Correct)
}

// kindOf is the kind of what should stand at a path.
func kindOf(k plan.Kind) DriftKind {
	switch k {
	case plan.Link:
		return DriftLink
	case plan.Directory:
		return DriftDirectory
	}
	return DriftFile
}

// differs says how a path drifted.
func differs(step plan.PathStep) string {
	is, want := step.From, step.To
	switch {
	case is.Kind == plan.Absent:
		return "it is gone"
	case is.Kind != want.Kind:
		return aKind(is.Kind) + " stands there"
	case is.Link != want.Link:
		return "it leads to " + is.Link
	case is.Digest != want.Digest && (is.Mode != want.Mode || is.Owner != want.Owner || is.Group != want.Group):
		return "content and " + attributes(is, want)
	case is.Digest != want.Digest:
		return "content changed"
	}
	return attributes(is, want)
}

func attributes(is, want plan.Path) string {
	return fmt.Sprintf("%04o %s:%s in place of %04o %s:%s", is.Mode, is.Owner, is.Group, want.Mode, want.Owner, want.Group)
}
