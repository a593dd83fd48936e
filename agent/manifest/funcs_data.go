package manifest

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// listOf takes a value as a list.
func listOf(function string, v any) ([]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []any:
		return v, nil
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out, nil
	}
	return nil, fault("%s: the value is not a list", function)
}

func first(v any) (any, error) {
	items, err := listOf("first", v)
	if err != nil || len(items) == 0 {
		return nil, err
	}
	return items[0], nil
}

func last(v any) (any, error) {
	items, err := listOf("last", v)
	if err != nil || len(items) == 0 {
		return nil, err
	}
	return items[len(items)-1], nil
}

func (m *meter) appendItem(v, item any) ([]any, error) {
	items, err := listOf("append", v)
	if err != nil {
		return nil, err
	}
	m.charge(16 * int64(len(items)+1))
	return append(slices.Clone(items), item), nil
}

func (m *meter) concat(lists ...any) ([]any, error) {
	out := []any{}
	for _, v := range lists {
		items, err := listOf("concat", v)
		if err != nil {
			return nil, err
		}
		m.charge(16 * int64(len(items)))
		out = append(out, items...)
	}
	return out, nil
}

func (m *meter) uniq(v any) ([]any, error) {
	items, err := listOf("uniq", v)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, item := range items {
		m.charge(16 * int64(len(out)))
		m.weigh(item, 0)
		if !holds(out, item) {
			out = append(out, item)
		}
	}
	return out, nil
}

func (m *meter) sortAlpha(v any) ([]any, error) {
	items, err := listOf("sortAlpha", v)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = m.str(item)
	}
	slices.SortFunc(out, func(a, b any) int { return strings.Compare(str(a), str(b)) })
	return out, nil
}

func (m *meter) has(item, v any) (bool, error) {
	items, err := listOf("has", v)
	m.charge(16 * int64(len(items)))
	m.weigh(item, 0)
	return holds(items, item), err
}

func holds(items []any, item any) bool {
	return slices.ContainsFunc(items, func(other any) bool { return reflect.DeepEqual(other, item) })
}

func (m *meter) dict(pairs ...any) (map[string]any, error) {
	out := map[string]any{}
	if len(pairs)%2 != 0 {
		return nil, fault("dict: the last key has no value")
	}
	for i := 0; i < len(pairs); i += 2 {
		out[m.str(pairs[i])] = pairs[i+1]
	}
	return out, nil
}

func mapOf(function string, v any) (map[string]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	}
	return nil, fault("%s: the value is not a mapping", function)
}

func (m *meter) get(v, key any) (any, error) {
	all, err := mapOf("get", v)
	if err != nil {
		return nil, err
	}
	if got, ok := all[m.str(key)]; ok {
		return got, nil
	}
	return "", nil
}

func (m *meter) hasKey(v, key any) (bool, error) {
	all, err := mapOf("hasKey", v)
	_, ok := all[m.str(key)]
	return ok, err
}

// dig follows keys through mappings: dig "a" "b" OTHERWISE MAPPING.
func (m *meter) dig(args ...any) (any, error) {
	if len(args) < 3 {
		return nil, fault("dig: needs at least one key, a value for when it is missing, and a mapping")
	}
	last := len(args) - 1
	at, otherwise := args[last], args[last-1]
	for _, key := range args[:last-1] {
		all, err := mapOf("dig", at)
		if err != nil {
			return nil, err
		}
		below, ok := all[m.str(key)]
		if !ok {
			return otherwise, nil
		}
		at = below
	}
	return at, nil
}

// keys are sorted, unlike sprig's: the order of a Go map differs each time.
func (m *meter) keys(maps ...any) ([]any, error) {
	out := []any{}
	for _, v := range maps {
		all, err := mapOf("keys", v)
		if err != nil {
			return nil, err
		}
		m.charge(32 * int64(len(all)))
		for _, k := range mapKeys(all) {
			out = append(out, k)
		}
	}
	return out, nil
}

// values come in the order of their keys.
func (m *meter) values(v any) ([]any, error) {
	all, err := mapOf("values", v)
	if err != nil {
		return nil, err
	}
	m.charge(32 * int64(len(all)))
	out := []any{}
	for _, k := range mapKeys(all) {
		out = append(out, all[k])
	}
	return out, nil
}

// whole takes a value as a whole number; text that is one counts.
func whole(function string, v any) (int, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case int64:
		return int(v), nil
	case float64:
		if math.Abs(v) < 1<<62 {
			return int(v), nil
		}
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			return n, nil
		}
	}
	return 0, fault("%s: a value is not a whole number", function)
}

func integer(v any) (int, error) { return whole("int", v) }

// fold goes over whole numbers from left to right.
func fold(function string, items []any, step func(a, b int) (int, error)) (int, error) {
	if len(items) == 0 {
		return 0, fault("%s: no numbers", function)
	}
	sum, err := whole(function, items[0])
	for _, item := range items[1:] {
		if err != nil {
			return 0, err
		}
		var n int
		if n, err = whole(function, item); err == nil {
			sum, err = step(sum, n)
		}
	}
	return sum, err
}

func add(items ...any) (int, error) {
	return fold("add", items, func(a, b int) (int, error) { return a + b, nil })
}

func mul(items ...any) (int, error) {
	return fold("mul", items, func(a, b int) (int, error) { return a * b, nil })
}

func most(items ...any) (int, error) {
	return fold("max", items, func(a, b int) (int, error) { return max(a, b), nil })
}

func least(items ...any) (int, error) {
	return fold("min", items, func(a, b int) (int, error) { return min(a, b), nil })
}

func sub(a, b any) (int, error) {
	return fold("sub", []any{a, b}, func(a, b int) (int, error) { return a - b, nil })
}

func div(a, b any) (int, error) {
	return fold("div", []any{a, b}, func(a, b int) (int, error) {
		if b == 0 {
			return 0, fault("div: division by zero")
		}
		return a / b, nil
	})
}

func mod(a, b any) (int, error) {
	return fold("mod", []any{a, b}, func(a, b int) (int, error) {
		if b == 0 {
			return 0, fault("mod: division by zero")
		}
		return a % b, nil
	})
}
