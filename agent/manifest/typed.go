package manifest

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
)

// typed checks the values of a host against the schema of one of its roles. A
// wrong value is a problem where it is set, a missing one where the schema asks
// for it. No value is ever quoted: it may be a secret.
func (r *repo) typed(s *schema, layers []layer, d data) {
	if s == nil {
		return
	}
	vars := d.vars
	if s.tooLong(vars) {
		r.c.add(Problem{File: s.file, Line: s.node.Line, Message: "the schema takes too long to check: its parts refer to each other too often"})
		return
	}
	violation, err := s.validate(vars)
	if err != nil {
		r.c.add(Problem{File: s.file, Line: s.node.Line, Message: fmt.Sprintf("the schema cannot be used: %v", err)})
		return
	}
	for _, v := range leavesOf(violation) {
		if d.excuses(v) {
			continue
		}
		for _, p := range s.problems(v, layers, vars) {
			p.role = s.role
			r.c.add(p)
		}
	}
}

func (s *schema) validate(vars map[string]any) (violation *jsonschema.ValidationError, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("it is too strange")
		}
	}()
	if err := s.compiled.Validate(vars); err != nil && !errors.As(err, &violation) {
		return nil, err
	}
	return violation, nil
}

// leavesOf gives the single violations. Of the forms of an anyOf or oneOf, those
// that are for another type of value do not count: when that leaves one, its
// violations are meant.
func leavesOf(v *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if v == nil {
		return nil
	}
	var causes []*jsonschema.ValidationError
	switch k := v.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		causes = v.Causes
	case *kind.AnyOf:
		causes = meant(v)
	case *kind.OneOf:
		if len(k.Subschemas) == 0 {
			causes = meant(v)
		}
	}
	if len(causes) == 0 {
		return []*jsonschema.ValidationError{v}
	}
	var out []*jsonschema.ValidationError
	for _, cause := range causes {
		out = append(out, leavesOf(cause)...)
	}
	return out
}

func meant(v *jsonschema.ValidationError) []*jsonschema.ValidationError {
	var forms []*jsonschema.ValidationError
	for _, cause := range v.Causes {
		first := firstLeaf(cause)
		_, otherType := first.ErrorKind.(*kind.Type)
		if !otherType || len(first.InstanceLocation) > len(v.InstanceLocation) {
			forms = append(forms, cause)
		}
	}
	if len(forms) == 1 {
		return forms
	}
	return nil
}

// firstLeaf gives one violation below another.
func firstLeaf(v *jsonschema.ValidationError) *jsonschema.ValidationError {
	for len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	return v
}

// problems says what one violation is, and where.
func (s *schema) problems(v *jsonschema.ValidationError, layers []layer, vars map[string]any) []Problem {
	asks := schemaPointer(v.SchemaURL)
	switch k := v.ErrorKind.(type) {
	case *kind.Required:
		var out []Problem
		for _, name := range k.Missing {
			out = append(out, s.missing(v.InstanceLocation, name, asks+"/required", layers, vars))
		}
		return out
	case *kind.DependentRequired:
		var out []Problem
		for _, name := range k.Missing {
			p := s.missing(v.InstanceLocation, name, asks+pointerOf([]string{"dependentRequired", k.Prop}), layers, vars)
			p.Message += fmt.Sprintf(", although %s is set", dotted(v.InstanceLocation, k.Prop))
			out = append(out, p)
		}
		return out
	case *kind.AdditionalProperties:
		slices.Sort(k.Properties)
		var out []Problem
		for _, name := range k.Properties {
			out = append(out, s.unknown(v.InstanceLocation, name, asks, layers))
		}
		return out
	case *kind.PropertyNames:
		// The library's place of these is not reliable.
		return []Problem{{
			File: s.file, Line: s.at(asks).Line, doubt: doubtSet,
			Message: fmt.Sprintf("the name of the value %q is not as propertyNames: asks for", k.Property),
		}}
	}
	at, n := s.where(v.InstanceLocation, layers)
	what, hint := complaint(v, n)
	return []Problem{{
		File: at.File, Line: n.Line, Col: n.Column, doubt: doubtSet,
		Message: nameOr(v.InstanceLocation, everything) + " " + what, Hint: s.asked(asks, hint),
	}}
}

