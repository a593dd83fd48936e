package manifest

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// toTOML writes a mapping as TOML 1.0, keys sorted: plain values first, then
// tables, then arrays of tables. TOML has no null.
func (m *meter) toTOML(v any) (string, error) {
	m.weigh(v, 0)
	table, ok := v.(map[string]any)
	if !ok {
		return "", fault("toToml: the value is not a mapping")
	}
	w := &tomlWriter{m: m}
	if err := w.table(table, nil); err != nil {
		return "", err
	}
	return strings.TrimSuffix(w.String(), "\n"), nil
}

type tomlWriter struct {
	bytes.Buffer
	m *meter
}

// table writes what is below a header.
func (w *tomlWriter) table(t map[string]any, path []string) error {
	names := mapKeys(t)
	for _, name := range names {
		if isTable(t[name]) || isTables(t[name]) {
			continue
		}
		text, err := tomlValue(t[name])
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s = %s\n", tomlKey(name), text)
	}
	for _, name := range names {
		below := append(path[:len(path):len(path)], tomlKey(name))
		switch v := t[name].(type) {
		case map[string]any:
			if err := w.headed("[%s]\n", v, below); err != nil {
				return err
			}
		case []any:
			if !isTables(v) {
				continue
			}
			for _, item := range v {
				if err := w.headed("[[%s]]\n", item.(map[string]any), below); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *tomlWriter) headed(header string, t map[string]any, path []string) error {
	if w.Len() > 0 {
		w.WriteByte('\n')
	}
	name := strings.Join(path, ".")
	w.m.charge(int64(len(name)))
	fmt.Fprintf(w, header, name)
	return w.table(t, path)
}

func isTable(v any) bool {
	_, ok := v.(map[string]any)
	return ok
}

// isTables reports whether a value is a list of mappings only, which TOML writes
// as an array of tables.
func isTables(v any) bool {
	items, ok := v.([]any)
	for _, item := range items {
		if !isTable(item) {
			return false
		}
	}
	return ok && len(items) > 0
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func tomlKey(name string) string {
	if bareKey.MatchString(name) {
		return name
	}
	return tomlText(name)
}

// tomlValue writes a value in one line.
func tomlValue(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return tomlText(v), nil
	case bool, int, int64:
		return fmt.Sprint(v), nil
	case float64:
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return text, nil
	case []any:
		words := make([]string, len(v))
		for i, item := range v {
			word, err := tomlValue(item)
			if err != nil {
				return "", err
			}
			words[i] = word
		}
		return "[" + strings.Join(words, ", ") + "]", nil
	case map[string]any:
		words := make([]string, 0, len(v))
		for _, name := range mapKeys(v) {
			word, err := tomlValue(v[name])
			if err != nil {
				return "", err
			}
			words = append(words, tomlKey(name)+" = "+word)
		}
		return "{" + strings.Join(words, ", ") + "}", nil
	case nil:
		return "", fault("toToml: TOML has no null")
	}
	return "", fault("toToml: the value cannot be written as TOML")
}

// tomlText writes a basic string.
func tomlText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
