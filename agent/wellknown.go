package agent

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// This file acts on files that programs read which no role lists: see
// manifest.WellKnownFiles.

// wellKnown adds to what is wanted the units that files in well-known directories are
// for, where they run on this host: they must have read those files. For a unit that a
// role lists, and a file that it reads by what the role or the unit itself says, that
// alone counts; "feeds: none" wants nothing done.
func (h *Host) wellKnown(ctx context.Context, w *wanted, n *now) error {
	reads := map[string]plan.Unit{} // unit -> what it reads by this
	ours := cloned(w.owned)
	maps.Copy(ours, h.owned())
	for _, k := range manifest.WellKnownFiles() {
		files := w.filesOf(ours, k)
		if k.Verb == "" || len(files) == 0 {
			continue
		}
		name, err := h.firstRunning(ctx, k.Units, w.changes(files, n), n)
		if err != nil {
			return err
		}
		if want, named := w.to.Units[name]; name == "" || named && !want.Active {
			continue
		}
		if reads[name].Inputs == nil {
			reads[name] = plan.Unit{Inputs: map[string]string{}, Soft: map[string]bool{}}
		}
		for _, p := range files {
			reads[name].Inputs[p] = w.to.Paths[p].Fingerprint()
			reads[name].Soft[p] = k.Verb == units.Reload
		}
	}
	w.system = map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(reads)) {
		if err := h.mustRead(ctx, name, reads[name], w, n); err != nil {
			return err
		}
	}
	if len(w.leaves.Paths) > 0 {
		w.readWhatIsLeft(*n) // once more, now that these units are known
	}
	w.afterThose(reads)
	return nil
}

// filesOf are the files of a row that are ours, or cease to be.
func (w *wanted) filesOf(ours map[string]Owned, k manifest.WellKnown) []string {
	var files []string
	for p := range ours {
		if k.Fits(p) && !w.target.Quiet[p] && w.to.Paths[p].Kind != plan.Directory {
			files = append(files, p)
		}
	}
	return files
}

// changes reports whether one of the files is to become another one.
func (w *wanted) changes(files []string, n *now) bool {
	return slices.ContainsFunc(files, func(p string) bool { return w.to.Paths[p] != n.state.Paths[p] })
}

// firstRunning finds the first of some units that runs; "" when none does. One that its
// own condition kept from starting counts where a file changes: often the condition is
// that there is a file.
func (h *Host) firstRunning(ctx context.Context, names []string, changes bool, n *now) (string, error) {
	for _, name := range names {
		d, known := n.details[name]
		if !known {
			var err error
			if d, err = h.Manager.Show(ctx, name); err != nil {
				return "", err
			}
		}
		if d.Load == "loaded" && (d.IsActive() || changes && skipped(d)) {
			return name, nil
		}
	}
	return "", nil
}

// mustRead wants that a unit has read some files in addition to what it reads anyway.
// A file that goes is no input of what runs then.
func (h *Host) mustRead(ctx context.Context, name string, reads plan.Unit, w *wanted, n *now) error {
	want := w.to.Units[name]
	want.Active = true
	want.Inputs, want.Soft = cloned(want.Inputs), cloned(want.Soft)
	for p, fingerprint := range reads.Inputs {
		if _, already := want.Inputs[p]; already {
			continue
		}
		want.Inputs[p] = fingerprint
		if reads.Soft[p] {
			want.Soft[p] = true
		}
	}
	w.to.Units[name] = want
	if _, listed := w.target.Services[name]; !listed {
		w.system[name] = true
	}
	// Once more: what it has read counts now.
	delete(n.details, name)
	return h.observeUnit(ctx, name, want, n)
}

func cloned[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

// afterThose has everything else start after the host's own programs.
func (w *wanted) afterThose(reads map[string]plan.Unit) {
	for name, u := range w.to.Units {
		if _, itself := reads[name]; itself || !u.Active {
			continue
		}
		for _, first := range slices.Sorted(maps.Keys(reads)) {
			if _, listed := w.target.Services[first]; !listed && !slices.Contains(u.After, first) {
				u.After = append(slices.Clip(u.After), first)
			}
		}
		w.to.Units[name] = u
	}
}

// create has systemd-tmpfiles make what the files say that the attempt changes, as they
// stand now: after the apply, or after the way back.
func (h *Host) create(ctx context.Context, a *Attempt, is func(apply.Move) plan.Kind) error {
	var files []string
	for _, m := range a.Moves {
		if is(m) == plan.File && !a.Quiet[m.Path] && slices.ContainsFunc(manifest.WellKnownFiles(), func(k manifest.WellKnown) bool {
			return k.Create && k.Fits(m.Path)
		}) {
			files = append(files, m.Path)
		}
	}
	if len(files) == 0 || h.Create == nil {
		return nil
	}
	h.Log.Info("systemd-tmpfiles --create", "files", strings.Join(files, " "))
	return h.Create(ctx, files)
}

func kindAfter(m apply.Move) plan.Kind  { return m.After.Kind }
func kindBefore(m apply.Move) plan.Kind { return m.Before.Kind }

// validators gives each file that changes the command of its well-known directory, where
// the program is on this host and no role says something else. A command that judges all
// files of a row is given to the first alone.
func (w *wanted) validators(files []string) map[string][]string {
	found := map[string][]string{}
	for _, k := range manifest.WellKnownFiles() {
		if len(k.Validate) == 0 || !path.IsAbs(k.Validate[0]) || !isProgram(k.Validate[0]) {
			continue
		}
		for _, p := range files {
			argv, all := k.Validator(p)
			if !k.Fits(p) || len(w.target.Validate[p]) > 0 {
				continue
			}
			found[p] = argv
			if all {
				break
			}
		}
	}
	return found
}
