package manifest

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"evenkeel/agent/plan"
)

// Load gives what the repository asks of the host that the facts describe. The
// same tree, facts and options give a deeply equal target each time. The error
// is Problems whenever the repository is at fault, all of them at once; any
// other error is of reading the tree.
//
// The target is not whole before Wire has been called on it.
func Load(tree fs.FS, facts Facts, opts Options) (*plan.Target, error) {
	return newRepo(tree, opts).load(facts).target()
}

// loaded is a repository as one host sees it, with how it came to be so.
type loaded struct {
	repo     *repo
	assigned assigned
	layers   []layer
	builder  *builder // nil when no entry of fleet.yaml is for the host
}

func (l loaded) target() (*plan.Target, error) {
	if err := l.repo.err(); err != nil {
		return nil, err
	}
	return l.builder.t, nil
}

func (r *repo) load(facts Facts) loaded {
	r.lookAround()
	f := r.readFleet()
	l := loaded{repo: r, assigned: f.assign(facts)}
	r.needHost(f, l.assigned, facts)
	r.needLabels(f, facts)
	if len(l.assigned.entries) == 0 {
		return l
	}
	roles := r.knownRoles(l.assigned.roles)
	l.layers = r.layers(roles, l.assigned.vars, facts.Name)
	l.builder = r.build(roles, facts, l.layers)
	l.assigned.terms.win(l.builder.t)
	l.builder.t.Windows = l.assigned.when
	l.onDriftElsewhere()
	return l
}

// needHost reports a host that the repository does not know.
func (r *repo) needHost(f fleet, a assigned, facts Facts) {
	switch {
	case strings.ContainsAny(facts.Name, "/\\") || facts.Name == "" || facts.Name == ".." || facts.Name == ".":
		r.c.add(Problem{Message: fmt.Sprintf("%q is not a host name", facts.Name)})
	case len(a.entries) == 0 && r.c.blames(fleetFile):
		// the entry for this host may be the one that could not be read
	case len(a.entries) == 0:
		r.c.add(Problem{
			File:    fleetFile,
			Message: fmt.Sprintf("no entry of hosts: matches the host %q (%s)", facts.Name, withLabels(facts.Labels)),
			doubt:   doubtHost,
			Hint:    cmp.Or(didYouMean(facts.Name, r.knownHosts(f)), fmt.Sprintf("write an entry such as - {match: %s, roles: [...]}", facts.Name)),
		})
	case len(a.roles) == 0 && !r.c.blames(fleetFile):
		r.c.add(Problem{
			File:    fleetFile,
			Message: fmt.Sprintf("the entries of hosts: that match the host %q (%s) give it no roles", facts.Name, withLabels(facts.Labels)),
			doubt:   doubtHost,
			Hint:    "a host without roles would lose all that it has",
		})
	case r.opts.RequireHost && !contains(r.knownHosts(f), facts.Name):
		r.c.add(Problem{
			File:    fleetFile,
			Message: fmt.Sprintf("the repository does not name the host %q", facts.Name),
			Hint:    didYouMean(facts.Name, r.knownHosts(f)),
		})
	}
}

func withLabels(labels map[string]string) string {
	if len(labels) == 0 {
		return "no labels"
	}
	var words []string
	for k, v := range labels {
		words = append(words, k+"="+v)
	}
	slices.Sort(words)
	return "labels " + strings.Join(words, ", ")
}

// knownRoles gives the names of those roles that the repository has and reports
// the others.
func (r *repo) knownRoles(wanted []said) []string {
	known := r.roleNames()
	var names []string
	for _, w := range wanted {
		if contains(known, w.word) {
			names = append(names, w.word)
			continue
		}
		hint := didYouMean(w.word, known)
		if hint == "" {
			hint = fmt.Sprintf("there is no directory roles/%s with files in it", w.word)
		}
		r.c.at(w.place, hint, "unknown role %q", w.word)
	}
	return names
}

// build turns roles into a target.
func (r *repo) build(roles []string, facts Facts, layers []layer) *builder {
	b := newBuilder(r, facts.Name, roles)
	d := r.data(merged(layers), facts)
	var read []role
	for _, name := range roles {
		d.role = name
		r.lookAroundRole(name)
		ro := r.readRole(name)
		r.typed(ro.schema, layers, d)
		t := r.renderer(name).forHost(d, &b.work)
		b.files(ro, t)
		b.units(ro, t)
		b.directories(ro)
		b.links(ro)
		b.unclaimedAttributes(ro)
		read = append(read, ro)
	}
	for _, ro := range read {
		b.services(ro)
	}
	b.terms(read)
	b.nesting()
	b.unitFiles(facts.SystemdVersion)
	b.quadlets()
	b.sysctlFiles()
	b.tmpfiles()
	b.masked()
	b.orderOfServices()
	b.warnings(read)
	b.t.Sealed, b.t.Words = r.sealedPlaces(), r.words.list()
	return b
}
