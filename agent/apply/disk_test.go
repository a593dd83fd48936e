package apply

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"evenkeel/agent/plan"

	"golang.org/x/sys/unix"
)

// openRoot gives a temp directory as a disk, and its path.
func openRoot(t *testing.T) (*Disk, string) {
	t.Helper()
	root := t.TempDir()
	return diskAt(t, root), root
}

func diskAt(t *testing.T, root string) *Disk {
	t.Helper()
	disk, err := NewDisk(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	return disk
}

func openAt(t *testing.T, disk *Disk, name string) *diskDir {
	t.Helper()
	dir, err := disk.openDir(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func put(t *testing.T, elem ...string) {
	t.Helper()
	name := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("content of "+filepath.Base(name)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDiskOpenDir(t *testing.T) {
	disk, root := openRoot(t)
	put(t, root, "etc/app/file")
	for name, says := range map[string]string{"etc/link": "app", "etc/out": "/tmp", "etc/dangling": "nothing"} {
		if err := os.Symlink(says, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		about, path string
		want        error
	}{
		{"the root itself opens", "/", nil},
		{"a directory opens", "/etc/app", nil},
		{"a missing component is ErrNotExist", "/etc/none/deeper", fs.ErrNotExist},
		{"a link as the last component is refused", "/etc/link", ErrLinkInPath},
		{"a link on the way is refused", "/etc/link/deeper", ErrLinkInPath},
		{"a link to outside is refused", "/etc/out", ErrLinkInPath},
		{"a dangling link is a link, not a missing directory", "/etc/dangling", ErrLinkInPath},
		{"a file is not a directory", "/etc/app/file", ErrNotDir},
		{"a file on the way is not a directory", "/etc/app/file/deeper", ErrNotDir},
	} {
		dir, err := disk.OpenDir(row.path)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: OpenDir(%q) = %v, want %v", row.about, row.path, err, row.want)
		}
		if err == nil {
			if err := dir.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for _, name := range []string{"etc", "", "/etc/", "/etc/../etc", "/../etc", "//etc", "/etc/./app"} {
		if dir, err := disk.OpenDir(name); err == nil {
			t.Errorf("OpenDir(%q) succeeded; want a refusal of a path that is not absolute and clean (%v)", name, dir.Close())
		}
	}
}

func TestDiskRefusesNamesThatAreNoEntries(t *testing.T) {
	disk, _ := openRoot(t)
	dir := openAt(t, disk, "/")
	for _, name := range []string{"", ".", "..", "a/b", "/a", "a\x00b"} {
		if _, err := dir.Create(name, nil, Attr{}, "x"); err == nil {
			t.Errorf("Create(%q) succeeded", name)
		}
		if err := dir.Rename("x", name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Rename to %q: %v, want a refusal of the name", name, err)
		}
	}
}

func TestDiskCreate(t *testing.T) {
	disk, root := openRoot(t)
	dir := openAt(t, disk, "/")
	attr := Attr{Mode: 0o2751, UID: 1234, GID: 4321}
	info, err := dir.Create("new", []byte("bytes"), attr, "/etc/new")
	if err != nil {
		t.Fatal(err)
	}
	seen, err := dir.Stat("new")
	if err != nil || seen != info {
		t.Errorf("Stat after Create = %+v, %v; want %+v", seen, err, info)
	}
	if info.Kind != plan.File || info.Attr != attr || info.Size != 5 || info.Links != 1 || info.Mount {
		t.Errorf("Create = %+v", info)
	}
	if got, err := dir.Read("new", 5); string(got) != "bytes" || err != nil {
		t.Errorf("Read = %q, %v", got, err)
	}
	if _, err := dir.Read("new", 4); err == nil {
		t.Error("Read of five bytes with a limit of four succeeded")
	}
	if _, err := dir.Create("new", nil, attr, "/etc/new"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Create: %v, want ErrExist", err)
	}
	if err := os.Symlink(filepath.Join(root, "elsewhere"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Create("link", []byte("x"), attr, "/etc/link"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create on a dangling link: %v, want ErrExist", err)
	}
	if names, err := dir.Names(); !slices.Equal(names, []string{"link", "new"}) || err != nil {
		t.Errorf("Names = %q, %v", names, err)
	}
}

func TestDiskReadOpensNothingButFiles(t *testing.T) {
	disk, root := openRoot(t)
	dir := openAt(t, disk, "/")
	put(t, root, "target")
	if err := os.Symlink("target", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Read("link", 100); !errors.Is(err, ErrLinkInPath) {
		t.Errorf("Read of a link: %v, want ErrLinkInPath", err)
	}
	if _, err := dir.Read("pipe", 100); err == nil {
		t.Error("Read of a pipe succeeded")
	}
	if info, err := dir.Stat("pipe"); info.Kind != plan.Other || err != nil {
		t.Errorf("Stat of a pipe = %+v, %v", info, err)
	}
	if _, err := dir.Read("none", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read of nothing: %v, want ErrNotExist", err)
	}
}

func TestDiskMoves(t *testing.T) {
	disk, root := openRoot(t)
	dir := openAt(t, disk, "/")
	put(t, root, "a")
	put(t, root, "b")
	a, b := inode(t, dir, "a"), inode(t, dir, "b")

	if err := dir.Exchange("a", "b"); err != nil || inode(t, dir, "a") != b || inode(t, dir, "b") != a {
		t.Errorf("Exchange: %v", err)
	}
	if err := dir.Exchange("a", "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Exchange with nothing: %v, want ErrNotExist", err)
	}
	if err := dir.Rename("a", "b"); !errors.Is(err, fs.ErrExist) || inode(t, dir, "b") != a {
		t.Errorf("Rename onto an entry: %v, want ErrExist and nothing moved", err)
	}
	if err := dir.Rename("a", "c"); err != nil || inode(t, dir, "c") != b || inode(t, dir, "a") != 0 {
		t.Errorf("Rename: %v", err)
	}
	if err := dir.Replace("c", "b"); err != nil || inode(t, dir, "b") != b || inode(t, dir, "c") != 0 {
		t.Errorf("Replace: %v", err)
	}
	if err := dir.Hardlink("b", "second"); err != nil || inode(t, dir, "second") != b {
		t.Errorf("Hardlink: %v", err)
	}
	if info, err := dir.Stat("second"); info.Links != 2 || err != nil {
		t.Errorf("Stat of a second name = %+v, %v; want two links", info, err)
	}
	if err := dir.Hardlink("b", "second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Hardlink onto an entry: %v, want ErrExist", err)
	}
	if err := dir.Replace("second", "b"); err != nil || inode(t, dir, "b") != b || inode(t, dir, "second") != 0 {
		t.Errorf("Replace of a second name over the first: %v, want the second gone", err)
	}
	if err := dir.Remove("b"); err != nil || inode(t, dir, "b") != 0 {
		t.Errorf("Remove: %v", err)
	}
	if err := dir.Remove("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Remove of nothing: %v, want ErrNotExist", err)
	}
	if err := dir.Sync(); err != nil {
		t.Error(err)
	}
}

func TestDiskLinksAreNeverFollowed(t *testing.T) {
	disk, root := openRoot(t)
	dir := openAt(t, disk, "/")
	put(t, root, "target")
	if _, err := dir.Symlink("target", "link"); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Symlink("other", "link"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Symlink onto an entry: %v, want ErrExist", err)
	}
	if says, err := dir.Readlink("link"); says != "target" || err != nil {
		t.Errorf("Readlink = %q, %v", says, err)
	}
	if err := dir.Hardlink("link", "second"); err != nil {
		t.Fatal(err)
	}
	if info, err := dir.Stat("second"); info.Kind != plan.Link || err != nil {
		t.Errorf("Hardlink of a link = %+v, %v; want the link itself", info, err)
	}
	if err := dir.SetAttr("link", Attr{Mode: 0o777}); !errors.Is(err, ErrLinkInPath) {
		t.Errorf("SetAttr of a link: %v, want ErrLinkInPath", err)
	}
	if err := dir.SetAttr("target", Attr{Mode: 0o777}); !errors.Is(err, ErrNotDir) {
		t.Errorf("SetAttr of a file: %v, want ErrNotDir", err)
	}
	if err := dir.Remove("link"); err != nil || inode(t, dir, "target") == 0 {
		t.Errorf("Remove of a link: %v", err)
	}
}

func TestDiskDirectories(t *testing.T) {
	disk, root := openRoot(t)
	dir := openAt(t, disk, "/")
	attr := Attr{Mode: 0o1770, UID: 77, GID: 78}
	info, err := dir.Mkdir("sub", attr)
	if err != nil || info.Kind != plan.Directory || info.Attr != attr {
		t.Errorf("Mkdir = %+v, %v", info, err)
	}
	if _, err := dir.Mkdir("sub", attr); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Mkdir: %v, want ErrExist", err)
	}
	attr = Attr{Mode: 0o755, UID: 0, GID: 5}
	if err := dir.SetAttr("sub", attr); err != nil {
		t.Error(err)
	}
	if info, err := dir.Stat("sub"); info.Attr != attr || err != nil {
		t.Errorf("Stat after SetAttr = %+v, %v", info, err)
	}
	put(t, root, "sub/file")
	if err := dir.Remove("sub"); !errors.Is(err, unix.ENOTEMPTY) {
		t.Errorf("Remove of a directory that is not empty: %v, want ENOTEMPTY", err)
	}
	if err := openAt(t, disk, "/sub").Remove("file"); err != nil {
		t.Error(err)
	}
	if err := dir.Remove("sub"); err != nil {
		t.Error(err)
	}
}

// A file system without RENAME_NOREPLACE gets the two calls of linkOver, and a
// crash between them must not lose the entry or block the next try.
func TestDiskRenameWithoutTheFlag(t *testing.T) {
	disk, root := openRoot(t)
	dir := openAt(t, disk, "/")
	put(t, root, "from")
	put(t, root, "taken")
	was := inode(t, dir, "from")
	if err := dir.linkOver("from", "taken"); !errors.Is(err, fs.ErrExist) || inode(t, dir, "taken") == was {
		t.Errorf("onto an entry: %v, want ErrExist and nothing moved", err)
	}
	if err := dir.Hardlink("from", "to"); err != nil { // the crash
		t.Fatal(err)
	}
	if err := dir.linkOver("from", "to"); err != nil || inode(t, dir, "to") != was || inode(t, dir, "from") != 0 {
		t.Errorf("again after a crash: %v", err)
	}
	if err := dir.linkOver("to", "back"); err != nil || inode(t, dir, "back") != was || inode(t, dir, "to") != 0 {
		t.Errorf("without a crash: %v", err)
	}
}

// sysfs refuses every flag of renameat2(2) before it looks at anything else.
func TestDiskExchangeWhereThereIsNone(t *testing.T) {
	dir := openAt(t, diskAt(t, "/sys"), "/kernel")
	if err := dir.Exchange("notes", "uevent_seqnum"); !errors.Is(err, ErrNoExchange) {
		t.Errorf("Exchange on sysfs: %v, want ErrNoExchange", err)
	}
	if dir.disk.Swaps(dir) {
		t.Error("Swaps is true for sysfs")
	}
}

func TestDiskLabel(t *testing.T) {
	disk, root := openRoot(t)
	disk.selinux = true
	dir := openAt(t, disk, "/")
	put(t, root, "app.conf")
	const label = "system_u:object_r:etc_t:s0"
	if err := unix.Setxattr(filepath.Join(root, "app.conf"), labelAttr, []byte(label), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Create(".app.conf.evenkeel+", nil, Attr{Mode: 0o600}, "/etc/app.conf"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	n, err := unix.Getxattr(filepath.Join(root, ".app.conf.evenkeel+"), labelAttr, got)
	if err != nil || string(got[:n]) != label {
		t.Errorf("label of the new file = %q, %v; want that of its target, %q", got[:max(n, 0)], err, label)
	}
	if _, err := dir.Create("fresh", nil, Attr{Mode: 0o600}, "/etc/nothing-there"); err != nil {
		t.Errorf("Create without a target to copy the label of: %v", err)
	}
}

func TestDiskFree(t *testing.T) {
	disk, _ := openRoot(t)
	free, err := disk.Free(openAt(t, disk, "/"))
	if err != nil || free.ID == 0 || free.Bytes == 0 || free.Inodes == 0 || free.Bytes == math.MaxUint64 {
		t.Errorf("Free = %+v, %v", free, err)
	}
}

// inode is 0 where nothing is.
func inode(t *testing.T, dir Dir, name string) uint64 {
	t.Helper()
	info, err := dir.Stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return info.Inode
}
