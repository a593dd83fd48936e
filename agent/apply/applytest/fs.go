package applytest

import (
	"io/fs"
	"math"
	"strings"
	"syscall"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// tick is how far the clock goes at each effect, in nanoseconds. It is longer
// than the microsecond in which systemd tells times.
const tick = 1_000_000

// epoch is where a clock starts that nobody gave, in nanoseconds since 1970.
const epoch = 1_700_000_000_000_000_000

// Options say what the disk can do, and which of its promises it breaks. The
// zero value is a sound disk without end.
type Options struct {
	NoFileSync bool   // mutant: Create does not sync the bytes
	NoDirSync  bool   // mutant: Dir.Sync does nothing
	NoExchange bool   // the file system has no RENAME_EXCHANGE
	Space      int64  // bytes left for new files; 0 and less is endless, see Limit for a full disk
	Inodes     int64  // inodes left; 0 and less is endless, see Limit
	Clock      *int64 // nanoseconds since 1970; nil makes an own one
}

// FS is the model disk. It is not safe for use by several goroutines, but clones
// share nothing that changes.
type FS struct {
	// Before is called before each side effect, with its kind (create, fsync,
	// symlink, mkdir, setattr, exchange, rename, replace, link, unlink, sync)
	// and the absolute path. Create has two effects. A call that fails has none.
	// The hook may clone the disk, or panic to end the program under test.
	Before func(op, path string)
	// Fail is asked before each side effect, and before Before, whether it fails:
	// its error is that of the call, which then has no effect. A Create whose
	// fsync fails takes the file away again, where unlink does not fail as well.
	Fail func(op, path string) error

	opt           Options
	clock         *int64
	space, inodes int64   // left; -1 is endless
	nodes         []*node // by inode number; nodes are replaced, never changed

	changes   uint64 // how many there were
	stamp     uint64 // what Stamp said after stampOf of them
	stampOf   uint64
	stampDirs []string
}

// root is the inode number of "/"; number 0 is never used.
const root = 1

// node is one inode. A node that the FS points to is immutable, which lets
// clones share it.
type node struct {
	kind     plan.Kind
	attr     apply.Attr
	lasting  apply.Attr // attr as it is after a power cut
	data     []byte
	digest   string
	unsynced bool   // data may be lost
	says     string // of a link
	mount    bool
	links    int // names in directories that can be reached
	mtime    int64
	ctime    int64
	dir      *listing // of a directory
}

// listing is what a directory holds. It is immutable as well.
type listing struct {
	live    []entry  // as programs see it, sorted by name
	lasting []entry  // as it is after a power cut that drops all of pending
	pending []change // from lasting to live, in order
}

type entry struct {
	name  string
	inode int
}

// New makes a disk that holds an empty "/".
func New(o Options) *FS {
	f := &FS{opt: o, clock: o.Clock, space: -1, inodes: -1, changes: 1}
	if o.Space > 0 {
		f.space = o.Space
	}
	if o.Inodes > 0 {
		f.inodes = o.Inodes
	}
	if f.clock == nil {
		f.clock = new(int64)
		*f.clock = epoch
	}
	top := apply.Attr{Mode: 0o755}
	f.nodes = []*node{nil, {kind: plan.Directory, attr: top, lasting: top, links: 1, mtime: *f.clock, ctime: *f.clock, dir: &listing{}}}
	return f
}

// Clone gives an independent disk in the same state, with a clock of its own and
// without the hook.
func (f *FS) Clone() *FS {
	c := *f
	c.Before, c.Fail = nil, nil
	c.clock = new(int64)
	*c.clock = *f.clock
	c.opt.Clock = c.clock
	c.nodes = make([]*node, len(f.nodes), len(f.nodes)+32)
	copy(c.nodes, f.nodes)
	return &c
}

// Clock is the disk's clock in nanoseconds since 1970, to be shared with others.
func (f *FS) Clock() *int64 { return f.clock }

// Limit sets the bytes and inodes that are left; -1 is endless.
func (f *FS) Limit(space, inodes int64) { f.space, f.inodes = space, inodes }

// OpenDir is part of apply.FS.
func (f *FS) OpenDir(path string) (apply.Dir, error) {
	inode, err := f.walk(path)
	if err != nil {
		return nil, fail("open", path, err)
	}
	if f.nodes[inode].kind != plan.Directory {
		return nil, fail("open", path, wrongKind(f.nodes[inode]))
	}
	return &dir{fs: f, inode: inode, path: path}, nil
}

// Swaps is part of apply.FS.
func (f *FS) Swaps(apply.Dir) bool { return !f.opt.NoExchange }

// Free is part of apply.FS. It always promises room: what counts here is that
// another program may take it before the first write.
func (f *FS) Free(apply.Dir) (apply.Space, error) {
	return apply.Space{ID: 1, Bytes: math.MaxUint64, Inodes: math.MaxUint64}, nil
}

// walk finds the inode at an absolute path without following links.
func (f *FS) walk(path string) (int, error) {
	if !strings.HasPrefix(path, "/") {
		return 0, syscall.EINVAL
	}
	at := root
	for rest := path[1:]; rest != ""; {
		name, after, _ := strings.Cut(rest, "/")
		rest = after
		n := f.nodes[at]
		if n.kind != plan.Directory {
			return 0, wrongKind(n)
		}
		next := find(n.dir.live, name)
		if next == 0 {
			return 0, syscall.ENOENT
		}
		at = next
	}
	return at, nil
}

// wrongKind is the error for a node that should have been a directory.
func wrongKind(n *node) error {
	if n.kind == plan.Link {
		return apply.ErrLinkInPath
	}
	return apply.ErrNotDir
}

func fail(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// effect announces an effect that is going to succeed, and lets time pass; or it
// gives the error of one that is not.
func (f *FS) effect(op, path string) error {
	if f.Fail != nil {
		if err := f.Fail(op, path); err != nil {
			return fail(op, path, err)
		}
	}
	if f.Before != nil {
		f.Before(op, path)
	}
	*f.clock += tick
	return nil
}

// edit replaces a node by a changed copy.
func (f *FS) edit(inode int, change func(*node)) {
	n := *f.nodes[inode]
	change(&n)
	f.nodes[inode] = &n
	f.changes++
}

// add gives a new node the next number.
func (f *FS) add(n node) int {
	n.mtime, n.ctime = *f.clock, *f.clock
	f.nodes = append(f.nodes, &n)
	f.changes++
	return len(f.nodes) - 1
}

// fits reports whether there is room for one more inode of so many bytes.
func (f *FS) fits(bytes int) bool {
	return (f.space < 0 || f.space >= int64(bytes)) && f.inodes != 0
}

// charge takes room for an inode, or gives it back when n is -1.
func (f *FS) charge(inode, n int) {
	if f.space >= 0 {
		f.space = max(0, f.space-int64(n*len(f.nodes[inode].data)))
	}
	if f.inodes >= 0 {
		f.inodes = max(0, f.inodes-int64(n))
	}
}

// relink changes how many names an inode has.
func (f *FS) relink(inode, by int) {
	f.edit(inode, func(n *node) { n.links += by; n.ctime = *f.clock })
	switch links := f.nodes[inode].links; {
	case links == 0:
		f.charge(inode, -1)
	case links == 1 && by == 1:
		f.charge(inode, 1)
	}
}

// find gives the inode of a name, 0 when there is none.
func find(list []entry, name string) int {
	if i, ok := search(list, name); ok {
		return list[i].inode
	}
	return 0
}

func search(list []entry, name string) (int, bool) {
	low, high := 0, len(list)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if list[mid].name < name {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(list) && list[low].name == name
}

// set gives a list with one name changed; inode 0 takes the name away.
func set(list []entry, name string, inode int) []entry {
	i, ok := search(list, name)
	switch {
	case ok && inode == 0:
		made := make([]entry, 0, len(list)-1)
		return append(append(made, list[:i]...), list[i+1:]...)
	case ok:
		made := append(make([]entry, 0, len(list)), list...)
		made[i].inode = inode
		return made
	case inode == 0:
		return list
	}
	made := make([]entry, 0, len(list)+1)
	made = append(append(made, list[:i]...), entry{name, inode})
	return append(made, list[i:]...)
}
