package source

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// WorkTree is a repository that somebody works in, and the directory of it that
// was named.
type WorkTree struct {
	*Repo
	Sub string // the directory, from the top of the repository; "." is the top

	private string // where HEAD is; a linked work tree has its own
}

// OpenAround opens the repository that a directory is in. Nothing is written, and
// no hook, filter or git binary is run. Errors are of type *Error.
func OpenAround(dir string) (*WorkTree, error) {
	w, err := openAround(dir)
	if err != nil {
		return nil, public("open the repository around", dir, credentials{}, err)
	}
	return w, nil
}

func openAround(dir string) (*WorkTree, error) {
	at, err := filepath.Abs(dir)
	if err == nil {
		at, err = filepath.EvalSymlinks(at)
	}
	if err != nil {
		return nil, err
	}
	for top := at; ; top = filepath.Dir(top) {
		if _, err := os.Lstat(filepath.Join(top, ".git")); err == nil {
			return openWorkTree(top, at)
		}
		if top == filepath.Dir(top) {
			return nil, fail(Unreachable, "there is no Git repository")
		}
	}
}

func openWorkTree(top, at string) (*WorkTree, error) {
	repo, err := openLocal(top)
	if err != nil {
		return nil, err
	}
	w := &WorkTree{Repo: repo, private: filepath.Join(top, ".git")}
	if text, err := readFileMax(w.private, 4096); err == nil { // a file, in a linked work tree
		to := strings.TrimPrefix(strings.TrimSpace(string(text)), "gitdir: ")
		w.private = beside(top, to)
	}
	w.Sub, err = filepath.Rel(top, at)
	return w, err
}

// steps are the ~ and ^ at the end of a revision.
var steps = regexp.MustCompile(`^(.*?)((?:[~^][0-9]*)*)$`)

var oneStep = regexp.MustCompile(`[~^][0-9]*`)

// Resolve gives the commit that a revision names, in 40 hex digits: HEAD, a
// branch, a tag, a remote's branch, a whole or shortened hash, each perhaps with
// ~N and ^N behind it, as in gitrevisions(7). Errors are of type *Error.
func (w *WorkTree) Resolve(revision string) (string, error) {
	hash, err := w.resolve(revision)
	if err != nil {
		return "", public("find the revision", revision, credentials{}, err)
	}
	return hash.String(), nil
}

func (w *WorkTree) resolve(revision string) (plumbing.Hash, error) {
	m := steps.FindStringSubmatch(revision)
	hash, err := w.named(m[1])
	if err != nil {
		return hash, err
	}
	if hash, err = w.peel(hash); err != nil {
		return hash, err
	}
	for _, s := range oneStep.FindAllString(m[2], -1) {
		n := 1
		if len(s) > 1 {
			if n, err = strconv.Atoi(s[1:]); err != nil || n > maxWalk {
				return hash, fail(Limit, "%s goes too far back", s)
			}
		}
		if hash, err = w.parent(hash, s[0], n); err != nil {
			return hash, err
		}
	}
	return hash, nil
}

// parent follows ~n, the first parent n times, or ^n, the nth parent.
func (w *WorkTree) parent(hash plumbing.Hash, kind byte, n int) (plumbing.Hash, error) {
	times, nth := n, 1
	if kind == '^' {
		if n == 0 {
			return hash, nil
		}
		times, nth = 1, n
	}
	for range times {
		c, err := w.commit(hash)
		if err != nil {
			return hash, err
		}
		if len(c.ParentHashes) < nth {
			return hash, fail(NoBranch, "commit %q has only %d parents", hash, len(c.ParentHashes))
		}
		hash = c.ParentHashes[nth-1]
		if _, err := w.commit(hash); err != nil {
			return hash, err
		}
	}
	return hash, nil
}

