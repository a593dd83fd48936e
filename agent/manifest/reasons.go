package manifest

import (
	"io/fs"
	"maps"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Explain loads and wires the repository for one host, as Load and Wire do, and
// keeps where everything comes from. vendor is as for Wire; away from the host
// it is nil, and edges from the host's own units are then unknown.
//
// With Problems the explanation is not nil: Entries, Roles, Layers and Var are
// there, Target is nil, and Path and Unit find nothing.
func Explain(tree fs.FS, facts Facts, opts Options, vendor map[string]units.Definition) (*Explanation, error) {
	r := newRepo(tree, opts)
	r.explain = true
	l := r.load(facts)
	e := &Explanation{Host: facts.Name, layers: l.layers, vars: merged(l.layers), build: l.builder}
	for _, entry := range l.assigned.entries {
		e.Entries = append(e.Entries, Entry{entry.match.String(), entry.place})
	}
	for _, r := range l.assigned.roles {
		e.Roles = append(e.Roles, Said{r.word, r.place})
	}
	for _, layer := range l.layers {
		if len(layer.values) > 0 {
			e.Layers = append(e.Layers, Said{layer.name, layer.place()})
		}
	}
	err := l.repo.err()
	if err == nil {
		err = Wire(l.builder.t, vendor)
	}
	if err != nil {
		return e, err
	}
	e.Target = l.builder.t
	e.wiring = newWiring(e.Target, vendor)
	e.users = e.whoUses()
	return e, nil
}

// whoUses turns what templates read around.
func (e *Explanation) whoUses() map[string][]string {
	users := map[string][]string{}
	for _, dest := range slices.Sorted(maps.Keys(e.build.uses)) {
		vars, _ := e.used(dest)
		for _, path := range vars {
			name := strings.Join(path, ".")
			users[name] = append(users[name], dest)
		}
	}
	return users
}

// used lists the values and the facts that the template of a path read.
func (e *Explanation) used(dest string) (vars [][]string, facts []string) {
	for _, read := range e.build.uses[dest].reads {
		if len(read) == 0 || read[0] == "vars" {
			vars = append(vars, e.leavesAt(read[min(1, len(read)):])...)
		}
		if len(read) > 0 && read[0] == "facts" {
			facts = append(facts, strings.Join(read[1:], "."))
		} else if len(read) == 0 {
			facts = append(facts, "")
		}
	}
	slices.SortFunc(vars, slices.Compare[[]string])
	vars = slices.CompactFunc(vars, slices.Equal[[]string])
	slices.Sort(facts)
	return vars, slices.Compact(facts)
}

// leavesAt gives the values at or below a path, or the one above it.
func (e *Explanation) leavesAt(path []string) [][]string {
	var out [][]string
	for _, leaf := range leaves(e.vars) {
		n := min(len(leaf), len(path))
		if slices.Equal(leaf[:n], path[:n]) {
			out = append(out, leaf)
		}
	}
	return out
}

// Vars explains the value of that name, or all values below a mapping of that
// name; "" explains every value. The result is sorted by name and empty when
// nothing sets it.
func (e *Explanation) Vars(name string) []VarReason {
	var out []VarReason
	for _, path := range leaves(e.vars) {
		if is := strings.Join(path, "."); name == "" || is == name || strings.HasPrefix(is, name+".") {
			out = append(out, e.varReason(path))
		}
	}
	slices.SortFunc(out, func(a, b VarReason) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// VarNames lists every value by name, sorted.
func (e *Explanation) VarNames() []string {
	var names []string
	for _, path := range leaves(e.vars) {
		names = append(names, strings.Join(path, "."))
	}
	slices.Sort(names)
	return names
}

func (e *Explanation) varReason(path []string) VarReason {
	name := strings.Join(path, ".")
	r := VarReason{Name: name, UsedBy: e.users[name]}
	for _, l := range e.layers {
		if s, ok := l.setting(path); ok {
			r.Settings = append(r.Settings, s)
		}
	}
	return r
}

// leaves gives the paths of all values that are no mappings, and of empty
// mappings.
func leaves(vars map[string]any) [][]string {
	var out [][]string
	var walk func(at map[string]any, path []string)
	walk = func(at map[string]any, path []string) {
		for _, key := range mapKeys(at) {
			below := append(slices.Clip(path), key)
			if m, ok := at[key].(map[string]any); ok && len(m) > 0 {
				walk(m, below)
				continue
			}
			out = append(out, below)
		}
	}
	walk(vars, nil)
	return out
}

// Paths lists the paths that the repository asks for, sorted.
func (e *Explanation) Paths() []string {
	if e.Target == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(e.Target.State.Paths))
}

// Path explains a path of the target; false when the repository does not ask
// for it.
func (e *Explanation) Path(name string) (PathReason, bool) {
	if e.Target == nil {
		return PathReason{}, false
	}
	p, ok := e.Target.State.Paths[name]
	if !ok {
		return PathReason{}, false
	}
	place := e.Target.Origin[name]
	r := PathReason{
		Path: name, What: what(p), Role: roleOf(place.File), Place: place,
		Template: e.build.rendered[name], Validate: e.Target.Validate[name], Readers: e.readers(name, p.Kind),
	}
	if p.Kind == plan.File && !e.Target.Quiet[name] {
		r.wellKnown()
	}
	r.OnChange, r.Reload = e.effects(name)
	if a, ok := e.build.said[name]; ok {
		r.Attributes = &a
	}
	vars, facts := e.used(name)
	for _, path := range vars {
		r.Vars = append(r.Vars, e.varReason(path))
	}
	r.Facts, r.Partials = facts, e.build.uses[name].partials
	return r, true
}

// wellKnown adds what is known of the directory.
func (r *PathReason) wellKnown() {
	for _, k := range WellKnownFiles() {
		if !k.Fits(r.Path) {
			continue
		}
		if argv, _ := k.Validator(r.Path); len(r.Validate) == 0 {
			r.Validate = argv
		}
		if k.Create {
			r.Notes = append(r.Notes, "systemd-tmpfiles --create makes what it says")
		}
		if k.Note != "" {
			r.Notes = append(r.Notes, k.Note)
		}
	}
}

// what says in words what stands at a path.
func what(p plan.Path) string {
	fingerprint, _ := strings.CutSuffix(p.Fingerprint(), " "+p.Digest)
	return fingerprint
}

// readers lists the units that read a path.
func (e *Explanation) readers(name string, kind plan.Kind) []Reader {
	var out []Reader
	for _, unit := range slices.Sorted(maps.Keys(e.Target.State.Units)) {
		if _, reads := e.Target.State.Units[unit].Inputs[name]; reads {
			out = append(out, Reader{
				Unit: unit, Edges: edges(e.Target.Reads[unit], name, kind), Soft: e.Target.State.Units[unit].Soft[name],
			})
		}
		for _, started := range e.wiring.defs[unit].Triggers() {
			if _, listed := e.Target.State.Units[started]; listed {
				continue // it has its turn
			}
			if why := edges(e.reads(started), name, kind); len(why) > 0 {
				out = append(out, Reader{Unit: started, Edges: why, Later: true})
			}
		}
	}
	slices.SortFunc(out, func(a, b Reader) int { return strings.Compare(a.Unit, b.Unit) })
	return slices.CompactFunc(out, func(a, b Reader) bool { return a.Unit == b.Unit })
}

// edges names why a path is read, each reason once.
func edges(reads []plan.Read, name string, kind plan.Kind) []string {
	var out []string
	for _, r := range reads {
		if readsPath(r, name, kind) && !contains(out, r.Why) {
			out = append(out, r.Why)
		}
	}
	return out
}

// Units lists the units that shall run or that the repository brings, sorted.
func (e *Explanation) Units() []string {
	if e.Target == nil {
		return nil
	}
	names := slices.Collect(maps.Keys(e.Target.State.Units))
	for dest, p := range e.Target.State.Paths {
		if name, _, ok := unitOf(dest); ok && p.Kind == plan.File && units.Valid(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Unit explains a unit; false when it neither shall run nor has a file in the
// repository.
func (e *Explanation) Unit(name string) (UnitReason, bool) {
	if !contains(e.Units(), name) {
		return UnitReason{}, false
	}
	t := e.Target
	u, listed := t.State.Units[name]
	r := UnitReason{Unit: name, Listed: listed, Stopped: listed && !u.Active, Masked: listed && e.wiring.isMasked(name), Enabled: t.Services[name].Enabled, After: u.After, Binds: u.Binds, Triggers: u.Triggers}
	if listed {
		place := t.Origin[name]
		r.Place, r.Role = &place, roleOf(place.File)
	}
	for _, c := range t.Services[name].Checks {
		r.Checks = append(r.Checks, c.String())
	}
	own := map[string]plan.Place{}
	for _, read := range e.wiring.own(name) {
		r.Files = append(r.Files, Said{read.Path, t.Origin[read.Path]})
		own[read.Path] = t.Origin[read.Path]
	}
	for dest, p := range t.State.Paths {
		if p.Kind == plan.Link && strings.HasPrefix(dest, unitDir+"/") && listed && t.Origin[dest] == *r.Place {
			r.Links = append(r.Links, dest)
		}
	}
	slices.Sort(r.Links)
	for _, read := range e.reads(name) {
		r.Reads = append(r.Reads, ReadReason{Path: read.Path, Edge: read.Why, Soft: read.Soft, Managed: e.covered(read)})
	}
	if len(own) > 0 {
		r.OnChange, r.Reload = e.effects(slices.Collect(maps.Keys(own))...)
	}
	return r, true
}

// reads gives the edges of any unit, listed or not.
func (e *Explanation) reads(name string) []plan.Read {
	if e.wiring.defs[name] == nil {
		e.wiring.defs[name] = e.wiring.definition(name)
	}
	return e.wiring.reads(name)
}

func (e *Explanation) covered(read plan.Read) []string {
	var out []string
	for name, p := range e.Target.State.Paths {
		if readsPath(read, name, p.Kind) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// effects says what a change of these paths would do: the plan from a host on
// which all is as the target says, but for them.
func (e *Explanation) effects(names ...string) ([]Effect, string) {
	const other = "before"
	before := *e.Target
	from := plan.State{Paths: maps.Clone(e.Target.State.Paths), Units: map[string]plan.Unit{}}
	for _, name := range names {
		p := from.Paths[name]
		if p.Kind == plan.Link {
			p.Link = other
		} else {
			p.Digest = other
		}
		from.Paths[name] = p
	}
	for unit, u := range e.Target.State.Units {
		u.Inputs = maps.Clone(u.Inputs)
		for _, name := range names {
			if _, reads := u.Inputs[name]; reads {
				u.Inputs[name] = from.Paths[name].Fingerprint()
			}
		}
		from.Units[unit] = u
	}
	before.State = from
	p := plan.Diff(from, e.Target.State, nil)
	if e.Predict != nil {
		p = e.Predict(&before, e.Target)
	}
	var out []Effect
	for _, s := range p.Steps() {
		out = append(out, Effect{s.Unit, s.Verb, s.Why})
	}
	return out, p.Reload
}
