package source

import (
	"errors"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Tip is what a remote points at.
type Tip struct {
	Commit string `json:"commit"`
	Tag    string `json:"tag,omitempty"` // hash of the annotated tag object that names Commit, "" when none does
}

// tip is a Tip before it leaves the package.
type tip struct{ commit, tag plumbing.Hash }

func (t tip) public() Tip {
	if t.commit.IsZero() {
		return Tip{}
	}
	p := Tip{Commit: t.commit.String()}
	if !t.tag.IsZero() {
		p.Tag = t.tag.String()
	}
	return p
}

// want is the object that a fetch asks for.
func (t tip) want() plumbing.Hash {
	if t.tag.IsZero() {
		return t.commit
	}
	return t.tag
}

// ref is the full name of what a remote follows. One commit alone has no name;
// HEAD is what is asked for then, to see whether the server is there.
func (r Remote) ref() string {
	switch {
	case r.Commit != "":
		return "HEAD"
	case r.Tag != "":
		return "refs/tags/" + r.Tag
	}
	return "refs/heads/" + r.Branch
}

// settle turns what a ref points at into what is followed. A server where only
// HEAD is missing answers all the same when one commit is pinned.
func (r Remote) settle(seen tip) (tip, error) {
	if r.Commit != "" {
		commit, err := parseHash(r.Commit)
		return tip{commit: commit}, err
	}
	if seen.commit.IsZero() {
		kind := kindOfRef(r.ref())
		return seen, noRef(r.ref(), "the repository has no such "+kind+": push it, or name another "+kind+" in the configuration of the host")
	}
	return seen, nil
}

func kindOfRef(ref string) string {
	if strings.HasPrefix(ref, "refs/tags/") {
		return "tag"
	}
	return "branch"
}

func noRef(ref, why string) error {
	return fail(NoBranch, "%s %q: %s", kindOfRef(ref), strings.TrimPrefix(strings.TrimPrefix(ref, "refs/heads/"), "refs/tags/"), why)
}

// refReader picks one ref out of a list of them.
type refReader struct {
	ref  string
	seen tip
}

// take reads "hash name", with the marks that protocol v2 may add.
func (l *refReader) take(text string) error {
	hash, rest, found := strings.Cut(text, " ")
	if !found {
		return fail(Garbage, "the server's list of branches is broken")
	}
	name, marks, _ := strings.Cut(rest, " ")
	if name != l.ref && name != l.ref+"^{}" {
		return nil
	}
	object, err := parseHash(hash)
	if err != nil {
		return err
	}
	if name != l.ref {
		l.seen.tag, l.seen.commit = l.seen.commit, object // v0: the tag's own line comes first
		return nil
	}
	l.seen = tip{commit: object}
	for _, mark := range strings.Fields(marks) {
		if peeled, is := strings.CutPrefix(mark, "peeled:"); is {
			l.seen.tag = object
			if l.seen.commit, err = parseHash(peeled); err != nil {
				return err
			}
		}
	}
	return nil
}

// localTip resolves what is followed in a repository on this disk.
func localTip(path string, remote Remote) (tip, error) {
	repo, err := openLocal(path)
	if err != nil {
		return tip{}, err
	}
	defer repo.Close()
	if remote.Commit != "" {
		return remote.settle(tip{})
	}
	name := remote.ref()
	ref, err := repo.store.Reference(plumbing.ReferenceName(name))
	switch {
	case errors.Is(err, plumbing.ErrReferenceNotFound):
		return remote.settle(tip{})
	case err != nil:
		return tip{}, fail(Garbage, "%q: %s", name, printable(err.Error(), 200))
	case ref.Type() != plumbing.HashReference || ref.Hash().IsZero():
		return tip{}, fail(Garbage, "%q does not name a commit", name)
	}
	if remote.Tag == "" {
		return tip{commit: ref.Hash()}, nil
	}
	return repo.peel(ref.Hash())
}

// peel follows a tag to its commit. A tag of a tag is nothing that anybody needs.
func (r *Repo) peel(hash plumbing.Hash) (tip, error) {
	stored, err := r.store.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return tip{}, missing(hash, err)
	}
	if stored.Type() != plumbing.TagObject {
		return tip{commit: hash}, nil
	}
	t, err := r.tag(hash)
	if err != nil {
		return tip{}, err
	}
	if t.kind != "commit" {
		return tip{}, fail(Garbage, "the tag points at a %s and not at a commit", printable(t.kind, 20))
	}
	return tip{commit: t.object, tag: hash}, nil
}
