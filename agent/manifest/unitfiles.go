package manifest

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Where units go.
const (
	unitDir    = "/etc/systemd/system"
	quadletDir = "/etc/containers/systemd"
)

// units brings roles/R/units/** to the directories of systemd and Quadlet.
func (b *builder) units(ro role, r *renderer) {
	root := path.Join(roleDir(ro.name), "units")
	for _, s := range b.walk(root) {
		rel := strings.TrimPrefix(s.file, root+"/")
		dir, fault, hint := unitPlace(strings.TrimSuffix(strings.TrimSuffix(rel, templateSuffix), secretSuffix))
		if fault != "" {
			b.c.add(Problem{File: s.file, Message: fault, Hint: hint})
			continue
		}
		s.dest, s.exec = dir+"/"+rel, false
		b.file(ro, s, r)
	}
}

// unitPlace says into which directory a file of units/ belongs.
func unitPlace(rel string) (dir, fault, hint string) {
	name, file, isDropIn := strings.Cut(rel, "/")
	if isDropIn {
		unit, ok := strings.CutSuffix(name, ".d")
		if !ok || strings.Contains(file, "/") {
			hint = "other files stand below files/"
			if base := path.Base(file); units.IsQuadlet(base) || units.Valid(base) == nil {
				hint = "move it to units/ itself"
			}
			return "", "units/ holds unit files and NAME.d/ directories of drop-ins, nothing deeper", hint
		}
		if path.Ext(file) != ".conf" {
			return "", fmt.Sprintf("systemd reads only *.conf from %s", name), ""
		}
		name = unit
	}
	if units.IsQuadlet(name) || isDropIn && units.IsQuadlet("x."+name) {
		return quadletDir, "", ""
	}
	if err := units.Valid(name); err != nil && (!isDropIn || units.TypeOf("x."+name) == "") {
		return "", err.Error(), "other files stand below files/"
	}
	return unitDir, "", ""
}

// unitFiles reads all unit files of the target, for faults that systemd would
// find after the apply or only log. The version is that of the host's systemd, 0 where
// it is not known.
func (b *builder) unitFiles(version int) {
	for _, dest := range slices.Sorted(maps.Keys(b.t.State.Paths)) {
		p := b.t.State.Paths[dest]
		name, isDropIn, ok := unitOf(dest)
		if !ok || p.Kind != plan.File {
			continue
		}
		place := b.t.Origin[dest]
		f, err := units.ParseFile(dest, b.t.Content[p.Digest])
		if err != nil {
			b.syntax(place, b.rendered[dest], err)
			continue
		}
		if path.Ext(name) == ".service" && !isDropIn && !f.Has("Service") {
			b.noService(name, place, f, b.rendered[dest])
		}
		if section := units.QuadletSection(name); section != "" && !isDropIn && !f.Has(section) {
			b.c.at(place, "", "%s has no section [%s], of which podman would make the service", name, section)
		}
		b.tooNew(place, f, b.rendered[dest], version)
		b.selfHarm(place, f, b.rendered[dest])
		b.noUnits(name, place, f, b.rendered[dest])
		if strings.HasPrefix(dest, quadletDir+"/") {
			b.quadletSyntax(dest, b.t.Content[p.Digest], f) // more is looked at by the service that is made
		} else {
			b.deniedInstall(name, dest, f)
		}
	}
}

// deniedInstall reports links that a unit's [Install] asks for and that may not be made.
func (b *builder) deniedInstall(unit, dest string, f *units.File) {
	for _, l := range (&units.Definition{Name: unit, Files: []*units.File{f}}).Install(dest) {
		if fault := deniedLink(l.Path); fault != "" {
			b.c.at(b.t.Origin[dest], "", "[Install] asks for a link that is not allowed: %s", fault)
		}
	}
}

// noUnits reports words of [Install] that name no unit: nothing would start this one at
// boot, without a word.
func (b *builder) noUnits(unit string, place plan.Place, f *units.File, rendered bool) {
	for _, n := range (&units.Definition{Name: unit, Files: []*units.File{f}}).NoUnits() {
		hint := ""
		for _, ending := range []string{".target", ".service"} {
			if name := n.Word + ending; units.Valid(name) == nil && (ending == ".target") == strings.HasSuffix(n.Key, "By") {
				hint = "did you mean " + strconv.Quote(name) + "?"
			}
		}
		if rendered {
			b.c.at(place, "", "%s= in [Install] names no unit", n.Key) // the word may be a secret
			continue
		}
		at := place
		at.Line = n.Line
		b.c.at(at, hint, "%s= in [Install]: %s", n.Key, n.Why)
	}
}

// notifyReload is the version of systemd that brought Type=notify-reload. An older one
// takes such a service for one of Type=simple, with a word in its log.
const notifyReload = 253

