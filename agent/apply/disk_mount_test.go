package apply

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mount mounts for the length of a test. These tests need root, as evenkeel does.
func mount(t *testing.T, source, at, kind string, flags uintptr, options string) {
	t.Helper()
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, at, kind, flags, options); err != nil {
		t.Fatalf("cannot mount %s at %q: %v", kind, at, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Errorf("cannot unmount %q: %v", at, err)
		}
	})
}

// smallExt4 mounts an ext4 of 4 MiB on a loop device.
func smallExt4(t *testing.T, at string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", image)
	run(t, "mount", "-o", "loop", image, at)
	t.Cleanup(func() { run(t, "umount", at) })
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
}

func TestDiskFull(t *testing.T) {
	root := t.TempDir()
	smallExt4(t, filepath.Join(root, "ext4"))
	mount(t, "none", filepath.Join(root, "tmpfs"), "tmpfs", 0, "size=1m,nr_inodes=20")
	disk := diskAt(t, root)
	for _, name := range []string{"/ext4", "/tmpfs"} {
		dir := openAt(t, disk, name)
		if !disk.Swaps(dir) {
			t.Errorf("Swaps(%q) is false", name)
		}
		space, err := disk.Free(dir)
		free := space.Bytes
		if err != nil || free == 0 || free > 4<<20 {
			t.Fatalf("Free(%q) = %d, %v", name, free, err)
		}
		before, _ := dir.Names()
		for range 2 { // a half-made file that stayed would take the space of the second
			_, err := dir.Create("big", make([]byte, 5<<20), Attr{Mode: 0o600}, "/big")
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("Create of more than %q has: %v, want ENOSPC", name, err)
			}
		}
		if after, _ := dir.Names(); len(after) != len(before) {
			t.Errorf("entries of %q after a Create that failed: %q, before: %q", name, after, before)
		}
		if _, err := dir.Create("fits", make([]byte, free/2), Attr{Mode: 0o600}, "/fits"); err != nil {
			t.Errorf("Create of what %q has room for: %v", name, err)
		}
	}
}

func TestDiskOutOfInodes(t *testing.T) {
	root := t.TempDir()
	mount(t, "none", root, "tmpfs", 0, "size=1m,nr_inodes=3")
	disk := diskAt(t, root)
	dir := openAt(t, disk, "/")
	if free, err := disk.Free(dir); free.Inodes != 2 || err != nil {
		t.Errorf("Free = %d inodes, %v; want 2", free.Inodes, err)
	}
	for _, name := range []string{"one", "two"} {
		if _, err := dir.Create(name, nil, Attr{Mode: 0o600}, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := dir.Create("three", nil, Attr{Mode: 0o600}, "three"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Create without inodes: %v, want ENOSPC", err)
	}
}

func TestDiskSeesMounts(t *testing.T) {
	disk, root := openRoot(t)
	put(t, root, "file")
	put(t, root, "plain")
	put(t, root, "other/inside")
	mount(t, "none", filepath.Join(root, "sub"), "tmpfs", 0, "")
	mount(t, filepath.Join(root, "other"), filepath.Join(root, "bound"), "", unix.MS_BIND, "")
	if err := unix.Mount(filepath.Join(root, "plain"), filepath.Join(root, "file"), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(root, "file"), unix.MNT_DETACH) })
	dir := openAt(t, disk, "/")
	for name, want := range map[string]bool{"sub": true, "bound": true, "file": true, "plain": false, "other": false} {
		if info, err := dir.Stat(name); info.Mount != want || err != nil {
			t.Errorf("Stat(%q).Mount = %v, %v; want %v", name, info.Mount, err, want)
		}
	}
}

