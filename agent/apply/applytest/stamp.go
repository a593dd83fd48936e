package applytest

import (
	"hash/maphash"
	"slices"

	"evenkeel/agent/plan"
)

// seed makes stamps of one run comparable.
var seed = maphash.MakeSeed()

// Stamp is a number for all that stands in and below some directories: names,
// contents, and when each content was last changed. It costs less than looking.
func (f *FS) Stamp(dirs []string) uint64 {
	if f.stampOf == f.changes && slices.Equal(dirs, f.stampDirs) {
		return f.stamp
	}
	sum := uint64(len(dirs))
	for _, path := range dirs {
		inode, err := f.walk(path)
		if err != nil {
			inode = 0
		}
		sum = f.stampNode(sum, inode)
	}
	f.stamp, f.stampOf, f.stampDirs = sum, f.changes, dirs
	return sum
}

func (f *FS) stampNode(sum uint64, inode int) uint64 {
	n := f.nodes[inode]
	if n == nil {
		return blend(sum, 1)
	}
	sum = blend(sum, maphash.String(seed, string(n.kind)))
	sum = blend(sum, uint64(n.attr.Mode)<<32|uint64(n.attr.UID)<<16^uint64(n.attr.GID))
	switch n.kind {
	case plan.Directory:
		for _, e := range n.dir.live {
			sum = f.stampNode(blend(sum, maphash.String(seed, e.name)), e.inode)
		}
		return blend(sum, uint64(len(n.dir.live)))
	case plan.File:
		return blend(blend(sum, maphash.String(seed, n.digest)), uint64(n.mtime))
	}
	return blend(sum, maphash.String(seed, n.says))
}

// blend mixes one more number in; the order counts.
func blend(sum, more uint64) uint64 {
	sum = (sum ^ more) * 0x9e3779b97f4a7c15
	return sum ^ sum>>29
}
