package manifest

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// leadingZero is a number that YAML reads as octal and a person as text.
var leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]+$`)

// vars turns the mapping at a node into values for templates.
func (d *document) vars(n *yaml.Node, what string) map[string]any {
	if isNull(resolve(n)) {
		return map[string]any{}
	}
	out := map[string]any{}
	for _, p := range d.pairs(n, what) {
		out[p.name] = d.value(p.value, 1)
	}
	return out
}

// value turns a node into a Go value: map[string]any, []any, string, int,
// float64, bool, Secret or nil. Timestamps stay text, as they are written.
func (d *document) value(n *yaml.Node, depth int) any {
	d.nodes++
	if d.nodes == maxYAMLNodes {
		d.problem(n, "aliases count each time", "more than %d values in one file", maxYAMLNodes)
	}
	if d.nodes >= maxYAMLNodes {
		return nil
	}
	if depth == maxYAMLDepth {
		d.problem(n, "", "values are nested more than %d deep", maxYAMLDepth)
		return nil
	}
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for _, p := range d.pairs(n, "this mapping") {
			out[p.name] = d.value(p.value, depth+1)
		}
		return out
	case yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			out = append(out, d.value(item, depth+1))
		}
		return out
	}
	return d.scalar(n)
}

func (d *document) scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		if leadingZero.MatchString(n.Value) {
			d.problem(n, "quote it to mean the text", "a number with a leading zero is octal in YAML")
			return nil
		}
		i, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 0, 64)
		if err != nil {
			d.problem(n, "quote it", "the number does not fit 64 bits")
			return nil
		}
		return int(i)
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			d.problem(n, "quote it", "not a number that can be used")
			return nil
		}
		if str(f) != n.Value && !d.exact {
			d.problem(n, "quote it to keep it as it is, such as a version", "a template would print this number otherwise than it is written")
			return nil
		}
		return f
	case "!!str", "!!timestamp":
		if isSealed(n.Value) {
			return Secret{n.Value, d.place(n)}
		}
		return n.Value
	}
	d.problem(n, "write text, and let the template make of it what it needs", "the YAML tag %s is not supported", n.ShortTag())
	return nil
}