// On overlayfs the first write may give an entry of the lower layer another
// inode number: always on old kernels, and on all when the entry has a second
// name down there. What Pin was called for keeps its number.
func TestDiskPinOnOverlay(t *testing.T) {
	root := t.TempDir()
	smallExt4(t, filepath.Join(root, "lower"))
	for _, name := range []string{"file", "setuid", "unpinned"} {
		put(t, root, "lower", name)
	}
	if err := os.Chmod(filepath.Join(root, "lower/setuid"), 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", filepath.Join(root, "lower/link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "setuid", "link", "unpinned"} {
		second := filepath.Join(root, "lower", "second "+name)
		if err := unix.Linkat(unix.AT_FDCWD, filepath.Join(root, "lower", name), unix.AT_FDCWD, second, 0); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, "none", filepath.Join(root, "upper"), "tmpfs", 0, "")
	for _, name := range []string{"data", "work"} {
		if err := os.Mkdir(filepath.Join(root, "upper", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, "overlay", filepath.Join(root, "host"), "overlay", 0,
		"xino=off,lowerdir="+root+"/lower,upperdir="+root+"/upper/data,workdir="+root+"/upper/work")
	disk := diskAt(t, root)
	dir := openAt(t, disk, "/host")
	if !disk.Swaps(dir) {
		t.Error("Swaps is false for overlayfs")
	}

	changed := func(name string, pin bool) bool {
		if pin {
			if err := dir.Pin(name); err != nil {
				t.Fatal(err)
			}
		}
		before, err := dir.Stat(name)
		if err != nil || before.Mount {
			t.Fatalf("Stat(%q) = %+v, %v", name, before, err)
		}
		if _, err := dir.Create("staged", []byte("new"), Attr{Mode: 0o644}, name); err != nil {
			t.Fatal(err)
		}
		if err := dir.Exchange(name, "staged"); err != nil {
			t.Fatal(err)
		}
		after, err := dir.Stat("staged")
		if err != nil || after.Mode != before.Mode || after.Kind != before.Kind {
			t.Fatalf("Stat of %q after Exchange = %+v, %v; want %+v", name, after, err, before)
		}
		if err := dir.Remove("staged"); err != nil {
			t.Fatal(err)
		}
		return after.Inode != before.Inode || after.Device != before.Device
	}
	for _, name := range []string{"file", "setuid", "link"} {
		if changed(name, true) {
			t.Errorf("%q has another inode number after Pin and Exchange", name)
		}
	}
	if !changed("unpinned", false) {
		t.Error("a lower file kept its inode number without Pin: this overlay cannot test Pin")
	}
}

// An attacker swaps a directory on the way for a link to the outside as fast as
// it can. Whatever wins, nothing is written there.
func TestDiskRacingLinkGetsNothingOutside(t *testing.T) {
	const rounds = 20_000
	disk, root := openRoot(t)
	outside := t.TempDir()
	put(t, root, "etc/app/conf")
	put(t, outside, "app/conf")
	if err := os.Symlink(outside, filepath.Join(root, "trap")); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		etc, trap := filepath.Join(root, "etc"), filepath.Join(root, "trap")
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, etc, unix.AT_FDCWD, trap, unix.RENAME_EXCHANGE)
			}
		}
	}()
	opened, refused := 0, 0
	for range rounds {
		dir, err := disk.OpenDir("/etc/app")
		if errors.Is(err, ErrLinkInPath) {
			refused++
			continue
		}
		if err != nil {
			t.Errorf("OpenDir: %v, want a directory or ErrLinkInPath", err)
			break
		}
		opened++
		if opened%16 == 0 {
			if _, err := dir.Symlink("x", "mark"); err != nil {
				t.Error(err)
			}
			if err := dir.Remove("mark"); err != nil {
				t.Error(err)
			}
		}
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-done
	if opened == 0 || refused == 0 {
		t.Errorf("%d opened, %d refused: the race did not happen", opened, refused)
	}
	info, err := os.Stat(filepath.Join(outside, "app"))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.Stat(filepath.Join(outside, "app/conf"))
	if err != nil {
		t.Fatal(err)
	}
	// The directory's mtime is that of its one entry's making: nothing was ever
	// made or removed in it.
	if info.ModTime().After(conf.ModTime()) {
		t.Errorf("the outside directory was changed at %v", info.ModTime())
	}
}

// Two listings of one open directory at once must both be whole.
func TestDiskListsTwiceAtOnce(t *testing.T) {
	disk, root := openRoot(t)
	for i := range 300 {
		put(t, root, string(rune('a'+i%26))+string(bytes.Repeat([]byte{'x'}, i/26+1)))
	}
	dir := openAt(t, disk, "/")
	short := make(chan int, 4)
	for range cap(short) {
		go func() {
			names, err := dir.Names()
			if err != nil && err != io.EOF {
				t.Error(err)
			}
			short <- len(names)
		}()
	}
	for range cap(short) {
		if n := <-short; n != 300 {
			t.Errorf("Names gave %d entries, want 300", n)
		}
	}
}
