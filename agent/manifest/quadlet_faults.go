package manifest

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// This file judges Quadlet files. Podman would pass over most of these faults with a word
// in the journal, or make a service that nobody meant.

// vendorQuadletDir is where packages put Quadlet files.
const vendorQuadletDir = "/usr/share/containers/systemd"

// quadlets looks at the services that will be made from Quadlet files, for what only the
// generator would find, or nobody.
func (b *builder) quadlets() {
	b.quadletPlaces()
	w := newWiring(b.t, nil)
	for _, service := range slices.Sorted(maps.Keys(w.made)) {
		from := w.made[service]
		place := b.t.Origin[from[0]]
		d := w.quadlet(service)
		if d == nil {
			continue // a link to what the host has, or a file with faults that were said
		}
		for _, other := range from[1:] {
			b.c.at(b.t.Origin[other], "keep one, or give one of them another ServiceName=", "%s is already made from %s (%s)", service, path.Base(from[0]), spot(place))
		}
		if own, ok := b.t.State.Paths[path.Join(unitDir, service)]; ok && own.Link != "/dev/null" {
			b.c.at(place, "keep one, or write ServiceName=", "%s would be made from it, and %s brings that unit itself", service, spot(b.t.Origin[path.Join(unitDir, service)]))
		}
		b.quadletName(d, place)
		b.quadletLacks(&units.Definition{Name: path.Base(from[0]), Files: d.Files}, place)
		b.quadletInstall(d, place)
		b.quadletPod(w, d, path.Base(from[0]))
	}
}

// quadletPod reports a container that shall be stopped and that its pod starts all the same:
// podman makes the pod want its containers. Afterwards it would look as if somebody had.
func (b *builder) quadletPod(w *wiring, d *units.Definition, file string) {
	_, listed := b.t.Services[d.Name]
	masked := b.t.State.Paths[path.Join(unitDir, d.Name)].Kind == plan.Link
	if !listed || masked || b.t.State.Units[d.Name].Active || !d.StartsWithPod() {
		return
	}
	from := path.Join(quadletDir, d.Value("Container", "Pod"))
	pod := w.madeFrom(from)
	if pod == "" || path.Ext(from) != ".pod" {
		return
	}
	if b.t.State.Units[pod].Active || len((&units.Definition{Name: pod, Files: w.quadletFiles(from)}).Install(from)) > 0 {
		b.c.at(b.t.Origin[d.Name], "write StartWithPod=false into its [Container]", "%s shall be stopped, and %s starts it: %s has Pod=%s", d.Name, pod, file, path.Base(from))
	}
}

// quadletName judges the name of a service that is made from a Quadlet file.
func (b *builder) quadletName(d *units.Definition, place plan.Place) {
	err := units.Valid(d.Name)
	switch plain := strings.TrimSuffix(d.Name, ".service"); {
	case strings.HasSuffix(plain, ".service"):
		b.c.at(b.saidIn(d, "ServiceName", place), "write ServiceName="+strings.TrimSuffix(plain, ".service"), "the service would be called %s", d.Name)
	case err != nil:
		b.c.at(b.saidIn(d, "ServiceName", place), "", "the service that is made from it has no name: %v", err)
	case ownUnit(d.Name):
		b.c.at(b.saidIn(d, "ServiceName", place), "", "%q would take the place of evenkeel's own: no commit changes it", d.Name)
	}
}

// quadletInstall judges [Install], which the generator carries out each time: whatever
// the repository says elsewhere, the links are there at the next boot.
func (b *builder) quadletInstall(d *units.Definition, place plan.Place) {
	links := d.Install(path.Join(generatedDir, d.Name))
	for _, l := range links {
		if fault := deniedLink(l.Path); fault != "" {
			b.c.at(place, "", "[Install] asks for a link that is not allowed: %s", fault)
		}
	}
	s, listed := b.t.Services[d.Name]
	masked := b.t.State.Paths[path.Join(unitDir, d.Name)].Kind == plan.Link
	if listed && !s.Enabled && !masked && len(links) > 0 {
		b.c.at(place, "take [Install] out of it", "%s shall not be enabled (%s), and its Quadlet file enables it by [Install]", d.Name, spot(b.t.Origin[d.Name]))
	}
}

