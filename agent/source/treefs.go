package source

import (
	"bytes"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// treeFS serves a checked tree. It holds names and sizes; bytes are read from
// the repository at each ReadFile.
type treeFS struct {
	repo *Repo
	top  *node
}

// find walks to a name.
func (t *treeFS) find(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	at := t.top
	if name == "." {
		return at, nil
	}
	for _, part := range strings.Split(name, "/") {
		i, found := slices.BinarySearchFunc(at.sub, part, func(n *node, part string) int {
			return strings.Compare(n.name, part)
		})
		if !found {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		at = at.sub[i]
	}
	return at, nil
}

// Open opens a file or directory.
func (t *treeFS) Open(name string) (fs.File, error) {
	n, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return &openDir{node: n}, nil
	}
	content, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &openFile{node: n, Reader: bytes.NewReader(content)}, nil
}

// ReadFile gives the bytes of a file.
func (t *treeFS) ReadFile(name string) ([]byte, error) {
	n, err := t.find("read", name)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDir}
	}
	content, err := t.repo.blob(n.hash, t.repo.Limits.Blob)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return content, nil
}

// ReadDir lists a directory, sorted.
func (t *treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	return n.entries(), nil
}

// Stat describes a file or directory.
func (t *treeFS) Stat(name string) (fs.FileInfo, error) {
	n, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	return n.info(), nil
}

func (n *node) info() fs.FileInfo { return nodeInfo{n} }

func (n *node) entries() []fs.DirEntry {
	list := make([]fs.DirEntry, len(n.sub))
	for i, sub := range n.sub {
		list[i] = fs.FileInfoToDirEntry(sub.info())
	}
	return list
}

// nodeInfo is a node as fs.FileInfo.
type nodeInfo struct{ node *node }

func (i nodeInfo) Name() string       { return i.node.name }
func (i nodeInfo) Size() int64        { return i.node.size }
func (i nodeInfo) Mode() fs.FileMode  { return i.node.mode }
func (i nodeInfo) IsDir() bool        { return i.node.mode.IsDir() }
func (i nodeInfo) ModTime() time.Time { return time.Time{} }
func (i nodeInfo) Sys() any           { return nil }

type openFile struct {
	*bytes.Reader
	node *node
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.node.info(), nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	node *node
	next int
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.node.info(), nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.node.name, Err: errIsDir}
}

// ReadDir follows fs.ReadDirFile: n at a time, or all that is left.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	left := d.node.entries()[d.next:]
	if n > 0 {
		if len(left) == 0 {
			return nil, io.EOF
		}
		left = left[:min(n, len(left))]
	}
	d.next += len(left)
	return left, nil
}
