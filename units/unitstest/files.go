package unitstest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Files is a simple Disk: the contents of files by absolute path. A content that
// begins with "-> " makes a symbolic link that says the rest. Directories are
// there when something is in them.
type Files map[string]string

const arrow = "-> "

// ReadFile is part of Disk.
func (f Files) ReadFile(at string) ([]byte, bool) {
	text, ok := f[at]
	if !ok || strings.HasPrefix(text, arrow) {
		return nil, false
	}
	return []byte(text), true
}

// Link is part of Disk.
func (f Files) Link(at string) (string, bool) { return strings.CutPrefix(f[at], arrow) }

// Names is part of Disk.
func (f Files) Names(dir string) []string {
	names := map[string]bool{}
	for at := range f {
		if below, ok := strings.CutPrefix(at, path.Clean(dir)+"/"); ok {
			name, _, _ := strings.Cut(below, "/")
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Print is part of Disk.
func (f Files) Print(at string) string {
	text, ok := f[at]
	switch {
	case ok:
		return fmt.Sprintf("%q", text)
	case len(f.Names(at)) > 0:
		return "directory"
	}
	return absent
}
