package manifest

import (
	"fmt"
	"slices"
	"strings"
	syntax "text/template/parse"
)

// saysLabel begins the hint that a host can be known to have a label.
const saysLabel = "; where every host has the label, write"

// missingKey says which key is not there and which one may have been meant. The
// keys of values are names that people gave, no secrets.
func (r *renderer) missingKey(p *Problem, t *parsed, expression, key string, dot any) {
	p.doubt = doubtValue
	from, keys, known := r.askedOf(t, p, expression, key)
	at := slices.Index(keys, key)
	p.Col += columnOf(expression, keys, at, t.text, p.Line, p.Col)
	above := append(slices.Clip(from), keys[:max(at, 0)]...)
	siblings := keysAt(dot, above)
	switch {
	case !known:
		p.Message = fmt.Sprintf("there is no key %q here", key)
	case slices.Contains(above, element):
		first := slices.Index(above, element)
		p.Message = fmt.Sprintf("an element of .%s has no %q", strings.Join(above[:first], "."), strings.Join(append(above[first+1:], key), "."))
	case len(from) > 0:
		p.Message = fmt.Sprintf("there is no %q in .%s", key, strings.Join(above, "."))
	default:
		p.Message = "there is no ." + strings.Join(append(above, key), ".")
	}
	p.Hint = didYouMean(key, siblings)
	if vars, ok := r.values["vars"].(map[string]any); ok && len(above) == 0 && vars[key] != nil {
		p.Hint = fmt.Sprintf("values are below .vars: .vars.%s", key)
	}
	if p.Hint != "" {
		return
	}
	if known && len(above) == 0 && slices.Equal(siblings, mapKeys(r.values)) {
		p.Hint = "a template sees .vars, .facts and .role"
		return
	}
	if len(above) > 0 && above[0] == "vars" && !slices.Contains(above, element) {
		p.Hint = fmt.Sprintf("set %s in vars.yaml, %s, vars: of an entry of fleet.yaml, or hosts/NAME.yaml; a value that may be missing is read with: get .%s %q | default \"...\"",
			strings.Join(append(slices.Clone(above[1:]), key), "."), roleVars(r.role), strings.Join(above, "."), key)
		return
	}
	holder := "." + strings.Join(above, ".")
	if !known || slices.Contains(above, element) || len(above) == 0 {
		holder = "MAPPING"
	}
	p.Hint = fmt.Sprintf(`a value that may be missing is read with: get %s %q | default "..."`, holder, key)
	if known && slices.Equal(above, []string{"facts", "labels"}) {
		p.Hint += fmt.Sprintf(`%s labels: {%s: "*"} in fleet.yaml`, saysLabel, key)
	}
}

// askedOf finds the node that failed, and gives the keys that lead to the value
// of which it asks for keys. Places are those that text/template names; of keys
// behind parentheses it names what stands in them, so these are looked for by the
// key.
func (r *renderer) askedOf(t *parsed, p *Problem, expression, key string) (from, keys []string, known bool) {
	tr := newTracer(r.partials)
	tr.all = true
	var chains []*syntax.ChainNode
	var roots []ref
	tr.field = func(n syntax.Node, at ref) {
		is := lineColumn(t.text, n.Position())
		if chain, ok := n.(*syntax.ChainNode); ok && is[0] == p.Line && contains(chain.Field, key) {
			chains, roots = append(chains, chain), append(roots, at)
		}
		if !known && n.String() == expression && is == [2]int{p.Line, p.Col} {
			from, known = at.path, at.known
		}
	}
	tr.template(t, t.Name(), ref{known: true})
	for _, defined := range t.Templates() {
		tr.template(t, defined.Name(), ref{})
	}
	if keys = strings.Split(expression, ".")[1:]; contains(keys, key) || len(chains) != 1 {
		return from, keys, known
	}
	p.Col = lineColumn(t.text, chains[0].Position())[1]
	return roots[0].path, chains[0].Field, roots[0].known
}

// lineColumn turns an offset into line and column, from 1.
func lineColumn(text string, at syntax.Pos) [2]int {
	before := text[:min(int(at), len(text))]
	return [2]int{1 + strings.Count(before, "\n"), len(before) - strings.LastIndexByte(before, '\n') - 1 + columnShift}
}

// columnOf says how far from the column that text/template names one of the keys
// of a chain stands: that is the column of the second key of .a.b.c, and of the
// first of $x.a.b and (f x).a.b.
func columnOf(expression string, keys []string, i int, t string, line, col int) int {
	lines := strings.SplitN(t, "\n", line+1)
	if i < 0 || line > len(lines) {
		return 0
	}
	first := 0
	if len(keys) > 1 && strings.HasPrefix(expression, ".") {
		first = 1
	}
	shift := 0
	for _, key := range keys[min(i, first):max(i, first)] {
		shift += len("." + key)
	}
	if i < first {
		shift = -shift
	}
	at := col - 1 + shift
	if at < 0 || at > len(lines[line-1]) || !strings.HasPrefix(lines[line-1][at:], "."+keys[i]) {
		return 0 // written in some other way
	}
	return shift
}

// keysAt gives the keys of the mapping to which a path leads, of all of them
// when it leads through a list.
func keysAt(at any, path []string) []string {
	values := []any{at}
	for _, key := range path {
		var next []any
		for _, v := range values {
			switch v := v.(type) {
			case map[string]any:
				if key == element {
					for _, name := range mapKeys(v) {
						next = append(next, v[name])
					}
				} else if below, ok := v[key]; ok {
					next = append(next, below)
				}
			case []any:
				if key == element {
					next = append(next, v...)
				}
			}
		}
		values = next
	}
	var keys []string
	for _, v := range values {
		if m, ok := v.(map[string]any); ok {
			keys = append(keys, mapKeys(m)...)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
