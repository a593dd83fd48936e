package manifest

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
)

const fleetFile = "fleet.yaml"

// fleet is fleet.yaml: which host plays which roles.
type fleet struct {
	labels  []label // that every host has
	entries []entry
}

// entry is one element of hosts:.
type entry struct {
	match match
	roles []said
	vars  []layer // none or one
	terms terms
	when  *plan.Windows // nil when the entry does not say
	drift plan.OnDrift
	place plan.Place
}

// said is a word with the place where the repository says it.
type said struct {
	word  string
	place plan.Place
}

func (d *document) place(n *yaml.Node) plan.Place { return plan.Place{File: d.file, Line: n.Line} }

func (d *document) said(nodes []*yaml.Node, what string) []said {
	var out []said
	for _, n := range nodes {
		if word, ok := d.text(n, what); ok {
			out = append(out, said{word, d.place(n)})
		}
	}
	return out
}

// readFleet reads fleet.yaml. A repository without one is a problem.
func (r *repo) readFleet() fleet { return once(r, fleetFile, r.parseFleet) }

func (r *repo) parseFleet() fleet {
	var f fleet
	d := r.document(fleetFile)
	if d == nil {
		hint := "it says which host plays which roles"
		for _, other := range []string{"fleet.yml", "Fleet.yaml"} {
			if r.isFile(other) {
				hint = "rename " + other
			}
		}
		r.c.add(Problem{File: fleetFile, Message: "the file is missing", Hint: hint})
		return f
	}
	if d.root == nil {
		return f
	}
	keys := d.fields(d.root, fleetFile, fleetKeys())
	if p, ok := keys["labels"]; ok {
		f.labels = d.labels(p.value)
	}
	hosts, ok := keys["hosts"]
	if !ok {
		return f
	}
	if list := resolve(hosts.value); list.Kind == yaml.MappingNode {
		d.problem(list, `write "- match: NAME" for each`, "hosts: must be a list of entries, found a mapping")
		return f
	}
	for _, n := range d.items(hosts.value, "hosts:") {
		f.entries = append(f.entries, d.entry(n))
	}
	d.unheard(f)
	return f
}

func (d *document) entry(n *yaml.Node) entry {
	e := entry{place: d.place(n)}
	keys := d.fields(n, "an entry of hosts:", entryKeys())
	if p, ok := keys["match"]; ok {
		e.match = d.match(p.value)
	} else if resolve(n).Kind == yaml.MappingNode {
		d.problem(n, `match: "*" matches every host`, "this entry has no match:")
	}
	if p, ok := keys["roles"]; ok {
		e.roles = d.said(d.items(p.value, "roles:"), "a role")
	}
	if p, ok := keys["vars"]; ok {
		e.vars = []layer{d.layer(p.value, "hosts matching "+e.match.String(), "vars:")}
	}
	e.terms, e.drift = d.terms(keys), d.drift(keys)
	if p, ok := keys["windows"]; ok {
		e.when = d.windows(p.value)
	}
	return e
}

// concrete gives the host that the entry names, "" for a pattern.
func (e entry) concrete() string {
	if strings.ContainsAny(e.match.name, `*?[\`) {
		return ""
	}
	return e.match.name
}

// assigned is what fleet.yaml gives one host.
type assigned struct {
	entries []entry // those that match, in order
	roles   []said  // in order, each once
	vars    []layer
	terms   terms
	when    *plan.Windows
}

func (f fleet) assign(facts Facts) assigned {
	a := assigned{}
	for _, e := range f.entries {
		if !e.match.holds(facts) {
			continue
		}
		a.entries = append(a.entries, e)
		a.vars = append(a.vars, e.vars...)
		a.terms = e.terms.over(a.terms)
		if e.when != nil {
			a.when = e.when
		}
		for _, role := range e.roles {
			if !slices.ContainsFunc(a.roles, func(s said) bool { return s.word == role.word }) {
				a.roles = append(a.roles, role)
			}
		}
	}
	return a
}

// hosts gives the names that entries without a pattern give.
func (f fleet) hosts() []string {
	var names []string
	for _, e := range f.entries {
		if name := e.concrete(); name != "" {
			names = append(names, name)
		}
	}
	return names
}
