//go:build e2e

package e2e

import (
	"os"
	"path"
	"time"
)

// fileChange is something that happens to a file.
type fileChange struct {
	name string
	do   func(e *editing, p string)
}

// fileChanges end with another content, mode or owner, or with no file at all. Those that
// write do so in one step, or where no reader sees it: half a file would be theirs.
var fileChanges = []fileChange{
	{"a line more", func(e *editing, p string) {
		text := e.byHand(e.good[p].text)
		e.reader.allow(p, foundText(text))
		f, err := os.OpenFile(e.host.Outside(p), os.O_WRONLY|os.O_APPEND, 0)
		e.must(err)
		_, err = f.WriteString(text[len(e.good[p].text):])
		e.must(err)
		e.must(f.Close())
	}},
	{"cut off in place", func(e *editing, p string) {
		text := e.good[p].text[:len(e.good[p].text)/2]
		e.reader.allow(p, foundText(text))
		e.reader.aside(func() { e.must(os.Truncate(e.host.Outside(p), int64(len(text)))) })
	}},
	{"written in place", func(e *editing, p string) {
		text := e.byHand("")
		e.reader.allow(p, foundText(text))
		e.reader.aside(func() { e.must(os.WriteFile(e.host.Outside(p), []byte(text), 0o600)) })
	}},
	{"replaced by another file", func(e *editing, p string) {
		text := e.byHand(e.good[p].text)
		e.reader.allow(p, foundText(text))
		beside := e.host.Outside(path.Join(path.Dir(p), ".swp"))
		e.must(os.WriteFile(beside, []byte(text), 0o644))
		e.must(os.Rename(beside, e.host.Outside(p)))
	}},
	{"mode", func(e *editing, p string) { e.must(os.Chmod(e.host.Outside(p), 0o606)) }},
	{"owner", func(e *editing, p string) { e.must(os.Chown(e.host.Outside(p), 2, 2)) }},
	{"content and mode", func(e *editing, p string) {
		text := e.byHand("other\n")
		e.reader.allow(p, foundText(text))
		beside := e.host.Outside(path.Join(path.Dir(p), ".swp"))
		e.must(os.WriteFile(beside, []byte(text), 0o600))
		e.must(os.Rename(beside, e.host.Outside(p)))
	}},
	{"deleted", func(e *editing, p string) { e.must(os.Remove(e.host.Outside(p))) }},
	{"replaced by a link", func(e *editing, p string) {
		e.must(os.Remove(e.host.Outside(p)))
		e.must(os.Symlink("nowhere", e.host.Outside(p)))
	}},
}

// editsOfFiles are those of files of each role, more of them where they are corrected.
func editsOfFiles() (kinds []kindOfEdit) {
	for _, c := range fileChanges {
		for _, role := range []string{kept, kept, told, loose} {
			kinds = append(kinds, kindOfEdit{"a file: " + c.name, func(e *editing) edit { return onFile(e, role, c) }})
		}
	}
	return kinds
}

// touch changes times alone.
func (e *editing) touch(p string) {
	now := time.Now()
	e.must(os.Chtimes(e.host.Outside(p), now, now))
}
