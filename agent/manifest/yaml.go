package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on one YAML file. Nobody writes these by hand; an anchor bomb does.
const (
	maxYAMLBytes = 1 << 20
	maxYAMLDepth = 64
	maxYAMLNodes = 100_000 // after aliases are followed
)

// yamlFault takes the place out of the parser's message.
var yamlFault = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// document is one parsed YAML file; its methods report what is wrong with a
// node at the node's place and go on.
type document struct {
	file  string
	root  *yaml.Node // nil when the file is empty or could not be read
	c     *collector
	nodes int  // how many nodes have been turned into values, aliases followed
	exact bool // numbers are compared and not printed, so any way to write them does
}

// parse reads a YAML file of one document. A file that cannot be parsed is a
// problem and gives a document without a root.
func parse(file string, text []byte, c *collector) *document {
	d := &document{file: file, c: c}
	if len(text) > maxYAMLBytes {
		c.add(Problem{File: file, Message: fmt.Sprintf("the file has %d bytes, more than the %d allowed", len(text), maxYAMLBytes)})
		return d
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := decode(dec, &doc); errors.Is(err, io.EOF) {
		return d
	} else if err != nil {
		c.add(syntaxProblem(file, text, err))
		return d
	}
	var second yaml.Node
	if err := decode(dec, &second); err == nil {
		c.add(Problem{File: file, Line: second.Line, Message: "a second document starts here", Hint: "one document a file; remove the ---"})
		return d
	} else if !errors.Is(err, io.EOF) {
		c.add(syntaxProblem(file, text, err))
		return d
	}
	if len(doc.Content) == 1 && !isNull(doc.Content[0]) {
		d.root = doc.Content[0]
	}
	return d
}

// decode is dec.Decode for input that may come from anybody: a panic of the
// parser is a fault of the file, not of the agent.
func decode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("yaml: the file cannot be parsed")
		}
	}()
	return dec.Decode(n)
}

// unknownAnchor quotes a word of the file, which may be a secret.
var unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)

// grammar matches the messages of the parser proper, as against its scanner.
var grammar = regexp.MustCompile(`^did not find expected (<|node content|key|'-' indicator|',' or)`)

// indented matches those of them that come of a line with the wrong indentation. They name
// where the block begins that it stands in, which may be hundreds of lines before.
var indented = regexp.MustCompile(`^did not find expected (<|key|'-' indicator)`)

// firstFault is the line up to which a file must be read for the parser to say the same of it.
func firstFault(text []byte, fault error) int {
	_, says, _ := strings.Cut(fault.Error(), ": did")
	lines := bytes.SplitAfter(text, []byte("\n"))
	return 1 + sort.Search(len(lines)-1, func(n int) bool {
		err := decode(yaml.NewDecoder(bytes.NewReader(bytes.Join(lines[:n+1], nil))), new(yaml.Node))
		return err != nil && strings.HasSuffix(err.Error(), ": did"+says)
	})
}

func syntaxProblem(file string, text []byte, err error) Problem {
	if line, col, ok := tabbed(text); ok {
		return Problem{File: file, Line: line, Col: col, Message: "a tab cannot indent YAML", Hint: "write spaces instead, as many as the lines around have"}
	}
	m := yamlFault.FindStringSubmatch(err.Error())
	if m == nil {
		return Problem{File: file, Message: err.Error()}
	}
	line, _ := strconv.Atoi(m[1]) // 0 when the parser names none
	if grammar.MatchString(m[2]) || line == 0 {
		line++ // of those it counts lines from 0, and never names the first
	}
	if indented.MatchString(m[2]) {
		line = firstFault(text, err)
	}
	if anchor := unknownAnchor.FindStringSubmatch(m[2]); anchor != nil {
		before, _, _ := strings.Cut(string(text), "*"+anchor[1])
		line = 1 + strings.Count(before, "\n")
	}
	return Problem{File: file, Line: line, Message: "not valid YAML: " + unknownAnchor.ReplaceAllString(m[2], "unknown anchor"), Hint: yamlHint(m[2])}
}

// yamlHint says in plain words what the parser's commonest messages mean.
func yamlHint(message string) string {
	switch {
	case strings.Contains(message, "mapping values are not allowed"):
		return `a value with ": " in it must be quoted, and keys of one mapping must stand in one column`
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "did not find expected '-'"):
		return "look at the indentation here and in the line before"
	case strings.Contains(message, "',' or '}'"), strings.Contains(message, "',' or ']'"):
		return "a { or [ that opens here or before is not closed"
	case strings.Contains(message, "cannot start any token"):
		return "a value that starts with @, ` or % must be quoted"
	case strings.Contains(message, "unknown anchor"), strings.Contains(message, "did not find expected alphabetic"):
		return "a value that starts with * or & must be quoted"
	}
	return ""
}

