package applytest

import (
	"math/rand/v2"
	"slices"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// change is one operation on a directory that no Sync has made lasting yet. It
// is atomic: an exchange is never seen by halves.
type change struct {
	what string
	a, b string     // the names it touches; b may be ""
	node int        // link, setattr: the inode
	attr apply.Attr // setattr
}

// The kinds of change.
const (
	link     = "link"     // a now names the inode; b, if any, is the inode's older name
	unlink   = "unlink"   // a is free
	rename   = "rename"   // what a named is now named b, and a is free
	exchange = "exchange" // a and b have swapped
	setattr  = "setattr"
)

// apply gives the list as it is after the change.
func (c change) apply(list []entry) []entry {
	switch c.what {
	case link:
		return set(list, c.a, c.node)
	case unlink:
		return set(list, c.a, 0)
	case rename:
		return set(set(list, c.b, find(list, c.a)), c.a, 0)
	case exchange:
		a, b := find(list, c.a), find(list, c.b)
		return set(set(list, c.a, b), c.b, a)
	}
	return list
}

// Crash is a power cut. What was synced stays. Of the rest
//
//   - each change of a directory survives or is dropped by chance, whole;
//   - none survives when an earlier one was dropped that touched one of the same
//     names: order per name holds, and nothing else does;
//   - directories do not wait for each other;
//   - the bytes of a file that was not synced survive whole, as a prefix, or not
//     at all, and then its owner and mode may be those it was made with.
//
// Directory handles from before a crash are void. The same seed in the same
// state ends the same.
func (f *FS) Crash(rng *rand.Rand) {
	luck := rng.IntN(8) // of the changes: none, all, or each with even chance
	moved := false
	for inode, n := range f.nodes {
		switch {
		case n == nil:
		case n.kind == plan.Directory && len(n.dir.pending) > 0:
			f.settle(inode, rng, luck)
			moved = true
		case n.unsynced:
			f.tear(inode, rng)
		}
	}
	for inode, n := range f.nodes {
		if n != nil && n.attr != n.lasting {
			f.edit(inode, func(n *node) { n.attr = n.lasting })
		}
	}
	if moved {
		f.recount()
	}
}

// settle decides which pending changes of a directory have reached the disk.
func (f *FS) settle(inode int, rng *rand.Rand, luck int) {
	list := f.nodes[inode].dir
	var lost []string
	now := list.lasting
	for _, c := range list.pending {
		if !survives(rng, luck) || slices.Contains(lost, c.a) || c.b != "" && slices.Contains(lost, c.b) {
			lost = append(lost, c.a)
			if c.b != "" {
				lost = append(lost, c.b)
			}
			continue
		}
		now = c.apply(now)
		if c.what == setattr {
			f.edit(c.node, func(n *node) { n.lasting = c.attr })
		}
	}
	f.edit(inode, func(n *node) { n.dir = &listing{live: now, lasting: now} })
}

func survives(rng *rand.Rand, luck int) bool {
	switch luck {
	case 0:
		return false
	case 1:
		return true
	}
	return rng.Uint32()&1 == 0
}

// tear decides what is left of a file whose bytes were not synced.
func (f *FS) tear(inode int, rng *rand.Rand) {
	data := f.nodes[inode].data
	switch rng.IntN(3) {
	case 0:
		data = nil
	case 1:
		data = data[:rng.IntN(len(data)+1)]
	}
	poor := rng.Uint32()&1 == 0
	f.edit(inode, func(n *node) {
		n.data, n.digest, n.unsynced = data, digest(data), false
		if poor {
			n.lasting = apply.Attr{Mode: 0o600}
		}
	})
}

// recount counts the names of each inode anew, and what the disk has left.
func (f *FS) recount() {
	links := make([]int, len(f.nodes))
	links[root] = 1
	f.count(root, links)
	for inode, n := range f.nodes {
		if n == nil || n.links == links[inode] {
			continue
		}
		had := n.links
		f.edit(inode, func(n *node) { n.links = links[inode] })
		switch {
		case had == 0:
			f.charge(inode, 1)
		case links[inode] == 0:
			f.charge(inode, -1)
		}
	}
}

func (f *FS) count(inode int, links []int) {
	for _, e := range f.nodes[inode].dir.live {
		links[e.inode]++
		if f.nodes[e.inode].kind == plan.Directory {
			f.count(e.inode, links)
		}
	}
}
