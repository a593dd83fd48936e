package applytest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// dir is an open directory of the model.
type dir struct {
	fs     *FS
	inode  int
	path   string
	closed bool
}

func (d *dir) Close() error {
	if d.closed {
		return fail("close", d.path, fs.ErrClosed)
	}
	d.closed = true
	return nil
}

func (d *dir) Names() ([]string, error) {
	if d.closed {
		return nil, fail("read", d.path, fs.ErrClosed)
	}
	list := d.list()
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.name
	}
	return names, nil
}

func (d *dir) Stat(name string) (apply.Info, error) {
	inode, err := d.lookup("stat", name)
	if err != nil {
		return apply.Info{}, err
	}
	return d.fs.info(inode), nil
}

// Read gives bytes that the disk and its clones share; whoever changes them
// changes history, so nobody may.
func (d *dir) Read(name string, max int64) ([]byte, error) {
	inode, err := d.lookup("read", name)
	if err != nil {
		return nil, err
	}
	n := d.fs.nodes[inode]
	switch {
	case n.kind == plan.Link:
		return nil, d.fail("read", name, apply.ErrLinkInPath)
	case n.kind != plan.File:
		return nil, d.fail("read", name, syscall.EISDIR)
	case int64(len(n.data)) > max:
		return nil, d.fail("read", name, errors.New("the file is too long"))
	}
	return n.data[:len(n.data):len(n.data)], nil
}

func (d *dir) Readlink(name string) (string, error) {
	inode, err := d.lookup("readlink", name)
	if err != nil {
		return "", err
	}
	if n := d.fs.nodes[inode]; n.kind == plan.Link {
		return n.says, nil
	}
	return "", d.fail("readlink", name, syscall.EINVAL)
}

// Pin has nothing to do: the model's inode numbers last.
func (d *dir) Pin(name string) error {
	_, err := d.lookup("pin", name)
	return err
}

// Create has two effects: the file is there, and the file is synced. The disk
// keeps the bytes that it is given; nobody may change them any more.
func (d *dir) Create(name string, content []byte, attr apply.Attr, _ string) (apply.Info, error) {
	if err := d.free("create", name, len(content)); err != nil {
		return apply.Info{}, err
	}
	f := d.fs
	if err := f.effect("create", d.join(name)); err != nil {
		return apply.Info{}, err
	}
	inode := f.add(node{kind: plan.File, attr: attr, lasting: attr, data: content, digest: digest(content), unsynced: true})
	d.change(change{what: link, a: name, node: inode})
	f.relink(inode, 1)
	if err := f.effect("fsync", d.join(name)); err != nil {
		if f.effect("unlink", d.join(name)) == nil {
			d.change(change{what: unlink, a: name})
			f.relink(inode, -1)
		}
		return apply.Info{}, err
	}
	if !f.opt.NoFileSync {
		f.edit(inode, func(n *node) { n.unsynced = false })
	}
	return f.info(inode), nil
}

func (d *dir) Symlink(says, name string) (apply.Info, error) {
	if says == "" {
		return apply.Info{}, d.fail("symlink", name, syscall.ENOENT)
	}
	link := apply.Attr{Mode: 0o777}
	return d.make("symlink", name, node{kind: plan.Link, says: says, attr: link, lasting: link})
}

func (d *dir) Mkdir(name string, attr apply.Attr) (apply.Info, error) {
	return d.make("mkdir", name, node{kind: plan.Directory, attr: attr, lasting: attr, dir: &listing{}})
}

func (d *dir) make(op, name string, n node) (apply.Info, error) {
	if err := d.free(op, name, 0); err != nil {
		return apply.Info{}, err
	}
	if err := d.fs.effect(op, d.join(name)); err != nil {
		return apply.Info{}, err
	}
	inode := d.fs.add(n)
	d.change(change{what: link, a: name, node: inode})
	d.fs.relink(inode, 1)
	return d.fs.info(inode), nil
}

func (d *dir) SetAttr(name string, attr apply.Attr) error {
	inode, err := d.lookup("setattr", name)
	if err != nil {
		return err
	}
	if n := d.fs.nodes[inode]; n.kind != plan.Directory {
		return d.fail("setattr", name, wrongKind(n))
	}
	if err := d.fs.effect("setattr", d.join(name)); err != nil {
		return err
	}
	d.fs.edit(inode, func(n *node) { n.attr, n.ctime = attr, *d.fs.clock })
	d.change(change{what: setattr, a: name, node: inode, attr: attr})
	return nil
}

func (d *dir) Exchange(a, b string) error {
	first, err := d.lookup("exchange", a)
	if err != nil {
		return err
	}
	second, err := d.lookup("exchange", b)
	if err != nil {
		return err
	}
	if d.fs.opt.NoExchange {
		return d.fail("exchange", a, apply.ErrNoExchange)
	}
	if err := d.fs.effect("exchange", d.join(b)); err != nil {
		return err
	}
	if first == second {
		return nil
	}
	d.change(change{what: exchange, a: a, b: b})
	d.touch(first)
	d.touch(second)
	return nil
}

func (d *dir) Rename(from, to string) error {
	inode, err := d.lookup("rename", from)
	if err != nil {
		return err
	}
	if err := d.free("rename", to, -1); err != nil {
		return err
	}
	if err := d.fs.effect("rename", d.join(to)); err != nil {
		return err
	}
	d.change(change{what: rename, a: from, b: to})
	d.touch(inode)
	return nil
}

