package units

import (
	"path"
	"strings"
)

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

// DropInDirs names the directories of a unit's drop-ins, the most specific
// first: app-a@1.service.d, app-a@.service.d, app-.service.d, service.d.
func DropInDirs(name string) []string {
	dirs := []string{name + ".d"}
	template, instance, ok := Template(name)
	if ok && instance != "" {
		dirs = append(dirs, template+".d")
	}
	ext := path.Ext(name)
	base, _, _ := strings.Cut(strings.TrimSuffix(name, ext), "@")
	for i := len(base) - 1; i > 0; i-- {
		if base[i] == '-' && i < len(base)-1 {
			dirs = append(dirs, base[:i+1]+ext+".d")
		}
	}
	return append(dirs, strings.TrimPrefix(ext, ".")+".d")
}