// where finds the node that sets a value for good: that of the highest layer
// which says anything about it. What no single layer sets is put at the schema.
func (s *schema) where(path []string, layers []layer) (plan.Place, *yaml.Node) {
	if len(path) > 0 {
		for _, l := range slices.Backward(layers) {
			if _, value, _ := l.find(path); value != nil {
				return plan.Place{File: l.file}, value
			}
		}
	}
	return plan.Place{File: s.file}, s.node
}

// missing reports a value that a schema asks for. Only the element itself can
// give what is missing in an element of a list, so it is blamed there.
func (s *schema) missing(above []string, name, asks string, layers []layer, vars map[string]any) Problem {
	n := s.at(asks)
	for _, item := range n.Content {
		if item.Value == name {
			n = item
		}
	}
	p := Problem{File: s.file, Line: n.Line, Col: n.Column, doubt: doubtValue}
	p.Message = fmt.Sprintf("the role %q needs the value %s, and nothing sets it", s.role, dotted(above, name))
	p.Hint = fmt.Sprintf("set it in vars.yaml, %s, vars: of an entry of fleet.yaml, or hosts/NAME.yaml", roleVars(s.role))
	at, element := s.where(above, layers)
	if inList(above, vars) {
		p.File, p.Line, p.Col = at.File, element.Line, element.Column
		p.Message = fmt.Sprintf("%s has no %q", nameOr(above, everything), name)
		p.Hint = s.asked(asks, "")
	}
	if near := nearest(name, mapKeys(mappingAt(above, vars))); near != "" {
		at, value := s.where(append(slices.Clip(above), near), layers)
		p.Hint = fmt.Sprintf("did you mean %s, which %s:%d sets?", dotted(above, near), at.File, value.Line)
	}
	return p
}

// inList reports whether a path goes through a list.
func inList(path []string, vars map[string]any) bool {
	at := any(vars)
	for _, part := range path {
		m, ok := at.(map[string]any)
		if !ok {
			return true
		}
		at = m[part]
	}
	return false
}

// mappingAt gives the mapping that a path leads to, empty when it is none.
func mappingAt(path []string, vars map[string]any) map[string]any {
	at := any(vars)
	for _, part := range path {
		m, _ := at.(map[string]any)
		at = m[part]
	}
	m, _ := at.(map[string]any)
	return m
}

// unknown reports a value that a schema has no place for.
func (s *schema) unknown(above []string, name, asks string, layers []layer) Problem {
	path := append(slices.Clip(above), name)
	at, n := s.where(path, layers)
	for _, l := range slices.Backward(layers) {
		if key, _, depth := l.find(path); key != nil && depth == len(path) {
			at, n = plan.Place{File: l.file}, key
			break
		}
	}
	var known []string
	if _, properties := child(s.at(asks), "properties"); properties != nil {
		for i := 0; i+1 < len(resolve(properties).Content); i += 2 {
			known = append(known, resolve(properties).Content[i].Value)
		}
	}
	hint := didYouMean(name, known)
	if hint == "" && len(above) == 0 {
		hint = "all roles of a host see the same values: leave additionalProperties: false away at the top"
	}
	return Problem{
		File: at.File, Line: n.Line, Col: n.Column, doubt: doubtSet, Hint: s.asked(asks, hint),
		Message: fmt.Sprintf("the role %q does not know the value %s", s.role, dotted(above, name)),
	}
}

// everything stands where the values as a whole are not as they should be.
const everything = "the mapping of all values"

// asked adds the line of the schema to a hint.
func (s *schema) asked(pointer, hint string) string {
	place := "asked for in " + spot(s.place(pointer))
	if hint == "" {
		return place
	}
	return hint + "; " + place
}

// dotted is the name of a value, as templates write it without .vars.
func dotted(above []string, name string) string {
	return strings.Join(append(slices.Clip(above), name), ".")
}

func nameOr(path []string, otherwise string) string {
	if len(path) == 0 {
		return otherwise
	}
	return strings.Join(path, ".")
}

// schemaPointer takes the JSON pointer out of the library's address of a part.
func schemaPointer(address string) string {
	_, fragment, _ := strings.Cut(address, "#")
	pointer, err := url.PathUnescape(fragment)
	if err != nil {
		return fragment
	}
	return pointer
}
