package plan

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"evenkeel/units"
)

// Suspect names what an open attempt may have disturbed: the units it planned
// to touch and all that systemd's own propagation reaches from them, managed or
// not. How each was before stands in the state that Diff goes to. The value says
// whether the attempt may have reloaded the unit: a reload leaves no trace in
// its InvocationID.
//
// A non-nil Suspect, even an empty one, also says that systemd may have loaded
// other unit files than those on the disk.
type Suspect map[string]bool

// Diff is the whole engine: the steps that lead from one state to another.
//
//	deploy         Diff(before, target, nil)
//	revert, crash  Diff(now, before, suspect)
//	preview        Diff(now, target, nil)
//	drift          Diff(now, good, nil) is not empty
//
// A path that a state does not mention is absent in it. A unit that "to" does
// not mention is left alone, but for what systemd does to it. The result depends on nothing but the arguments.
func Diff(from, to State, suspect Suspect) Plan {
	d := differ{from: from, to: to, suspect: suspect, steps: map[string]*UnitStep{}, stops: map[string]*UnitStep{}}
	p := Plan{Paths: d.paths()}
	p.Reload = d.reload(p.Paths)
	for _, name := range sorted(to.Units) {
		d.unit(name)
	}
	d.sockets()
	d.stopAlong()
	d.propagate()
	p.Stop = d.stopOrder()
	p.Waves = d.waves()
	return p
}

type differ struct {
	from, to State
	suspect  Suspect
	steps    map[string]*UnitStep // starts, restarts and reloads by unit
	stops    map[string]*UnitStep
}

// paths puts directories before what stands in them and removals last, deepest
// first, so that each step finds what it needs.
func (d *differ) paths() []PathStep {
	var steps []PathStep
	for _, path := range union(d.from.Paths, d.to.Paths) {
		if f, t := d.from.Paths[path], d.to.Paths[path]; f != t {
			steps = append(steps, PathStep{Path: path, From: f, To: t})
		}
	}
	rank := func(s PathStep) int {
		switch {
		case s.To.Kind == Directory:
			return 0
		case s.To.Kind != Absent:
			return 1
		case s.From.Kind != Directory:
			return 2
		}
		return 3
	}
	sort.SliceStable(steps, func(i, j int) bool {
		a, b := steps[i], steps[j]
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra < rb
		} else if ra == 3 {
			return a.Path > b.Path
		}
		return a.Path < b.Path
	})
	return steps
}

func (d *differ) reload(steps []PathStep) string {
	if d.suspect != nil {
		return "the attempt may have left other unit files loaded"
	}
	for _, s := range steps {
		if units.IsUnitPath(s.Path) && !(s.From.Kind == Directory || s.To.Kind == Directory) {
			return s.Path + " changes"
		}
	}
	return ""
}

// unit decides what one unit needs for its own sake.
func (d *differ) unit(name string) {
	is, want := d.from.Units[name], d.to.Units[name]
	mayReload, suspected := d.suspect[name]
	switch {
	case !want.Active && (is.Active && !is.Ran || is.Moving): // of what only ran there is nothing to stop
		why := "it is no longer asked for"
		if suspected {
			why = "it was not running before the attempt"
		}
		d.stops[name] = &UnitStep{Unit: name, Verb: units.Stop, Why: []string{why}}
	case !want.Active:
	case suspected && !is.Active:
		// A restart, not a start: a start would join a start job that hangs.
		d.step(name, units.Restart, "it was running before the attempt")
	case suspected && is.Invocation != want.Invocation:
		d.step(name, units.Restart, "the attempt restarted it")
	case !is.Active && is.Moving:
		d.step(name, units.Restart, "it is not up")
	case !is.Active:
		d.step(name, units.Start, "it is not running")
	default:
		d.inputs(name, is, want)
		if mayReload && d.steps[name] == nil {
			d.step(name, units.Reload, "the attempt may have reloaded it")
		}
	}
}

// inputs compares what the running process read at its start with what it
// should have read.
func (d *differ) inputs(name string, is, want Unit) {
	verb := units.Reload
	var why []string
	for _, path := range union(is.Inputs, want.Inputs) {
		read, known := is.Inputs[path]
		should, wanted := want.Inputs[path]
		var cause string
		switch {
		case known && wanted && read != should:
			cause = changed(read, should)
		case !known && wanted && d.from.Paths[path] != d.to.Paths[path]:
			cause = "changed"
			if d.from.Paths[path].Kind == Absent {
				cause = "is new"
			}
		case known && !wanted && read != d.to.Paths[path].Fingerprint():
			// It leaves the repository: either it goes, or its original comes back.
			if cause = "is gone"; d.to.Paths[path].Kind != Absent {
				cause = "changed"
			}
		default:
			continue
		}
		why = append(why, path+" "+cause)
		if !want.Soft[path] {
			verb = units.Restart
		}
	}
	if len(why) > 0 {
		d.step(name, verb, why...)
	}
}

// changed says how what a process read differs from what it should have.
func changed(read, should string) string {
	absent := Path{}.Fingerprint()
	switch {
	case read == "":
		return "changed after its start"
	case read == absent:
		return "is new"
	case should == absent:
		return "is gone"
	}
	return "changed"
}

func (d *differ) step(name string, verb units.Verb, why ...string) {
	s := d.steps[name]
	if s == nil {
		s = &UnitStep{Unit: name, Verb: verb}
		d.steps[name] = s
	}
	if stronger(verb, s.Verb) {
		s.Verb = verb
	}
	s.Why = append(s.Why, why...)
}

