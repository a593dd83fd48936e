package manifest

import (
	"io/fs"
	"maps"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Explanation says where everything comes from that one host gets: which file
// brings a path, which values went into it, what sets a value, and which unit
// reads a file and why.
type Explanation struct {
	Target  *plan.Target `json:"-"`       // wired; nil when the repository has problems
	Host    string       `json:"host"`    //
	Entries []Entry      `json:"entries"` // those of fleet.yaml that are for the host, in order
	Roles   []Said       `json:"roles"`   // in order, with the line of fleet.yaml that gives each
	Layers  []Said       `json:"layers"`  // of values, lowest first; a later one wins

	layers []layer
	vars   map[string]any
	build  *builder
	wiring *wiring
}

// Entry is an entry of fleet.yaml that is for the host.
type Entry struct {
	Match string     `json:"match"` // as people read it: "web-*, labels env=prod"
	Place plan.Place `json:"place"`
}

// Said is a word and where the repository says it.
type Said struct {
	Name  string     `json:"name"`
	Place plan.Place `json:"place"`
}

// Setting is one place of the repository that sets a value, or a mapping above
// it as a whole.
type Setting struct {
	Name  string     `json:"name"`  // what it sets, such as "db.host"; "db" when it replaces all of that
	Place plan.Place `json:"place"` //
	Layer string     `json:"layer"` // whose place that is: "every host", "role web", "hosts matching web-*", "host web-1"
	Text  string     `json:"text"`  // the value as the repository has it, in one line; "<secret>" for an encrypted one
}

// VarReason says why a value is as it is.
type VarReason struct {
	Name     string    `json:"name"`     // such as "db.host"
	Settings []Setting `json:"settings"` // lowest layer first: the last one counts, it overrode those before it
	UsedBy   []string  `json:"used_by"`  // paths on the host whose templates read it, sorted
}

// Reader is a unit that reads a path.
type Reader struct {
	Unit  string   `json:"unit"`
	Edges []string `json:"edges"`          // "unit file", "drop-in", "EnvironmentFile=", "restart_on", ...
	Soft  bool     `json:"soft,omitempty"` // a reload is enough
	Later bool     `json:"later,omitempty"`
	// Later: nothing is restarted, because the unit is none that shall run. A
	// timer or a socket that shall run starts it, and then it reads the path.
}

// Effect is what a change does to a unit.
type Effect struct {
	Unit string     `json:"unit"`
	Verb units.Verb `json:"verb"`
	Why  []string   `json:"why"`
}

// PathReason says why a path stands on the host.
type PathReason struct {
	Path       string      `json:"path"`
	What       string      `json:"what"`                 // "file 0644 root:root", "link ../a", "directory 0755 root:root"
	Role       string      `json:"role"`                 //
	Place      plan.Place  `json:"place"`                // the file of the repository, or the line that declares it
	Attributes *plan.Place `json:"attributes,omitempty"` // the line of role.yaml with its mode, owner and so on
	Template   bool        `json:"template"`             //
	Partials   []string    `json:"partials,omitempty"`   // what the template includes, sorted
	Vars       []VarReason `json:"vars,omitempty"`       // the values that the template read, sorted
	Facts      []string    `json:"facts,omitempty"`      // the facts that it read, such as "os.id", sorted
	Validate   []string    `json:"validate,omitempty"`   // the command that must accept it
	Readers    []Reader    `json:"readers"`              // sorted by unit
	OnChange   []Effect    `json:"on_change"`            // what a change of it would do, in order
	Reload     string      `json:"reload,omitempty"`     // why a change makes systemd read its unit files again
}

// ReadReason is an edge from paths to a unit.
type ReadReason struct {
	Path    string   `json:"path"`              // may be a directory or a pattern
	Edge    string   `json:"edge"`              //
	Soft    bool     `json:"soft,omitempty"`    // a reload is enough
	Managed []string `json:"managed,omitempty"` // the paths of the repository that it covers, sorted
}

// UnitReason says why a unit is on the host, and what it depends on.
type UnitReason struct {
	Unit     string       `json:"unit"`
	Listed   bool         `json:"listed"`          // it shall run
	Role     string       `json:"role,omitempty"`  // the role that lists it
	Place    *plan.Place  `json:"place,omitempty"` // the line that lists it
	Enabled  bool         `json:"enabled"`         //
	Files    []Said       `json:"files"`           // unit file and drop-ins that the repository brings; Name is the path on the host
	Links    []string     `json:"links,omitempty"` // the paths that enable it, sorted
	Reads    []ReadReason `json:"reads"`           //
	After    []string     `json:"after,omitempty"` // those of the units that shall run which come first
	Binds    []string     `json:"binds,omitempty"` // units whose stop or restart systemd hands on to it
	Triggers []string     `json:"triggers,omitempty"`
	Checks   []string     `json:"checks,omitempty"`
	OnChange []Effect     `json:"on_change"`        // what a change of the unit itself would do, in order
	Reload   string       `json:"reload,omitempty"` //
}

// Explain loads and wires the repository for one host, as Load and Wire do, and
// keeps where everything comes from. vendor is as for Wire; away from the host
// it is nil, and edges from the host's own units are then unknown.
//
// With Problems the explanation is not nil: Entries, Roles, Layers and Var are
// there, Target is nil, and Path and Unit find nothing.
func Explain(tree fs.FS, facts Facts, opts Options, vendor map[string]units.Definition) (*Explanation, error) {
	l := newRepo(tree, opts).load(facts)
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
	return e, nil
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
	r := VarReason{Name: strings.Join(path, ".")}
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
	r.OnChange, r.Reload = e.effects(name)
	return r, true
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
	}
	return out
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
	r := UnitReason{Unit: name, Listed: listed, Enabled: t.Services[name].Enabled, After: u.After, Binds: u.Binds, Triggers: u.Triggers}
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
	const before = "before"
	from := plan.State{Paths: maps.Clone(e.Target.State.Paths), Units: map[string]plan.Unit{}}
	for _, name := range names {
		p := from.Paths[name]
		if p.Kind == plan.Link {
			p.Link = before
		} else {
			p.Digest = before
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
	p := plan.Diff(from, e.Target.State, nil)
	var out []Effect
	for _, s := range p.Steps() {
		out = append(out, Effect{s.Unit, s.Verb, s.Why})
	}
	return out, p.Reload
}
