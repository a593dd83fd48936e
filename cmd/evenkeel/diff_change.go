package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"evenkeel/agent"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// change is what happens, in the same way, on some hosts.
type change struct {
	Hosts  []string     `json:"hosts"`
	New    bool         `json:"new,omitempty"` // the commit has nothing for these hosts
	Steps  []string     `json:"steps"`         // in order, with their reasons
	Files  []fileChange `json:"files"`         //
	Health []string     `json:"health"`        // what is watched or validated otherwise, without a step
	Notes  []string     `json:"notes"`         //

	plan     plan.Plan
	from, to *plan.Target
	first    string            // the host whose files are shown
	print    [sha256.Size]byte // of what happens there
	differs  bool              // the steps are the same on all hosts, and some bytes are not
}

// fileChange is one path of a change.
type fileChange struct {
	Path   string `json:"path"`
	Origin string `json:"origin"` // the file, and perhaps the line, of the repository
	Diff   string `json:"diff,omitempty"`
}

// newChange compares what a host gets. Nothing is rendered yet: most hosts turn
// out to have the change of another one.
func newChange(from, to *plan.Target) *change {
	p := agent.Predict(from, to)
	c := &change{New: from == nil, plan: p.Plan, from: from, to: to}
	c.mayStay()
	if p.Asks != "" {
		c.Notes = append(c.Notes, "the host asks first: "+p.Asks+`; "evenkeel approve" there says that it is meant, or the trailer "Evenkeel-Allow-Prune: true" of the commit`)
	}
	if from == nil {
		c.from = &plan.Target{}
	}
	c.Health = c.watched()
	for _, s := range c.plan.Steps() {
		if _, listed := c.to.Services[s.Unit]; !listed && agent.IsSystemUnit(s.Unit) {
			c.Notes = append(c.Notes, s.Unit+" is taken to run: on a host where it does not, nothing is done to it")
		}
		if s.Verb == units.Start && s.With == "" && !c.brings(s.Unit) {
			c.Notes = append(c.Notes, s.Unit+" is not in the repository: whether it runs already, and what it reads, only the host knows")
		}
	}
	c.Notes = append(c.Notes, c.unseen()...)
	if slices.ContainsFunc(c.plan.Paths, func(s plan.PathStep) bool { return c.isSecret(s.Path) }) {
		c.Notes = append(c.Notes, "a secret that was only encrypted anew counts as changed here: no host does anything about it")
	}
	return c
}

// mayStay says of units of packages that the commit no longer names that not every host
// stops them.
func (c *change) mayStay() {
	for i, s := range c.plan.Stop {
		if _, named := c.to.State.Units[s.Unit]; s.With == "" && !named && !c.New && !brings(c.from, s.Unit) {
			c.plan.Stop[i].Why = append(s.Why, "where it ran before evenkeel came, it is left running")
		}
	}
}

// unseen is what happens on a host and is no step of a prediction: it hangs on what only the
// host knows, or follows the files by itself.
func (c *change) unseen() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.to.State.Units)) {
		if _, known := c.from.State.Units[name]; !known && !c.to.State.Units[name].Active && !c.brings(name) {
			out = append(out, name+" shall not run: where it does, it is stopped")
		}
	}
	for _, s := range c.plan.Paths {
		if s.To.Kind == plan.File && !c.to.Quiet[s.Path] && slices.ContainsFunc(manifest.WellKnownFiles(), func(k manifest.WellKnown) bool {
			return k.Create && k.Fits(s.Path)
		}) {
			out = append(out, "systemd-tmpfiles --create makes what "+s.Path+" says")
		}
	}
	return out
}

func (c *change) isSecret(p string) bool { return c.from.Secret[p] || c.to.Secret[p] }

// brings reports whether the repository has a file of a unit.
func (c *change) brings(unit string) bool { return brings(c.to, unit) }

func brings(t *plan.Target, unit string) bool {
	return slices.ContainsFunc(t.Reads[unit], func(r plan.Read) bool {
		return t.State.Paths[r.Path].Kind == plan.File && units.IsUnitPath(r.Path) && !strings.Contains(r.Path, ".d/")
	})
}

// watched says which services are judged otherwise from now on.
func (c *change) watched() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.to.Services)) {
		is, shall := c.from.Services[name], c.to.Services[name]
		var what []string
		if _, known := c.from.Services[name]; !known {
			continue
		}
		if is.Settle != shall.Settle {
			what = append(what, fmt.Sprintf("settle %s, was %s", shall.Settle, is.Settle))
		}
		if is.Deadline != shall.Deadline {
			what = append(what, fmt.Sprintf("deadline %s, was %s", shall.Deadline, is.Deadline))
		}
		if !reflect.DeepEqual(is.Checks, shall.Checks) {
			what = append(what, fmt.Sprintf("checks: %s; was %s", checkNames(shall.Checks), checkNames(is.Checks)))
		}
		if len(what) > 0 {
			out = append(out, name+": "+strings.Join(what, "; "))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(c.to.State.Paths)) {
		_, known := c.from.State.Paths[p]
		if is, shall := c.from.Validate[p], c.to.Validate[p]; known && !slices.Equal(is, shall) {
			out = append(out, fmt.Sprintf("%s: validate %q; was %q", p, shall, is))
		}
	}
	return append(out, c.drifts()...)
}

