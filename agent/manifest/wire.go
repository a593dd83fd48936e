package manifest

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Whys of reads that come from the manifest or from the unit's own files.
const (
	restartOn   = "restart_on"
	reloadOn    = "reload_on"
	whyUnitFile = "unit file"
	whyDropIn   = "drop-in"
	whyQuadlet  = "quadlet"
)

// Wire completes a target that Load gave with what the units say: their order,
// what systemd hands on between them, what each reads at its start, and the
// links that enable them. A unit's definition is the target's own files over
// what vendor has: the units of the host by name, fragment and drop-ins, for
// the names in t.State.Units. A service that neither has is left without inputs.
//
// A second call with the same vendor changes nothing. The error is Problems:
// units that together wait for each other, or an [Install] that asks for a link
// which no repository may make.
func Wire(t *plan.Target, vendor map[string]units.Definition) error {
	w := newWiring(t, vendor)
	c := &collector{}
	for _, name := range w.names {
		if t.Services[name].Enabled {
			w.enable(name, name, map[string]bool{}, c)
		}
	}
	_, err := units.Order(w.names, w.after)
	var cycle *units.CycleError
	if errors.As(err, &cycle) {
		c.at(t.Origin[cycle.Members[0]], "", "%s", cycleMessage(cycle, t))
	}
	if err := c.err(); err != nil {
		return err
	}
	for _, name := range w.names {
		w.unit(name)
	}
	w.dropWarnings()
	return nil
}

// wiring is a target with the definitions of its units.
type wiring struct {
	t      *plan.Target
	vendor map[string]units.Definition
	names  []string // the units that shall run, sorted
	defs   map[string]*units.Definition
	before map[string][]string // unit -> those of names that say Before= it
	binds  map[string][]string // unit -> those of names that say RequiredBy= it
}

func newWiring(t *plan.Target, vendor map[string]units.Definition) *wiring {
	w := &wiring{
		t: t, vendor: vendor,
		names:  slices.Sorted(maps.Keys(t.State.Units)),
		defs:   map[string]*units.Definition{},
		before: map[string][]string{},
		binds:  map[string][]string{},
	}
	for _, name := range w.names {
		d := w.definition(name)
		w.defs[name] = d
		for _, later := range d.Before() {
			w.before[later] = append(w.before[later], name)
		}
		if t.Services[name].Enabled {
			for _, other := range d.UnitNames("Install", "RequiredBy") {
				w.binds[other] = append(w.binds[other], name)
			}
		}
	}
	return w
}

