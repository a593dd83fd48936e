package manifest

import (
	"maps"
	"slices"
	"strings"
)

// What keeps the check of values against a schema short: its parts must not refer to
// each other without end, nor too often.

// loop finds a part that applies itself to the same value.
func (s *schema) loop() (pointer string, loops bool) {
	const open, done = 1, 2
	seen := map[string]int{}
	var visit func(at string) (string, bool)
	visit = func(at string) (string, bool) {
		switch seen[at] {
		case open:
			return at, true
		case done:
			return "", false
		}
		seen[at] = open
		for _, next := range s.parts[at].here {
			if found, loops := visit(next); loops {
				return found, true
			}
		}
		seen[at] = done
		return "", false
	}
	for _, at := range mapKeysOf(s.parts) {
		if found, loops := visit(at); loops {
			return found, true
		}
	}
	return "", false
}

// tooLong reports whether parts are applied to values more often than is allowed.
// It counts what may be applied, whatever the values are.
func (s *schema) tooLong(vars map[string]any) bool {
	left := maxEvaluations
	var count func(pointer string, v any)
	count = func(pointer string, v any) {
		if left--; left < 0 {
			return
		}
		for _, next := range s.parts[pointer].here { // no loop: that was checked
			count(next, v)
		}
		for _, next := range s.parts[pointer].below {
			for _, value := range appliesTo(tokensOf(strings.TrimPrefix(next, pointer)), v) {
				count(next, value)
			}
		}
	}
	count("", vars)
	return left < 0
}

// appliesTo gives the values in a value to which a keyword applies a subschema.
func appliesTo(keyword []string, v any) []any {
	switch v := v.(type) {
	case map[string]any:
		if keyword[0] == "properties" {
			if below, ok := v[keyword[1]]; ok {
				return []any{below}
			}
			return nil
		}
		return slices.Collect(maps.Values(v))
	case []any:
		return v // prefixItems too: one too many does no harm
	}
	return nil
}
