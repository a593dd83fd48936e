package manifest

import (
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// definition gives a unit as it will be once the target stands: the target's
// fragment, else the host's; then the drop-ins of both. A unit that nobody has
// gets a definition without files.
func (w *wiring) definition(name string) *units.Definition {
	d := &units.Definition{Name: name}
	known := w.vendor[name]
	if f := w.fragment(name); f != nil {
		d.Files = append(d.Files, f)
	} else if from := w.quadlet(name); from != nil {
		d.Files = append(d.Files, from.Files...)
		d.Files = append(d.Files, w.implied(d))
	} else if f := vendorFragment(known, w.t.State); f != nil {
		d.Files = append(d.Files, f)
	}
	d.Files = append(d.Files, w.dropIns(name, known)...)
	return d
}

// fragment gives the target's own file for a unit: the unit itself, or the template of
// an instance.
func (w *wiring) fragment(name string) *units.File {
	for _, dest := range fragmentPaths(name) {
		if f := w.parsed(dest); f != nil {
			return f
		}
	}
	return nil
}

func fragmentPaths(name string) []string {
	paths := []string{path.Join(unitDir, name)}
	if template, instance, ok := units.Template(name); ok && instance != "" {
		paths = append(paths, path.Join(unitDir, template))
	}
	return paths
}

// parsed reads a unit file of the target; nil when the target has none there.
// Faults were reported by Load.
func (w *wiring) parsed(dest string) *units.File {
	p := w.t.State.Paths[dest]
	if p.Kind != plan.File {
		return nil
	}
	f, _ := units.ParseFile(dest, w.t.Content[p.Digest])
	return f
}

// isDropInPath reports whether a file of a definition is a drop-in.
func isDropInPath(name string) bool {
	return path.Ext(name) == ".conf" && strings.HasSuffix(path.Dir(name), ".d")
}

// vendorFragment gives the host's fragment. One that stands where the target
// puts a link is on its way out.
func vendorFragment(d units.Definition, s plan.State) *units.File {
	for _, f := range d.Files {
		if isDropInPath(f.Path) {
			continue
		}
		if _, ok := s.Paths[f.Path]; ok {
			return nil
		}
		return f
	}
	return nil
}

// dropIns gives the drop-ins of target and host in the order in which systemd
// reads them: by file name. Of two with one name the more specific directory
// counts, and then /etc, which is where the target's are.
func (w *wiring) dropIns(name string, known units.Definition) []*units.File {
	byName := map[string]*units.File{}
	rank := map[string]int{}
	dirs := units.DropInDirs(name)
	take := func(f *units.File, managed bool) {
		r := 2 * (len(dirs) - slices.Index(dirs, path.Base(path.Dir(f.Path))))
		if managed {
			r++
		}
		base := path.Base(f.Path)
		if _, ok := byName[base]; !ok || r > rank[base] {
			byName[base], rank[base] = f, r
		}
	}
	for _, f := range known.Files {
		if _, managed := w.t.State.Paths[f.Path]; isDropInPath(f.Path) && !managed {
			take(f, false)
		}
	}
	for _, dest := range w.dropInPaths(name) {
		if f := w.parsed(dest); f != nil {
			take(f, true)
		}
	}
	var out []*units.File
	for _, base := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, byName[base])
	}
	return out
}

// dropInPaths gives the target's paths that are drop-ins of the unit, sorted.
func (w *wiring) dropInPaths(name string) []string {
	var all []string
	for _, dir := range units.DropInDirs(name) {
		all = append(all, path.Join(unitDir, dir))
	}
	return w.confsIn(all)
}

// confsIn gives the target's drop-ins in any of the directories, sorted.
func (w *wiring) confsIn(dirs []string) []string {
	var out []string
	for dest := range w.t.State.Paths {
		if path.Ext(dest) == ".conf" && contains(dirs, path.Dir(dest)) {
			out = append(out, dest)
		}
	}
	slices.Sort(out)
	return out
}

// own gives the managed files that are the unit's definition itself.
func (w *wiring) own(name string) []plan.Read {
	var reads []plan.Read
	for _, dest := range fragmentPaths(name) {
		if p, ok := w.t.State.Paths[dest]; ok && p.Kind != plan.Directory {
			reads = append(reads, plan.Read{Path: dest, Why: whyUnitFile, Must: true})
		}
	}
	reads = append(reads, w.ownQuadlet(name)...)
	for _, dest := range w.dropInPaths(name) {
		reads = append(reads, plan.Read{Path: dest, Why: whyDropIn})
	}
	return reads
}
