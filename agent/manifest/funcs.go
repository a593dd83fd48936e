package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// functions is the allow-list of template functions, under sprig's names and
// with sprig's order of arguments. Every one is deterministic: a render that
// differs each time would restart services and defeat the memory of rejected
// targets. docs/evenkeel.yaml.5.md describes each, held by a test.
func functions() template.FuncMap {
	return template.FuncMap{
		// text
		"trim":       func(v any) string { return strings.TrimSpace(str(v)) },
		"trimAll":    func(cut, v any) string { return strings.Trim(str(v), str(cut)) },
		"trimPrefix": func(prefix, v any) string { return strings.TrimPrefix(str(v), str(prefix)) },
		"trimSuffix": func(suffix, v any) string { return strings.TrimSuffix(str(v), str(suffix)) },
		"lower":      func(v any) string { return strings.ToLower(str(v)) },
		"upper":      func(v any) string { return strings.ToUpper(str(v)) },
		"replace":    func(old, with, v any) string { return strings.ReplaceAll(str(v), str(old), str(with)) },
		"contains":   func(part, v any) bool { return strings.Contains(str(v), str(part)) },
		"hasPrefix":  func(prefix, v any) bool { return strings.HasPrefix(str(v), str(prefix)) },
		"hasSuffix":  func(suffix, v any) bool { return strings.HasSuffix(str(v), str(suffix)) },
		"quote":      quote,
		"squote":     squote,
		"indent":     indent,
		"nindent":    func(n int, v any) (string, error) { s, err := indent(n, v); return "\n" + s, err },
		"join":       join,
		"split":      split,
		"splitList":  splitList,
		"toString":   str,

		// encodings
		"toYaml":    toYAML,
		"toJson":    toJSON,
		"b64enc":    func(v any) string { return base64.StdEncoding.EncodeToString([]byte(str(v))) },
		"b64dec":    b64dec,
		"sha256sum": sha256sum,

		// numbers
		"add": add, "sub": sub, "mul": mul, "div": div, "mod": mod, "max": most, "min": least, "int": integer,

		// lists
		"list":      func(items ...any) []any { return append([]any{}, items...) },
		"first":     first,
		"last":      last,
		"append":    appendItem,
		"concat":    concat,
		"uniq":      uniq,
		"sortAlpha": sortAlpha,
		"has":       has,

		// mappings
		"dict":   dict,
		"get":    get,
		"hasKey": hasKey,
		"keys":   keys,
		"values": values,

		// choices and faults
		"default":  func(otherwise, v any) any { return choose(!empty(v), v, otherwise) },
		"coalesce": coalesce,
		"empty":    empty,
		"ternary":  func(yes, no any, when bool) any { return choose(when, yes, no) },
		"required": required,
		"fail":     func(message string) (string, error) { return "", &callError{said: message} },
	}
}

// functionNames lists what a template may call, text/template's own included.
func functionNames() []string {
	names := []string{
		"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index", "slice", "len",
		"print", "printf", "println", "html", "js", "urlquery", "call",
	}
	for name := range functions() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// callError is a fault that a function reports. Its text quotes no value; what
// the template's author says through fail and required is kept apart, because
// it may have been put together from values.
type callError struct {
	fault string
	said  string
}

func (e *callError) Error() string {
	if e.fault != "" {
		return e.fault
	}
	return "the template says that it fails"
}

// say gives the author's words when they stand in the template itself, as one
// piece: then they hold no value.
func (e *callError) say(text string) string {
	if e.said != "" && strings.Contains(text, e.said) {
		return e.said
	}
	return e.Error()
}

func fault(format string, args ...any) error {
	return &callError{fault: fmt.Sprintf(format, args...)}
}

// str writes a value as a template prints it. A null is empty.
func str(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	}
	return fmt.Sprint(v)
}

func quote(items ...any) string {
	var out []string
	for _, v := range items {
		if v != nil {
			out = append(out, fmt.Sprintf("%q", str(v)))
		}
	}
	return strings.Join(out, " ")
}

func squote(items ...any) string {
	var out []string
	for _, v := range items {
		if v != nil {
			out = append(out, "'"+str(v)+"'")
		}
	}
	return strings.Join(out, " ")
}

// maxIndent is more than any file needs; without a bound, one number could ask
// for all memory.
const maxIndent = 256

func indent(n int, v any) (string, error) {
	if n < 0 || n > maxIndent {
		return "", fault("indent: the width must be 0 to %d", maxIndent)
	}
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(str(v), "\n", "\n"+pad), nil
}

func join(sep, v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	items, err := listOf("join", v)
	if err != nil {
		return "", err
	}
	words := make([]string, 0, len(items))
	for _, item := range items {
		if item != nil {
			words = append(words, str(item))
		}
	}
	return strings.Join(words, str(sep)), nil
}

func splitList(sep, v any) []any {
	var out []any
	for _, s := range strings.Split(str(v), str(sep)) {
		out = append(out, s)
	}
	return out
}

// split gives a mapping with the keys _0, _1 and so on, as sprig does.
func split(sep, v any) map[string]any {
	out := map[string]any{}
	for i, s := range splitList(sep, v) {
		out[fmt.Sprintf("_%d", i)] = s
	}
	return out
}

func toYAML(v any) (string, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return "", fault("toYaml: the value cannot be written as YAML")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func toJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", fault("toJson: the value cannot be written as JSON")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func b64dec(v any) (string, error) {
	b, err := base64.StdEncoding.DecodeString(str(v))
	if err != nil {
		return "", fault("b64dec: the value is not base64")
	}
	return string(b), nil
}

func sha256sum(v any) string {
	sum := sha256.Sum256([]byte(str(v)))
	return hex.EncodeToString(sum[:])
}

func choose(when bool, yes, no any) any {
	if when {
		return yes
	}
	return no
}

func coalesce(items ...any) any {
	for _, v := range items {
		if !empty(v) {
			return v
		}
	}
	return nil
}

// empty is sprig's idea of it: null, false, zero, and what has no elements.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case int:
		return v == 0
	case int64:
		return v == 0
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func required(message string, v any) (any, error) {
	if v == nil || v == "" {
		return nil, &callError{said: message}
	}
	return v, nil
}
