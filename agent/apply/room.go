package apply

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"evenkeel/agent/plan"
)

// What is left free on every file system that an attempt writes to: the services
// of a host need room as well, and so do the records of the next attempts.
const (
	spareBytes  = 1 << 20
	spareInodes = 64
)

// blockSize is what a file's size is rounded up to. File systems differ; this is
// the usual one.
const blockSize = 4096

// Space is what a file system has left.
type Space struct {
	ID     uint64 // the same for all directories of one file system
	Bytes  uint64
	Inodes uint64
}

// NoRoom says that a file system has no room for what a commit brings. The
// commit waits for it.
type NoRoom struct {
	Dir         string // a directory on that file system
	Need, Free  Space
	needsInodes bool
}

// Error names the place, what is needed and what is there.
func (n *NoRoom) Error() string {
	if n.needsInodes {
		return fmt.Sprintf("room below %q: %d inodes are needed and %d are free", n.Dir, n.Need.Inodes, n.Free.Inodes)
	}
	return fmt.Sprintf("room below %q: %d KiB are needed and %d KiB are free", n.Dir, n.Need.Bytes>>10, n.Free.Bytes>>10)
}

// Room checks that each file system has room for what Stage would put there, and
// that some is left then. The state directory is one of the places. It touches
// nothing; the error is a *NoRoom where there is too little.
func Room(disk FS, stateDir string, moves []Move, content func(digest string) ([]byte, error)) error {
	needs := map[uint64]*NoRoom{}
	var order []uint64
	need := func(dir string, bytes, inodes uint64) error {
		at, free, err := nearest(disk, dir)
		if err != nil {
			return err
		}
		n := needs[free.ID]
		if n == nil {
			n = &NoRoom{Dir: at, Free: free, Need: Space{ID: free.ID, Bytes: spareBytes, Inodes: spareInodes}}
			needs[free.ID], order = n, append(order, free.ID)
		}
		n.Need.Bytes += bytes
		n.Need.Inodes += inodes
		return nil
	}
	if err := need(stateDir, 0, 0); err != nil {
		return err
	}
	for _, m := range moves {
		bytes, err := m.weight(content)
		if err != nil {
			return err
		}
		if bytes == 0 {
			continue
		}
		if err := need(path.Dir(m.Path), bytes, 1); err != nil {
			return err
		}
	}
	for _, id := range order {
		n := needs[id]
		n.needsInodes = n.Need.Inodes > n.Free.Inodes
		if n.needsInodes || n.Need.Bytes > n.Free.Bytes {
			return n
		}
	}
	return nil
}

// weight is what a move needs on the disk before the switch, 0 when it makes
// nothing new.
func (m *Move) weight(content func(digest string) ([]byte, error)) (uint64, error) {
	switch {
	case m.Back || m.Stays || m.After.Kind == plan.Absent:
		return 0, nil
	case m.After.Kind == plan.Directory && m.Before.Kind == plan.Directory:
		return 0, nil
	case m.After.Kind != plan.File:
		return blockSize, nil
	}
	data, err := content(m.After.Digest)
	if err != nil {
		return 0, fmt.Errorf("cannot stage %q: %w", m.Path, err)
	}
	return max(1, (uint64(len(data))+blockSize-1)/blockSize) * blockSize, nil
}

// nearest measures the file system of a directory, or of the nearest one above it
// that is there already.
func nearest(disk FS, dir string) (at string, free Space, err error) {
	for {
		d, err := disk.OpenDir(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != "/" {
			dir = path.Dir(dir)
			continue
		}
		if err != nil {
			return dir, Space{}, fmt.Errorf("cannot measure free space below %q: %w", dir, err)
		}
		free, err := disk.Free(d)
		_ = d.Close()
		return dir, free, err
	}
}
