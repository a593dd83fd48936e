package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// unfed is the warning about a file whose change restarts nothing.
func unfed(place plan.Place, name string) plan.Warning {
	return warn(place, "nothing restarts when %s changes", name)
}

func warn(place plan.Place, format string, args ...any) plan.Warning {
	return plan.Warning{Place: place, Message: fmt.Sprintf(format, args...)}
}

// warnings lists what is no fault and yet not what people expect.
func (b *builder) warnings(roles []role) {
	w := newWiring(b.t, nil)
	var out []plan.Warning
	for name, p := range b.t.State.Paths {
		if p.Kind == plan.File && !b.quiet[name] && !hasOwnAction(name) && !b.probes(name) && !w.fed(name, p) {
			out = append(out, unfed(b.t.Origin[name], name))
		}
	}
	for _, ro := range roles {
		for _, s := range ro.services {
			for _, a := range s.after {
				if _, ok := b.t.Services[a.word]; !ok {
					warning := warn(a.place, "after: names %s, which no role of this host lists: it orders nothing", a.word)
					if hint := didYouMean(a.word, w.names); hint != "" {
						warning.Message += " (" + hint + ")"
					}
					out = append(out, warning)
				}
			}
		}
	}
	out = append(out, b.mistyped(w)...)
	out = append(out, b.notAtBoot(w)...)
	out = append(out, b.notBrought(w)...)
	out = append(out, b.slips(w)...)
	slices.SortFunc(out, func(a, b plan.Warning) int { return strings.Compare(a.String(), b.String()) })
	b.t.Warnings = slices.Compact(out)
}

// mistyped warns of services that the repository does not bring while it brings
// a unit of nearly that name, which nothing starts.
func (b *builder) mistyped(w *wiring) []plan.Warning {
	var idle []string
	for dest, p := range b.t.State.Paths {
		name, isDropIn, ok := unitOf(dest)
		if service := w.madeFrom(dest); service != "" {
			name = service
		}
		if _, listed := b.t.Services[name]; ok && !isDropIn && !listed && p.Kind == plan.File {
			idle = append(idle, name)
		}
	}
	var out []plan.Warning
	for _, name := range w.names {
		if len(w.defs[name].Files) > 0 {
			continue
		}
		hint := cmp.Or(w.madeOf(name), didYouMean(name, idle))
		if hint != "" {
			out = append(out, warn(b.t.Origin[name], "the repository brings no unit %s (%s)", name, hint))
		}
	}
	return out
}

// madeOf says what podman makes of a Quadlet file for which somebody took a service to be
// called as the file is. Of what only containers need there may well be a service beside it.
func (w *wiring) madeOf(service string) string {
	for _, made := range slices.Sorted(maps.Keys(w.made)) {
		file := path.Base(w.made[made][0])
		name, kind, _ := strings.Cut(file, ".")
		if name+".service" == service && slices.Contains([]string{"container", "kube", "pod"}, kind) {
			return fmt.Sprintf("podman makes %s of %s", made, file)
		}
	}
	return ""
}

// notAtBoot warns of instances of a Quadlet template that nothing enables: the generator
// does so only for DefaultInstance= and for instances that have a file.
func (b *builder) notAtBoot(w *wiring) []plan.Warning {
	var out []plan.Warning
	for _, name := range w.names {
		template, instance, _ := units.Template(name)
		if instance == "" || len(w.made[name]) > 0 || len(w.made[template]) == 0 || !b.t.Services[name].Enabled {
			continue
		}
		from := w.made[template][0]
		d := &units.Definition{Name: template, Files: w.quadletFiles(from)}
		if len(d.Install(from)) == 0 || d.Value("Install", "DefaultInstance") == instance {
			continue
		}
		ext := path.Ext(from)
		link := strings.TrimSuffix(from, ext) + instance + ext
		out = append(out, warn(b.t.Origin[name], "nothing starts %s at boot: podman enables an instance that has a file, such as a link %s: %s", name, link, path.Base(from)))
	}
	return out
}

// probes reports whether a check or a validator runs or names the path.
func (b *builder) probes(name string) bool {
	for _, s := range b.t.Services {
		for _, c := range s.Checks {
			if contains(c.Exec, name) || c.CAFile == name {
				return true
			}
		}
	}
	for _, command := range b.t.Validate {
		if contains(command, name) {
			return true
		}
	}
	return false
}

// fed reports whether some unit reads the path: one that shall run, or one that
// a timer starts anew each time.
func (w *wiring) fed(name string, p plan.Path) bool {
	readers := slices.Clone(w.names)
	for _, timer := range w.names {
		if units.TypeOf(timer) == "timer" {
			readers = append(readers, w.defs[timer].Triggers()...)
		}
	}
	for _, unit := range readers {
		if w.defs[unit] == nil {
			w.defs[unit] = w.definition(unit)
		}
		for _, r := range w.reads(unit) {
			if readsPath(r, name, p.Kind) {
				return true
			}
		}
	}
	return false
}

// unsure reports whether a unit that is not known here may read the path: a package's, away
// from its host. A drop-in is read by its own unit alone.
func (w *wiring) unsure(name string) bool {
	return w.vendor == nil && !isDropInPath(name) && slices.ContainsFunc(w.names, func(unit string) bool {
		return w.t.State.Units[unit].Active && len(w.defs[unit].Files) == 0
	})
}

// dropWarnings takes back warnings about files that units of the host read, or may read.
func (w *wiring) dropWarnings() {
	warned, stale := map[plan.Warning]bool{}, map[plan.Warning]bool{}
	for _, warning := range w.t.Warnings {
		warned[warning] = true
	}
	for name, p := range w.t.State.Paths {
		if warning := unfed(w.t.Origin[name], name); warned[warning] && (w.unsure(name) || w.fed(name, p)) {
			stale[warning] = true
		}
	}
	w.t.Warnings = slices.DeleteFunc(w.t.Warnings, func(w plan.Warning) bool { return stale[w] })
	if w.vendor == nil {
		w.t.Warnings = append(w.t.Warnings, slices.DeleteFunc(w.noTarget(), func(w plan.Warning) bool { return warned[w] })...)
		slices.SortFunc(w.t.Warnings, func(a, b plan.Warning) int { return strings.Compare(a.String(), b.String()) })
	}
}
