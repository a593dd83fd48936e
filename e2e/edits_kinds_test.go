//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
)

// kindOfEdit makes edits of one kind, of another path or unit each time.
type kindOfEdit struct {
	name string
	make func(e *editing) edit
}

// kindsOfEdits are all that somebody does by hand here.
var kindsOfEdits = append(editsOfFiles(), []kindOfEdit{
	{"a hard link in place of a file", func(e *editing) edit { return inTheWay(e, makeHardLink) }},
	{"a directory in place of a file", func(e *editing) edit {
		return inTheWay(e, func(e *editing, at string) { e.must(os.Remove(at)); e.must(os.Mkdir(at, 0o755)) })
	}},
	{"a pipe in place of a file", func(e *editing) edit {
		return inTheWay(e, func(e *editing, at string) { e.must(os.Remove(at)); e.must(syscall.Mkfifo(at, 0o644)) })
	}},
	{"the same bytes in another inode", sameBytes},
	{"a touch", func(e *editing) edit {
		p := e.pick("kept file")
		return edit{name: p, do: func() { e.touch(p) }, isStill: func() bool { return e.isGood(p) }}
	}},
	{"another name for a file", otherName},
	{"another link", func(e *editing) edit {
		return e.onPath("link", func(at string) { e.must(os.Remove(at)); e.must(os.Symlink("elsewhere", at)) })
	}},
	{"a file in place of a link", func(e *editing) edit {
		return e.onPath("link", func(at string) { e.must(os.Remove(at)); e.must(os.WriteFile(at, []byte("by hand\n"), 0o644)) })
	}},
	{"a link deleted", func(e *editing) edit { return e.onPath("link", func(at string) { e.must(os.Remove(at)) }) }},
	{"mode of a directory", func(e *editing) edit { return e.onPath("dir", func(at string) { e.must(os.Chmod(at, 0o777)) }) }},
	{"owner of a directory", func(e *editing) edit { return e.onPath("dir", func(at string) { e.must(os.Chown(at, 1, 1)) }) }},
	{"a directory deleted", func(e *editing) edit { return onNest(e, func(at string) { e.must(os.RemoveAll(at)) }) }},
	{"a directory moved away", func(e *editing) edit {
		return onNest(e, func(at string) { e.must(os.RemoveAll(at + ".old")); e.must(os.Rename(at, at+".old")) })
	}},
	{"a unit stopped", onUnit(unitStopped)},
	{"a unit killed", onUnit(unitKilled)},
	{"a unit disabled", onUnit(unitDisabled)},
	{"a unit file, and daemon-reload", onUnit(unitFileChanged)},
	{"a unit file, and a restart", onUnit(unitFileRead)},
	{"a file that a unit reads, and a restart", onUnit(envFileRead)},
	{"a unit file replaced by a mask, and daemon-reload", func(e *editing) edit { return maskInPlace(e) }},
	{"a unit masked", func(e *editing) edit { return masked(e, "") }},
	{"a unit masked and stopped", func(e *editing) edit { return masked(e, "--now") }},
	{"a drop-in", onUnit(dropIn)},
	{"a drop-in, and daemon-reload", onUnit(dropInRead)},
	{"a foreign unit, and daemon-reload", foreignUnit},
}...)

// onFile changes a file of a role.
func onFile(e *editing, role string, c fileChange) edit {
	p := e.pick(role + " file")
	x := e.underRole(role, p, func() {
		e.reader.allow(p, foundNothing)
		c.do(e, p)
	})
	if role != kept {
		x.undo = func() { e.restore(p) }
	}
	return x
}

// underRole is a change at a managed path that becomes what the role says.
func (e *editing) underRole(role, p string, do func()) edit {
	x := edit{name: p, do: do}
	switch role {
	case kept:
		x.count, x.isBack = 1, func() bool { return e.isGood(p) }
	case told:
		x.listed = []string{p}
	}
	if role != kept {
		x.isStill = func() bool { return !e.isGood(p) }
	}
	return x
}

// onPath changes one of a pool that is corrected.
func (e *editing) onPath(pool string, do func(at string)) edit {
	p := e.pick(pool)
	return e.underRole(kept, p, func() { do(e.host.Outside(p)) })
}

// onNest takes a directory away with the files in it: three paths that come back at once.
func onNest(e *editing, do func(at string)) edit {
	nest := e.pick("nest")
	paths := append(inNest(nest), nest)
	return edit{
		name: nest, count: 3,
		do: func() {
			for _, p := range inNest(nest) {
				e.reader.allow(p, foundNothing)
			}
			do(e.host.Outside(nest))
		},
		isBack: func() bool { return e.isGood(paths...) },
	}
}

// inTheWay puts something in place of a file that evenkeel does not remove. Once it is
// gone the file comes back.
func inTheWay(e *editing, do func(e *editing, at string)) edit {
	p := e.pick("kept file")
	return edit{
		name: p, listed: []string{p}, inFine: 1,
		do: func() {
			e.reader.allow(p, foundNothing, foundOther, foundText("other\n"))
			do(e, e.host.Outside(p))
		},
		isStill: func() bool { return !e.isGood(p) },
		undo:    func() { e.must(os.Remove(e.host.Outside(p))) },
	}
}

func makeHardLink(e *editing, at string) {
	other := path.Join(path.Dir(at), "other")
	_ = os.Remove(other)
	e.must(os.WriteFile(other, []byte("other\n"), 0o644))
	e.must(os.Link(other, at+".link"))
	e.must(os.Rename(at+".link", at))
}

// sameBytes is no drift: what stands there is what was asked for.
func sameBytes(e *editing) edit {
	p := e.pick("kept file")
	inode := ""
	return edit{
		name: p, do: func() { e.restore(p); inode = e.inode(p) },
		isStill: func() bool { return e.isGood(p) && e.inode(p) == inode },
	}
}

// otherName gives a file a second name, which is none of evenkeel's business while the
// file itself is as it was.
func otherName(e *editing) edit {
	p := e.pick("kept file")
	at := e.host.Outside(p)
	return edit{
		name: p, do: func() { e.must(os.Link(at, at+".name")) },
		isStill: func() bool { return e.isGood(p) && e.isThere(p+".name") },
		undo:    func() { e.must(os.Remove(at + ".name")) },
	}
}

func (e *editing) isThere(p string) bool {
	_, err := os.Lstat(e.host.Outside(p))
	return err == nil
}

func (e *editing) inode(p string) string {
	info, err := os.Lstat(e.host.Outside(p))
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino)
}

// byHand is what somebody makes of a text: another one each time.
func (e *editing) byHand(text string) string {
	return strings.TrimSuffix(text, "\n") + fmt.Sprintf("\n# by hand %d\n", e.rng.Uint64())
}
