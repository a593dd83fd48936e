package units

import "strings"

// unitDirs are the directories from which systemd and its Quadlet generator
// read what this program may write; see systemd.unit(5) and podman-systemd.unit(5).
var unitDirs = []string{
	"/etc/systemd/system/",
	"/etc/containers/systemd/",
	"/usr/local/lib/systemd/system/",
	"/usr/lib/systemd/system/",
	"/lib/systemd/system/",
}

// IsUnitPath reports whether a change at path concerns systemd's unit files:
// a unit, a drop-in, or a link that enables, aliases or masks one.
func IsUnitPath(path string) bool {
	for _, dir := range unitDirs {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	return false
}
