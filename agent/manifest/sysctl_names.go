package manifest

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
)

// SysctlName is a value of the kernel that a line of a target's sysctl.d sets. Only a host
// can say whether its kernel has it; systemd-sysctl passes over one that it has not.
type SysctlName struct {
	Place plan.Place
	Name  string // as it is written
	Key   string // a path below /proc/sys
}

// SysctlNames gives those values that a target asks for without a "-" before them, which
// says that they may be missing, and without a pattern.
func SysctlNames(t *plan.Target) []SysctlName {
	var names []SysctlName
	for _, dest := range slices.Sorted(maps.Keys(t.State.Paths)) {
		p := t.State.Paths[dest]
		if p.Kind != plan.File || !IsSysctl(dest) || t.Secret[dest] {
			continue
		}
		for _, l := range sysctlLines(t.Content[p.Digest]) {
			if l.key == "" || l.may || strings.ContainsAny(l.key, `*?[\`) {
				continue
			}
			place := t.Origin[dest]
			if !strings.HasSuffix(place.File, templateSuffix) {
				place.Line = l.line
			}
			names = append(names, SysctlName{place, l.name, l.key})
		}
	}
	return names
}

// Missing warns of a value that the kernel has not got. What it has is given by directories
// below /proc/sys.
func (n SysctlName) Missing(names func(dir string) []string) (plan.Warning, bool) {
	dir := "."
	for _, part := range strings.Split(n.Key, "/") {
		known := names(dir)
		if slices.Contains(known, part) {
			dir = path.Join(dir, part)
			continue
		}
		hint := `it may come with a module; a "-" before the name says that it may be missing`
		if slices.Contains([]string{"conf", "neigh"}, path.Base(dir)) {
			hint = "there is no interface " + part + "; systemd-udevd sets it when that comes"
		}
		return warn(n.Place, "%s: the kernel of this host has no such value now, so the line sets nothing (%s)", n.Name, cmp.Or(didYouMean(part, known), hint)), true
	}
	return plan.Warning{}, false
}
