package manifest

import (
	"slices"
	"strings"
	syntax "text/template/parse"
)

// ref is what is known of a value while going over a template: the keys that
// lead to it from the top, where element stands for any element.
type ref struct {
	path  []string
	known bool
}

const element = "*"

func (f ref) below(keys ...string) ref {
	if !f.known || len(f.path) > maxYAMLDepth { // no value is so deep: templates call each other
		return ref{}
	}
	return ref{append(slices.Clip(f.path), keys...), true}
}

// tracer goes over a template and follows what its dots and variables are, so
// that each field is known by its keys from the top: .host inside
// {{ with .vars.db }} is vars, db, host. Where a value comes out of a function
// nothing is known of it.
type tracer struct {
	partials map[string]*parsed
	all      bool                        // go through all lists, not only those that were
	used     func(path []string)         // a value goes into the output, or into a function
	tested   func(path []string)         // if, with or range look at it
	field    func(n syntax.Node, at ref) // a node asks for fields of a value
	left     int                         // bounds templates that call each other
	done     map[string]bool
}

// maxTrace bounds how many nodes are looked at.
const maxTrace = 20_000

func newTracer(partials map[string]*parsed) *tracer {
	return &tracer{
		partials: partials, left: maxTrace, done: map[string]bool{},
		used: func([]string) {}, tested: func([]string) {}, field: func(syntax.Node, ref) {},
	}
}

// template goes over one template of a parsed file, run with a dot.
func (t *tracer) template(p *parsed, name string, dot ref) {
	key := p.file + "\x00" + name + "\x00" + strings.Join(dot.path, "\x00")
	found := p.Lookup(name)
	if t.done[key] || found == nil || found.Tree == nil {
		return
	}
	t.done[key] = true
	t.list(p, found.Root, dot, map[string]ref{"$": dot})
}

func (t *tracer) list(p *parsed, l *syntax.ListNode, dot ref, vars map[string]ref) {
	if l == nil || !t.all && !p.seen[p.ids[l]] {
		return
	}
	scope := make(map[string]ref, len(vars))
	for k, v := range vars {
		scope[k] = v
	}
	for _, n := range l.Nodes {
		if t.left--; t.left < 0 {
			return
		}
		t.node(p, n, dot, scope)
	}
}

func (t *tracer) node(p *parsed, n syntax.Node, dot ref, vars map[string]ref) {
	switch n := n.(type) {
	case *syntax.ActionNode:
		t.pipe(p, n.Pipe, dot, vars, t.used)
	case *syntax.IfNode:
		t.pipe(p, n.Pipe, dot, vars, t.tested)
		t.list(p, n.List, dot, vars)
		t.list(p, n.ElseList, dot, vars)
	case *syntax.WithNode:
		t.list(p, n.List, t.pipe(p, n.Pipe, dot, vars, t.tested), vars)
		t.list(p, n.ElseList, dot, vars)
	case *syntax.RangeNode:
		over := t.pipe(p, n.Pipe, dot, vars, t.used)
		inside := map[string]ref{}
		for k, v := range vars {
			inside[k] = v
		}
		for i, d := range n.Pipe.Decl {
			inside[d.Ident[0]] = ref{}
			if i == len(n.Pipe.Decl)-1 {
				inside[d.Ident[0]] = over.below(element)
			}
		}
		t.list(p, n.List, over.below(element), inside)
		t.list(p, n.ElseList, dot, vars)
	case *syntax.TemplateNode:
		t.template(p, n.Name, t.pipe(p, n.Pipe, dot, vars, t.tested))
	}
}

// pipe gives what a pipeline comes to, and declares its variables.
func (t *tracer) pipe(p *parsed, pipe *syntax.PipeNode, dot ref, vars map[string]ref, use func([]string)) ref {
	if pipe == nil {
		return ref{}
	}
	var value ref
	for i, c := range pipe.Cmds {
		if isOwn(c.Args[0]) {
			break
		}
		if i > 0 && value.known {
			t.used(value.path)
		}
		value = t.command(p, c, dot, vars)
	}
	switch {
	case len(pipe.Decl) == 0:
	case pipe.IsAssign:
		use = t.used
		for _, d := range pipe.Decl {
			vars[d.Ident[0]] = ref{}
		}
	default:
		use = t.tested
		for _, d := range pipe.Decl {
			vars[d.Ident[0]] = value
		}
	}
	if value.known {
		use(value.path)
	}
	return value
}

// command gives what one call, or one plain value, comes to. Arguments of
// functions are used, but for those that only lead on to a key.
func (t *tracer) command(p *parsed, c *syntax.CommandNode, dot ref, vars map[string]ref) ref {
	if len(c.Args) == 1 {
		return t.value(p, c.Args[0], dot, vars)
	}
	var args []ref
	for _, a := range c.Args[1:] {
		args = append(args, t.value(p, a, dot, vars))
	}
	name := ""
	if id, ok := c.Args[0].(*syntax.IdentifierNode); ok {
		name = id.Ident
	} else {
		t.value(p, c.Args[0], dot, vars)
	}
	words := constants(c.Args[1:])
	switch {
	case name == "include" && len(args) == 2 && words[0] != "":
		if partial := t.partials[words[0]]; partial != nil {
			t.template(partial, mainName, args[1])
		}
		return ref{}
	case (name == "get" || name == "index") && len(args) == 2 && args[0].known && words[1] != "":
		return args[0].below(words[1])
	}
	for _, a := range args {
		if a.known {
			t.used(a.path)
		}
	}
	return ref{}
}

// constants gives those arguments that are texts written out.
func constants(args []syntax.Node) []string {
	out := make([]string, len(args))
	for i, a := range args {
		if s, ok := a.(*syntax.StringNode); ok {
			out[i] = s.Text
		}
	}
	return out
}

func (t *tracer) value(p *parsed, n syntax.Node, dot ref, vars map[string]ref) ref {
	switch n := n.(type) {
	case *syntax.DotNode:
		return dot
	case *syntax.FieldNode:
		t.field(n, dot)
		return dot.below(n.Ident...)
	case *syntax.VariableNode:
		at := vars[n.Ident[0]]
		t.field(n, at)
		return at.below(n.Ident[1:]...)
	case *syntax.ChainNode:
		at := t.value(p, n.Node, dot, vars)
		t.field(n, at)
		return at.below(n.Field...)
	case *syntax.PipeNode:
		return t.pipe(p, n, dot, vars, func([]string) {})
	}
	return ref{}
}

// readsOf lists what a template read while it ran: the keys of each value, from
// the top, sorted, each once. What was only looked at by if or with counts when
// it is no mapping.
func (p *parsed) readsOf(partials map[string]*parsed, values map[string]any) [][]string {
	found := map[string][]string{}
	add := func(path []string) {
		if i := slices.Index(path, element); i >= 0 {
			path = path[:i]
		}
		found[strings.Join(path, "\x00")] = slices.Clone(path)
	}
	t := newTracer(partials)
	t.used = add
	t.tested = func(path []string) {
		if _, isMap := valueAt(values, path).(map[string]any); !isMap {
			add(path)
		}
	}
	t.template(p, mainName, ref{known: true})
	var out [][]string
	for _, key := range mapKeysOf(found) {
		out = append(out, found[key])
	}
	return out
}
