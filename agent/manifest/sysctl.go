package manifest

import (
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// sysctlDir is where systemd-sysctl reads what the kernel's values shall be.
const sysctlDir = "/etc/sysctl.d"

// sysctlLine is a line of a file of sysctl.d that is neither empty nor a comment.
type sysctlLine struct {
	line  int    // from 1
	key   string // a path below /proc/sys, perhaps with a pattern; "" for what sets nothing
	name  string // as it is written
	may   bool   // "-": it is no failure that it cannot be set
	fault string // what systemd-sysctl says against it, "" for nothing
}

// IsSysctl reports whether systemd-sysctl reads a path.
func IsSysctl(name string) bool {
	return path.Dir(name) == sysctlDir && path.Ext(name) == ".conf"
}

// SysctlKeys gives the values of the kernel that a file of sysctl.d sets, as paths below
// /proc/sys that may be patterns, sorted. What cannot be set beside each other is given
// together: the kernel clears the one when the other is set.
func SysctlKeys(text []byte) []string {
	var keys []string
	for _, l := range sysctlLines(text) {
		if l.key != "" {
			keys = append(keys, l.key)
		}
		if twin := sysctlTwins()[l.key]; twin != "" {
			keys = append(keys, twin)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// sysctlTwins are values of which the kernel keeps one at a time.
func sysctlTwins() map[string]string {
	twins := map[string]string{}
	for _, name := range []string{"vm/dirty_", "vm/dirty_background_"} {
		twins[name+"bytes"], twins[name+"ratio"] = name+"ratio", name+"bytes"
	}
	return twins
}

// sysctlLines reads a file as systemd-sysctl does.
func sysctlLines(text []byte) []sysctlLine {
	var lines []sysctlLine
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.ContainsRune("#;", rune(line[0])) {
			continue
		}
		name, _, assigns := strings.Cut(line, "=")
		name, mayFail := strings.CutPrefix(name, "-")
		l := sysctlLine{line: number, name: strings.TrimSpace(name), may: mayFail}
		switch key := sysctlKey(l.name); {
		case !assigns && mayFail: // it takes a value out of what a pattern sets
		case !assigns:
			l.fault = "it sets nothing: a line of sysctl.d is NAME = VALUE"
		case key == "" || path.Clean(key) != key || strings.HasPrefix(key, ".."):
			l.fault = "it names no value of the kernel"
		default:
			l.key = key
		}
		lines = append(lines, l)
	}
	return lines
}

// sysctlKey is a name as a path below /proc/sys. The first separator says which of the
// two there are, dot and slash, parts the name.
func sysctlKey(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		name = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, "/proc/sys/"), "/")
}

// sysctlFiles reports lines over which systemd-sysctl would fail after the apply.
func (b *builder) sysctlFiles() {
	for _, dest := range slices.Sorted(maps.Keys(b.t.State.Paths)) {
		p := b.t.State.Paths[dest]
		if p.Kind != plan.File || !IsSysctl(dest) {
			continue
		}
		for _, l := range sysctlLines(b.t.Content[p.Digest]) {
			if l.fault != "" {
				b.syntax(b.t.Origin[dest], b.rendered[dest], &units.SyntaxError{Path: dest, Line: l.line, Message: l.fault})
			}
		}
	}
}
