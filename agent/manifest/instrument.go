package manifest

import (
	"fmt"
	"slices"
	"strings"
	syntax "text/template/parse"
)

// Names of the functions that instrument puts into templates. No template can
// name them: they are not known while it is parsed.
const (
	atName    = "_at"
	outName   = "_out"
	enterName = "_enter"
	leaveName = "_leave"
)

// instrument adds to the parsed trees what text/template has no hook for: each
// list of actions counts its work and notes that it was gone through, each
// printed value passes through out, and each defined template counts how deep
// the calls are.
//
// It gives the names of the functions that the trees call.
func (p *parsed) instrument(trees map[string]*syntax.Tree) (called map[string]bool) {
	called = map[string]bool{atName: true, outName: true}
	for _, name := range mapKeysOf(trees) {
		root := trees[name].Root
		p.list(root, root.Pos, called)
		if name != mainName {
			called[enterName], called[leaveName] = true, true
			root.Nodes = append(append([]syntax.Node{actionNode(root.Pos, enterName, textNode(name))}, root.Nodes...), actionNode(root.Pos, leaveName))
		}
	}
	return called
}

// list goes over a list of actions; from is where a fault of its work is
// reported.
func (p *parsed) list(l *syntax.ListNode, from syntax.Pos, called map[string]bool) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *syntax.ActionNode:
			calls(n.Pipe, called)
			if len(n.Pipe.Decl) == 0 {
				out := commandNode(startOf(n.Pipe), outName, integerNode(len(p.prints)))
				p.prints = append(p.prints, n.Pipe)
				n.Pipe.Cmds = append(n.Pipe.Cmds, out)
			}
		case *syntax.IfNode:
			p.branch(&n.BranchNode, called)
		case *syntax.WithNode:
			p.branch(&n.BranchNode, called)
		case *syntax.RangeNode:
			p.branch(&n.BranchNode, called)
		case *syntax.TemplateNode:
			calls(n.Pipe, called)
		}
	}
	id := len(p.cost)
	p.cost = append(p.cost, workOfAction*int64(1+len(l.Nodes)))
	p.seen = append(p.seen, false)
	p.ids[l] = id
	l.Nodes = append([]syntax.Node{actionNode(from, atName, integerNode(id))}, l.Nodes...)
}

func (p *parsed) branch(n *syntax.BranchNode, called map[string]bool) {
	calls(n.Pipe, called)
	p.list(n.List, startOf(n.Pipe), called)
	p.list(n.ElseList, startOf(n.Pipe), called)
}

// calls notes the functions that a pipeline calls.
func calls(n syntax.Node, called map[string]bool) {
	switch n := n.(type) {
	case *syntax.PipeNode:
		if n == nil {
			return
		}
		for _, c := range n.Cmds {
			for _, arg := range c.Args {
				calls(arg, called)
			}
		}
	case *syntax.ChainNode:
		calls(n.Node, called)
	case *syntax.IdentifierNode:
		called[n.Ident] = true
	}
}

// startOf is where a pipeline begins in the text. text/template puts a chain of
// keys at its second one.
func startOf(pipe *syntax.PipeNode) syntax.Pos {
	switch n := pipe.Cmds[0].Args[0].(type) {
	case *syntax.FieldNode:
		if len(n.Ident) > 1 {
			return n.Pos - syntax.Pos(len("."+n.Ident[0]))
		}
	case *syntax.VariableNode:
		if len(n.Ident) > 1 {
			return n.Pos - syntax.Pos(len(n.Ident[0]))
		}
	}
	return pipe.Cmds[0].Args[0].Position()
}

func actionNode(pos syntax.Pos, name string, args ...syntax.Node) *syntax.ActionNode {
	pipe := &syntax.PipeNode{NodeType: syntax.NodePipe, Cmds: []*syntax.CommandNode{commandNode(pos, name, args...)}}
	return &syntax.ActionNode{NodeType: syntax.NodeAction, Pipe: pipe}
}

func commandNode(pos syntax.Pos, name string, args ...syntax.Node) *syntax.CommandNode {
	return &syntax.CommandNode{NodeType: syntax.NodeCommand, Pos: pos, Args: append([]syntax.Node{syntax.NewIdentifier(name)}, args...)}
}

func integerNode(n int) syntax.Node {
	return &syntax.NumberNode{NodeType: syntax.NodeNumber, IsInt: true, Int64: int64(n), Text: fmt.Sprint(n)}
}

func textNode(s string) syntax.Node {
	return &syntax.StringNode{NodeType: syntax.NodeString, Quoted: fmt.Sprintf("%q", s), Text: s}
}

// isOwn reports whether a node was put in by instrument.
func isOwn(n syntax.Node) bool {
	id, ok := n.(*syntax.IdentifierNode)
	return ok && strings.HasPrefix(id.Ident, "_")
}

// at counts the work of going through a list of actions.
func (r *renderer) at(id int) string {
	t := r.running[len(r.running)-1]
	t.seen[id] = true
	r.meter.charge(t.cost[id])
	return ""
}

// out is the last step of each printed value.
func (r *renderer) out(id int, v any) string {
	if v == nil {
		t := r.running[len(r.running)-1]
		panic(&callError{fault: fmt.Sprintf("<%s> is null", printed(t.prints[id])), hint: "give the value, or use default", doubt: doubtValue})
	}
	return r.meter.str(v)
}

// printed is a pipeline as it is written in the template.
func printed(pipe *syntax.PipeNode) string {
	plain := *pipe
	plain.Cmds = plain.Cmds[:len(plain.Cmds)-1]
	return plain.String()
}

// enter and leave stand at the ends of each defined template.
func (r *renderer) enter(name string) (string, error) {
	if len(r.calls) > maxCalls {
		return "", tooDeep(append(r.calls, name))
	}
	r.calls = append(r.calls, name)
	return "", nil
}

func (r *renderer) leave() string {
	r.calls = r.calls[:len(r.calls)-1]
	return ""
}

func tooDeep(calls []string) error {
	return &callError{fault: fmt.Sprintf("templates call each other more than %d deep: %s", maxCalls, chain(calls)), deep: true}
}

// chain names templates that call each other, up to where it begins anew.
func chain(calls []string) string {
	for i, name := range calls {
		if again := slices.Index(calls[i+1:], name); again >= 0 {
			return strings.Join(calls[:i+again+2], " > ")
		}
	}
	return strings.Join(calls, " > ")
}
