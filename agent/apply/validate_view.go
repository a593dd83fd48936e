package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// view is the host as it would be: over each root directory that holds a staged
// or removed path lies a layer with those paths. An overlay without an upper
// directory is read-only by itself.
type view struct {
	order   order
	mounts  []string          // mount points of the host, sorted
	layers  map[string]string // root directory -> its layer, a directory in the scratch file system
	rootOf  map[string]string // staged or removed path -> root directory
	missing []Invalid         // paths that have no root directory
}

func newView(scratch string, o order) (*view, error) {
	mounts, err := mountPoints()
	if err != nil {
		return nil, err
	}
	v := &view{order: o, mounts: mounts, layers: map[string]string{}, rootOf: map[string]string{}}
	for _, p := range append(slices.Clone(o.Paths), o.Removed...) {
		root := overlayRoot(p, v.mounts)
		if root == "/" {
			v.missing = append(v.missing, noRoot(p))
			continue
		}
		if _, ok := v.layers[root]; !ok {
			v.layers[root] = path.Join(scratch, fmt.Sprint(len(v.layers)))
		}
		v.rootOf[p] = root
	}
	return v, nil
}

// noRoot is the answer for a path whose first directory is not there: nothing
// can be laid over it, and making it would touch the host.
func noRoot(p string) Invalid {
	top, _, _ := strings.Cut(p[1:], "/")
	return Invalid{Path: p, Missing: true, Message: fmt.Sprintf("cannot be validated before the directory %q is there", "/"+top)}
}

// stage writes the layers.
func (v *view) stage(in *json.Decoder) error {
	for root, layer := range v.layers {
		if err := copyDir(root, layer); err != nil {
			return fmt.Errorf("cannot stage %q: %v", root, err)
		}
	}
	for _, p := range v.order.Paths {
		var s Staged
		if err := in.Decode(&s); err != nil {
			return fmt.Errorf("cannot read the request: %v", err)
		}
		if err := v.put(p, s); err != nil {
			return fmt.Errorf("cannot stage %q: %v", p, err)
		}
	}
	for _, p := range v.order.Removed {
		if err := v.whiteOut(p); err != nil {
			return fmt.Errorf("cannot stage the removal of %q: %v", p, err)
		}
	}
	return nil
}

// at is where a path lies in its layer.
func (v *view) at(p string) string {
	root := v.rootOf[p]
	return path.Join(v.layers[root], p[len(root):])
}

func (v *view) put(p string, s Staged) error {
	if err := v.parents(path.Dir(p), v.rootOf[p]); err != nil {
		return err
	}
	at := v.at(p)
	switch {
	case s.Link != "":
		return os.Symlink(s.Link, at)
	case s.Dir:
		if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	default:
		if err := os.WriteFile(at, s.Content, 0o600); err != nil {
			return err
		}
	}
	return own(at, s.Mode, s.UID, s.GID)
}

// parents makes the directories of a layer down to dir. What the host has is
// as the host has it, because the upper directory of an overlay decides.
func (v *view) parents(dir, root string) error {
	if dir == root {
		return nil
	}
	at := path.Join(v.layers[root], dir[len(root):])
	if _, err := os.Lstat(at); err == nil {
		return nil
	}
	if err := v.parents(path.Dir(dir), root); err != nil {
		return err
	}
	return copyDir(dir, at)
}

// copyDir makes a directory with mode and owner of another, or as apply makes
// a parent when there is no other.
func copyDir(from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return own(to, 0o755, 0, 0)
	}
	return own(to, st.Mode&^unix.S_IFMT, st.Uid, st.Gid)
}

func own(at string, mode, uid, gid uint32) error {
	if err := unix.Lchown(at, int(uid), int(gid)); err != nil {
		return err
	}
	return unix.Chmod(at, mode)
}

// whiteOut hides a path that the host has and the commit has not.
func (v *view) whiteOut(p string) error {
	if _, err := os.Lstat(p); err != nil {
		return nil
	}
	if err := v.parents(path.Dir(p), v.rootOf[p]); err != nil {
		return err
	}
	err := unix.Mknod(v.at(p), unix.S_IFCHR, 0)
	if errors.Is(err, unix.EEXIST) {
		return nil // a directory on the way to something that is staged
	}
	return err
}

// mount lays the layers over their roots. What was mounted below a root would
// be hidden by that, so it is mounted again on top. Everything is opened before
// the first mount, and in the order of paths no mount hides a later one.
func (v *view) mount() error {
	places := v.places()
	opened := make([]*os.File, len(places))
	for i, place := range places {
		fd, err := unix.Open(place, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // a mount that is hidden by another one
		}
		opened[i] = os.NewFile(uintptr(fd), place)
		defer opened[i].Close()
	}
	for i, place := range places {
		if opened[i] == nil {
			continue
		}
		if err := v.mountAt(place, fmt.Sprintf("/proc/self/fd/%d", opened[i].Fd())); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) mountAt(place, real string) error {
	layer, ok := v.layers[place]
	if !ok {
		err := unix.Mount(real, place, "", unix.MS_BIND, "")
		if err != nil && !errors.Is(err, unix.ENOENT) { // it was removed by the commit
			return fmt.Errorf("cannot mount %q again: %v", place, err)
		}
		return nil
	}
	if err := unix.Mount("overlay", place, "overlay", unix.MS_RDONLY, "lowerdir="+layer+":"+real); err != nil {
		return fmt.Errorf("cannot lay the staged files over %q: %v", place, err)
	}
	return nil
}

// places are the roots, and the mount points below them, sorted.
func (v *view) places() []string {
	var places []string
	for root := range v.layers {
		places = append(places, root)
		for _, m := range v.mounts {
			if _, is := v.layers[m]; !is && isBelow(m, root) {
				places = append(places, m)
			}
		}
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// overlayRoot is the directory over which a path's layer is laid. For the usual
// homes of config it is the whole of them; elsewhere it is as little as can be,
// because programs write into /var also when they only test their config.
func overlayRoot(p string, mounts []string) string {
	root := existingParent(path.Dir(p))
	for _, usual := range []string{"/etc", "/usr/local", "/opt", "/srv"} {
		if isBelow(root, usual) {
			root = usual
		}
	}
	for _, m := range mounts { // sorted, so the deepest one is last
		if isBelow(p, m) && len(m) > len(root) {
			root = m
		}
	}
	return root
}

func existingParent(dir string) string {
	for dir != "/" {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		dir = path.Dir(dir)
	}
	return dir
}

func isBelow(p, dir string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

// mountPoints lists where something is mounted, sorted. Mounts that wait to be
// triggered are left out: looking at one would trigger it.
func mountPoints() ([]string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || strings.Contains(line, " - autofs ") {
			continue
		}
		points = append(points, unescapeMount(fields[4]))
	}
	slices.Sort(points)
	return slices.Compact(points), nil
}

// unescapeMount reads the octal escapes of proc(5) for space, tab and the like.
func unescapeMount(name string) string {
	var plain strings.Builder
	for {
		before, after, found := strings.Cut(name, `\`)
		plain.WriteString(before)
		if !found {
			return plain.String()
		}
		code, err := strconv.ParseUint(after[:min(3, len(after))], 8, 8)
		if err != nil || len(after) < 3 {
			plain.WriteByte('\\')
			name = after
			continue
		}
		plain.WriteByte(byte(code))
		name = after[3:]
	}
}