// drifts says of what drift something else becomes from now on.
func (c *change) drifts() []string {
	names := maps.Clone(c.from.Drift)
	if names == nil {
		names = map[string]plan.OnDrift{}
	}
	maps.Copy(names, c.to.Drift)
	same := map[string][]string{} // what is said -> of what
	for _, name := range slices.Sorted(maps.Keys(names)) {
		is, shall := c.from.Drift[name], c.to.Drift[name]
		if is == shall || c.New || name != "" && !(asksFor(c.from, name) && asksFor(c.to, name)) {
			continue
		}
		said := fmt.Sprintf("drift: %s, was %s", cmp.Or(shall, "not said"), cmp.Or(is, "not said"))
		same[said] = append(same[said], cmp.Or(name, "all else"))
	}
	var out []string
	for _, said := range slices.Sorted(maps.Keys(same)) {
		const most = 5
		of := same[said]
		if len(of) > most {
			of = append(slices.Clip(of[:most]), fmt.Sprintf("and %d more", len(of)-most))
		}
		out = append(out, said+": "+strings.Join(of, ", "))
	}
	return out
}

// asksFor reports whether a target has a path or a unit of that name.
func asksFor(t *plan.Target, name string) bool {
	_, isPath := t.State.Paths[name]
	_, isUnit := t.State.Units[name]
	return isPath || isUnit
}

func checkNames(checks []plan.Check) string {
	if len(checks) == 0 {
		return "none"
	}
	names := make([]string, len(checks))
	for i, c := range checks {
		names[i] = fmt.Sprintf("%s within %s", c, c.Timeout)
	}
	return strings.Join(names, ", ")
}

func (c *change) empty() bool { return c.plan.Empty() && len(c.Health) == 0 && len(c.Notes) == 0 }

// fingerprint is equal for equal changes: the same steps and places, and with
// exact, the same bytes.
func (c *change) fingerprint(exact bool) [sha256.Size]byte {
	h := sha256.New()
	say := func(words ...string) {
		for _, w := range words {
			fmt.Fprintf(h, "%d:%s", len(w), w)
		}
	}
	say(fmt.Sprint(c.New), c.plan.String())
	for _, s := range c.plan.Paths {
		say(s.Path, c.origin(s.Path))
		if exact {
			say(s.From.Fingerprint(), s.To.Fingerprint())
		}
	}
	say(c.Health...)
	say(c.Notes...)
	return [sha256.Size]byte(h.Sum(nil))
}

// origin is where the repository says a path, or said it.
func (c *change) origin(p string) string {
	for _, t := range []*plan.Target{c.to, c.from} {
		if t != nil && t.Origin[p].File != "" {
			return t.Origin[p].String()
		}
	}
	return ""
}

// fill writes the change out.
func (c *change) fill() {
	c.Steps, c.Files = []string{}, []fileChange{}
	c.Health, c.Notes = append([]string{}, c.Health...), append([]string{}, c.Notes...)
	for line := range strings.Lines(c.plan.String()) {
		c.Steps = append(c.Steps, strings.TrimRight(line, "\n"))
	}
	for _, s := range c.plan.Paths {
		f := fileChange{Path: s.Path, Origin: c.origin(s.Path)}
		if s.From.Kind == plan.File || s.To.Kind == plan.File {
			f.Diff = c.diff(s)
		}
		c.Files = append(c.Files, f)
	}
	c.from, c.to = nil, nil // thousands of hosts would fill the memory
}

// sortHosts leaves out a host under some labels when the host as it is named is
// there too.
func (c *change) sortHosts() {
	slices.Sort(c.Hosts)
	all := slices.Clone(c.Hosts)
	c.Hosts = slices.DeleteFunc(c.Hosts, func(name string) bool {
		plain, _, tried := strings.Cut(name, triedMark)
		_, known := slices.BinarySearch(all, plain)
		return tried && known
	})
}

// diff shows the content of a file before and after; "" when it is the same.
func (c *change) diff(s plan.PathStep) string {
	if s.From.Digest == s.To.Digest {
		return ""
	}
	if c.isSecret(s.Path) {
		return diffText(agent.FileDiff{Path: s.Path, Secret: true})
	}
	d := agent.FileDiff{Path: s.Path}
	if s.From.Kind == plan.File {
		d.Old = append([]byte{}, c.from.Content[s.From.Digest]...)
	}
	if s.To.Kind == plan.File {
		d.New = append([]byte{}, c.to.Content[s.To.Digest]...)
	}
	return diffText(d)
}