// listed keeps the names that shall run, sorted, each once, without the unit
// itself.
func (w *wiring) listed(name string, lists ...[]string) []string {
	var out []string
	for _, other := range slices.Concat(lists...) {
		if _, ok := w.t.State.Units[other]; ok && other != name {
			out = append(out, other)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// after gives the units of the target that come before this one.
func (w *wiring) after(name string) []string {
	return w.listed(name, w.defs[name].After(), w.before[name], w.t.Services[name].After)
}

// unit fills in one unit.
func (w *wiring) unit(name string) {
	d := w.defs[name]
	u := w.t.State.Units[name]
	u.After = w.after(name)
	u.Binds = w.listed(name, d.Binds(), w.binds[name])
	u.Triggers = w.listed(name, d.Triggers())
	reads := w.reads(name)
	if len(reads) > 0 {
		w.t.Reads[name] = reads
	}
	u.Inputs, u.Soft = nil, nil
	if len(d.Files) > 0 {
		u.Inputs, u.Soft = w.inputs(reads)
	}
	w.t.State.Units[name] = u
}

// reads gives every edge from a path to the unit: its own managed files, what
// its directives name, and what the manifest adds.
func (w *wiring) reads(name string) []plan.Read {
	var reads []plan.Read
	for _, own := range w.own(name) {
		reads = append(reads, own)
	}
	d := w.defs[name]
	for _, r := range append(d.Reads(), quadletReads(d)...) {
		reads = append(reads, plan.Read{Path: r.Path, Why: r.Why})
	}
	for _, r := range w.t.Reads[name] {
		if r.Why == restartOn || r.Why == reloadOn {
			reads = append(reads, r)
		}
	}
	return reads
}

// inputs gives the fingerprints of all managed paths that the reads cover, and
// those of them for which a reload is enough. What the manifest says wins over
// what was read from the unit, and a restart over a reload; the unit's own
// files always ask for a restart.
func (w *wiring) inputs(reads []plan.Read) (inputs map[string]string, soft map[string]bool) {
	for name, p := range w.t.State.Paths {
		weight := 0
		for _, r := range reads {
			if readsPath(r, name, p.Kind) {
				weight = max(weight, weigh(r))
			}
		}
		if weight == 0 {
			continue
		}
		if inputs == nil {
			inputs = map[string]string{}
		}
		inputs[name] = p.Fingerprint()
		if weight == weigh(plan.Read{Why: reloadOn}) {
			if soft == nil {
				soft = map[string]bool{}
			}
			soft[name] = true
		}
	}
	return inputs, soft
}

// weigh ranks why a path is read; the greatest decides between restart and
// reload.
func weigh(r plan.Read) int {
	switch r.Why {
	case whyUnitFile, whyDropIn, whyQuadlet:
		return 4
	case restartOn:
		return 3
	case reloadOn:
		return 2
	}
	return 1
}

// readsPath reports whether a read covers a managed path. A link on the way to
// what is read counts: where it leads decides what is found there.
func readsPath(r plan.Read, name string, kind plan.Kind) bool {
	if kind == plan.Link && strings.HasPrefix(r.Path, name+"/") {
		return true
	}
	return covers(r.Path, name)
}

// enable adds the links that a unit's [Install] asks for, and those of the
// units in its Also=, each once. Links that the manifest declares itself stay as
// it says.
func (w *wiring) enable(listed, name string, seen map[string]bool, c *collector) {
	if seen[name] || ownUnit(name) {
		return
	}
	seen[name] = true
	d := w.defs[name]
	if d == nil {
		d = w.definition(name)
	}
	if len(d.Files) == 0 {
		return
	}
	fragment := d.Files[0].Path
	if isDropInPath(fragment) || strings.HasPrefix(fragment, "/run/") || strings.HasPrefix(fragment, quadletDir+"/") {
		return // nothing to link to, or a generator makes the links
	}
	for _, l := range d.Install(fragment) {
		if fault := deniedLink(l.Path); fault != "" {
			c.at(w.t.Origin[listed], "", "[Install] of %s asks for a link that is not allowed: %s", name, fault)
			continue
		}
		if _, ok := w.t.State.Paths[l.Path]; ok {
			continue
		}
		w.t.State.Paths[l.Path] = plan.Path{Kind: plan.Link, Link: l.Says}
		w.t.Origin[l.Path] = w.t.Origin[listed]
	}
	for _, also := range d.Also() {
		w.enable(listed, also, seen, c)
	}
}

// unfed is the warning about a file whose change restarts nothing.
func unfed(place plan.Place, name string) string {
	return fmt.Sprintf("%s: nothing restarts when %s changes", spot(place), name)
}

// warnings lists what is no fault and yet not what people expect.
func (b *builder) warnings(roles []role) {
	w := newWiring(b.t, nil)
	var out []string
	for name, p := range b.t.State.Paths {
		if p.Kind == plan.File && !b.quiet[name] && !hasOwnAction(name) && !b.probes(name) && !w.fed(name, p) {
			out = append(out, unfed(b.t.Origin[name], name))
		}
	}
	for _, ro := range roles {
		for _, s := range ro.services {
			for _, a := range s.after {
				if _, ok := b.t.Services[a.word]; !ok {
					warning := fmt.Sprintf("%s: after: names %s, which no role of this host lists: it orders nothing", spot(a.place), a.word)
					if hint := didYouMean(a.word, w.names); hint != "" {
						warning += " (" + hint + ")"
					}
					out = append(out, warning)
				}
			}
		}
	}
	slices.Sort(out)
	b.t.Warnings = slices.Compact(out)
}

// hasOwnAction reports whether a change of the path takes effect without a
// restart of a listed service: unit files by daemon-reload, and the directories
// that have an action of their own.
func hasOwnAction(name string) bool {
	if unit, isDropIn, ok := unitOf(name); ok && !isDropIn && unit != "" {
		return true
	}
	for _, dir := range []string{
		"/etc/sysctl.d", "/etc/sysusers.d", "/etc/tmpfiles.d", "/etc/modules-load.d", "/etc/udev/rules.d",
		"/etc/systemd/network", "/etc/systemd/resolved.conf", "/etc/systemd/resolved.conf.d",
		"/etc/systemd/journald.conf", "/etc/systemd/journald.conf.d",
	} {
		if name == dir || path.Dir(name) == dir {
			return true
		}
	}
	return false
}

// probes reports whether a check or a validator runs or names the path.
func (b *builder) probes(name string) bool {
	for _, s := range b.t.Services {
		for _, c := range s.Checks {
			if contains(c.Exec, name) {
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

// dropWarnings takes back warnings about files that units of the host read.
func (w *wiring) dropWarnings() {
	stale := map[string]bool{}
	for name, p := range w.t.State.Paths {
		if p.Kind == plan.File && w.fed(name, p) {
			stale[unfed(w.t.Origin[name], name)] = true
		}
	}
	w.t.Warnings = slices.DeleteFunc(w.t.Warnings, func(s string) bool { return stale[s] })
}
