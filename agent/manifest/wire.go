package manifest

import (
	"errors"
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
// the names in t.State.Units. Of a service that neither has, what the manifest says counts.
// A nil vendor means that nobody knows what the host has.
//
// A second call with the same vendor changes nothing. The error is Problems:
// units that together wait for each other, or an [Install] that asks for a link
// which no repository may make.
func Wire(t *plan.Target, vendor map[string]units.Definition) error {
	ready(t)
	w := newWiring(t, vendor)
	c := &collector{}
	for _, name := range w.names {
		if t.Services[name].Enabled {
			w.enable(name, name, map[string]bool{}, c)
		}
	}
	t.Absent = w.disabled()
	_, err := units.Order(w.names, w.after)
	var cycle *units.CycleError
	if errors.As(err, &cycle) {
		c.at(t.Origin[cycle.Members[0]], cycleHint, "%s", cycleMessage(cycle, t))
	}
	if err := c.err(); err != nil {
		return err
	}
	for _, name := range w.names {
		w.unit(name)
	}
	t.Made = w.services()
	w.dropWarnings()
	return nil
}

// ready makes the maps that Wire writes to: a target may have come through an
// encoding that drops empty ones.
func ready(t *plan.Target) {
	if t.State.Paths == nil {
		t.State.Paths = map[string]plan.Path{}
	}
	if t.Origin == nil {
		t.Origin = map[string]plan.Place{}
	}
	if t.Reads == nil {
		t.Reads = map[string][]plan.Read{}
	}
}

// wiring is a target with the definitions of its units.
type wiring struct {
	t      *plan.Target
	vendor map[string]units.Definition
	names  []string // the units that shall run, sorted
	defs   map[string]*units.Definition
	before map[string][]string    // unit -> those of names that say Before= it
	binds  map[string][]string    // unit -> those of names that say RequiredBy= it
	edges  map[string][]plan.Read // what reads gave, once it was asked
	made   map[string][]string    // service -> the Quadlet files of the target from which it is made
	links  []link
}

func newWiring(t *plan.Target, vendor map[string]units.Definition) *wiring {
	w := &wiring{
		t: t, vendor: vendor,
		names:  slices.Sorted(maps.Keys(t.State.Units)),
		defs:   map[string]*units.Definition{},
		before: map[string][]string{},
		binds:  map[string][]string{},
		edges:  map[string][]plan.Read{},
		made:   map[string][]string{},
		links:  managedLinks(t),
	}
	w.findQuadlets()
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
	u.Ran = u.Active && d.RunsOnce()
	reads := w.reads(name)
	if len(reads) > 0 {
		w.t.Reads[name] = reads
	}
	u.Inputs, u.Soft = nil, nil
	if len(d.Files) > 0 || u.Active {
		u.Inputs, u.Soft = w.inputs(reads)
	}
	w.t.State.Units[name] = u
}

// reads gives every edge from a path to the unit: its own managed files, what
// its directives name, and what the manifest adds.
func (w *wiring) reads(name string) []plan.Read {
	if reads, ok := w.edges[name]; ok {
		return reads
	}
	d, reads := w.defs[name], w.own(name)
	for _, r := range append(d.Reads(), d.QuadletReads(quadletDir)...) {
		reads = append(reads, plan.Read{Path: r.Path, Why: r.Why, Must: r.Must})
	}
	for _, r := range w.t.Reads[name] {
		if r.Why == restartOn || r.Why == reloadOn {
			reads = append(reads, r)
		}
	}
	reads = w.throughLinks(reads)
	w.edges[name] = reads
	return reads
}

// maxLinkRounds bounds how far links to links are followed.
const maxLinkRounds = 8

// throughLinks adds what is found behind links of the target: the file that
// sites-enabled/app leads to feeds whoever reads sites-enabled, and what is in
// releases/3 feeds whoever reads current.
func (w *wiring) throughLinks(reads []plan.Read) []plan.Read {
	begin := 0
	for range maxLinkRounds {
		end := len(reads)
		for _, r := range reads[begin:end] {
			for _, l := range w.links {
				behind := l.behind(r.Path)
				known := func(o plan.Read) bool { return o.Why == r.Why && covers(o.Path, behind) }
				if behind != "" && !slices.ContainsFunc(reads, known) {
					reads = append(reads, plan.Read{Path: behind, Why: r.Why, Soft: r.Soft})
				}
			}
		}
		if begin = end; begin == len(reads) {
			break
		}
	}
	return reads
}

// link is a link of the target with the path that it leads to.
type link struct {
	name, to string
}

// managedLinks gives the target's own links, sorted. Links between units are
// left out: systemd reads those, not what runs in the unit.
func managedLinks(t *plan.Target) []link {
	var out []link
	for _, name := range slices.Sorted(maps.Keys(t.State.Paths)) {
		p := t.State.Paths[name]
		if p.Kind != plan.Link || strings.HasPrefix(name, unitDir+"/") || p.Link == "/dev/null" {
			continue
		}
		to := path.Clean(p.Link)
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(name), to)
		}
		out = append(out, link{name, to})
	}
	return out
}

// behind gives where a read arrives by way of the link, "" when it does not go
// there.
func (l link) behind(read string) string {
	if rest, ok := strings.CutPrefix(read, l.name+"/"); ok {
		return path.Join(l.to, rest)
	}
	if covers(read, l.name) && strings.Count(l.to, "/") > 1 { // not a whole /etc
		return l.to
	}
	return ""
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

// linkable is the file to which the links of a unit lead; "" when there is nothing to
// link to, or a generator makes the links.
func linkable(d *units.Definition) string {
	if len(d.Files) == 0 {
		return ""
	}
	fragment := d.Files[0].Path
	if isDropInPath(fragment) || strings.HasPrefix(fragment, "/run/") || strings.HasPrefix(fragment, quadletDir+"/") {
		return ""
	}
	return fragment
}

// disabled gives the links that the [Install] of units asks for which shall not be
// enabled, but for those that the target has for another reason. Masked units keep
// theirs, as systemctl mask leaves them.
func (w *wiring) disabled() []string {
	var links []string
	for _, name := range w.names {
		fragment := linkable(w.defs[name])
		if w.t.Services[name].Enabled || fragment == "" || w.isMasked(name) {
			continue
		}
		for _, l := range w.defs[name].Install(fragment) {
			if _, ok := w.t.State.Paths[l.Path]; !ok && deniedLink(l.Path) == "" {
				links = append(links, l.Path)
			}
		}
	}
	slices.Sort(links)
	return slices.Compact(links)
}

func (w *wiring) isMasked(name string) bool {
	return w.t.State.Paths[unitDir+"/"+name].Link == "/dev/null"
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
	fragment := linkable(d)
	if fragment == "" {
		return
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
