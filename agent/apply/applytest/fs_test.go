package applytest_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"evenkeel/agent/apply"
	"evenkeel/agent/apply/applytest"
)

var plain = apply.Attr{Mode: 0o644}

func TestConform(t *testing.T) {
	t.Run("the disk", func(t *testing.T) {
		applytest.Conform(t, func(t *testing.T) apply.FS {
			disk, err := apply.NewDisk(t.TempDir())
			must(t, err)
			t.Cleanup(func() { must(t, disk.Close()) })
			return disk
		})
	})
	t.Run("the model itself", func(t *testing.T) {
		applytest.Conform(t, func(*testing.T) apply.FS { return applytest.New(applytest.Options{}) })
	})
}

// open opens a directory of the model or ends the test.
func open(t *testing.T, f *applytest.FS, path string) apply.Dir {
	t.Helper()
	d, err := f.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// show writes a directory of the model in one line: "a=one b=two".
func show(f *applytest.FS, path string) string {
	var list []string
	for _, name := range f.Names(path) {
		data, _ := f.ReadFile(path + "/" + name)
		list = append(list, name+"="+string(data))
	}
	return strings.Join(list, " ")
}

// crashes gives all ends that a power cut can lead to, over many seeds.
func crashes(f *applytest.FS, path string) []string {
	ends := map[string]bool{}
	for seed := range uint64(400) {
		c := f.Clone()
		c.Crash(rand.New(rand.NewPCG(seed, 7)))
		ends[show(c, path)] = true
	}
	return slices.Sorted(maps.Keys(ends))
}

func TestCrash(t *testing.T) {
	rows := []struct {
		name string
		opt  applytest.Options
		do   func(t *testing.T, d apply.Dir)
		ends []string
	}{
		{
			name: "without a change nothing is lost",
			do:   func(*testing.T, apply.Dir) {},
			ends: []string{"a=one b=two"},
		},
		{
			name: "an exchange is all or nothing",
			do:   func(t *testing.T, d apply.Dir) { must(t, d.Exchange("a", "b")) },
			ends: []string{"a=one b=two", "a=two b=one"},
		},
		{
			name: "after a sync an exchange stays",
			do: func(t *testing.T, d apply.Dir) {
				must(t, d.Exchange("a", "b"))
				must(t, d.Sync())
			},
			ends: []string{"a=two b=one"},
		},
		{
			name: "the mutant without directory sync forgets it",
			opt:  applytest.Options{NoDirSync: true},
			do: func(t *testing.T, d apply.Dir) {
				must(t, d.Exchange("a", "b"))
				must(t, d.Sync())
			},
			ends: []string{"a=one b=two", "a=two b=one"},
		},
		{
			name: "a dropped rename and a dropped unlink leave the old name; they do not wait for each other",
			do: func(t *testing.T, d apply.Dir) {
				must(t, d.Rename("a", "c"))
				must(t, d.Remove("b"))
			},
			ends: []string{"a=one", "a=one b=two", "b=two c=one", "c=one"},
		},
		{
			name: "changes of one name keep their order: no exchange without the create before it",
			do: func(t *testing.T, d apply.Dir) {
				_, err := d.Create("c", []byte("new"), plain, "a")
				must(t, err)
				must(t, d.Exchange("a", "c"))
				must(t, d.Remove("c"))
			},
			ends: []string{"a=new b=two", "a=new b=two c=one", "a=one b=two", "a=one b=two c=new"},
		},
		{
			name: "a created file is whole or not there",
			do: func(t *testing.T, d apply.Dir) {
				_, err := d.Create("c", []byte("new"), plain, "c")
				must(t, err)
			},
			ends: []string{"a=one b=two", "a=one b=two c=new"},
		},
		{
			name: "the mutant without file sync tears it, also when the directory is synced",
			opt:  applytest.Options{NoFileSync: true},
			do: func(t *testing.T, d apply.Dir) {
				_, err := d.Create("c", []byte("new"), plain, "c")
				must(t, err)
				must(t, d.Sync())
			},
			ends: []string{"a=one b=two c=", "a=one b=two c=n", "a=one b=two c=ne", "a=one b=two c=new"},
		},
		{
			name: "a replaced file comes back when the replace is dropped",
			do:   func(t *testing.T, d apply.Dir) { must(t, d.Replace("a", "b")) },
			ends: []string{"a=one b=two", "b=one"},
		},
		{
			name: "a hard link goes with its name",
			do:   func(t *testing.T, d apply.Dir) { must(t, d.Hardlink("a", "c")) },
			ends: []string{"a=one b=two", "a=one b=two c=one"},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			f := applytest.New(row.opt)
			f.PutFile("/x/a", "one", plain)
			f.PutFile("/x/b", "two", plain)
			f.Settle()
			row.do(t, open(t, f, "/x"))
			if got := crashes(f, "/x"); !slices.Equal(got, row.ends) {
				t.Errorf("ends are\n%q\nwant\n%q", got, row.ends)
			}
		})
	}
}

