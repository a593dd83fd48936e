package apply_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"evenkeel/agent/apply"
	"evenkeel/agent/apply/applytest"
	"evenkeel/agent/plan"
)

// disturbed is a disk on which somebody does something between two calls.
type disturbed struct {
	*applytest.FS
	calls int
	do    func()
}

func (d *disturbed) call() {
	if d.calls--; d.calls == -1 {
		d.do()
	}
}

func (d *disturbed) OpenDir(path string) (apply.Dir, error) {
	dir, err := d.FS.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &disturbedDir{dir, d}, nil
}

type disturbedDir struct {
	apply.Dir
	d *disturbed
}

func (d *disturbedDir) Stat(name string) (apply.Info, error) {
	d.d.call()
	return d.Dir.Stat(name)
}

func (d *disturbedDir) Create(name string, content []byte, attr apply.Attr, labelFor string) (apply.Info, error) {
	d.d.call()
	return d.Dir.Create(name, content, attr, labelFor)
}

func (d *disturbedDir) Exchange(a, b string) error {
	d.d.call()
	return d.Dir.Exchange(a, b)
}

func (d *disturbedDir) Rename(from, to string) error {
	d.d.call()
	return d.Dir.Rename(from, to)
}

func (d *disturbedDir) Sync() error {
	d.d.call()
	return d.Dir.Sync()
}

const managed = "/etc/app.conf"

var plainFile = apply.Attr{Mode: 0o644}

// attempt brings a file to a path, or takes one away, on a disk where somebody
// interferes, and then back again.
func attempt(t *testing.T, f *applytest.FS, after plan.Path, calls int, interfere func()) (disturbs bool, err error) {
	t.Helper()
	f.PutFile("/etc/passwd", "root:x:0:0::/root:/bin/sh\n", plainFile)
	f.PutFile("/etc/group", "root:x:0:\n", plainFile)
	accounts, err := apply.ReadAccounts(f)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := new(apply.Index).Look(f, accounts, []string{"/etc", managed})
	if err != nil {
		t.Fatal(err)
	}
	moves, err := apply.Prepare(accounts, seen, map[string]plan.Path{"/etc": seen.Paths["/etc"], managed: after}, nil)
	if err != nil {
		t.Fatal(err)
	}
	disk := &disturbed{FS: f, calls: calls, do: interfere}
	if err := apply.Stage(disk, moves, func(string) ([]byte, error) { return []byte("new\n"), nil }); err != nil {
		return disk.calls < 0, apply.Unstage(f, moves)
	}
	if err := apply.Forward(disk, moves); err != nil && !errors.Is(err, apply.ErrForeign) {
		t.Errorf("on the way forward: %v", err)
	}
	return disk.calls < 0, apply.Backward(f, moves)
}

// TestForeignWritesAreNeverLost: somebody writes to a managed path between any two
// calls of an attempt's way forward. The attempt can be taken back all the same,
// and what they wrote is where they wrote it, or beside it.
func TestForeignWritesAreNeverLost(t *testing.T) {
	const edited = "edited\n"
	fresh := plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root", Digest: plan.DigestKey(nil).Digest([]byte("new\n"))}
	edits := map[string]func(*applytest.FS){
		"replaces it": func(f *applytest.FS) { f.PutFile(managed, edited, plainFile) },
		"writes in place": func(f *applytest.FS) {
			if f.Exists(managed) {
				f.Overwrite(managed, edited)
			}
		},
	}
	for _, was := range []string{"", "old\n"} {
		for _, after := range []plan.Path{fresh, {}} {
			for what, edit := range edits {
				for calls, disturbs := 0, true; disturbs; calls++ {
					f := applytest.New(applytest.Options{})
					f.PutDir("/etc", apply.Attr{Mode: 0o755})
					if was != "" {
						f.PutFile(managed, was, plainFile)
					}
					name := fmt.Sprintf("there stood %q, there shall be %q, somebody %s after %d calls", was, after.Kind, what, calls)
					wrote := false
					var err error
					disturbs, err = attempt(t, f, after, calls, func() {
						edit(f)
						text, _ := f.ReadFile(managed)
						wrote = string(text) == edited
					})
					if err != nil {
						t.Errorf("%s: it cannot be taken back: %v", name, err)
					}
					here, _ := f.ReadFile(managed)
					aside, _ := f.ReadFile("/etc/.app.conf.evenkeel!")
					if wrote && string(here) != edited && string(aside) != edited {
						t.Errorf("%s: what they wrote is lost: %v", name, f.Tree("/etc"))
					}
					if !wrote && string(here) != was {
						t.Errorf("%s: there stands %q again", name, here)
					}
				}
			}
		}
	}
}

// TestFileThatSomebodyRemovesStaysRemoved: between the first look and the switch.
// The attempt was held, because what had stood there could not be put back.
func TestFileThatSomebodyRemovesStaysRemoved(t *testing.T) {
	fresh := plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root", Digest: plan.DigestKey(nil).Digest([]byte("new\n"))}
	f := applytest.New(applytest.Options{})
	f.PutDir("/etc", apply.Attr{Mode: 0o755})
	f.PutFile(managed, "old\n", plainFile)
	_, err := attempt(t, f, fresh, 4, func() { f.Delete(managed) })
	if err != nil {
		t.Error(err)
	}
	if tree := f.Tree("/etc"); len(tree) != 3 { // with passwd and group
		t.Errorf("there stand %v", tree)
	}
}

// TestSecondEditThatIsMovedAsideLeavesTheFirst: it took its place, and what somebody had
// written was lost.
func TestSecondEditThatIsMovedAsideLeavesTheFirst(t *testing.T) {
	fresh := plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root", Digest: plan.DigestKey(nil).Digest([]byte("new\n"))}
	aside := []string{"/etc/.app.conf.evenkeel!", "/etc/.app.conf.2.evenkeel!", "/etc/.app.conf.3.evenkeel!"}
	moved := 0
	for calls, disturbs := 0, true; disturbs; calls++ {
		f := applytest.New(applytest.Options{})
		f.PutDir("/etc", apply.Attr{Mode: 0o755})
		f.PutFile(managed, "old\n", plainFile)
		f.PutFile(aside[0], "first\n", plainFile)
		f.PutFile(aside[1], "second\n", plainFile)
		var err error
		if disturbs, err = attempt(t, f, fresh, calls, func() { f.PutFile(managed, "third\n", plainFile) }); err != nil {
			t.Errorf("after %d calls it cannot be taken back: %v", calls, err)
		}
		for i, want := range []string{"first\n", "second\n"} {
			if text, _ := f.ReadFile(aside[i]); string(text) != want {
				t.Errorf("after %d calls %s says %q", calls, aside[i], text)
			}
		}
		there := aside[:2]
		if text, _ := f.ReadFile(aside[2]); string(text) == "third\n" {
			there = aside
			moved++
		} else if here, _ := f.ReadFile(managed); disturbs && string(here) != "third\n" {
			t.Errorf("after %d calls what they wrote is lost: %v", calls, f.Tree("/etc"))
		}
		list := apply.Aside(f, []apply.Move{{Path: managed}, {Path: "/etc/app"}})
		if !slices.Equal(slices.Sorted(slices.Values(list)), slices.Sorted(slices.Values(there))) {
			t.Errorf("after %d calls %q are told of", calls, list)
		}
	}
	if moved == 0 {
		t.Error("nothing was moved aside")
	}
}