// tooNew reports a type of service that the host's systemd does not know yet.
func (b *builder) tooNew(place plan.Place, f *units.File, rendered bool, version int) {
	for _, a := range f.Assignments {
		if a.Section != "Service" || a.Key != "Type" || a.Value != "notify-reload" || version == 0 || version >= notifyReload {
			continue
		}
		if !rendered {
			place.Line = a.Line
		}
		b.c.at(place, "Type=notify with an ExecReload= does nearly the same", "Type=notify-reload needs systemd %d, and this host has %d", notifyReload, version)
	}
}

// noService reports a service of which systemd would say that it has nothing to
// start. Where ExecStart= stands in another section, that is the slip.
func (b *builder) noService(name string, place plan.Place, f *units.File, rendered bool) {
	hint := "write [Service] above the line ExecStart="
	for _, a := range f.Assignments {
		if strings.HasPrefix(a.Key, "Exec") && !rendered {
			place.Line = a.Line
			hint = fmt.Sprintf("%s= stands in [%s]: write [Service] above it", a.Key, a.Section)
			break
		}
	}
	b.c.at(place, hint, "%s has no section [Service]", name)
}

// deniedLink says why a link that enables a unit may not be made. The allowed
// roots do not count: the unit itself had to be in them, or is the host's.
func deniedLink(name string) string {
	fault, _ := policy{Options{AllowRoots: []string{"/"}}, denied()}.guard(name, plan.Link)
	return fault
}

func (b *builder) syntax(place plan.Place, rendered bool, err error) {
	var s *units.SyntaxError
	if !errors.As(err, &s) {
		b.c.at(place, "", "%v", err)
		return
	}
	if rendered {
		b.c.at(place, "", "line %d of what the template gives: %s", s.Line, withoutQuote(s.Message))
		return
	}
	place.Line = s.Line
	b.c.at(place, syntaxHint(s.Message), "%s", s.Message)
}

var openHeader = regexp.MustCompile(`^bad section header "\[?([A-Za-z]+)\]?"$`)

// syntaxHint says how a line of a unit file would be right.
func syntaxHint(message string) string {
	switch m := openHeader.FindStringSubmatch(message); {
	case m != nil:
		return "write [" + m[1] + "]"
	case strings.HasSuffix(message, "stands before the first section"):
		return "a line such as [Unit] or [Service] belongs above it"
	}
	return ""
}

// withoutQuote cuts what a message quotes from a rendered file: it may be a
// secret.
func withoutQuote(message string) string {
	if before, _, ok := strings.Cut(message, ", found "); ok {
		return before
	}
	if before, _, ok := strings.Cut(message, ` "`); ok {
		return before
	}
	return message
}

// unitOf says which unit, or Quadlet file, a path on the host belongs to.
func unitOf(dest string) (name string, isDropIn, ok bool) {
	rel, isUnit := strings.CutPrefix(dest, unitDir+"/")
	if !isUnit {
		var isQuadlet bool
		if rel, isQuadlet = strings.CutPrefix(dest, quadletDir+"/"); !isQuadlet {
			return "", false, false
		}
	}
	name, file, nested := strings.Cut(rel, "/")
	if nested {
		name, isDropIn = strings.CutSuffix(name, ".d")
		ok = isDropIn && path.Ext(file) == ".conf" && !strings.Contains(file, "/")
		return name, isDropIn, ok && (!isUnit || units.TypeOf(name) != "" || units.TypeOf("x."+name) != "")
	}
	if isUnit {
		return name, false, units.Valid(name) == nil
	}
	return name, false, units.IsQuadlet(name)
}

// masked reports services that shall run and are masked by the same repository.
func (b *builder) masked() {
	for _, name := range slices.Sorted(maps.Keys(b.t.Services)) {
		dest := unitDir + "/" + name
		if !b.t.State.Units[name].Active {
			continue
		}
		if p := b.t.State.Paths[dest]; p.Kind == plan.Link && p.Link == "/dev/null" {
			b.c.at(b.t.Origin[name], "", "service %q is masked by the link %q (%s)", name, dest, spot(b.t.Origin[dest]))
		}
	}
}

// orderOfServices reports a cycle, as far as the repository alone makes one.
func (b *builder) orderOfServices() {
	w := newWiring(b.t, nil)
	_, err := units.Order(w.names, w.after)
	var cycle *units.CycleError
	if errors.As(err, &cycle) {
		place := b.t.Origin[cycle.Members[0]]
		if said, ok := b.afters[[2]string{cycle.Members[0], cycle.Members[1%len(cycle.Members)]}]; ok {
			place = said
		}
		b.c.at(place, cycleHint, "%s", cycleMessage(cycle, b.t))
	}
}

const cycleHint = "take one of them out of after: here, or out of After= and Before= in the units"

func cycleMessage(cycle *units.CycleError, t *plan.Target) string {
	members := append(slices.Clone(cycle.Members), cycle.Members[0])
	var places []string
	for _, m := range cycle.Members {
		if s := spot(t.Origin[m]); !contains(places, s) {
			places = append(places, s)
		}
	}
	return fmt.Sprintf("services wait for each other: %s, see %s", strings.Join(members, " after "), strings.Join(places, ", "))
}
