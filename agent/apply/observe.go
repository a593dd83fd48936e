package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"evenkeel/agent/plan"
)

// MaxFile is the largest file in bytes that is read from the host: a managed
// file, or one that stands where a managed file shall be.
const MaxFile = 64 << 20

// Seen is what stands at some paths.
type Seen struct {
	Paths   map[string]plan.Path // without those where nothing stands
	IDs     map[string]ID
	Changed map[string]time.Time // ctime: when content, mode, owner or name last changed
}

// Unfit says why a path cannot be managed as it is.
type Unfit struct {
	Path string
	Err  error
}

// Error names the path.
func (u *Unfit) Error() string { return fmt.Sprintf("cannot look at %q: %v", u.Path, u.Err) }

// Unwrap gives the reason.
func (u *Unfit) Unwrap() error { return u.Err }

// Index remembers digests by what stat(2) tells, as Git's index does, so that
// only files that changed are read again. The zero value is empty.
type Index struct {
	Key   plan.DigestKey // of this host; not to be changed once anything was looked at
	seed  maphash.Seed
	known map[uint64]indexed // by the hash of a path; nil: nothing yet
}

// indexed is what a file was, as short as it can be and without a pointer: there may be many.
type indexed struct {
	stamp  uint64 // of its path and what stat(2) told of it
	digest [sha256.Size]byte
}

// stamp is another one when anything of a file changed.
func (x *Index) stamp(p string, info Info) uint64 {
	return maphash.Comparable(x.seed, struct {
		path                      string
		inode, size, mtime, ctime int64
	}{p, int64(info.Inode), info.Size, info.MTime.UnixNano(), info.CTime.UnixNano()})
}

// Look describes what stands at each of the absolute paths, following no link.
// The error joins an *Unfit for each path that cannot be managed as it is.
func (x *Index) Look(disk FS, accounts Accounts, paths []string) (Seen, error) {
	seen := Seen{Paths: make(map[string]plan.Path, len(paths)), IDs: make(map[string]ID, len(paths)), Changed: make(map[string]time.Time, len(paths))}
	var errs []error
	open := map[string]Dir{}
	defer func() {
		for _, dir := range open {
			if dir != nil {
				_ = dir.Close()
			}
		}
	}()
	for _, p := range paths {
		parent := path.Dir(p)
		dir, tried := open[parent]
		if !tried {
			var err error
			if dir, err = disk.OpenDir(parent); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, &Unfit{p, err})
				continue
			} else if err != nil {
				dir = nil
			}
			open[parent] = dir
		}
		if dir == nil {
			continue
		}
		if err := x.one(dir, accounts, p, &seen); err != nil {
			errs = append(errs, &Unfit{p, err})
		}
	}
	return seen, errors.Join(errs...)
}

func (x *Index) one(dir Dir, accounts Accounts, p string, seen *Seen) error {
	name := path.Base(p)
	info, err := dir.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	at := plan.Path{Kind: info.Kind}
	switch info.Kind {
	case plan.Link:
		at.Link, err = dir.Readlink(name)
	case plan.File:
		at.Digest, err = x.digest(dir, p, info)
		fallthrough
	default:
		at.Mode, at.Owner, at.Group = info.Mode, accounts.User(info.UID), accounts.Group(info.GID)
	}
	if err != nil {
		return err
	}
	seen.Paths[p], seen.IDs[p], seen.Changed[p] = at, identity(info), info.CTime
	return nil
}

func (x *Index) digest(dir Dir, p string, info Info) (string, error) {
	if x.known == nil {
		x.known, x.seed = map[uint64]indexed{}, maphash.MakeSeed()
	}
	at, now := maphash.String(x.seed, p), indexed{stamp: x.stamp(p, info)}
	if was, known := x.known[at]; known && was.stamp == now.stamp {
		return hex.EncodeToString(was.digest[:]), nil
	}
	data, err := dir.Read(path.Base(p), MaxFile)
	if err != nil {
		return "", err
	}
	digest := x.Key.Digest(data)
	if _, err := hex.Decode(now.digest[:], []byte(digest)); err != nil {
		panic("internal error: a digest is not in hex: " + err.Error())
	}
	x.known[at] = now
	return digest, nil
}

// ReadAccounts reads the host's users and groups from /etc/passwd and
// /etc/group. Accounts that only a directory service knows are not in it.
func ReadAccounts(disk FS) (Accounts, error) {
	dir, err := disk.OpenDir("/etc")
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's accounts: %w", err)
	}
	defer func() { _ = dir.Close() }()
	users, err := readIDs(dir, "passwd")
	if err != nil {
		return nil, err
	}
	groups, err := readIDs(dir, "group")
	if err != nil {
		return nil, err
	}
	return accounts{users: users, groups: groups}, nil
}

type ids struct {
	number map[string]uint32
	name   map[uint32]string
}

type accounts struct{ users, groups ids }

func readIDs(dir Dir, name string) (ids, error) {
	found := ids{number: map[string]uint32{}, name: map[uint32]string{}}
	text, err := dir.Read(name, MaxFile)
	if err != nil {
		return found, fmt.Errorf("cannot read %q: %w", "/etc/"+name, err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Split(line, ":")
		if len(fields) < 3 {
			continue
		}
		n, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			continue
		}
		if _, taken := found.number[fields[0]]; !taken {
			found.number[fields[0]] = uint32(n)
		}
		if _, taken := found.name[uint32(n)]; !taken {
			found.name[uint32(n)] = fields[0]
		}
	}
	return found, nil
}

func (a accounts) UID(name string) (uint32, bool) { return a.users.lookup(name) }
func (a accounts) GID(name string) (uint32, bool) { return a.groups.lookup(name) }
func (a accounts) User(uid uint32) string         { return a.users.label(uid) }
func (a accounts) Group(gid uint32) string        { return a.groups.label(gid) }

// Names lists all names, in no order.
func (a accounts) Names() (users, groups []string) {
	return slices.Collect(maps.Keys(a.users.number)), slices.Collect(maps.Keys(a.groups.number))
}

func (i ids) lookup(name string) (uint32, bool) {
	if n, ok := i.number[name]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(name, 10, 32)
	return uint32(n), err == nil
}

func (i ids) label(n uint32) string {
	if name, ok := i.name[n]; ok {
		return name
	}
	return strconv.FormatUint(uint64(n), 10)
}
