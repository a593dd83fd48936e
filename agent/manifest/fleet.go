package manifest

import (
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
)

const fleetFile = "fleet.yaml"

// fleet is fleet.yaml: which host plays which roles.
type fleet struct {
	entries []entry
}

// entry is one element of hosts:. It applies when both its name and its labels
// do; an empty one of the two always does.
type entry struct {
	name   string // glob
	labels map[string]string
	roles  []said
	vars   map[string]any
	place  plan.Place
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
func (r *repo) readFleet() fleet {
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
	hosts, ok := d.fields(d.root, fleetFile, fleetKeys())["hosts"]
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
	return f
}

func (d *document) entry(n *yaml.Node) entry {
	e := entry{place: d.place(n)}
	keys := d.fields(n, "an entry of hosts:", entryKeys())
	if p, ok := keys["match"]; ok {
		e.name, e.labels = d.match(p.value)
	} else if resolve(n).Kind == yaml.MappingNode {
		d.problem(n, `match: "*" matches every host`, "this entry has no match:")
	}
	if p, ok := keys["roles"]; ok {
		e.roles = d.said(d.items(p.value, "roles:"), "a role")
	}
	if p, ok := keys["vars"]; ok {
		e.vars = d.vars(p.value, "vars:")
	}
	return e
}

// match reads "web-*" or {name: web-*, labels: {env: prod}}.
func (d *document) match(n *yaml.Node) (name string, labels map[string]string) {
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		d.glob(n)
		return n.Value, nil
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, "", "match: must be a pattern for host names, or {name: ..., labels: ...}, found %s", kindOf(n))
		return "", nil
	}
	keys := d.fields(n, "match:", matchKeys())
	if len(n.Content) == 0 {
		d.problem(n, `match: "*" matches every host`, "match: is empty")
	}
	if p, ok := keys["name"]; ok {
		if s, ok := d.text(p.value, "name:"); ok {
			d.glob(p.value)
			name = s
		}
	}
	if p, ok := keys["labels"]; ok {
		labels = map[string]string{}
		for _, l := range d.pairs(p.value, "labels:") {
			if s, ok := d.text(l.value, "a label"); ok {
				labels[l.name] = s
			}
		}
	}
	return name, labels
}

// glob checks a pattern for host names.
func (d *document) glob(n *yaml.Node) {
	n = resolve(n)
	if n.Value == "" {
		d.problem(n, "", "a host name cannot be empty")
	} else if _, err := path.Match(n.Value, ""); err != nil || strings.Contains(n.Value, "/") {
		d.problem(n, "* ? and [abc] may stand in it", "%q is not a pattern for host names", n.Value)
	}
}

// matches reports whether the entry applies to a host. An entry whose match
// could not be read applies to none.
func (e entry) matches(facts Facts) bool {
	if e.name == "" && len(e.labels) == 0 {
		return false
	}
	if e.name != "" {
		if ok, _ := path.Match(e.name, facts.Name); !ok { // a bad pattern is a problem already
			return false
		}
	}
	for k, v := range e.labels {
		if got, ok := facts.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// concrete gives the host that the entry names, "" for a pattern.
func (e entry) concrete() string {
	if strings.ContainsAny(e.name, `*?[\`) {
		return ""
	}
	return e.name
}

// assigned is what fleet.yaml gives one host.
type assigned struct {
	matched int
	roles   []said // in order, each once
	vars    map[string]any
}

func (f fleet) assign(facts Facts) assigned {
	a := assigned{vars: map[string]any{}}
	for _, e := range f.entries {
		if !e.matches(facts) {
			continue
		}
		a.matched++
		a.vars = merge(a.vars, e.vars)
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
