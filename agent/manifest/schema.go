package manifest

import (
	"errors"
	"fmt"
	"net/url"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
)

// Bounds on the schema of one role. What a schema costs to validate can grow
// exponentially with its length: two references in each of 40 definitions.
const (
	maxLetters     = 200_000   // of all regular expressions
	maxSchemas     = 1000      // subschemas of one role
	maxEvaluations = 2_000_000 // of a subschema against a value
)

// schemaURL is the address under which a role's schema is known to the library.
// Nothing is ever loaded from an address.
const schemaURL = "evenkeel:///schema"

// draft is the version of JSON Schema; others are refused.
const draft = "https://json-schema.org/draft/2020-12/schema"

// schema is what a role asks of the values for its templates.
type schema struct {
	role     string
	file     string
	node     *yaml.Node
	compiled *jsonschema.Schema
	parts    map[string]*schemaPart // by JSON pointer
}

// schemaPart is one subschema, with the pointers of those that it applies.
type schemaPart struct {
	here  []string // to the same value
	below []string // to something in the value
}

// How the value of a keyword holds subschemas.
type shape int

const (
	holdsNone shape = iota
	holdsOne
	holdsList
	holdsMap
)

type keyword struct {
	holds shape
	here  bool // the subschemas apply to the same value, not to one in it
}

// schemaKeywords are the keywords of JSON Schema that a role may use. Left out
// are those that only make sense across documents ($id, $anchor, $dynamicRef)
// and those that no template value has a use for (content...).
func schemaKeywords() map[string]keyword {
	words := map[string]keyword{
		"items": {holds: holdsOne}, "prefixItems": {holds: holdsList}, "contains": {holds: holdsOne},
		"properties": {holds: holdsMap}, "patternProperties": {holds: holdsMap}, "additionalProperties": {holds: holdsOne},
		"propertyNames": {holds: holdsOne}, "unevaluatedProperties": {holds: holdsOne}, "unevaluatedItems": {holds: holdsOne},
		"allOf": {holdsList, true}, "anyOf": {holdsList, true}, "oneOf": {holdsList, true}, "not": {holdsOne, true},
		"if": {holdsOne, true}, "then": {holdsOne, true}, "else": {holdsOne, true}, "dependentSchemas": {holdsMap, true},
		"$defs": {holds: holdsMap},
	}
	for _, plain := range []string{
		"$schema", "$ref", "$comment", "title", "description", "examples", "deprecated", "type", "enum", "const", "format",
		"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
		"minItems", "maxItems", "uniqueItems", "minContains", "maxContains", "minProperties", "maxProperties",
		"required", "dependentRequired",
	} {
		words[plain] = keyword{}
	}
	return words
}

// schemaFormats are the values of format: that are checked. JSON Schema ignores
// others, which here is a fault.
func schemaFormats() []string {
	return []string{
		"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "json-pointer", "semver", "time",
		"uri", "uri-reference", "uuid",
	}
}

// schema reads and checks the schema of a role; nil when it cannot be used.
func (d *document) schema(n *yaml.Node, role string) *schema {
	s := &schema{role: role, file: d.file, node: resolve(n), parts: map[string]*schemaPart{}}
	faults := len(d.c.list)
	d.exact = true
	value := d.value(n, 1)
	d.exact = false
	if len(d.c.list) > faults {
		return nil
	}
	reader := schemaReader{document: d, schema: s, keywords: schemaKeywords(), letters: maxLetters}
	reader.part(s.node, "")
	reader.references()
	if len(d.c.list) > faults {
		return nil
	}
	if at, loops := s.loop(); loops {
		d.problem(s.at(at), "", "the schema refers to itself without end")
		return nil
	}
	if err := s.compile(value); err != nil {
		d.schemaFaults(s, err)
		return nil
	}
	return s
}

// compile hands the schema to the library. A panic in there is a fault of the
// schema: it may come from anybody.
func (s *schema) compile(value any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("it is too strange")
		}
	}()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if err := c.AddResource(schemaURL, value); err != nil {
		return err
	}
	s.compiled, err = c.Compile(schemaURL)
	return err
}

// schemaFaults reports what the library has against a schema.
func (d *document) schemaFaults(s *schema, err error) {
	var invalid *jsonschema.SchemaValidationError
	var violation *jsonschema.ValidationError
	if !errors.As(err, &invalid) || !errors.As(invalid.Err, &violation) {
		d.problem(s.node, "", "the schema cannot be used: %v", err)
		return
	}
	for _, v := range leavesOf(violation) {
		n := s.at(pointerOf(v.InstanceLocation))
		what, hint := complaint(v, n)
		d.problem(n, hint, "the schema is not valid: %s %s", nameOr(v.InstanceLocation, "it"), what)
	}
}

// schemaReader goes over a schema for what the library would ignore, load from
// somewhere, or not survive.
type schemaReader struct {
	*document
	*schema
	keywords map[string]keyword
	letters  int // how large expressions may still be
	refs     []*yaml.Node
	from     []string // the pointer of the part that has the reference
}

