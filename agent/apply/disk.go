package apply

import (
	"errors"
	"fmt"
	"math"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Disk is FS on the real disk, below a root directory. All it does starts at a
// descriptor of that directory and takes one component at a time without
// following links, so a path that somebody swaps underneath leads nowhere else.
// It does without openat2(2), which RestrictSUIDSGID= answers with ENOSYS.
//
// ACLs and extended attributes other than the SELinux label of a new file are
// not its business: Exchange and Rename keep them, Create does not copy them.
type Disk struct {
	root    int
	selinux bool
}

// The longest run of EINTR that a call is tried again for; only FUSE and
// network file systems answer EINTR at all.
const interrupted = 100

// NewDisk opens a root directory: "/" on a host. What its own path leads through
// is trusted.
func NewDisk(root string) (*Disk, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open root directory %q: %w", root, err)
	}
	return &Disk{root: fd, selinux: selinuxOn()}, nil
}

// Close gives the root directory back. Directories that are open stay so.
func (d *Disk) Close() error { return unix.Close(d.root) }

// OpenDir opens a directory; see FS.
func (d *Disk) OpenDir(name string) (Dir, error) {
	dir, err := d.openDir(name)
	if err != nil {
		return nil, err
	}
	return dir, nil
}

func (d *Disk) openDir(name string) (*diskDir, error) {
	if !path.IsAbs(name) || path.Clean(name) != name {
		return nil, fmt.Errorf("cannot open directory %q: the path is not absolute and clean", name)
	}
	steps := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
	// The last component is opened for reading, because a descriptor with O_PATH
	// can neither be listed nor synced.
	steps = append(steps, ".")
	at, walked := d.root, "/"
	for i, step := range steps {
		flags := unix.O_PATH
		if i == len(steps)-1 {
			flags = unix.O_RDONLY
		}
		fd, err := openSubdir(at, step, flags)
		if at != d.root {
			_ = unix.Close(at) // opened for the way only
		}
		walked = path.Join(walked, step)
		if err != nil {
			return nil, fmt.Errorf("cannot open directory %q: %q: %w", name, walked, err)
		}
		at = fd
	}
	return &diskDir{fd: at, path: name, disk: d}, nil
}

// openSubdir opens one directory in another and says which of ErrLinkInPath and
// ErrNotDir is meant where the kernel answers ENOTDIR for both.
func openSubdir(at int, name string, flags int) (int, error) {
	fd := -1
	err := again(func() (err error) {
		fd, err = unix.Openat(at, name, flags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != unix.ENOTDIR && err != unix.ELOOP {
		return fd, err
	}
	var st unix.Stat_t
	if unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return -1, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK, unix.S_IFDIR: // a directory by now: somebody swaps it with a link
		return -1, ErrLinkInPath
	}
	return -1, ErrNotDir
}

// Swaps reports whether the directory's file system is one of those known to
// have RENAME_EXCHANGE. It is a list and no trial, because a trial would write
// into a managed directory; a file system that is missing here only costs the
// way over a hard link.
func (d *Disk) Swaps(dir Dir) bool {
	on, ok := dir.(*diskDir)
	if !ok {
		return false
	}
	switch magic, _ := on.magic(); magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC:
		return true
	}
	return false
}

// Free is part of FS.
func (d *Disk) Free(dir Dir) (Space, error) {
	on, ok := dir.(*diskDir)
	if !ok {
		return Space{}, errors.New("cannot measure free space: the directory is not on this disk")
	}
	var st unix.Statfs_t
	var info unix.Stat_t
	err := again(func() error { return unix.Fstatfs(on.fd, &st) })
	if err == nil {
		err = again(func() error { return unix.Fstat(on.fd, &info) })
	}
	if err != nil {
		return Space{}, fmt.Errorf("cannot measure free space of %q: %w", on.path, err)
	}
	free := Space{ID: info.Dev, Bytes: st.Bavail * uint64(st.Bsize), Inodes: st.Ffree}
	if st.Files == 0 {
		free.Inodes = math.MaxUint64
	}
	return free, nil
}

// again runs a call until it was not interrupted.
func again(call func() error) error {
	err := call()
	for n := 0; err == unix.EINTR && n < interrupted; n++ {
		err = call()
	}
	return err
}
