package manifest

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// This file warns of slips that are valid, and mean nothing.

// slips lists them all.
func (b *builder) slips(w *wiring) []plan.Warning {
	return slices.Concat(b.notRendered(), b.notInstalled(w), b.noSuchCheck(w))
}

// looksRendered finds what only a template has a use for.
var looksRendered = regexp.MustCompile(`\{\{[^{}\n]*\.(vars|facts)\b`)

// notRendered warns of files that look like templates and are copied as they are.
func (b *builder) notRendered() []plan.Warning {
	var out []plan.Warning
	for _, dest := range slices.Sorted(maps.Keys(b.t.State.Paths)) {
		p, place := b.t.State.Paths[dest], b.t.Origin[dest]
		if p.Kind != plan.File || b.rendered[dest] || b.t.Secret[dest] || place.Line > 0 {
			continue
		}
		text := b.t.Content[p.Digest]
		if at := looksRendered.FindIndex(text); at != nil {
			place.Line = 1 + strings.Count(string(text[:at[0]]), "\n")
			out = append(out, warn(place, "the file is copied as it is, and has %s (is it meant to be %s%s?)", text[at[0]:at[1]], place.File, templateSuffix))
		}
	}
	return out
}

// notInstalled warns of units of the repository that shall be started at boot, and say
// nowhere by what.
func (b *builder) notInstalled(w *wiring) []plan.Warning {
	var out []plan.Warning
	for _, name := range w.names {
		s, d := b.t.Services[name], w.defs[name]
		fragment := linkable(d)
		if !s.Enabled || fragment == "" || strings.HasPrefix(fragment, "/usr/lib/") {
			continue
		}
		if len(d.Install(fragment)) == 0 && len(d.Also()) == 0 && !w.pulled(name) {
			out = append(out, warn(b.t.Origin[name], "nothing starts %s at boot: its unit has no [Install] that enables it (write one, such as WantedBy=multi-user.target, or enabled: false)", name))
		}
	}
	return out
}

// pulled reports whether another unit of the target, or a link, starts this one.
func (w *wiring) pulled(name string) bool {
	for dest := range w.t.State.Paths {
		if strings.HasPrefix(dest, unitDir+"/") && (strings.HasSuffix(dest, ".wants/"+name) || strings.HasSuffix(dest, ".requires/"+name) || strings.HasSuffix(dest, ".upholds/"+name)) {
			return true
		}
	}
	for _, other := range w.names {
		d := w.defs[other]
		if contains(d.Binds(), name) || contains(d.Wants(), name) || contains(d.Triggers(), name) || contains(d.Also(), name) {
			return true
		}
	}
	return false
}

// noSuchCheck warns of checks of a unit that no role lists or brings, and of nearly whose
// name there is one.
func (b *builder) noSuchCheck(w *wiring) []plan.Warning {
	known := slices.Concat(w.names, w.brings(), slices.Collect(maps.Keys(w.made)))
	var out []plan.Warning
	for _, name := range w.names {
		for _, c := range b.t.Services[name].Checks {
			if c.Unit == "" || contains(known, c.Unit) {
				continue
			}
			if hint := didYouMean(c.Unit, known); hint != "" {
				out = append(out, warn(b.t.Origin[name], "a check of %s names the unit %s, which no role of this host lists or brings (%s)", name, c.Unit, hint))
			}
		}
	}
	return out
}

// noTarget is the warning about a timer, socket or path whose unit is not in the
// repository. A package may have it, so that it is given away from the host alone.
func (w *wiring) noTarget() []plan.Warning {
	var out []plan.Warning
	for _, name := range w.names {
		d := w.defs[name]
		if len(d.Files) == 0 || w.isMasked(name) {
			continue
		}
		for _, started := range d.Triggers() {
			if _, listed := w.t.State.Units[started]; listed || len(w.definition(started).Files) > 0 || len(w.made[started]) > 0 {
				continue
			}
			hint := "only where a package has it can this work"
			if near := didYouMean(started, w.brings()); near != "" {
				hint = near
			}
			out = append(out, warn(w.t.Origin[name], "%s starts %s, which the repository does not bring (%s)", name, started, hint))
		}
	}
	return out
}

// brings lists the units of which the target has a file.
func (w *wiring) brings() []string {
	var out []string
	for dest, p := range w.t.State.Paths {
		if name, isDropIn, ok := unitOf(dest); ok && !isDropIn && p.Kind == plan.File && units.Valid(name) == nil {
			out = append(out, name)
		}
	}
	return out
}

// Unplayed warns of roles that no host of the repository plays, however it is labelled.
func (r *Repository) Unplayed() []plan.Warning {
	in := r.reader()
	f := in.readFleet()
	played := map[string]bool{}
	for _, cases := range in.cases(f) {
		for _, of := range cases {
			for _, role := range f.assign(of.Facts).roles {
				played[role.word] = true
			}
		}
	}
	var out []plan.Warning
	for _, name := range in.roleNames() {
		if !played[name] {
			out = append(out, warn(plan.Place{File: roleDir(name)}, "no host plays the role %q", name))
		}
	}
	return out
}
