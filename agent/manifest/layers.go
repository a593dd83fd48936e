package manifest

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
)

// layer is one place of the repository that sets values for templates. Later
// layers lie over earlier ones.
type layer struct {
	name   string // as people call it, such as "role web"
	file   string
	node   *yaml.Node // the mapping, nil when it is empty
	values map[string]any
}

// layer reads the mapping at a node as one.
func (d *document) layer(n *yaml.Node, name, what string) layer {
	return layer{name: name, file: d.file, node: n, values: d.vars(n, what)}
}

// layers gives everything that sets values for a host, in order.
func (r *repo) layers(roles []string, ofFleet []layer, host string) []layer {
	out := []layer{r.varsFile("vars.yaml", "every host")}
	for _, role := range roles {
		out = append(out, r.varsFile(roleVars(role), "role "+role))
	}
	out = append(out, ofFleet...)
	if fs.ValidPath(hostVars(host)) {
		out = append(out, r.varsFile(hostVars(host), "host "+host))
	}
	return out
}

// varsFile reads a file of values; a missing one is an empty layer.
func (r *repo) varsFile(file, name string) layer {
	return once(r, "vars "+file, func() layer {
		d := r.document(file)
		if d == nil || d.root == nil {
			return layer{name: name, file: file, values: map[string]any{}}
		}
		return d.layer(d.root, name, file)
	})
}

// merged puts layers over each other.
func merged(layers []layer) map[string]any {
	vars := map[string]any{}
	for _, l := range layers {
		vars = merge(vars, l.values)
	}
	return vars
}

// merge lays one layer of vars over another: maps merge deeply, everything else
// is replaced. Neither layer is changed.
func merge(under, over map[string]any) map[string]any {
	out := make(map[string]any, len(under)+len(over))
	for k, v := range under {
		out[k] = v
	}
	for k, v := range over {
		below, wasMap := out[k].(map[string]any)
		above, isMap := v.(map[string]any)
		if wasMap && isMap {
			out[k] = merge(below, above)
			continue
		}
		out[k] = v
	}
	return out
}

// find follows a path of keys, and of indexes of lists, as far as the layer
// goes: to the value itself, or to something above it that is no mapping and so
// replaces all that earlier layers have there. depth says how much of the path
// was followed; key is nil for an element of a list.
func (l layer) find(path []string) (key, value *yaml.Node, depth int) {
	if l.node == nil {
		return nil, nil, 0
	}
	at := resolve(l.node)
	for depth < len(path) {
		k, v := child(at, path[depth])
		if v == nil {
			if at.Kind == yaml.MappingNode {
				return nil, nil, depth // the layer says nothing about it
			}
			break
		}
		key, value, depth, at = k, v, depth+1, resolve(v)
	}
	return key, value, depth
}

// child gives one value of a mapping, with its key, or one element of a list.
func child(n *yaml.Node, name string) (key, value *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i], n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Content) {
			return nil, n.Content[i]
		}
	}
	return nil, nil
}

// place is where the layer begins.
func (l layer) place() plan.Place {
	if l.node == nil || l.file != fleetFile {
		return plan.Place{File: l.file}
	}
	return plan.Place{File: l.file, Line: l.node.Line}
}

// setting says what one layer sets at a path, or above it.
func (l layer) setting(path []string) (Setting, bool) {
	key, value, depth := l.find(path)
	if key == nil {
		return Setting{}, false
	}
	return Setting{
		Name:  strings.Join(path[:depth], "."),
		Place: plan.Place{File: l.file, Line: key.Line},
		Layer: l.name,
		Text:  asWritten(value),
	}, true
}

// maxWritten is how much of a value is shown.
const maxWritten = 80

// armoured marks a value that is encrypted in the repository.
const armoured = "-----BEGIN AGE ENCRYPTED FILE-----"

// asWritten shows a value as the repository has it, in one line. It is taken
// from the file, so what is encrypted there is not shown in clear.
func asWritten(n *yaml.Node) string {
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		return fmt.Sprintf("a mapping with %d keys", len(n.Content)/2)
	case yaml.SequenceNode:
		if len(n.Content) > 10 {
			return fmt.Sprintf("a list with %d elements", len(n.Content))
		}
		words := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item = resolve(item); item.Kind != yaml.ScalarNode {
				return fmt.Sprintf("a list with %d elements", len(n.Content))
			}
			words[i] = asWritten(item)
		}
		return cut("["+strings.Join(words, ", ")+"]", maxWritten)
	}
	switch {
	case strings.Contains(n.Value, armoured):
		return "<secret>"
	case n.ShortTag() == "!!str":
		return cut(strconv.Quote(n.Value), maxWritten)
	case n.Value == "":
		return "null"
	}
	return cut(n.Value, maxWritten)
}

// cut shortens a text for people.
func cut(s string, length int) string {
	if runes := []rune(s); len(runes) > length {
		return string(runes[:length]) + "..."
	}
	return s
}
