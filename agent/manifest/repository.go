package manifest

import (
	"io/fs"

	"evenkeel/agent/plan"
)

// Repository is a tree that is read for many hosts: what does not depend on the
// host is read, parsed and judged once. It keeps what it has read, and is not
// for use by two goroutines at once.
type Repository struct {
	tree fs.FS
	opts Options
	memo memo
}

// Open gives the repository in a tree; nothing is read yet.
func Open(tree fs.FS, opts Options) *Repository { return &Repository{tree, opts, memo{}} }

// Load is Load for one of many hosts. Targets share what they do not own: they
// must not be changed but by Wire.
func (r *Repository) Load(facts Facts) (*plan.Target, error) { return r.reader().load(facts).target() }

// reader begins one reading, with problems of its own.
func (r *Repository) reader() *repo {
	in := newRepo(r.tree, r.opts)
	in.memo = r.memo
	return in
}

// memo holds what was read, by what it is. A single load has none: it needs
// everything once, and a template that is kept costs ten times its text.
type memo map[string]remembered

// remembered is a value with what was wrong on the way to it, which each host
// that needs the value gets to hear.
type remembered struct {
	value    any
	problems []Problem
	failed   error
}

// once gives what read gives, and reads it only once for all hosts.
func once[T any](r *repo, key string, read func() T) T {
	if r.memo == nil {
		return read()
	}
	known, ok := r.memo[key]
	if !ok {
		all, failed := r.c, r.failed
		r.c, r.failed = &collector{}, nil
		value := read()
		known = remembered{value, r.c.list, r.failed}
		r.memo[key] = known
		r.c, r.failed = all, failed
	}
	r.c.list = append(r.c.list, known.problems...)
	if r.failed == nil {
		r.failed = known.failed
	}
	return known.value.(T)
}
