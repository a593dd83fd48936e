package applytest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// conformSteps is how many random calls each of the conformRuns makes.
const (
	conformRuns  = 12
	conformSteps = 150
)

// Conform runs the same random calls on the model and on the disks that newFS
// gives, each with an empty "/", and compares errors, trees and which names are
// the same inode.
func Conform(t *testing.T, newFS func(t *testing.T) apply.FS) {
	t.Helper()
	for seed := range uint64(conformRuns) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			pair := &conformer{t: t, rng: rand.New(rand.NewPCG(seed, 1)), model: New(Options{}), real: newFS(t), inodes: map[uint64]uint64{}}
			for range conformSteps {
				pair.step()
				pair.compare("/")
				if t.Failed() {
					t.Fatalf("the calls:\n%s", strings.Join(pair.calls, "\n"))
				}
			}
		})
	}
}

type conformer struct {
	t           *testing.T
	rng         *rand.Rand
	model, real apply.FS
	calls       []string
	inodes      map[uint64]uint64 // the model's number -> the other's
}

// step makes one call on both.
func (c *conformer) step() {
	where := []string{"/", "/d", "/d/e", "/a", "/no/such"}[c.rng.IntN(5)]
	a, b := c.name(), c.name()
	content := []byte(strings.Repeat("x", c.rng.IntN(40)))
	attr := apply.Attr{Mode: []uint32{0o644, 0o600, 0o755, 0o4755}[c.rng.IntN(4)], UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	if where == "/" && c.rng.IntN(3) == 0 {
		a = "d"
	}
	calls := []struct {
		text string
		do   func(apply.Dir) error
	}{
		{"create " + a, func(d apply.Dir) error { _, err := d.Create(a, content, attr, "/"+b); return err }},
		{"symlink " + a, func(d apply.Dir) error { _, err := d.Symlink("../"+b, a); return err }},
		{"mkdir " + a, func(d apply.Dir) error { _, err := d.Mkdir(a, attr); return err }},
		{"exchange " + a + " " + b, func(d apply.Dir) error { return d.Exchange(a, b) }},
		{"rename " + a + " " + b, func(d apply.Dir) error { return d.Rename(a, b) }},
		{"replace " + a + " " + b, func(d apply.Dir) error { return d.Replace(a, b) }},
		{"hardlink " + a + " " + b, func(d apply.Dir) error { return d.Hardlink(a, b) }},
		{"remove " + a, func(d apply.Dir) error { return d.Remove(a) }},
		{"setattr " + a, func(d apply.Dir) error { return d.SetAttr(a, attr) }},
		{"read " + a, func(d apply.Dir) error { _, err := d.Read(a, 20); return err }},
		{"readlink " + a, func(d apply.Dir) error { _, err := d.Readlink(a); return err }},
		{"stat " + a, func(d apply.Dir) error { _, err := d.Stat(a); return err }},
		{"pin " + a, func(d apply.Dir) error { return pin(d, a) }},
		{"sync", func(d apply.Dir) error { return d.Sync() }},
	}
	call := calls[c.rng.IntN(len(calls))]
	c.calls = append(c.calls, where+": "+call.text)
	one, two := in(c.model, where, call.do), in(c.real, where, call.do)
	if class(one) != class(two) {
		c.t.Errorf("%s: %s: the model says %v, the disk %v", where, call.text, one, two)
	}
}

// name picks one of few names, so that calls meet.
func (c *conformer) name() string { return []string{"a", "b", "c", "d", "e"}[c.rng.IntN(5)] }

func in(f apply.FS, where string, do func(apply.Dir) error) error {
	d, err := f.OpenDir(where)
	if err != nil {
		return err
	}
	return errors.Join(do(d), d.Close())
}

// pin asks for what is there only: the contract says nothing about other names.
func pin(d apply.Dir, name string) error {
	if _, err := d.Stat(name); err != nil {
		return err
	}
	return d.Pin(name)
}

// class is the part of an error that the contract speaks of.
func class(err error) string {
	if err == nil {
		return "none"
	}
	for _, known := range []error{fs.ErrNotExist, fs.ErrExist, apply.ErrLinkInPath, apply.ErrNotDir, syscall.ENOTEMPTY} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "other"
}

// compare looks at both trees through the interface.
func (c *conformer) compare(path string) {
	one, err := c.model.OpenDir(path)
	if err != nil {
		c.t.Errorf("model: %v", err)
		return
	}
	defer one.Close()
	two, err := c.real.OpenDir(path)
	if err != nil {
		c.t.Errorf("disk: %v", err)
		return
	}
	defer two.Close()
	names, err := one.Names()
	other, err2 := two.Names()
	if fmt.Sprint(names, err) != fmt.Sprint(other, err2) {
		c.t.Errorf("%s: the model has %v (%v), the disk %v (%v)", path, names, err, other, err2)
		return
	}
	for _, name := range names {
		if c.entry(one, two, join(path, name), name) {
			c.compare(join(path, name))
		}
	}
}

// entry compares what one name stands for; it is true for a directory.
func (c *conformer) entry(one, two apply.Dir, path, name string) bool {
	a, err := one.Stat(name)
	b, err2 := two.Stat(name)
	if err != nil || err2 != nil {
		c.t.Errorf("cannot stat %q: model %v, disk %v", path, err, err2)
		return false
	}
	if known, ok := c.inodes[a.Inode]; ok && known != b.Inode {
		c.t.Errorf("%s: the inode was %d on the disk, now it is %d", path, known, b.Inode)
	}
	c.inodes[a.Inode] = b.Inode
	if a.Kind != plan.Directory && a.Links != b.Links || a.Kind != b.Kind || a.Kind != plan.Directory && a.Size != b.Size || a.Mount != b.Mount {
		c.t.Errorf("%s: the model says %+v, the disk %+v", path, a, b)
	}
	if a.Kind != plan.Link && a.Attr != b.Attr {
		c.t.Errorf("%s: the model has %+v, the disk %+v", path, a.Attr, b.Attr)
	}
	if x, y := text(one, name, a.Kind), text(two, name, b.Kind); x != y {
		c.t.Errorf("%s: the model holds %q, the disk %q", path, x, y)
	}
	return a.Kind == plan.Directory && b.Kind == plan.Directory
}

func text(d apply.Dir, name string, kind plan.Kind) string {
	switch kind {
	case plan.File:
		data, err := d.Read(name, 1<<20)
		return fmt.Sprintf("%s %v", data, err)
	case plan.Link:
		says, err := d.Readlink(name)
		return fmt.Sprintf("%s %v", says, err)
	}
	return ""
}
