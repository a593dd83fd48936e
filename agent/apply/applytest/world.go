package applytest

import (
	"fmt"
	"strconv"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// The calls of this file are not effects of the program under test: they set the
// world up, change it behind the program's back, and look at the end of it. None
// calls the hook or is limited by space. A path that cannot be is a fault of the
// test and panics.

// PutFile puts a new file at a path, as an editor does that writes a new file
// and renames it. What stood there goes; missing parents are made, 0755.
//
// Like the other changes it is lasting at once in a directory where all is
// synced. In one with pending changes it waits its turn with them.
func (f *FS) PutFile(path, content string, attr apply.Attr) {
	data := []byte(content)
	f.put(path, node{kind: plan.File, attr: attr, lasting: attr, data: data, digest: digest(data)})
}

// PutLink puts a new symbolic link at a path, as PutFile does.
func (f *FS) PutLink(path, says string) {
	attr := apply.Attr{Mode: 0o777}
	f.put(path, node{kind: plan.Link, attr: attr, lasting: attr, says: says})
}

// PutDir puts a new, empty directory at a path, as PutFile does.
func (f *FS) PutDir(path string, attr apply.Attr) {
	f.put(path, node{kind: plan.Directory, attr: attr, lasting: attr, dir: &listing{}})
}

// PutOther puts a device, socket or pipe at a path, as PutFile does.
func (f *FS) PutOther(path string) {
	attr := apply.Attr{Mode: 0o644}
	f.put(path, node{kind: plan.Other, attr: attr, lasting: attr})
}

// PutHardlink gives the file at one path a second name in any directory.
func (f *FS) PutHardlink(old, path string) {
	inode := f.mustWalk(old)
	f.Delete(path)
	f.world(path, func(parent int, name string) {
		f.changeDir(parent, change{what: link, a: name, node: inode})
		f.relink(inode, 1)
	})
}

// Overwrite changes a file's content in place: the inode stays.
func (f *FS) Overwrite(path, content string) {
	*f.clock += tick
	f.edit(f.mustWalk(path), func(n *node) {
		n.data, n.digest, n.unsynced = []byte(content), digest([]byte(content)), false
		n.mtime, n.ctime = *f.clock, *f.clock
	})
}

// Chmod changes mode and owner of what stands at a path, lastingly.
func (f *FS) Chmod(path string, attr apply.Attr) {
	*f.clock += tick
	f.edit(f.mustWalk(path), func(n *node) { n.attr, n.lasting, n.ctime = attr, attr, *f.clock })
}

// Mount makes a directory or file a mount point, or ends that.
func (f *FS) Mount(path string, on bool) {
	f.edit(f.mustWalk(path), func(n *node) { n.mount = on })
}

// Delete takes away what stands at a path, with all below it. It is no fault
// when nothing stands there.
func (f *FS) Delete(path string) {
	inode, err := f.walk(path)
	if err != nil {
		return
	}
	if n := f.nodes[inode]; n.kind == plan.Directory {
		for _, e := range n.dir.live {
			f.Delete(join(path, e.name))
		}
	}
	f.world(path, func(parent int, name string) {
		f.changeDir(parent, change{what: unlink, a: name})
		f.relink(inode, -1)
	})
}

// Settle makes all that stands now lasting, as sync(1) does.
func (f *FS) Settle() {
	for inode, n := range f.nodes {
		if n == nil {
			continue
		}
		if n.unsynced || n.attr != n.lasting {
			f.edit(inode, func(n *node) { n.unsynced, n.lasting = false, n.attr })
		}
		if n.kind == plan.Directory {
			f.sync(inode)
		}
	}
}

func (f *FS) put(path string, n node) {
	f.Delete(path)
	f.world(path, func(parent int, name string) {
		inode := f.add(n)
		f.changeDir(parent, change{what: link, a: name, node: inode})
		f.relink(inode, 1)
	})
}

// world does a change in the parent of a path, without limits. The change is
// lasting when nothing else in that directory waits.
func (f *FS) world(path string, do func(parent int, name string)) {
	above, name := split(path)
	if _, err := f.walk(above); err != nil {
		f.PutDir(above, apply.Attr{Mode: 0o755})
	}
	parent := f.mustWalk(above)
	clean := len(f.nodes[parent].dir.pending) == 0
	*f.clock += tick
	do(parent, name)
	if clean {
		f.sync(parent)
	}
}

func (f *FS) mustWalk(path string) int {
	inode, err := f.walk(path)
	if err != nil {
		panic(fmt.Sprintf("internal error: the test names %q: %v", path, err))
	}
	return inode
}

// Tree describes all that stands below a path (and the path itself), one line a
// path: "file 0644 0:0 DIGEST", "link TARGET", "directory 0755 0:0".
func (f *FS) Tree(path string) map[string]string {
	tree := map[string]string{}
	if inode, err := f.walk(path); err == nil {
		f.tree(inode, path, tree)
	}
	return tree
}

func (f *FS) tree(inode int, path string, tree map[string]string) {
	n := f.nodes[inode]
	tree[path] = n.print()
	if n.kind == plan.Directory {
		for _, e := range n.dir.live {
			f.tree(e.inode, join(path, e.name), tree)
		}
	}
}

// Print describes what stands at one path as Tree does; "absent" when nothing
// does. It reads like plan.Path's Fingerprint, with numbers for the owners.
func (f *FS) Print(path string) string {
	inode, err := f.walk(path)
	if err != nil {
		return plan.Path{}.Fingerprint()
	}
	return f.nodes[inode].print()
}

func (n *node) print() string {
	if n.kind == plan.Link {
		return "link " + n.says
	}
	mode := strconv.FormatUint(uint64(n.attr.Mode), 8)
	if len(mode) < 4 {
		mode = "0000"[len(mode):] + mode
	}
	owner := strconv.FormatUint(uint64(n.attr.UID), 10) + ":" + strconv.FormatUint(uint64(n.attr.GID), 10)
	text := string(n.kind) + " " + mode + " " + owner
	if n.kind == plan.File {
		text += " " + n.digest
	}
	return text
}

// ReadFile gives the content of the file at a path; false when there is no file.
// The bytes are shared and must not be changed.
func (f *FS) ReadFile(path string) ([]byte, bool) {
	inode, err := f.walk(path)
	if err != nil || f.nodes[inode].kind != plan.File {
		return nil, false
	}
	return f.nodes[inode].data, true
}

// Link gives what the link at a path says; false when there is no link.
func (f *FS) Link(path string) (string, bool) {
	inode, err := f.walk(path)
	if err != nil || f.nodes[inode].kind != plan.Link {
		return "", false
	}
	return f.nodes[inode].says, true
}

// Names lists a directory, sorted; it is empty when there is no directory.
func (f *FS) Names(path string) []string {
	inode, err := f.walk(path)
	if err != nil || f.nodes[inode].kind != plan.Directory {
		return nil
	}
	list := f.nodes[inode].dir.live
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.name
	}
	return names
}

// MTime gives when the content at a path was last changed, in nanoseconds since
// 1970; false when nothing stands there.
func (f *FS) MTime(path string) (int64, bool) {
	inode, err := f.walk(path)
	if err != nil {
		return 0, false
	}
	return f.nodes[inode].mtime, true
}

// Exists reports whether anything stands at a path.
func (f *FS) Exists(path string) bool {
	_, err := f.walk(path)
	return err == nil
}

// Inode gives the inode number of what stands at a path, 0 when nothing does.
func (f *FS) Inode(path string) uint64 {
	inode, err := f.walk(path)
	if err != nil {
		return 0
	}
	return uint64(inode)
}

func split(path string) (above, name string) {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/", path[i+1:]
	}
	return path[:i], path[i+1:]
}

func join(path, name string) string {
	if path == "/" {
		return "/" + name
	}
	return path + "/" + name
}
