package manifest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
)

// label is a label that every host has, as labels: of fleet.yaml says.
type label struct {
	name  string
	globs []string // of which its value fits one
	place plan.Place
}

// labels reads {env: [staging, prod], rack: "*"}.
func (d *document) labels(n *yaml.Node) []label {
	var out []label
	for _, p := range d.pairs(n, "labels:") {
		l := label{name: p.name, place: d.place(p.key)}
		nodes := []*yaml.Node{p.value}
		if list := resolve(p.value); list.Kind == yaml.SequenceNode {
			nodes = list.Content
		}
		for _, item := range nodes {
			glob, ok := d.text(item, "a pattern for the label "+strconv.Quote(p.name))
			if !ok {
				continue
			}
			if _, err := path.Match(glob, ""); err != nil {
				d.problem(item, globHint(glob), "%q is not a pattern for a label", glob)
				continue
			}
			l.globs = append(l.globs, glob)
		}
		if len(nodes) == 0 {
			d.problem(p.value, "such as [staging, prod]", "the label %q has no patterns", p.name)
		}
		if len(l.globs) > 0 {
			out = append(out, l)
		}
	}
	return out
}

// allows reports whether one of the patterns fits a value. A slash is a character like
// any other.
func (l label) allows(value string) bool {
	return slices.ContainsFunc(l.globs, func(glob string) bool {
		ok, _ := path.Match(withoutSlash(glob), withoutSlash(value))
		return ok
	})
}

// allows reports whether no label is one that no host has.
func (f fleet) allows(labels map[string]string) bool {
	return !slices.ContainsFunc(f.labels, func(l label) bool {
		value, has := labels[l.name]
		return has && !l.allows(value)
	})
}

// always gives the sets of labels of which every host has one: all of them where they are
// few, else as many as it takes to have each value once. An empty one when fleet.yaml does
// not say.
func (f fleet) always() []map[string]string {
	sets, rows := 1, 1
	for _, l := range f.labels {
		sets, rows = min(sets*len(l.globs), maxVariants+1), max(rows, len(l.globs))
	}
	if sets <= maxVariants {
		rows = sets
	}
	out := make([]map[string]string, min(rows, maxVariants))
	for i := range out {
		out[i] = map[string]string{}
		rest := i
		for _, l := range f.labels {
			out[i][l.name] = exampleName(l.globs[rest%len(l.globs)])
			if sets <= maxVariants {
				rest /= len(l.globs)
			}
		}
	}
	return out
}

// needLabels reports a host that lacks a label that every host has.
func (r *repo) needLabels(f fleet, facts Facts) {
	for _, l := range f.labels {
		p := Problem{File: l.place.File, Line: l.place.Line, doubt: doubtHost}
		value, has := facts.Labels[l.name]
		switch {
		case !has:
			p.Message = fmt.Sprintf("the host %q has no label %s, which every host has", facts.Name, l.name)
			p.Hint = fmt.Sprintf("say it on the host, in /etc/evenkeel/config.yaml: labels: {%s: %s}", l.name, exampleName(l.globs[0]))
		case !l.allows(value):
			p.Message = fmt.Sprintf("the host %q has the label %s=%s, which is none of %s", facts.Name, l.name, value, strings.Join(l.globs, ", "))
			p.Hint = didYouMean(value, l.globs)
		default:
			continue
		}
		r.c.add(p)
	}
}

// unheard reports entries for a label that no host has.
func (d *document) unheard(f fleet) {
	for _, e := range f.entries {
		for _, name := range slices.Sorted(maps.Keys(e.match.labels)) {
			for _, l := range f.labels {
				if value := e.match.labels[name]; l.name == name && !l.allows(value) {
					d.c.at(e.place, didYouMean(value, l.globs), "no host has the label %s=%s: labels: allows %s (%s)", name, value, strings.Join(l.globs, ", "), spot(l.place))
				}
			}
		}
	}
}