func (d *dir) Replace(from, to string) error {
	inode, err := d.lookup("replace", from)
	if err != nil {
		return err
	}
	old, err := d.lookup("replace", to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old != 0 && old != inode {
		if err := d.fs.mayReplace(inode, old); err != nil {
			return d.fail("replace", to, err)
		}
	}
	if err := d.fs.effect("replace", d.join(to)); err != nil {
		return err
	}
	switch {
	case from == to:
		return nil
	case old == inode: // two names of one file
		d.change(change{what: unlink, a: from})
		d.fs.relink(inode, -1)
		return nil
	}
	d.change(change{what: rename, a: from, b: to})
	d.touch(inode)
	if old != 0 {
		d.fs.relink(old, -1)
	}
	return nil
}

// mayReplace is rename(2)'s table of what may take whose place.
func (f *FS) mayReplace(inode, old int) error {
	n, o := f.nodes[inode], f.nodes[old]
	switch {
	case o.kind == plan.Directory && n.kind != plan.Directory:
		return syscall.EISDIR
	case n.kind == plan.Directory && o.kind != plan.Directory:
		return syscall.ENOTDIR
	case o.kind == plan.Directory && len(o.dir.live) > 0:
		return syscall.ENOTEMPTY
	}
	return nil
}

func (d *dir) Hardlink(from, to string) error {
	inode, err := d.lookup("link", from)
	if err != nil {
		return err
	}
	if err := d.free("link", to, -1); err != nil {
		return err
	}
	if d.fs.nodes[inode].kind == plan.Directory {
		return d.fail("link", from, syscall.EPERM)
	}
	if err := d.fs.effect("link", d.join(to)); err != nil {
		return err
	}
	d.change(change{what: link, a: to, b: from, node: inode})
	d.fs.relink(inode, 1)
	return nil
}

func (d *dir) Remove(name string) error {
	inode, err := d.lookup("unlink", name)
	if err != nil {
		return err
	}
	n := d.fs.nodes[inode]
	switch {
	case n.mount:
		return d.fail("unlink", name, syscall.EBUSY)
	case n.kind == plan.Directory && len(n.dir.live) > 0:
		return d.fail("unlink", name, syscall.ENOTEMPTY)
	}
	if err := d.fs.effect("unlink", d.join(name)); err != nil {
		return err
	}
	d.change(change{what: unlink, a: name})
	d.fs.relink(inode, -1)
	return nil
}

func (d *dir) Sync() error {
	if d.closed {
		return fail("sync", d.path, fs.ErrClosed)
	}
	if err := d.fs.effect("sync", d.path); err != nil {
		return err
	}
	if !d.fs.opt.NoDirSync {
		d.fs.sync(d.inode)
	}
	return nil
}

// sync makes all changes of a directory lasting.
func (f *FS) sync(inode int) {
	list := f.nodes[inode].dir
	if len(list.pending) == 0 {
		return
	}
	for _, c := range list.pending {
		if c.what == setattr {
			f.edit(c.node, func(n *node) { n.lasting = c.attr })
		}
	}
	f.edit(inode, func(n *node) { n.dir = &listing{live: list.live, lasting: list.live} })
}

func (d *dir) list() []entry { return d.fs.nodes[d.inode].dir.live }

func (d *dir) join(name string) string {
	if d.path == "/" {
		return "/" + name
	}
	return d.path + "/" + name
}

func (d *dir) fail(op, name string, err error) error { return fail(op, d.join(name), err) }

// lookup gives the inode of a name.
func (d *dir) lookup(op, name string) (int, error) {
	if err := d.usable(name); err != nil {
		return 0, d.fail(op, name, err)
	}
	if inode := find(d.list(), name); inode != 0 {
		return inode, nil
	}
	return 0, d.fail(op, name, syscall.ENOENT)
}

// free says why a name cannot be taken; bytes -1 needs no new inode.
func (d *dir) free(op, name string, bytes int) error {
	err := d.usable(name)
	switch {
	case err != nil:
	case find(d.list(), name) != 0:
		err = syscall.EEXIST
	case d.fs.nodes[d.inode].links == 0:
		err = syscall.ENOENT // the directory itself was removed
	case len(name) > 255:
		err = syscall.ENAMETOOLONG
	case bytes >= 0 && !d.fs.fits(bytes):
		err = syscall.ENOSPC
	default:
		return nil
	}
	return d.fail(op, name, err)
}

func (d *dir) usable(name string) error {
	switch {
	case d.closed:
		return fs.ErrClosed
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return syscall.EINVAL
	}
	return nil
}

// change does an operation on the names and remembers that it is not synced.
func (d *dir) change(c change) { d.fs.changeDir(d.inode, c) }

func (f *FS) changeDir(inode int, c change) {
	f.edit(inode, func(n *node) {
		list := *n.dir
		list.live = c.apply(list.live)
		// The slice is clipped so that a clone's append cannot write into ours.
		list.pending = append(list.pending[:len(list.pending):len(list.pending)], c)
		n.dir = &list
		if c.what != setattr {
			n.mtime, n.ctime = *f.clock, *f.clock
		}
	})
}

// touch sets the time of the last change, as Linux does for what it renames.
func (d *dir) touch(inode int) {
	d.fs.edit(inode, func(n *node) { n.ctime = *d.fs.clock })
}

func (f *FS) info(inode int) apply.Info {
	n := f.nodes[inode]
	size := int64(len(n.data))
	if n.kind == plan.Link {
		size = int64(len(n.says))
	}
	i := apply.Info{
		Kind: n.kind, Attr: n.attr, Inode: uint64(inode), Links: uint64(n.links), Size: size,
		MTime: time.Unix(0, n.mtime), CTime: time.Unix(0, n.ctime), Device: 1, Mount: n.mount,
	}
	if n.mount {
		i.Device = 2
	}
	return i
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