// part reads one subschema.
func (r *schemaReader) part(n *yaml.Node, pointer string) {
	n = resolve(n)
	if len(r.parts) == maxSchemas {
		r.problem(n, "", "the schema of a role has more than %d parts", maxSchemas)
	}
	p := &schemaPart{}
	r.parts[pointer] = p
	if len(r.parts) > maxSchemas || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.problem(n, "such as {type: string}", "a schema must be a mapping, found %s", kindOf(n))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		word, ok := r.keywords[key.Value]
		if !ok {
			r.unknownKeyword(key)
			continue
		}
		below := r.below(key.Value, word.holds, value, pointer)
		switch {
		case key.Value == "$defs":
		case word.here:
			p.here = append(p.here, below...)
		default:
			p.below = append(p.below, below...)
		}
		r.plain(key.Value, value, pointer)
	}
}

// below reads the subschemas in the value of a keyword and gives their pointers.
func (r *schemaReader) below(word string, how shape, value *yaml.Node, pointer string) []string {
	var out []string
	add := func(n *yaml.Node, parts ...string) {
		at := pointer + pointerOf(parts)
		out = append(out, at)
		r.part(n, at)
	}
	switch {
	case how == holdsOne:
		add(value, word)
	case how == holdsList && value.Kind == yaml.SequenceNode:
		for i, item := range value.Content {
			add(item, word, strconv.Itoa(i))
		}
	case how == holdsMap && value.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(value.Content); i += 2 {
			add(value.Content[i+1], word, value.Content[i].Value)
			if word == "patternProperties" {
				r.expression(value.Content[i])
			}
		}
	} // anything else the library reports
	return out
}

func (r *schemaReader) unknownKeyword(key *yaml.Node) {
	hint := "evenkeel.yaml(5) lists those that are known"
	known := append(mapKeysOf(r.keywords), "default")
	switch near := nearest(key.Value, known); {
	case key.Value == "default" || near == "default":
		hint = "a value that holds when nothing else is set stands in " + roleVars(r.role)
	case key.Value == "definitions":
		hint = "write $defs"
	case near != "":
		hint = didYouMean(key.Value, known)
	}
	r.problem(key, hint, "unknown keyword %q in a schema", key.Value)
}

// plain checks what JSON Schema would let pass in silence.
func (r *schemaReader) plain(word string, value *yaml.Node, pointer string) {
	if value.Kind != yaml.ScalarNode || value.ShortTag() != "!!str" {
		return // the library says so where it must be text
	}
	switch word {
	case "$schema":
		if strings.TrimSuffix(value.Value, "#") != draft {
			r.problem(value, "leave it away, or write "+draft, "only draft 2020-12 of JSON Schema is known")
		}
	case "$ref":
		r.refs, r.from = append(r.refs, value), append(r.from, pointer)
	case "format":
		if !contains(schemaFormats(), value.Value) {
			hint := didYouMean(value.Value, schemaFormats())
			if hint == "" {
				hint = "known: " + strings.Join(schemaFormats(), ", ")
			}
			r.problem(value, hint, "unknown format %q", value.Value)
		}
	case "pattern":
		r.expression(value)
	}
}

func (r *schemaReader) expression(n *yaml.Node) {
	re, err := syntax.Parse(n.Value, syntax.Perl)
	if err != nil {
		r.problem(n, "expressions are those of Go: no look-ahead, no back-references", "%q is not a regular expression", n.Value)
		return
	}
	if r.letters -= weightOf(re); r.letters < 0 {
		r.problem(n, `repeat fewer times, or a smaller class than \pL`, "the expressions of the schema are too large")
		r.letters = maxLetters
	}
}

// weightOf is how many ranges of letters an expression has, once its repetitions
// are written out: what it takes in memory.
func weightOf(re *syntax.Regexp) int {
	weight := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		weight = min(weight+weightOf(sub), maxLetters+1)
	}
	if re.Op == syntax.OpRepeat {
		weight *= max(re.Min, re.Max, 1)
	}
	return min(weight, maxLetters+1)
}

// references checks that every $ref leads to a part of the same schema.
func (r *schemaReader) references() {
	for i, n := range r.refs {
		fragment, ok := strings.CutPrefix(n.Value, "#")
		if !ok {
			r.problem(n, "nothing is loaded from elsewhere", `$ref must lead to a part of the same schema, such as "#/$defs/port"`)
			continue
		}
		pointer, err := url.PathUnescape(fragment)
		if _, there := r.parts[pointer]; err != nil || !there {
			hint := ""
			if near := nearest(pointer, mapKeysOf(r.parts)); near != "" {
				hint = fmt.Sprintf("did you mean %q?", "#"+near)
			}
			r.problem(n, hint, "the schema has no part %q", n.Value)
			continue
		}
		from := r.parts[r.from[i]]
		from.here = append(from.here, pointer)
	}
}

// at gives the node of the schema to which a JSON pointer leads, or the last one
// on the way.
func (s *schema) at(pointer string) *yaml.Node {
	n := s.node
	for _, token := range tokensOf(pointer) {
		_, next := child(n, token)
		if next == nil {
			break
		}
		n = resolve(next)
	}
	return n
}

func (s *schema) place(pointer string) plan.Place {
	return plan.Place{File: s.file, Line: s.at(pointer).Line}
}

// pointerOf writes a JSON pointer.
func pointerOf(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(t))
	}
	return b.String()
}

// tokensOf takes a JSON pointer apart.
func tokensOf(pointer string) []string {
	if pointer == "" {
		return nil
	}
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, t := range tokens {
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
	}
	return tokens
}

func mapKeysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
