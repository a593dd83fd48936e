package apply

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"evenkeel/agent/plan"

	"golang.org/x/sys/unix"
)

// diskDir is an open directory of a Disk. The calls may run side by side.
type diskDir struct {
	fd   int
	path string // for messages only
	disk *Disk
}

func (d *diskDir) Close() error {
	fd := d.fd
	d.fd = -1 // a second Close must not hit a descriptor that is somebody else's by now
	return unix.Close(fd)
}

func (d *diskDir) Names() ([]string, error) {
	// A descriptor of its own: the position in a listing belongs to the
	// descriptor, and d may be listed twice at once.
	fd, err := openSubdir(d.fd, ".", unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("cannot list %q: %w", d.path, err)
	}
	list := os.NewFile(uintptr(fd), d.path)
	defer list.Close()
	names, err := list.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot list %q: %w", d.path, err)
	}
	slices.Sort(names)
	return names, nil
}

func (d *diskDir) Stat(name string) (Info, error) {
	var info Info
	err := d.do("look at", func() (err error) {
		info, err = d.stat(name)
		return err
	}, name)
	return info, err
}

func (d *diskDir) stat(name string) (Info, error) {
	var st unix.Statx_t
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if err := unix.Statx(d.fd, name, flags, unix.STATX_BASIC_STATS, &st); err != nil {
		return Info{}, err
	}
	info := Info{
		Kind:   kindOf(st.Mode),
		Attr:   Attr{Mode: uint32(st.Mode) &^ unix.S_IFMT, UID: st.Uid, GID: st.Gid},
		Inode:  st.Ino,
		Links:  uint64(st.Nlink),
		Size:   int64(st.Size),
		MTime:  time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec)),
		CTime:  time.Unix(st.Ctime.Sec, int64(st.Ctime.Nsec)),
		Device: unix.Mkdev(st.Dev_major, st.Dev_minor),
		Mount:  st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0,
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		info.Mount = d.otherDevice(info.Device)
	}
	return info, nil
}

// otherDevice is how kernels before 5.8 show a mount point. It means nothing on
// overlayfs, where files have the device of their layer.
func (d *diskDir) otherDevice(device uint64) bool {
	var st unix.Stat_t
	magic, err := d.magic()
	return err == nil && magic != unix.OVERLAYFS_SUPER_MAGIC && unix.Fstat(d.fd, &st) == nil && st.Dev != device
}

func kindOf(mode uint16) plan.Kind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return plan.File
	case unix.S_IFLNK:
		return plan.Link
	case unix.S_IFDIR:
		return plan.Directory
	}
	return plan.Other
}

func (d *diskDir) Read(name string, max int64) ([]byte, error) {
	var content []byte
	err := d.do("read", func() error {
		// Looked at before it is opened: opening a device or a pipe is an effect.
		info, err := d.stat(name)
		if err != nil {
			return err
		}
		if err := wantFile(info); err != nil {
			return err
		}
		file, err := d.openFile(name)
		if err != nil {
			return err
		}
		defer file.Close()
		content, err = readAll(file, max)
		return err
	}, name)
	return content, err
}

// openFile opens an entry for reading. Should it have become a pipe since it
// was looked at, O_NONBLOCK keeps the call from hanging.
func (d *diskDir) openFile(name string) (*os.File, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == unix.ELOOP {
		return nil, ErrLinkInPath
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path.Join(d.path, name)), nil
}

func readAll(file *os.File, max int64) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	content, err := io.ReadAll(io.LimitReader(file, max+1))
	if err != nil {
		return nil, cause(err)
	}
	if int64(len(content)) > max {
		return nil, fmt.Errorf("longer than %d bytes", max)
	}
	return content, nil
}

func wantFile(info Info) error {
	switch info.Kind {
	case plan.File:
		return nil
	case plan.Link:
		return ErrLinkInPath
	}
	return errors.New("not a regular file")
}

func (d *diskDir) Readlink(name string) (string, error) {
	says := make([]byte, unix.PathMax+1)
	n := 0
	err := d.do("read link", func() (err error) {
		n, err = unix.Readlinkat(d.fd, name, says)
		return err
	}, name)
	if err != nil {
		return "", err
	}
	return string(says[:n]), nil
}

// magic tells which file system this is.
func (d *diskDir) magic() (int64, error) {
	var st unix.Statfs_t
	err := again(func() error { return unix.Fstatfs(d.fd, &st) })
	return int64(st.Type), err
}

// do runs a call on entries of d and names both in its error.
func (d *diskDir) do(verb string, call func() error, names ...string) error {
	for _, name := range names {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return fmt.Errorf("cannot %s %q in %q: not the name of an entry", verb, name, d.path)
		}
	}
	err := again(call)
	if err == nil {
		return nil
	}
	if len(names) == 0 {
		return fmt.Errorf("cannot %s %q: %w", verb, d.path, err)
	}
	return fmt.Errorf("cannot %s %q: %w", verb, path.Join(d.path, names[0]), err)
}

// cause takes the call and the path off an error of package os, which do adds
// in our words.
func cause(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
