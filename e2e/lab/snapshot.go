package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Entry is all that can be told about one path from outside.
type Entry struct {
	Mode   fs.FileMode
	Owner  string // uid:gid
	Digest string // of a regular file
	Link   string // what a link says
	CTime  time.Time
}

func (e Entry) String() string {
	return strings.TrimRight(fmt.Sprintf("%v %s %s%s", e.Mode, e.Owner, e.Digest, e.Link), " ")
}

// Snapshot is every path below some directories of a host.
type Snapshot map[string]Entry

// Managed are the directories that evenkeel manages when nothing else is said.
var Managed = []string{"/etc", "/usr/local", "/opt", "/srv"}

// Snapshot looks at all paths below the given directories, Managed when there
// are none, whether the host is on or off. It reads the disk from outside: no
// program of the host has a part in it.
func (h *Host) Snapshot(below ...string) Snapshot {
	h.t.Helper()
	if len(below) == 0 {
		below = Managed
	}
	snap := Snapshot{}
	for _, dir := range below {
		if err := h.look(dir, snap); err != nil {
			h.t.Fatalf("cannot look at %q on %q: %v", dir, h.Name, err)
		}
	}
	return snap
}

func (h *Host) look(dir string, into Snapshot) error {
	return filepath.WalkDir(h.outside(dir), func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone while we looked
		}
		if err != nil {
			return err
		}
		e, err := entryAt(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		into[strings.TrimPrefix(path, h.outside(""))] = e
		return nil
	})
}

func entryAt(path string) (Entry, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Entry{}, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	e := Entry{
		Mode:  info.Mode(),
		Owner: fmt.Sprintf("%d:%d", stat.Uid, stat.Gid),
		CTime: time.Unix(stat.Ctim.Unix()),
	}
	switch {
	case info.Mode().IsRegular():
		e.Digest, err = digestOf(path)
	case info.Mode()&fs.ModeSymlink != 0:
		e.Link, err = os.Readlink(path)
	}
	return e, err
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// Without gives a snapshot that leaves out some paths and all below them.
func (s Snapshot) Without(paths ...string) Snapshot {
	rest := Snapshot{}
	for path, e := range s {
		if !slices.ContainsFunc(paths, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") }) {
			rest[path] = e
		}
	}
	return rest
}

// Diff says, a line for each path, how the bytes, modes, owners and links of
// now differ from s. No lines: they are the same.
func (s Snapshot) Diff(now Snapshot) string {
	return s.compare(now, func(a, b Entry) string {
		a.CTime, b.CTime = time.Time{}, time.Time{}
		if a == b {
			return ""
		}
		return fmt.Sprintf("%v -> %v", a, b)
	})
}

// Touched is Diff, and lists each path whose ctime has changed, too:
// no lines mean that nothing at all was done, not even a temporary file made
// and removed, which would show in the ctime of its directory.
func (s Snapshot) Touched(now Snapshot) string {
	return s.compare(now, func(a, b Entry) string {
		if a == b {
			return ""
		}
		return fmt.Sprintf("%v (changed %v) -> %v (changed %v)", a, a.CTime, b, b.CTime)
	})
}

func (s Snapshot) compare(now Snapshot, differ func(a, b Entry) string) string {
	all := map[string]bool{}
	for path := range s {
		all[path] = true
	}
	for path := range now {
		all[path] = true
	}
	var out strings.Builder
	for _, path := range slices.Sorted(maps.Keys(all)) {
		a, was := s[path]
		b, is := now[path]
		switch {
		case !was:
			fmt.Fprintf(&out, "%s: new: %v\n", path, b)
		case !is:
			fmt.Fprintf(&out, "%s: gone: %v\n", path, a)
		default:
			if how := differ(a, b); how != "" {
				fmt.Fprintf(&out, "%s: %s\n", path, how)
			}
		}
	}
	return out.String()
}
