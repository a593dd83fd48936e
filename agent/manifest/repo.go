package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
)

// Bounds on what one commit may ask for, when Options names no others.
const (
	defaultFileBytes  = 8 << 20
	defaultTotalBytes = 64 << 20
	defaultPaths      = 20_000
)

// repo is the tree as it is read: every fault of the repository goes to c, and
// the first fault of the reading itself to failed.
type repo struct {
	tree   fs.FS
	opts   Options
	c      *collector
	failed error
	memo   memo // what other hosts have read already; nil for a single one
	policy policy
	left   int64        // bytes that the target may still grow by
	paths  int          // paths that the target may still grow by
	sealed []plan.Place // secrets that were met and not opened
	words  words        // of secrets that were opened

	explain bool            // keep what each template reads
	only    map[string]bool // paths of the host whose files are read; nil for all
}

func newRepo(tree fs.FS, opts Options) *repo {
	opts = opts.withDefaults()
	r := &repo{
		tree: tree, opts: opts, c: &collector{},
		policy: policy{opts, denied()}, left: opts.Limits.TotalBytes, paths: opts.Limits.Paths,
	}
	r.failed = opts.Check()
	return r
}

// err gives the fault of the reading, else the problems, else nil.
func (r *repo) err() error {
	if r.failed != nil {
		return r.failed
	}
	return r.c.err()
}

func (r *repo) fail(verb, file string, err error) {
	if r.failed == nil {
		r.failed = fmt.Errorf("cannot %s %q: %w", verb, file, err)
	}
}

func (r *repo) isFile(name string) bool {
	info, err := fs.Stat(r.tree, name)
	return err == nil && info.Mode().IsRegular()
}

func (r *repo) isDir(name string) bool {
	info, err := fs.Stat(r.tree, name)
	return err == nil && info.IsDir()
}

// entries lists a directory, sorted; a missing one is empty.
func (r *repo) entries(dir string) []fs.DirEntry {
	list, err := fs.ReadDir(r.tree, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if !r.isDir(dir) {
			r.c.add(Problem{File: dir, Message: "this must be a directory"})
			return nil
		}
		r.fail("list", dir, err)
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list
}

// read gives a file's bytes; ok is false when it is too long or cannot be read.
func (r *repo) read(name string) (text []byte, ok bool) {
	info, err := fs.Stat(r.tree, name)
	if err != nil {
		r.fail("read", name, err)
		return nil, false
	}
	if info.Size() > r.opts.Limits.FileBytes {
		r.c.add(Problem{File: name, Message: tooLong(r.opts.Limits.FileBytes)})
		return nil, false
	}
	text, err = fs.ReadFile(r.tree, name)
	if err != nil {
		r.fail("read", name, err)
		return nil, false
	}
	return text, true
}

func tooLong(limit int64) string { return fmt.Sprintf("the file is longer than %d bytes", limit) }

// document parses a YAML file; nil when there is none.
func (r *repo) document(name string) *document {
	if !r.isFile(name) {
		if r.isDir(name) {
			r.c.add(Problem{File: name, Message: "this must be a file"})
		}
		return nil
	}
	text, ok := r.read(name)
	if !ok {
		return nil
	}
	return parse(name, text, r.c)
}

// roleNames lists the roles that the repository has.
func (r *repo) roleNames() []string {
	return once(r, "roles", func() []string {
		var names []string
		for _, e := range r.entries("roles") {
			if e.IsDir() {
				names = append(names, e.Name())
			}
		}
		return names
	})
}

// hostFiles lists the hosts that have values of their own.
func (r *repo) hostFiles() []string {
	return once(r, "hosts", func() []string {
		var names []string
		for _, e := range r.entries("hosts") {
			if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok && name != "" && e.Type().IsRegular() {
				names = append(names, name)
			}
		}
		return names
	})
}

// roleFile and the like: where things are.
func roleDir(role string) string  { return path.Join("roles", role) }
func roleFile(role string) string { return path.Join("roles", role, "role.yaml") }
func roleVars(role string) string { return path.Join("roles", role, "vars.yaml") }
func hostVars(host string) string { return path.Join("hosts", host+".yaml") }

// lookAround reports what lies where evenkeel would overlook it: the mistake is
// silent otherwise.
func (r *repo) lookAround() {
	once(r, "around", func() bool { r.overlooked(); return true })
}

func (r *repo) overlooked() {
	for _, e := range r.entries(".") {
		name := e.Name()
		switch {
		case e.IsDir() && (name == "role" || name == "host"):
			r.c.add(Problem{File: name, Message: "nothing reads this directory", Hint: fmt.Sprintf("rename it to %s/", name+"s")})
		case name == "vars.yml":
			r.c.add(Problem{File: name, Message: "nothing reads this file", Hint: "rename it to vars.yaml"})
		}
	}
	for _, e := range r.entries("hosts") {
		name := e.Name()
		if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "README") || strings.HasSuffix(name, ".yaml") {
			continue
		}
		hint := "values for a host stand in hosts/NAME.yaml"
		if base, ok := strings.CutSuffix(name, ".yml"); ok {
			hint = "rename it to " + base + ".yaml"
		}
		r.c.add(Problem{File: "hosts/" + name, Message: "nothing reads this", Hint: hint})
	}
	for _, e := range r.entries("roles") {
		if name := e.Name(); !e.IsDir() && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "README") {
			r.c.add(Problem{File: "roles/" + name, Message: "nothing reads this file", Hint: "a role is a directory: roles/NAME/role.yaml"})
		}
	}
}

// lookAroundRole reports what lies in a role's directory under a name that
// nothing reads.
func (r *repo) lookAroundRole(role string) {
	once(r, "around "+role, func() bool { r.overlookedIn(role); return true })
}

func (r *repo) overlookedIn(role string) {
	known := []string{"files", "units", "templates", "role.yaml", "vars.yaml"}
	for _, e := range r.entries(roleDir(role)) {
		name := e.Name()
		if contains(known, name) || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "README") {
			continue
		}
		hint := didYouMean(name, known)
		if hint == "" {
			hint = "a role has files/, units/, templates/, role.yaml and vars.yaml"
		}
		r.c.add(Problem{File: path.Join(roleDir(role), name), Message: "nothing reads this", Hint: hint})
	}
}