// tabbed finds the first line that is indented with a tab, in a file that the
// parser has refused: block scalars of valid ones may hold such lines.
func tabbed(text []byte) (line, col int, found bool) {
	for i, l := range strings.Split(string(text), "\n") {
		indent := l[:len(l)-len(strings.TrimLeft(l, " \t"))]
		if at := strings.IndexByte(indent, '\t'); at >= 0 && len(indent) < len(l) {
			return i + 1, at + 1, true
		}
	}
	return 0, 0, false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// problem reports a fault at a node.
func (d *document) problem(n *yaml.Node, hint, format string, args ...any) {
	d.c.add(Problem{File: d.file, Line: n.Line, Col: n.Column, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// resolve follows an alias. The bound is a formality: an alias of an alias
// cannot be written.
func resolve(n *yaml.Node) *yaml.Node {
	for i := 0; i < maxYAMLDepth && n.Kind == yaml.AliasNode; i++ {
		n = n.Alias
	}
	return n
}

// pair is one key of a mapping with its value.
type pair struct {
	name       string
	key, value *yaml.Node
}

// pairs gives the keys of a mapping in the order of the file, reporting what is
// not a mapping, a key that is not plain text, and a key that is there twice.
func (d *document) pairs(n *yaml.Node, what string) []pair {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		d.problem(n, "", "%s must be a mapping of keys to values, found %s", what, kindOf(n))
		return nil
	}
	seen := map[string]*yaml.Node{}
	var out []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || isNull(key) {
			d.problem(key, "", "a key of %s must be text, found %s", what, kindOf(key))
			continue
		}
		if key.ShortTag() == "!!merge" {
			d.problem(key, "write the keys out, or use a layer of vars", "merge keys (<<) are not supported")
			continue
		}
		if first, ok := seen[key.Value]; ok {
			d.problem(key, "", "key %q is already there in line %d", key.Value, first.Line)
			continue
		}
		seen[key.Value] = key
		out = append(out, pair{key.Value, key, value})
	}
	return out
}

// fields gives the keys of a mapping that may only have known keys.
func (d *document) fields(n *yaml.Node, what string, keys []Key) map[string]pair {
	out, known := map[string]pair{}, keyNames(keys)
	for _, p := range d.pairs(n, what) {
		if !contains(known, p.name) {
			hint := didYouMean(p.name, known)
			if hint == "" {
				hint = "known here: " + strings.Join(known, ", ")
			}
			d.problem(p.key, hint, "unknown key %q in %s", p.name, what)
			continue
		}
		out[p.name] = p
	}
	return out
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// items gives the elements of a list.
func (d *document) items(n *yaml.Node, what string) []*yaml.Node {
	n = resolve(n)
	if n.Kind == yaml.SequenceNode {
		return n.Content
	}
	hint := ""
	switch {
	case n.Kind == yaml.ScalarNode && !isNull(n):
		hint = fmt.Sprintf("write [%s]", n.Value)
	case n.Kind == yaml.MappingNode:
		hint = `write "- " before each element`
	}
	d.problem(n, hint, "%s must be a list, found %s", what, kindOf(n))
	return nil
}

// text gives a scalar as it is written; numbers and booleans count, null does
// not.
func (d *document) text(n *yaml.Node, what string) (string, bool) {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.problem(n, "", "%s must be text, found %s", what, kindOf(n))
		return "", false
	}
	if strings.ContainsRune(n.Value, 0) {
		d.problem(n, "", "%s holds a NUL character", what)
		return "", false
	}
	return n.Value, true
}

// texts gives a list of scalars.
func (d *document) texts(n *yaml.Node, what string) []string {
	var out []string
	for _, item := range d.items(n, what) {
		if s, ok := d.text(item, "an element of "+what); ok {
			out = append(out, s)
		}
	}
	return out
}

// truth gives a boolean.
func (d *document) truth(n *yaml.Node, what string) (value, ok bool) {
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		return strings.EqualFold(n.Value, "true"), true
	}
	d.problem(n, "", "%s must be true or false, found %s", what, kindOf(n))
	return false, false
}

// kindOf names what stands at a node. Values of scalars are left out: they may
// be secrets.
func kindOf(n *yaml.Node) string {
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return "nothing"
		case "!!int", "!!float":
			return "a number"
		case "!!bool":
			return "true or false"
		}
		return "text"
	}
	return "nothing"
}
