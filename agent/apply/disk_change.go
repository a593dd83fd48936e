package apply

import (
	"os"
	"path"

	"golang.org/x/sys/unix"
)

const labelAttr = "security.selinux"

// selinuxOn reports whether SELinux is there to be heeded.
func selinuxOn() bool {
	var st unix.Statfs_t
	return unix.Statfs("/sys/fs/selinux", &st) == nil && st.Type == unix.SELINUX_MAGIC
}

func (d *diskDir) Create(name string, content []byte, attr Attr, labelFor string) (Info, error) {
	var info Info
	err := d.do("create", func() error {
		fd, err := unix.Openat(d.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), name)
		err = d.fill(file, content, attr, labelFor)
		if closed := cause(file.Close()); err == nil {
			err = closed
		}
		if err == nil {
			info, err = d.stat(name)
		}
		if err != nil {
			_ = unix.Unlinkat(d.fd, name, 0) // err is the cause; a sibling that stays is swept later
		}
		return err
	}, name)
	return info, err
}

// fill makes a new file whole and lasting. The owner comes before the mode,
// because chown(2) takes setuid and setgid away.
func (d *diskDir) fill(file *os.File, content []byte, attr Attr, labelFor string) error {
	if _, err := file.Write(content); err != nil {
		return cause(err)
	}
	fd := int(file.Fd())
	if err := setAttr(fd, attr); err != nil {
		return err
	}
	if err := d.label(fd, path.Base(labelFor)); err != nil {
		return err
	}
	return cause(file.Sync())
}

func setAttr(fd int, attr Attr) error {
	if err := unix.Fchown(fd, int(attr.UID), int(attr.GID)); err != nil {
		return err
	}
	return unix.Fchmod(fd, attr.Mode)
}

// label gives a new file the SELinux label of the file whose place it will take.
// Where none is there, it keeps what the policy gave it as an entry of this
// directory.
func (d *diskDir) label(fd int, target string) error {
	if !d.disk.selinux {
		return nil
	}
	info, err := d.stat(target)
	if err != nil || wantFile(info) != nil {
		return nil
	}
	old, err := d.openFile(target)
	if err != nil {
		return err
	}
	defer old.Close()
	text := make([]byte, 4096)
	n, err := unix.Fgetxattr(int(old.Fd()), labelAttr, text)
	if err == unix.ENODATA || err == unix.ENOTSUP {
		return nil
	}
	if err != nil {
		return err
	}
	return unix.Fsetxattr(fd, labelAttr, text[:n], 0)
}

// Pin sets the time of the last access to what it is, the one change that makes
// overlayfs copy an entry up and means nothing to anybody. A chown to the same
// owner would take setuid and file capabilities away. The entry's ctime moves,
// and on overlayfs the bytes of the entry are needed once more.
func (d *diskDir) Pin(name string) error {
	return d.do("pin", func() error {
		magic, err := d.magic()
		if err != nil || magic != unix.OVERLAYFS_SUPER_MAGIC {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		times := []unix.Timespec{st.Atim, {Nsec: unix.UTIME_OMIT}}
		return unix.UtimesNanoAt(d.fd, name, times, unix.AT_SYMLINK_NOFOLLOW)
	}, name)
}

func (d *diskDir) Symlink(says, name string) (Info, error) {
	var info Info
	err := d.do("make link", func() error {
		if err := unix.Symlinkat(says, d.fd, name); err != nil {
			return err
		}
		var err error
		info, err = d.stat(name)
		return err
	}, name)
	return info, err
}

func (d *diskDir) Mkdir(name string, attr Attr) (Info, error) {
	var info Info
	err := d.do("make directory", func() error {
		if err := unix.Mkdirat(d.fd, name, 0o700); err != nil {
			return err
		}
		err := d.setDirAttr(name, attr)
		if err == nil {
			info, err = d.stat(name)
		}
		if err != nil {
			_ = unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) // err is the cause
		}
		return err
	}, name)
	return info, err
}

func (d *diskDir) SetAttr(name string, attr Attr) error {
	return d.do("set mode and owner of", func() error { return d.setDirAttr(name, attr) }, name)
}

func (d *diskDir) setDirAttr(name string, attr Attr) error {
	fd, err := openSubdir(d.fd, name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	err = setAttr(fd, attr)
	if err == nil {
		err = again(func() error { return unix.Fsync(fd) })
	}
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	return err
}

func (d *diskDir) Exchange(a, b string) error {
	return d.do("exchange", func() error {
		err := unix.Renameat2(d.fd, a, d.fd, b, unix.RENAME_EXCHANGE)
		if flagUnknown(err) {
			return ErrNoExchange
		}
		return err
	}, a, b)
}

func (d *diskDir) Rename(from, to string) error {
	return d.do("rename", func() error {
		err := unix.Renameat2(d.fd, from, d.fd, to, unix.RENAME_NOREPLACE)
		if flagUnknown(err) {
			return d.linkOver(from, to)
		}
		return err
	}, from, to)
}

// linkOver is Rename where the file system does not know RENAME_NOREPLACE. It
// may be cut off after the first of its two calls and then finds its own work;
// for directories it fails, because they cannot be linked.
func (d *diskDir) linkOver(from, to string) error {
	err := unix.Linkat(d.fd, from, d.fd, to, 0)
	if err == unix.EEXIST && d.same(from, to) {
		err = nil
	}
	if err != nil {
		return err
	}
	return unix.Unlinkat(d.fd, from, 0)
}

// flagUnknown reports how a kernel (ENOSYS) or a file system (EINVAL) says that
// it does not know a flag of renameat2(2).
func flagUnknown(err error) bool { return err == unix.EINVAL || err == unix.ENOSYS }

// Replace moves an entry over another. Where both are names of one inode,
// rename(2) succeeds and leaves both; from goes here all the same.
func (d *diskDir) Replace(from, to string) error {
	return d.do("replace", func() error {
		if from != to && d.same(from, to) {
			return unix.Unlinkat(d.fd, from, 0)
		}
		return unix.Renameat(d.fd, from, d.fd, to)
	}, to, from)
}

// same reports whether two names are of one inode.
func (d *diskDir) same(a, b string) bool {
	one, err := d.stat(a)
	if err != nil {
		return false
	}
	two, err := d.stat(b)
	return err == nil && one.Inode == two.Inode && one.Device == two.Device
}

func (d *diskDir) Hardlink(from, to string) error {
	return d.do("link", func() error { return unix.Linkat(d.fd, from, d.fd, to, 0) }, from, to)
}

func (d *diskDir) Remove(name string) error {
	return d.do("remove", func() error {
		err := unix.Unlinkat(d.fd, name, 0)
		if err == unix.EISDIR {
			return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR)
		}
		return err
	}, name)
}

func (d *diskDir) Sync() error {
	return d.do("sync", func() error { return unix.Fsync(d.fd) })
}
