package manifest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// A line of tmpfiles.d makes, changes or removes a path without evenkeel, which would see
// it, at best, as drift. So what no role may manage no such line may touch either, but for
// what belongs to the running system: that is what tmpfiles.d is for. It catches mistakes;
// who may bring files there may bring units, and with them anything.

// tmpfilesDirs are where systemd-tmpfiles reads files of a repository.
func tmpfilesDirs() []string { return []string{"/etc/tmpfiles.d", "/usr/local/lib/tmpfiles.d"} }

// tmpfilesLine is a line of such a file.
type tmpfilesLine struct {
	verb  string // the type, with its modifiers
	path  string // may be a pattern
	below bool   // it touches what is below the path as well
}

// tmpfiles reports lines that touch what may not be managed.
func (b *builder) tmpfiles() {
	for _, dest := range slices.Sorted(maps.Keys(b.t.State.Paths)) {
		p := b.t.State.Paths[dest]
		if p.Kind != plan.File || !contains(tmpfilesDirs(), path.Dir(dest)) || path.Ext(dest) != ".conf" {
			continue
		}
		number := 0
		for text := range strings.Lines(string(b.t.Content[p.Digest])) {
			number++
			line, ok := readTmpfilesLine(text)
			if !ok {
				continue
			}
			if fault := b.policy.touched(line); fault != "" {
				b.syntax(b.t.Origin[dest], b.rendered[dest], &units.SyntaxError{Path: dest, Line: number, Message: fault})
			}
		}
	}
}

// readTmpfilesLine reads a line as systemd-tmpfiles does. One that it cannot read it
// complains of itself.
func readTmpfilesLine(text string) (tmpfilesLine, bool) {
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "#") {
		return tmpfilesLine{}, false
	}
	words, _ := units.FirstWords(text, 6)
	if len(words) < 2 || words[0] == "" || strings.ContainsAny(words[0][:1], "xX") {
		return tmpfilesLine{}, false // those only keep others from a path
	}
	l := tmpfilesLine{verb: words[0], path: path.Clean(units.HostSpecifiers(words[1]))}
	kind, modifiers := l.verb[:1], l.verb[1:]
	switch {
	case strings.Contains("RDZTHA", kind):
		l.below = true
	case strings.Contains(modifiers, "+") && strings.Contains("LpcbC", kind):
		l.below = true // a directory makes way
	case strings.Contains("devqQC", kind):
		l.below = len(words) > 5 && words[5] != "-" // old files go
	}
	return l, path.IsAbs(l.path)
}

// touched says which path that may not be managed a line touches, "" when it touches none.
func (p policy) touched(l tmpfilesLine) string {
	fault := func(what, why string) string {
		if covers(what, l.path) {
			return fmt.Sprintf("%q may not be touched: %s", l.path, why)
		}
		return fmt.Sprintf("%s %s touches %s, which may not be: %s", l.verb, l.path, what, why)
	}
	const own = "it is evenkeel's own"
	for _, name := range append([]string{"/run/evenkeel"}, p.Own...) {
		if name != "" && l.touches(name, true) {
			return fault(name, own)
		}
	}
	if l.path != quadletDir && covers(quadletDir, l.path) {
		return fault(l.path, "what podman reads there must come from the files of a role")
	}
	isAllowed := slices.ContainsFunc(p.AllowDenied, func(pattern string) bool { return covers(pattern, l.path) })
	for _, d := range p.denied {
		if isAllowed && d.holds == unlessAllowed {
			continue
		}
		for _, pattern := range d.patterns {
			if !contains(runtimePaths(), pattern) && l.touches(pattern, d.holds == forever) {
				why := d.why
				if d.holds == unlessAllowed {
					why += fmt.Sprintf(" (unless the host's own config has allow_denied: [%s])", l.path)
				}
				return fault(pattern, why)
			}
		}
	}
	for _, pattern := range p.Deny {
		if l.touches(pattern, true) {
			return fault(pattern, "the host's own config denies it")
		}
	}
	return ""
}

// touches reports whether a line is about what a pattern names, or about what is below it.
// Two patterns that may name the same count where it is strict.
func (l tmpfilesLine) touches(pattern string, strict bool) bool {
	return touches(components(l.path), components(pattern), l.below, strict)
}

func touches(line, pattern []string, below, strict bool) bool {
	switch {
	case len(pattern) == 0:
		return true
	case pattern[0] == "**" && len(line) == 0:
		return false // anything may be below a directory
	case pattern[0] == "**":
		// A pattern in the line stands for anything too: only a name says that it is meant.
		here := !strings.ContainsAny(line[0], "*?[") && touches(line, pattern[1:], below, strict)
		return here || touches(line[1:], pattern, below, strict)
	case len(line) == 0:
		return below
	}
	return meets(line[0], pattern[0], strict) && touches(line[1:], pattern[1:], below, strict)
}

// meets reports whether two components, either of which may be a pattern, may be the same.
func meets(a, b string, strict bool) bool {
	const glob = "*?["
	switch i, j := strings.IndexAny(a, glob), strings.IndexAny(b, glob); {
	case a == b:
		return true
	case i < 0:
		is, _ := path.Match(b, a)
		return is
	case j < 0:
		is, _ := path.Match(a, b)
		return is
	default:
		return strict && (strings.HasPrefix(a[:i], b[:j]) || strings.HasPrefix(b[:j], a[:i]))
	}
}