// stronger reports whether a does all that b does.
func stronger(a, b units.Verb) bool {
	rank := map[units.Verb]int{units.Reload: 1, units.Start: 2, units.Restart: 3}
	return rank[a] > rank[b]
}

// sockets stops the service of a socket that must be restarted: systemd refuses
// to start a socket whose service runs.
func (d *differ) sockets() {
	for _, name := range sorted(d.steps) {
		if s := d.steps[name]; !strings.HasSuffix(name, ".socket") || s.Verb == units.Reload {
			continue
		}
		// What is wanted names listed services only; systemd knows the others.
		services := slices.Concat(d.all(name).Triggers, d.from.Units[name].Triggers)
		slices.Sort(services)
		for _, service := range slices.Compact(services) {
			if !d.from.Units[service].Active {
				continue
			}
			why := fmt.Sprintf("%s restarts, which its running service would prevent", name)
			d.stops[service] = &UnitStep{Unit: service, Verb: units.Stop, Why: []string{why}}
			if want, listed := d.to.Units[service]; !listed || want.Active {
				d.step(service, units.Start, "it ran before "+name+" was restarted")
			}
		}
	}
}

// stopAlong adds what systemd stops together with a unit that will not be up again, and
// that nothing asks for: to start it would start that unit as well.
func (d *differ) stopAlong() {
	var queue []string
	for _, name := range sorted(d.stops) {
		if d.steps[name] == nil {
			queue = append(queue, name)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, name := range sorted(d.from.Units) {
			is := d.from.Units[name]
			if _, listed := d.to.Units[name]; listed || d.stops[name] != nil || !is.Active || is.Ran || !d.bound(name, queue[0]) {
				continue
			}
			d.stops[name] = &UnitStep{Unit: name, Verb: units.Stop, Why: []string{"systemd stops it together with " + queue[0]}}
			queue = append(queue, name)
		}
	}
}

// propagate adds what systemd itself will do: a stop or restart of a unit stops
// or restarts all that Requires=, BindsTo= or is PartOf= it. Those must be seen
// to be up again, and must not be restarted twice.
func (d *differ) propagate() {
	queue := make([]string, 0, len(d.steps)+len(d.stops))
	queue = append(queue, sorted(d.stops)...)
	for _, name := range sorted(d.steps) {
		if d.steps[name].Verb == units.Restart {
			queue = append(queue, name)
		}
	}
	reached := map[string]bool{}
	for len(queue) > 0 {
		cause := queue[0]
		queue = queue[1:]
		if reached[cause] {
			continue
		}
		reached[cause] = true
		for _, name := range union(d.from.Units, d.to.Units) {
			if name == cause || !d.bound(name, cause) || d.stops[name] != nil && d.steps[name] == nil {
				continue
			}
			want, listed := d.to.Units[name]
			if (listed && !want.Active) || !d.from.Units[name].Active || d.from.Units[name].Ran {
				continue
			}
			if s := d.steps[name]; s != nil && s.With == "" && s.Verb == units.Restart {
				s.With = cause
			} else if s == nil || s.Verb == units.Reload {
				d.step(name, units.Start, "systemd restarts it together with "+cause)
				d.steps[name].With = cause
			}
			queue = append(queue, name)
		}
	}
	d.breakLoops()
}

// breakLoops lets the first of two units that are bound to each other act for
// itself.
func (d *differ) breakLoops() {
	for _, name := range sorted(d.steps) {
		if s := d.steps[name]; s.Verb == units.Restart && s.With != "" {
			seen := map[string]bool{name: true}
			for next := s.With; next != "" && d.steps[next] != nil; next = d.steps[next].With {
				if seen[next] {
					s.With = ""
					break
				}
				seen[next] = true
			}
		}
	}
}

func (d *differ) bound(name, to string) bool {
	return slices.Contains(d.to.Units[name].Binds, to) || slices.Contains(d.from.Units[name].Binds, to)
}

// all gives a unit as wanted, or as seen where nothing is wanted of it.
func (d *differ) all(name string) Unit {
	if u, ok := d.to.Units[name]; ok {
		return u
	}
	return d.from.Units[name]
}

func (d *differ) stopOrder() []UnitStep {
	var steps []UnitStep
	waves := order(sorted(d.stops), func(name string) []string { return d.from.Units[name].After })
	for i := len(waves) - 1; i >= 0; i-- {
		for _, name := range waves[i] {
			steps = append(steps, *d.stops[name])
		}
	}
	return steps
}

func (d *differ) waves() [][]UnitStep {
	var waves [][]UnitStep
	for _, names := range order(sorted(d.steps), func(name string) []string { return d.all(name).After }) {
		var wave []UnitStep
		for _, name := range names {
			wave = append(wave, *d.steps[name])
		}
		waves = append(waves, wave)
	}
	return waves
}

// order falls back to one unit after the other when the units' own ordering
// has a cycle: a manifest never has one, but a host may, and a revert must
// still do its work.
func order(names []string, after func(string) []string) [][]string {
	waves, err := units.Order(names, after)
	if err == nil {
		return waves
	}
	waves = nil
	for _, name := range names {
		waves = append(waves, []string{name})
	}
	return waves
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func union[A, B any](a map[string]A, b map[string]B) []string {
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
