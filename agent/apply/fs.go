package apply

import (
	"time"

	"evenkeel/agent/plan"
)

// FS is the disk as apply uses it: directories by handle, then calls on the
// names in them. No call follows a symbolic link. There are two: Disk, and the
// model in package applytest, which forgets what was not synced when it crashes.
type FS interface {
	// OpenDir opens the directory at an absolute path, refusing a path with a
	// symbolic link in it. The error satisfies errors.Is with fs.ErrNotExist
	// when a component is missing, and with ErrLinkInPath or ErrNotDir.
	OpenDir(path string) (Dir, error)
	// Swaps reports whether the file system that holds the directory can
	// exchange two names in one step.
	Swaps(dir Dir) bool
	// Free measures what the directory's file system has left for everybody. One
	// that does not count inodes has no end of them.
	Free(dir Dir) (Space, error)
}

// Dir is an open directory. Names are single path components.
type Dir interface {
	Close() error
	// Names lists the entries, sorted.
	Names() ([]string, error)
	// Stat describes the entry itself, never what a link points to. The error is
	// fs.ErrNotExist when there is none.
	Stat(name string) (Info, error)
	// Read gives a file's content, failing when it is longer than max bytes.
	Read(name string, max int64) ([]byte, error)
	// Readlink gives what a link says.
	Readlink(name string) (string, error)
	// Pin makes the inode number of an entry lasting, where the file system
	// would change it at the first write (overlayfs copies up).
	Pin(name string) error

	// Create makes a new file that must not be there, 0600 until it is whole,
	// then owner and mode, then the SELinux label that labelFor would have,
	// and syncs its bytes. The directory is not synced.
	Create(name string, content []byte, attr Attr, labelFor string) (Info, error)
	// Symlink makes a new link that must not be there.
	Symlink(says, name string) (Info, error)
	// Mkdir makes a new directory that must not be there.
	Mkdir(name string, attr Attr) (Info, error)
	// SetAttr changes mode and owner of a directory in place.
	SetAttr(name string, attr Attr) error

	// Exchange swaps two entries in one step: renameat2(2) RENAME_EXCHANGE.
	Exchange(a, b string) error
	// Rename moves an entry to a name that must be free: RENAME_NOREPLACE.
	Rename(from, to string) error
	// Replace moves an entry over another: rename(2).
	Replace(from, to string) error
	// Hardlink gives an entry a second name that must be free.
	Hardlink(from, to string) error
	// Remove unlinks a file or link, or removes an empty directory.
	Remove(name string) error
	// Sync makes all of the above lasting for this directory.
	Sync() error
}

// Attr is mode and numeric owner of an entry.
type Attr struct {
	Mode     uint32 // as chmod(2) takes it
	UID, GID uint32
}

// Info is what Stat sees.
type Info struct {
	Kind plan.Kind
	Attr
	Inode  uint64
	Links  uint64 // number of hard links
	Size   int64
	MTime  time.Time
	CTime  time.Time
	Device uint64
	Mount  bool // another file system is mounted here
}
