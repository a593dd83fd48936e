package manifest

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
)

// complaint says what is wrong with the value at a node, in our own words: those
// of the library quote it. What the schema says may be quoted.
func complaint(v *jsonschema.ValidationError, n *yaml.Node) (what, hint string) {
	switch k := v.ErrorKind.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, found %s", typeNames(k.Want), kindOf(n)), typeHint(k.Want, n)
	case *kind.Enum:
		if isSealed(resolve(n).Value) {
			return "must be one of " + choices(k.Want), "" // the nearest one is nearly the secret
		}
		return "must be one of " + choices(k.Want), nearestChoice(k.Got, k.Want)
	case *kind.Const:
		return "must be " + choices([]any{k.Want}), ""
	case *kind.Format:
		return "is not of the format " + k.Want, formatExample(k.Want)
	case *kind.Pattern:
		return "does not match the pattern " + k.Want, ""
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %s", many(k.Want, "character")), ""
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %s", many(k.Want, "character")), ""
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %s", many(k.Want, "element")), ""
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %s", many(k.Want, "element")), ""
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %s", many(k.Want, "key")), ""
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %s", many(k.Want, "key")), ""
	case *kind.UniqueItems:
		return fmt.Sprintf("has the same element twice, at %d and %d", k.Duplicates[0]+1, k.Duplicates[1]+1), ""
	case *kind.Minimum:
		return "must be at least " + decimal(k.Want), ""
	case *kind.Maximum:
		return "must be at most " + decimal(k.Want), ""
	case *kind.ExclusiveMinimum:
		return "must be more than " + decimal(k.Want), ""
	case *kind.ExclusiveMaximum:
		return "must be less than " + decimal(k.Want), ""
	case *kind.MultipleOf:
		return "must be a multiple of " + decimal(k.Want), ""
	case *kind.Contains, *kind.MinContains:
		return "has too few elements of the kind that contains: wants", ""
	case *kind.MaxContains:
		return "has too many elements of the kind that contains: wants", ""
	case *kind.FalseSchema:
		return "may not be set", ""
	case *kind.Not:
		return "is what not: excludes", ""
	case *kind.AnyOf:
		return fmt.Sprintf("is like none of the %d forms that anyOf: allows", len(v.Causes)), ""
	case *kind.OneOf:
		if len(k.Subschemas) > 1 {
			return fmt.Sprintf("is like two forms of oneOf: at once, number %d and number %d", k.Subschemas[0]+1, k.Subschemas[1]+1), ""
		}
		return fmt.Sprintf("is like none of the %d forms that oneOf: allows", len(v.Causes)), ""
	}
	return "is not as the schema says", ""
}

// typeNames writes JSON Schema's types in the words of kindOf.
func typeNames(types []string) string {
	words := map[string]string{
		"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false",
		"array": "a list", "object": "a mapping", "null": "null",
	}
	var out []string
	for _, t := range types {
		out = append(out, words[t])
	}
	slices.Sort(out)
	return strings.Join(out, " or ")
}

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// typeHint says how the line would be right, where a slip is likely.
func typeHint(want []string, n *yaml.Node) string {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
	switch tag := n.ShortTag(); {
	case contains(want, "string") && (tag == "!!int" || tag == "!!float" || tag == "!!bool"):
		return "put it in quotes"
	case quoted && (contains(want, "integer") || contains(want, "number")) && wholeNumber.MatchString(n.Value):
		return "leave the quotes away"
	case quoted && contains(want, "boolean") && (n.Value == "true" || n.Value == "false"):
		return "leave the quotes away"
	case contains(want, "boolean") && contains([]string{"yes", "no", "on", "off"}, strings.ToLower(n.Value)):
		return "write true or false"
	case contains(want, "array") && tag != "!!null":
		return "put it in [ ]"
	}
	return ""
}

// choices writes values of the schema.
func choices(values []any) string {
	var out []string
	for _, v := range values {
		text, err := toJSON(v)
		if err != nil {
			text = "?"
		}
		out = append(out, cut(text, maxWritten))
	}
	const most = 20
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("and %d more", len(out)-most))
	}
	return strings.Join(out, ", ")
}

// nearestChoice guesses which of the schema's values was meant.
func nearestChoice(got any, want []any) string {
	text, ok := got.(string)
	if !ok {
		return ""
	}
	var known []string
	for _, w := range want {
		if s, ok := w.(string); ok {
			known = append(known, s)
		}
	}
	return didYouMean(text, known)
}

func formatExample(format string) string {
	examples := map[string]string{
		"date": "2026-01-31", "date-time": "2026-01-31T08:00:00Z", "time": "08:00:00Z", "duration": "PT1H30M", "email": "ops@example.org",
		"hostname": "db.example.org", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "uri": "https://example.org/x",
		"uuid": "123e4567-e89b-12d3-a456-426614174000", "semver": "1.2.3",
	}
	if example, ok := examples[format]; ok {
		return "such as " + example
	}
	return ""
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// decimal writes a number of the schema.
func decimal(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	return strings.TrimRight(r.FloatString(10), "0")
}