func TestCrashKeepsDirectoriesApart(t *testing.T) {
	f := applytest.New(applytest.Options{})
	f.PutFile("/x/a", "one", plain)
	f.PutFile("/y/a", "two", plain)
	f.Settle()
	must(t, open(t, f, "/x").Rename("a", "b"))
	must(t, open(t, f, "/y").Remove("a"))
	ends := map[string]bool{}
	for seed := range uint64(400) {
		c := f.Clone()
		c.Crash(rand.New(rand.NewPCG(seed, 7)))
		ends[show(c, "/x")+" / "+show(c, "/y")] = true
	}
	want := []string{"a=one / ", "a=one / a=two", "b=one / ", "b=one / a=two"}
	if got := slices.Sorted(maps.Keys(ends)); !slices.Equal(got, want) {
		t.Errorf("ends are %q, want %q", got, want)
	}
}

func TestCrashTakesAttributesBack(t *testing.T) {
	f := applytest.New(applytest.Options{})
	f.PutDir("/x/d", apply.Attr{Mode: 0o755})
	f.Settle()
	d := open(t, f, "/x")
	must(t, d.SetAttr("d", apply.Attr{Mode: 0o700, UID: 3}))
	seen := map[string]bool{}
	for seed := range uint64(50) {
		c := f.Clone()
		c.Crash(rand.New(rand.NewPCG(seed, 7)))
		seen[c.Print("/x/d")] = true
	}
	if want := map[string]bool{"directory 0755 0:0": true, "directory 0700 3:0": true}; !maps.Equal(seen, want) {
		t.Errorf("a power cut leads to %v, want %v", seen, want)
	}
	must(t, d.Sync())
	f.Crash(rand.New(rand.NewPCG(1, 1)))
	if got := f.Print("/x/d"); got != "directory 0700 3:0" {
		t.Errorf("after a sync it is %q", got)
	}
}

// busy does many changes and syncs few.
func busy(t *testing.T, f *applytest.FS, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2))
	d := open(t, f, "/x")
	for i := range 60 {
		a, b := fmt.Sprint(rng.IntN(6)), fmt.Sprint(rng.IntN(6))
		switch rng.IntN(6) {
		case 0, 1:
			_, _ = d.Create(a, []byte(fmt.Sprint(i)), plain, a) // taken names are part of the game
		case 2:
			_ = d.Exchange(a, b)
		case 3:
			_ = d.Rename(a, b)
		case 4:
			_ = d.Remove(a)
		case 5:
			if rng.IntN(4) == 0 {
				must(t, d.Sync())
			}
		}
	}
}

func TestCrashIsDeterministic(t *testing.T) {
	for seed := range uint64(50) {
		f := applytest.New(applytest.Options{NoFileSync: true})
		f.PutDir("/x", apply.Attr{Mode: 0o755})
		busy(t, f, seed)
		one, two := f.Clone(), f.Clone()
		one.Crash(rand.New(rand.NewPCG(seed, 3)))
		two.Crash(rand.New(rand.NewPCG(seed, 3)))
		if a, b := one.Tree("/"), two.Tree("/"); !maps.Equal(a, b) {
			t.Fatalf("seed %d: one end is %v, the other %v", seed, a, b)
		}
	}
}

