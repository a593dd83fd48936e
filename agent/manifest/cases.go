package manifest

import (
	"maps"
	"slices"
)

// Case is a host as it might be: one that the repository names, or an example for an
// entry that fits none of those. Each is tried as it is named, which is without labels or
// with the first ones of labels: in fleet.yaml, and with all other labels and facts that
// fleet.yaml asks for.
type Case struct {
	Facts Facts
	Match string // the entry that the host is an example of, such as "web-*"; "" for a host that is named
	Tried string // what was made up besides, such as "labels env=prod"; "" for the host as it is named

	imagined bool // facts, and not only labels, were made up
}

// how says which host is meant, behind its name.
func (c Case) how() string {
	switch {
	case c.Tried != "":
		return "with " + c.Tried
	case len(c.Facts.Labels) > 0:
		return "with " + withLabels(c.Facts.Labels)
	}
	return "without labels"
}

// Cases gives what Check looks at: hosts in the order of their names, each at
// first as it is named, and then the examples. It may be short when fleet.yaml
// has problems.
func (r *Repository) Cases() []Case {
	in := r.reader()
	return slices.Concat(in.cases(in.readFleet())...)
}

// maxVariants bounds the sets of labels and facts that are tried for one host.
const maxVariants = 64

// cases gives the cases of each host together.
func (r *repo) cases(f fleet) [][]Case {
	example := r.exampleFacts()
	example.Labels = map[string]string{}
	var out [][]Case
	fitted := map[int]bool{}
	add := func(variants []Case) {
		out = append(out, variants)
		for i, e := range f.entries {
			fitted[i] = fitted[i] || slices.ContainsFunc(variants, func(c Case) bool { return e.match.holds(c.Facts) })
		}
	}
	for _, host := range r.knownHosts(f) {
		add(f.variants(Case{Facts: example.named(host)}, match{}))
	}
	for i, e := range f.entries {
		if !fitted[i] && !e.match.empty() {
			facts := e.match.pretend(example.named(exampleName(e.match.name)))
			add(f.variants(Case{Facts: facts, Match: e.match.String()}, e.match))
		}
	}
	return out
}

// variants gives a host with each set of labels that it may have, and with what each
// entry asks for that may be for it. All hold for "of", where it is an example of that.
func (f fleet) variants(of Case, is match) []Case {
	var out []Case
	add := func(c Case) {
		same := func(is Case) bool { return maps.Equal(is.Facts.Labels, c.Facts.Labels) && !is.imagined }
		if len(out) < maxVariants && (c.imagined || !slices.ContainsFunc(out, same)) {
			out = append(out, c)
		}
	}
	for i, labels := range f.always() {
		c := of
		maps.Copy(labels, of.Facts.Labels)
		c.Facts.Labels = labels
		if i > 0 {
			c.Tried = withLabels(labels)
		}
		add(c)
	}
	for _, e := range f.entries {
		m := match{labels: e.match.labels, facts: e.match.facts}
		mayFit := e.match.name == "" || match{name: e.match.name}.holds(of.Facts)
		c := of
		c.Facts, c.Tried, c.imagined = m.pretend(out[0].Facts), m.String(), len(m.facts) > 0
		if !c.imagined {
			c.Tried = withLabels(c.Facts.Labels)
		}
		if mayFit && !m.empty() && (is.empty() || is.holds(c.Facts)) && f.allows(c.Facts.Labels) {
			add(c)
		}
	}
	return out
}
