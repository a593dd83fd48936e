package manifest

import (
	"maps"
	"path"
	"slices"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// generatedDir is where systemd finds what generators made.
const generatedDir = "/run/systemd/generator"

// findQuadlets notes which services podman's generator will make of the target's
// Quadlet files. Which name each has stands in the file.
func (w *wiring) findQuadlets() {
	for _, dest := range slices.Sorted(maps.Keys(w.t.State.Paths)) {
		name, isDropIn, ok := unitOf(dest)
		kind := w.t.State.Paths[dest].Kind
		if path.Dir(dest) != quadletDir || !ok || isDropIn || kind != plan.File && kind != plan.Link {
			continue
		}
		service := (&units.Definition{Name: name, Files: w.quadletFiles(dest)}).QuadletService()
		w.made[service] = append(w.made[service], dest)
	}
}

// services are those that are made from the target's Quadlet files, nil when there are
// none.
func (w *wiring) services() map[string]string {
	if len(w.made) == 0 {
		return nil
	}
	made := map[string]string{}
	for service, from := range w.made {
		made[service] = from[0]
	}
	return made
}

// madeFrom gives the service that is made from a Quadlet file, "" for other paths.
func (w *wiring) madeFrom(dest string) string {
	for service, from := range w.made {
		if contains(from, dest) {
			return service
		}
	}
	return ""
}

// quadletOf gives the Quadlet file of a service, or of the template that it is an
// instance of; "" when the target has none.
func (w *wiring) quadletOf(service string) string {
	template, _, _ := units.Template(service)
	for _, name := range []string{service, template} {
		if from := w.made[name]; len(from) > 0 {
			return from[0]
		}
	}
	return ""
}

// quadlet gives what a service is made from, under its own name; nil when that is no
// Quadlet file of the target.
func (w *wiring) quadlet(service string) *units.Definition {
	files := w.quadletFiles(w.quadletOf(service))
	if len(files) == 0 {
		return nil
	}
	return &units.Definition{Name: service, Files: files}
}

// quadletFiles gives a Quadlet file and its drop-ins, which the generator puts together
// before it makes a service of them. A link stands for the template that it leads to.
func (w *wiring) quadletFiles(dest string) []*units.File {
	file := w.parsed(w.quadletBehind(dest))
	if file == nil {
		return nil
	}
	files := []*units.File{file}
	for _, dropIn := range w.quadletDropIns(dest) {
		if f := w.parsed(dropIn); f != nil {
			files = append(files, f)
		}
	}
	return files
}

// quadletBehind follows a link from one Quadlet file to another.
func (w *wiring) quadletBehind(dest string) string {
	p := w.t.State.Paths[dest]
	if p.Kind != plan.Link {
		return dest
	}
	if path.IsAbs(p.Link) {
		return path.Clean(p.Link)
	}
	return path.Join(path.Dir(dest), p.Link)
}

func (w *wiring) quadletDropIns(dest string) []string {
	var dirs []string
	for _, dir := range units.DropInDirs(path.Base(dest)) {
		dirs = append(dirs, path.Join(quadletDir, dir))
	}
	return w.confsIn(dirs)
}

// ownQuadlet gives the managed files from which a service is made.
func (w *wiring) ownQuadlet(service string) []plan.Read {
	dest := w.quadletOf(service)
	if dest == "" {
		return nil
	}
	reads := []plan.Read{{Path: dest, Why: whyQuadlet, Must: true}}
	if behind := w.quadletBehind(dest); behind != dest {
		reads = append(reads, plan.Read{Path: behind, Why: whyQuadlet, Must: true})
	}
	for _, dropIn := range w.quadletDropIns(dest) {
		reads = append(reads, plan.Read{Path: dropIn, Why: whyDropIn})
	}
	return reads
}

// implied is what the generator adds to a service: it requires what is made of the
// Quadlet files that its own file names, and comes after that.
func (w *wiring) implied(d *units.Definition) *units.File {
	f := &units.File{Path: d.Files[0].Path}
	add := func(key, service string) {
		f.Assignments = append(f.Assignments, units.Assignment{Section: "Unit", Key: key, Value: service})
	}
	for _, need := range d.QuadletNeeds() {
		other := (&units.Definition{Name: need.File, Files: w.quadletFiles(path.Join(quadletDir, need.File))}).QuadletService()
		if need.Bound {
			add("BindsTo", other)
		} else {
			add("Requires", other)
		}
		add("After", other)
	}
	return f
}
