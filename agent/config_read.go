package agent

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// configReader turns YAML nodes into values and collects what is wrong, so that
// a person gets every problem of the file in one answer.
type configReader struct {
	file     string
	local    bool           // only what this host says about itself is asked for
	lines    map[string]int // full key -> its line, for problems found after reading
	problems []configProblem
}

type configProblem struct {
	line int // 0: the file as a whole
	text string
}

func (r *configReader) problem(key, format string, args ...any) {
	r.problems = append(r.problems, configProblem{r.lines[key], fmt.Sprintf(format, args...)})
}

func (r *configReader) problemAt(n *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, configProblem{n.Line, fmt.Sprintf(format, args...)})
}

func (r *configReader) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortFunc(r.problems, func(a, b configProblem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), strings.Compare(a.text, b.text))
	})
	var lines []string
	for _, p := range slices.Compact(r.problems) {
		place := r.file
		if p.line > 0 {
			place = fmt.Sprintf("%s:%d", r.file, p.line)
		}
		lines = append(lines, place+": "+p.text)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// mapping reads a mapping whose keys are all in the list; prefix is "" or the
// key that holds it.
func (r *configReader) mapping(prefix string, n *yaml.Node, keys []configKey) {
	if isNull(n) {
		return // "auth:" with everything below it commented out
	}
	if n.Kind != yaml.MappingNode {
		r.problemAt(n, "expected keys and values%s", under(prefix))
		return
	}
	known := map[string]configKey{}
	for _, k := range keys {
		known[k.Name] = k
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		full := key.Value
		if prefix != "" {
			full = prefix + "." + key.Value
		}
		k, isKnown := known[key.Value]
		switch first, twice := r.lines[full]; {
		case !isKnown:
			r.problemAt(key, "unknown key %q%s%s", key.Value, under(prefix), didYouMean(key.Value, known))
		case twice:
			r.problemAt(key, "key %q is there twice: also in line %d", full, first)
		default:
			r.lines[full] = key.Line
			if !isNull(value) {
				k.read(r, full, value)
			}
		}
	}
}

func under(prefix string) string {
	if prefix == "" {
		return ""
	}
	return fmt.Sprintf(" under %q", prefix)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func (r *configReader) scalar(key string, n *yaml.Node, to *string) {
	if n.Kind != yaml.ScalarNode {
		r.problemAt(n, "%s must be a text", key)
		return
	}
	*to = n.Value
}

func text(name string, to *string, about string) configKey {
	return named(name, about, manifest.Text(), func(r *configReader, key string, n *yaml.Node) { r.scalar(key, n, to) })
}

// oneOf is text of which Config.check says that it must be one of the words.
func oneOf(name string, to *string, about string, words ...string) configKey {
	k := text(name, to, about)
	k.Value = manifest.OneOf(words...)
	return k
}

func yesno(name string, to *bool, about string) configKey {
	return named(name, about, manifest.Truth(), func(r *configReader, key string, n *yaml.Node) {
		if n.Tag != "!!bool" || n.Decode(to) != nil {
			r.problemAt(n, "%s must be true or false, not %q", key, n.Value)
		}
	})
}

func duration(name string, to *time.Duration, about string) configKey {
	return named(name, about, manifest.Duration(), func(r *configReader, key string, n *yaml.Node) {
		d, err := time.ParseDuration(n.Value)
		switch {
		case n.Kind == yaml.ScalarNode && err == nil && (d != 0 || n.Tag != "!!int"):
			*to = d
		case n.Tag == "!!int":
			r.problemAt(n, "%s %s has no unit: write %ss, or %sm", key, n.Value, n.Value, n.Value)
		default:
			r.problemAt(n, "%s %q is no duration: write a number with a unit, such as 30s, 5m or 1h", key, n.Value)
		}
	})
}

func list(name string, to *[]string, about string) configKey {
	return named(name, about, manifest.List(manifest.Text().OrNothing()), func(r *configReader, key string, n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			r.problemAt(n, "%s must be a list, such as [/etc, /opt]", key)
			return
		}
		values := make([]string, 0, len(n.Content))
		for _, item := range n.Content {
			var value string
			r.scalar("each item of "+key, item, &value)
			values = append(values, value)
		}
		*to = values
	})
}

func texts(name string, to *map[string]string, about string) configKey {
	return named(name, about, manifest.MappingOf(manifest.Text().OrNothing()), func(r *configReader, key string, n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			r.problemAt(n, "%s must be keys and values, such as {env: prod}", key)
			return
		}
		values := map[string]string{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			var value string
			r.scalar(key+"."+n.Content[i].Value, n.Content[i+1], &value)
			if _, twice := values[n.Content[i].Value]; twice {
				r.problemAt(n.Content[i], "key %q is there twice", key+"."+n.Content[i].Value)
			}
			values[n.Content[i].Value] = value
		}
		*to = values
	})
}

// windows are those of fleet.yaml.
func windows(name string, to **plan.Windows, about string) configKey {
	return named(name, about, manifest.WindowsForm(), func(r *configReader, _ string, n *yaml.Node) {
		w, problems := manifest.ReadWindows(r.file, n)
		*to = w
		r.take(problems)
	})
}

// take adds what another reader has against a part of the file.
func (r *configReader) take(problems manifest.Problems) {
	for _, p := range problems {
		text := p.Message
		if p.Hint != "" {
			text += " (" + p.Hint + ")"
		}
		r.problems = append(r.problems, configProblem{p.Line, text})
	}
}

// absolute cleans a path that must be absolute.
func (r *configReader) absolute(key, value string) string {
	if !path.IsAbs(value) {
		r.problem(key, "%s: %q must be an absolute path", key, value)
	}
	return path.Clean(value)
}

// pattern cleans a path, or a pattern for paths, that the options must take.
func (r *configReader) pattern(key, value string, options func(string) manifest.Options) string {
	clean := r.absolute(key, value)
	if err := options(clean).Check(); err != nil && path.IsAbs(value) {
		r.problem(key, "%s: %v", key, err)
	}
	return clean
}

// address checks where to listen.
func (r *configReader) address(key, name, value string) {
	if _, _, err := net.SplitHostPort(value); err != nil {
		r.problem(key, "%s %q is no address: write host:port, or off", name, value)
	}
}

// readableFile checks a file that the configuration names; "" is no file.
func (r *configReader) readableFile(key, file string, secret bool) {
	if file == "" {
		return
	}
	if !path.IsAbs(file) {
		r.problem(key, "%s: %q must be an absolute path", key, file)
		return
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		r.problem(key, "%s: cannot use the file: %v", key, err)
	case !info.Mode().IsRegular():
		r.problem(key, "%s: %q is no regular file", key, file)
	case secret && info.Mode().Perm()&0o007 != 0:
		r.problem(key, "%s: everybody on this host can use %q (mode %04o): run \"chmod 0600 %s\"", key, file, info.Mode().Perm(), file)
	}
}

// didYouMean names the key that was most likely meant, if one is near.
func didYouMean[V any](typed string, keys map[string]V) string {
	best, distance := "", 3
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if d := editDistance(typed, key); d < distance {
			best, distance = key, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance counts the letters to add, drop or change to get from a to b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