func TestCloneIsIndependent(t *testing.T) {
	f := applytest.New(applytest.Options{})
	f.PutDir("/x", apply.Attr{Mode: 0o755})
	busy(t, f, 1)
	before, clock := f.Tree("/"), *f.Clock()
	for seed := range uint64(20) {
		c, twin := f.Clone(), f.Clone()
		busy(t, c, seed)
		busy(t, twin, seed+100)
		lone := f.Clone()
		busy(t, lone, seed)
		if !maps.Equal(c.Tree("/"), lone.Tree("/")) {
			t.Fatalf("seed %d: a clone was changed by its twin", seed)
		}
		c.Crash(rand.New(rand.NewPCG(seed, 3)))
	}
	if !maps.Equal(before, f.Tree("/")) || *f.Clock() != clock {
		t.Error("changes of a clone show in the original")
	}
}

func TestEffectsAreAnnounced(t *testing.T) {
	f := applytest.New(applytest.Options{})
	f.PutDir("/x", apply.Attr{Mode: 0o755})
	var seen []string
	f.Before = func(op, path string) { seen = append(seen, op+" "+path) }
	d := open(t, f, "/x")
	_, err := d.Create("a", nil, plain, "a")
	must(t, err)
	_, err = d.Create("a", nil, plain, "a")
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second create gives %v", err)
	}
	_, err = d.Mkdir("b", plain)
	must(t, err)
	_, err = d.Symlink("a", "c")
	must(t, err)
	must(t, d.Exchange("a", "b"))
	must(t, d.Rename("a", "d"))
	must(t, d.Hardlink("b", "e"))
	must(t, d.Replace("e", "c"))
	must(t, d.SetAttr("d", plain))
	must(t, d.Remove("d"))
	must(t, d.Sync())
	want := []string{"create /x/a", "fsync /x/a", "mkdir /x/b", "symlink /x/c", "exchange /x/b", "rename /x/d",
		"link /x/e", "replace /x/c", "setattr /x/d", "unlink /x/d", "sync /x"}
	if !slices.Equal(seen, want) {
		t.Errorf("effects are\n%q\nwant\n%q", seen, want)
	}
}

func TestFullDisk(t *testing.T) {
	f := applytest.New(applytest.Options{Space: 5, Inodes: 2})
	f.PutDir("/x", apply.Attr{Mode: 0o755})
	f.Limit(5, 2)
	d := open(t, f, "/x")
	_, err := d.Create("a", []byte("123456"), plain, "a")
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("too many bytes: %v", err)
	}
	_, err = d.Create("a", []byte("12345"), plain, "a")
	must(t, err)
	_, err = d.Mkdir("b", plain)
	must(t, err)
	if _, err = d.Symlink("b", "c"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("too many inodes: %v", err)
	}
	must(t, d.Exchange("a", "b"))
	must(t, d.Remove("b"))
	_, err = d.Create("c", []byte("54321"), plain, "c")
	must(t, err)
}

func TestTimes(t *testing.T) {
	f := applytest.New(applytest.Options{})
	f.PutFile("/x/a", "one", plain)
	d := open(t, f, "/x")
	made, err := d.Stat("a")
	must(t, err)
	must(t, d.Rename("a", "b"))
	moved, err := d.Stat("b")
	must(t, err)
	if !moved.MTime.Equal(made.MTime) || !moved.CTime.After(made.CTime) || moved.Inode != made.Inode {
		t.Errorf("a rename made %+v of %+v: only the ctime may change", moved, made)
	}
	f.Overwrite("/x/b", "two")
	now, err := d.Stat("b")
	must(t, err)
	if !now.MTime.After(moved.MTime) || now.Inode != made.Inode {
		t.Errorf("a write in place made %+v of %+v", now, moved)
	}
}

func BenchmarkClone(b *testing.B) {
	f := applytest.New(applytest.Options{})
	for i := range 40 {
		f.PutFile(fmt.Sprintf("/etc/%d/file%d", i%8, i), "content", plain)
	}
	for b.Loop() {
		c := f.Clone()
		d, _ := c.OpenDir("/etc/3")
		_ = d.Rename("file3", "file3~")
		_ = d.Close()
		c.Crash(rand.New(rand.NewPCG(1, 1)))
	}
}
