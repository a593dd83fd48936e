package source

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Limits bound what a tree may hold.
type Limits struct {
	Entries int   // files and directories together
	Depth   int   // directories inside one another
	Blob    int64 // bytes of one file
}

// DefaultLimits are generous for configuration and small for an attack.
func DefaultLimits() Limits { return Limits{Entries: 20_000, Depth: 32, Blob: 1 << 20} }

const (
	// maxName leaves room for the suffixes under which apply stages a file,
	// in file systems that allow 255 bytes.
	maxName   = 240
	maxFaults = 1000
)

// Fault is one thing in a tree that evenkeel does not take. Path is relative to
// the tree, and printable.
type Fault struct {
	Path    string `json:"path"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// TreeError is everything that is wrong with a tree, sorted by path. It is the
// author's to mend, as a problem of the manifest is.
type TreeError struct{ Faults []Fault }

// Error shows the first fault and counts the others.
func (e *TreeError) Error() string {
	first := fmt.Sprintf("cannot use %q: %s", e.Faults[0].Path, e.Faults[0].Message)
	if more := len(e.Faults) - 1; more > 0 {
		return fmt.Sprintf("%s (and %d more)", first, more)
	}
	return first
}

// Tree gives the directory subpath of a commit ("" for all of it) as a
// file system: directories and regular files only, mode 0755 where Git's
// executable bit is set and else 0644, no times. All names, kinds and sizes
// have been checked when Tree returns; the bytes of a file are read, and
// checked against their hash, when they are asked for.
//
// The error is a *TreeError when the tree holds what it must not, and else an
// *Error. A directory that is missing is an error, never empty.
func (r *Repo) Tree(hash, subpath string) (fs.FS, error) {
	fsys, err := r.checkedTree(hash, subpath)
	if faulty, is := err.(*TreeError); is {
		return nil, faulty
	}
	if err != nil {
		return nil, public("read the tree of commit", hash, credentials{}, err)
	}
	return fsys, nil
}

func (r *Repo) checkedTree(hash, subpath string) (fs.FS, error) {
	commit, err := parseHash(hash)
	if err != nil {
		return nil, err
	}
	c, err := r.commit(commit)
	if err != nil {
		return nil, err
	}
	root, err := r.descend(c.TreeHash, subpath)
	if err != nil {
		return nil, err
	}
	w := walker{repo: r, left: r.Limits.Entries}
	top := &node{name: ".", mode: fs.ModeDir | 0o755}
	if err := w.fill(top, root, "", r.Limits.Depth); err != nil {
		return nil, err
	}
	if len(w.faults) > 0 {
		slices.SortStableFunc(w.faults, func(a, b Fault) int { return strings.Compare(a.Path, b.Path) })
		return nil, &TreeError{w.faults}
	}
	return &treeFS{repo: r, top: top}, nil
}

// descend finds the tree of a directory.
func (r *Repo) descend(tree plumbing.Hash, subpath string) (plumbing.Hash, error) {
	clean := path.Clean(strings.Trim(subpath, "/"))
	if clean == "." {
		return tree, nil
	}
	if !fs.ValidPath(clean) {
		return tree, &TreeError{[]Fault{{Path: printable(subpath, 300), Message: "the path leaves the repository"}}}
	}
	for _, name := range strings.Split(clean, "/") {
		entries, err := r.tree(tree)
		if err != nil {
			return tree, err
		}
		at := slices.IndexFunc(entries, func(e object.TreeEntry) bool {
			return e.Name == name && e.Mode == filemode.Dir
		})
		if at < 0 {
			return tree, &TreeError{[]Fault{{
				Path: printable(clean, 300), Message: "this commit has no such directory",
				Hint: "path: in the host's config names a directory of the repository",
			}}}
		}
		tree = entries[at].Hash
	}
	return tree, nil
}

// walker reads a whole tree once. go-git's own walkers end without an error at
// a missing subtree, and what is missing here would be deleted on the host.
type walker struct {
	repo   *Repo
	left   int
	faults []Fault
}

// node is one checked entry.
type node struct {
	name string
	mode fs.FileMode
	hash plumbing.Hash
	size int64
	sub  []*node // sorted by name
}

// fill reads a directory and all below it. Faults are collected; an error means
// that the repository itself is broken.
func (w *walker) fill(dir *node, tree plumbing.Hash, at string, depth int) error {
	if depth == 0 {
		w.fault(at, fmt.Sprintf("directories are nested deeper than %d", w.repo.Limits.Depth), "")
		return nil
	}
	entries, err := w.repo.tree(tree)
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, e := range entries {
		if w.left--; w.left < 0 {
			if w.left == -1 {
				w.fault("", fmt.Sprintf("the tree has more than %d entries", w.repo.Limits.Entries), "")
			}
			return nil
		}
		place := path.Join(at, e.Name)
		if wrong := badName(e.Name); wrong != "" {
			w.fault(at+"/"+e.Name, wrong, "")
			continue
		}
		if taken[e.Name] {
			w.fault(place, "the directory has this name twice", "")
			continue
		}
		taken[e.Name] = true
		child, err := w.entry(e, place, depth)
		if err != nil {
			return err
		}
		if child != nil {
			dir.sub = append(dir.sub, child)
		}
	}
	slices.SortFunc(dir.sub, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	return nil
}

// entry checks one entry by its kind; nil means that it was a fault.
func (w *walker) entry(e object.TreeEntry, place string, depth int) (*node, error) {
	child := &node{name: e.Name, hash: e.Hash, mode: 0o644}
	switch e.Mode {
	case filemode.Dir:
		child.mode = fs.ModeDir | 0o755
		return child, w.fill(child, e.Hash, place, depth-1)
	case filemode.Symlink:
		w.fault(place, "is a symbolic link", "declare it under links: in role.yaml, or commit the file itself")
		return nil, nil
	case filemode.Submodule:
		w.fault(place, "is a submodule", "commit the files themselves")
		return nil, nil
	case filemode.Executable:
		child.mode = 0o755
	case filemode.Regular, filemode.Deprecated:
	default:
		w.fault(place, fmt.Sprintf("has the unknown mode %s", e.Mode), "")
		return nil, nil
	}
	var err error
	if child.size, err = w.repo.size(e.Hash); err != nil {
		return nil, err
	}
	if child.size > w.repo.Limits.Blob {
		w.fault(place, fmt.Sprintf("has %d bytes, more than %d", child.size, w.repo.Limits.Blob), "")
		return nil, nil
	}
	pointer, err := w.isPointer(child)
	if pointer {
		w.fault(place, "is a Git LFS pointer, not the file", "commit the file itself")
		return nil, err
	}
	return child, err
}

// isPointer recognises what Git LFS leaves in place of a file. Real ones have
// 125 to 140 bytes, so only files of about that size are read.
func (w *walker) isPointer(n *node) (bool, error) {
	if n.size < 100 || n.size > 300 {
		return false, nil
	}
	content, err := w.repo.blob(n.hash, w.repo.Limits.Blob)
	return bytes.HasPrefix(content, []byte("version https://git-lfs.github.com/spec/")), err
}

func (w *walker) fault(place, message, hint string) {
	if len(w.faults) < maxFaults {
		w.faults = append(w.faults, Fault{Path: printable(strings.TrimPrefix(place, "/"), 300), Message: message, Hint: hint})
	}
}

// badName says what is wrong with the name of an entry, "" when nothing is.
// Git itself would not write most of these; a hand-made tree may hold them.
func badName(name string) string {
	switch {
	case name == "", name == ".", name == "..":
		return fmt.Sprintf("the name %q is not allowed", name)
	case strings.Contains(name, "/"):
		return "the name of one entry contains a slash"
	case !utf8.ValidString(name):
		return "the name is not valid UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "the name contains a control character"
	case len(name) > maxName:
		return fmt.Sprintf("the name has %d bytes, more than %d", len(name), maxName)
	}
	return ""
}
