package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// functions is the allow-list of template functions, under sprig's names and
// with sprig's order of arguments. Every one is deterministic: a render that
// differs each time would restart services and defeat the memory of rejected
// targets. docs/evenkeel.yaml.5.md describes each, held by a test that runs the
// examples there.
func functions(m *meter) template.FuncMap {
	return template.FuncMap{
		// text
		"trim":       func(v any) string { return strings.TrimSpace(m.str(v)) },
		"trimAll":    func(cut, v any) string { return strings.Trim(m.str(v), m.str(cut)) },
		"trimPrefix": func(prefix, v any) string { return strings.TrimPrefix(m.str(v), m.str(prefix)) },
		"trimSuffix": func(suffix, v any) string { return strings.TrimSuffix(m.str(v), m.str(suffix)) },
		"lower":      func(v any) string { return strings.ToLower(m.str(v)) },
		"upper":      func(v any) string { return strings.ToUpper(m.str(v)) },
		"replace":    m.replace,
		"contains":   func(part, v any) bool { return strings.Contains(m.str(v), m.str(part)) },
		"hasPrefix":  func(prefix, v any) bool { return strings.HasPrefix(m.str(v), m.str(prefix)) },
		"hasSuffix":  func(suffix, v any) bool { return strings.HasSuffix(m.str(v), m.str(suffix)) },
		"quote":      m.quote,
		"squote":     m.squote,
		"indent":     m.indent,
		"nindent":    func(n int, v any) (string, error) { s, err := m.indent(n, v); return "\n" + s, err },
		"join":       m.join,
		"split":      m.split,
		"splitList":  m.splitList,
		"toString":   m.str,

		// encodings
		"toYaml":    m.toYAML,
		"toJson":    m.toJSON,
		"toToml":    m.toTOML,
		"b64enc":    func(v any) string { return base64.StdEncoding.EncodeToString([]byte(m.str(v))) },
		"b64dec":    m.b64dec,
		"sha256sum": m.sha256sum,

		// numbers
		"add": add, "sub": sub, "mul": mul, "div": div, "mod": mod, "max": most, "min": least, "int": integer,

		// lists
		"list":      func(items ...any) []any { return append([]any{}, items...) },
		"first":     first,
		"last":      last,
		"append":    m.appendItem,
		"concat":    m.concat,
		"uniq":      m.uniq,
		"sortAlpha": m.sortAlpha,
		"has":       m.has,

		// mappings
		"dict":   m.dict,
		"get":    m.get,
		"dig":    m.dig,
		"hasKey": m.hasKey,
		"keys":   m.keys,
		"values": m.values,

		// choices and faults
		"default":  func(otherwise, v any) any { return choose(!empty(v), v, otherwise) },
		"coalesce": coalesce,
		"empty":    empty,
		"ternary":  func(yes, no any, when bool) any { return choose(when, yes, no) },
		"required": required,
		"fail":     func(message string) (string, error) { return "", &callError{said: message} },
	}
}

// builtins are those of text/template's own functions that make text, with the
// same results but bounded.
func builtins(m *meter) template.FuncMap {
	weigh := func(times int64, args []any) {
		for _, arg := range args {
			before := m.file
			m.weigh(arg, 0)
			m.charge((times - 1) * (before - m.file))
		}
	}
	return template.FuncMap{
		"print":    func(args ...any) string { weigh(1, args); return fmt.Sprint(args...) },
		"println":  func(args ...any) string { weigh(1, args); return fmt.Sprintln(args...) },
		"printf":   m.printf,
		"html":     func(args ...any) string { weigh(6, args); return template.HTMLEscaper(args...) },
		"js":       func(args ...any) string { weigh(6, args); return template.JSEscaper(args...) },
		"urlquery": func(args ...any) string { weigh(3, args); return template.URLQueryEscaper(args...) },
	}
}

// isBuiltin stands for a function that text/template has itself.
const isBuiltin = "builtin"

// plainBuiltins are those of text/template's own functions that are left as they
// are.
func plainBuiltins() map[string]any {
	out := map[string]any{}
	for _, name := range []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index", "slice", "len", "call"} {
		out[name] = isBuiltin
	}
	return out
}

// callError is a fault that a function reports. Its text quotes no value; what
// the template's author says through fail and required is kept apart, because
// it may have been put together from values.
type callError struct {
	fault string
	said  string
	hint  string
	doubt doubt
	deep  bool // templates call each other without end
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

func (m *meter) quote(items ...any) string {
	var out []string
	for _, v := range items {
		if v != nil {
			out = append(out, fmt.Sprintf("%q", m.str(v)))
		}
	}
	return strings.Join(out, " ")
}

func (m *meter) squote(items ...any) string {
	var out []string
	for _, v := range items {
		if v != nil {
			out = append(out, "'"+m.str(v)+"'")
		}
	}
	return strings.Join(out, " ")
}

// maxIndent is more than any file needs; without a bound, one number could ask
// for all memory.
const maxIndent = 256

func (m *meter) indent(n int, v any) (string, error) {
	if n < 0 || n > maxIndent {
		return "", fault("indent: the width must be 0 to %d", maxIndent)
	}
	pad, text := strings.Repeat(" ", n), m.str(v)
	m.charge(int64(n) * int64(strings.Count(text, "\n")))
	return pad + strings.ReplaceAll(text, "\n", "\n"+pad), nil
}

func (m *meter) replace(old, with, v any) string {
	text, from, to := m.str(v), m.str(old), m.str(with)
	m.charge(int64(strings.Count(text, from)) * int64(len(to)))
	return strings.ReplaceAll(text, from, to)
}

func (m *meter) join(sep, v any) (string, error) {
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
			words = append(words, m.str(item))
		}
	}
	m.charge(int64(len(words)) * int64(len(str(sep))))
	return strings.Join(words, str(sep)), nil
}

func (m *meter) splitList(sep, v any) []any {
	text, by := m.str(v), m.str(sep)
	m.charge(64 * int64(1+strings.Count(text, by)))
	var out []any
	for _, s := range strings.Split(text, by) {
		out = append(out, s)
	}
	return out
}

// split gives a mapping with the keys _0, _1 and so on, as sprig does.
func (m *meter) split(sep, v any) map[string]any {
	out := map[string]any{}
	for i, s := range m.splitList(sep, v) {
		m.charge(64)
		out[fmt.Sprintf("_%d", i)] = s
	}
	return out
}

func (m *meter) toYAML(v any) (string, error) {
	m.weigh(v, 0)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return "", fault("toYaml: the value cannot be written as YAML")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func (m *meter) toJSON(v any) (string, error) {
	m.weigh(v, 0)
	return toJSON(v)
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

func (m *meter) b64dec(v any) (string, error) {
	b, err := base64.StdEncoding.DecodeString(m.str(v))
	if err != nil {
		return "", fault("b64dec: the value is not base64")
	}
	return string(b), nil
}

func (m *meter) sha256sum(v any) string {
	sum := sha256.Sum256([]byte(m.str(v)))
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