// saidIn is the line that assigns a key of a Quadlet file, or the whole file's place.
func (b *builder) saidIn(d *units.Definition, key string, place plan.Place) plan.Place {
	for _, f := range d.Files {
		for _, a := range f.Assignments {
			if a.Key != key {
				continue
			}
			if place = b.t.Origin[f.Path]; !b.rendered[f.Path] {
				place.Line = a.Line
			}
		}
	}
	return place
}

// quadletLacks reports a file of which podman makes nothing for want of a key. One without
// its own section was reported already.
func (b *builder) quadletLacks(d *units.Definition, place plan.Place) {
	if keys := d.QuadletLacks(); keys != "" && d.Files[0].Has(units.QuadletSection(d.Name)) {
		b.c.at(place, "", "%s has no %s in [%s]: podman makes no service of it", d.Name, keys, units.QuadletSection(d.Name))
	}
}

// quadletPlaces reports what podman reads and evenkeel does not: Quadlet files in
// directories below its own, and links to anything else than a Quadlet file beside them.
// By way of those a service could be made in the place of any other.
func (b *builder) quadletPlaces() {
	for _, dest := range slices.Sorted(maps.Keys(b.t.State.Paths)) {
		rel, below := strings.CutPrefix(dest, quadletDir+"/")
		if !below || strings.HasPrefix(rel, "users/") { // what is there is read for users
			continue
		}
		switch p, place := b.t.State.Paths[dest], b.t.Origin[dest]; p.Kind {
		case plan.Link:
			to := path.Clean(p.Link)
			if !path.IsAbs(to) {
				to = path.Join(path.Dir(dest), to)
			}
			beside := path.Dir(to) == quadletDir || path.Dir(to) == vendorQuadletDir
			if to != "/dev/null" && (path.Dir(dest) != quadletDir || !units.IsQuadlet(rel) || !units.IsQuadlet(to) || !beside) {
				b.c.at(place, "bring the files themselves, in units/", "podman would read what is behind the link %s: here a link leads from one Quadlet file to another one beside it", dest)
			}
		case plan.File:
			inner := path.Dir(dest) != quadletDir
			isPart := path.Ext(dest) == ".conf" && path.Ext(path.Dir(dest)) == ".d"
			if inner && units.IsQuadlet(dest) || isPart && strings.Count(rel, "/") > 1 {
				b.c.at(place, "move it to units/", "podman reads Quadlet files and drop-ins of directories below %s too, and evenkeel does not", quadletDir)
			}
		}
	}
}

// quadletSyntax reports what podman reads otherwise than systemd does. It takes more
// characters for blanks, and no byte order mark, and each backslash at the end of a line
// for one that joins the next line.
func (b *builder) quadletSyntax(dest string, text []byte, f *units.File) {
	fault := func(line int, message string) {
		b.syntax(b.t.Origin[dest], b.rendered[dest], &units.SyntaxError{Path: dest, Line: line, Message: message})
	}
	if bytes.HasPrefix(text, []byte("\uFEFF")) {
		fault(1, "podman reads no file with a byte order mark")
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(strings.TrimLeft(line, " \t"), "\r\n")
		slashes := len(line) - len(strings.TrimRight(line, `\`))
		if slashes > 0 && slashes%2 == 0 && !strings.ContainsRune("#;", rune(line[0])) {
			fault(number, "podman joins the next line to one that ends in a backslash, also in two")
		}
	}
	for _, a := range f.Assignments {
		if strings.ContainsFunc(a.Key, func(r rune) bool {
			return !(r == '-' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z')
		}) {
			fault(a.Line, fmt.Sprintf("%q is no name of a key", a.Key))
		}
	}
}

// notBrought warns of Quadlet files that others name and that no role of this host brings.
// The host may have them, of a package; where it has not, podman makes no service at all of
// the file that names them.
func (b *builder) notBrought(w *wiring) []plan.Warning {
	var all []string
	for dest := range b.t.State.Paths {
		if path.Dir(dest) == quadletDir && units.IsQuadlet(dest) {
			all = append(all, path.Base(dest))
		}
	}
	var out []plan.Warning
	for service, from := range w.made {
		d := w.quadlet(service)
		if d == nil {
			continue
		}
		for _, need := range d.QuadletNeeds() {
			if contains(all, need.File) {
				continue
			}
			warning := warn(b.t.Origin[from[0]], "%s names %s, which no role of this host brings: without it podman makes no %s", path.Base(from[0]), need.File, service)
			if hint := didYouMean(need.File, all); hint != "" {
				warning.Message += " (" + hint + ")"
			}
			out = append(out, warning)
		}
	}
	return out
}