// named finds what a name without steps stands for.
func (w *WorkTree) named(name string) (plumbing.Hash, error) {
	if name == "HEAD" || name == "@" {
		return w.head()
	}
	if hash, err := parseHash(name); err == nil {
		return hash, nil
	}
	if name == "" || strings.Contains(name, "..") || strings.HasPrefix(name, "/") {
		return plumbing.ZeroHash, fail(NoBranch, "that is no name of a commit")
	}
	for _, rule := range []string{"%", "refs/%", "refs/tags/%", "refs/heads/%", "refs/remotes/%", "refs/remotes/%/HEAD"} {
		full := plumbing.ReferenceName(strings.Replace(rule, "%", name, 1))
		if !strings.HasPrefix(string(full), "refs/") {
			continue
		}
		ref, err := storer.ResolveReference(w.store, full)
		if err == nil {
			return ref.Hash(), nil
		}
		if !errors.Is(err, plumbing.ErrReferenceNotFound) && !errors.Is(err, os.ErrNotExist) {
			return plumbing.ZeroHash, fail(Garbage, "%q cannot be read: %s", full, printable(err.Error(), 200))
		}
	}
	return w.shortened(name)
}

// head reads HEAD of this work tree.
func (w *WorkTree) head() (plumbing.Hash, error) {
	text, err := readFileMax(filepath.Join(w.private, "HEAD"), 4096)
	if err != nil {
		return plumbing.ZeroHash, fail(Garbage, "HEAD cannot be read: %s", printable(err.Error(), 200))
	}
	line := strings.TrimSpace(string(text))
	branch, symbolic := strings.CutPrefix(line, "ref: ")
	if !symbolic {
		return parseHash(line)
	}
	ref, err := storer.ResolveReference(w.store, plumbing.ReferenceName(branch))
	if err != nil {
		return plumbing.ZeroHash, fail(NoBranch, "branch %q has no commit", strings.TrimPrefix(branch, "refs/heads/"))
	}
	return ref.Hash(), nil
}

// shortest is how many digits of a hash Git takes at least.
const shortest = 4

var hexDigits = regexp.MustCompile(`^[0-9a-f]{4,39}$`)

// shortened finds the one commit whose hash begins so.
func (w *WorkTree) shortened(name string) (plumbing.Hash, error) {
	low := strings.ToLower(name)
	if len(name) < shortest || !hexDigits.MatchString(low) {
		return plumbing.ZeroHash, fail(NoBranch, "no branch, tag or commit has this name here")
	}
	prefix, err := hex.DecodeString(low[:len(low)&^1])
	if err != nil {
		return plumbing.ZeroHash, err
	}
	all, err := w.store.HashesWithPrefix(prefix)
	if err != nil {
		return plumbing.ZeroHash, fail(Garbage, "the objects cannot be listed: %s", printable(err.Error(), 200))
	}
	found := map[plumbing.Hash]bool{}
	for _, hash := range all {
		if !strings.HasPrefix(hash.String(), low) {
			continue
		}
		if _, err := w.peel(hash); err == nil {
			found[hash] = true
		}
	}
	switch len(found) {
	case 0:
		return plumbing.ZeroHash, fail(NoBranch, "no branch, tag or commit has this name here")
	case 1:
		for hash := range found {
			return hash, nil
		}
	}
	return plumbing.ZeroHash, fail(NoBranch, "%d commits have hashes that begin so", len(found))
}

// maxTags bounds tags of tags.
const maxTags = 8

// peel follows annotated tags to their commit.
func (w *WorkTree) peel(hash plumbing.Hash) (plumbing.Hash, error) {
	for range maxTags {
		raw, err := w.object(plumbing.TagObject, hash, maxObject)
		if err != nil {
			_, err = w.commit(hash)
			return hash, err
		}
		t := &object.Tag{}
		if err := t.Decode(raw); err != nil {
			return hash, fail(Garbage, "tag %q is broken", hash)
		}
		hash = t.Target
	}
	return hash, fail(Limit, "it is a tag of tags")
}
