package source

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	// window is the depth of every fetch. It is constant: with a changing depth,
	// go-git and servers disagree about what is there, and a depth of one
	// downloads every file at every change.
	window = 50

	// fetchTime bounds all of a fetch: the longest silence before the pack, and three
	// minutes for the pack itself.
	fetchTime = 5 * time.Minute
	tracked   = "refs/heads/tracked" // where a generation keeps the commit of its last fetch
)

var errDeadline = errors.New("it took longer than allowed")

// Fetch brings the commit that a remote follows, with its whole tree and the 50
// commits behind it, into the cache directory, and gives its hash. The hash is
// that of the ref as it was fetched, which may be newer than what a Poller said.
//
// The current generation is used when it can be; on any doubt about it, and
// after 40 packs, a new one is cloned beside it and takes its place. A network
// failure is no such doubt and leaves it alone. A local repository is read
// where it is, and the directory is not touched. Errors are of type *Error.
//
// Fetch parses what a server sends; run it where a crash does no harm. Two
// Fetches of one directory must not run at once.
func Fetch(ctx context.Context, remote Remote, dir string) (Tip, error) {
	return fetch(ctx, remote, dir, false)
}

// FetchAnew is Fetch for a directory in which a commit that is there could not be read. What
// is there stays until another clone is whole.
func FetchAnew(ctx context.Context, remote Remote, dir string) (Tip, error) {
	return fetch(ctx, remote, dir, true)
}

func fetch(ctx context.Context, remote Remote, dir string, anew bool) (got Tip, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTime, errDeadline)
	defer cancel()
	at, err := remote.place()
	secrets, _ := remote.credentials(at.user)
	defer func() { err = public("fetch", remote.shown(), secrets, err) }()
	if err != nil {
		return Tip{}, err
	}
	if at.scheme == "local" {
		seen, err := localTip(at.path, remote)
		return seen.public(), err
	}
	c := generations{dir}
	if err := c.tidy(); err != nil {
		return Tip{}, err
	}
	var seen tip
	if err = errRenew; !anew {
		seen, err = c.update(ctx, remote, at)
	}
	if doubtful(err) {
		seen, err = c.clone(ctx, remote, at)
	}
	return seen.public(), err
}

// doubtful reports whether a failed update says more about our cache than about
// the other side.
func doubtful(err error) bool {
	var own *Error
	if err == nil || errors.As(err, &own) && own.Reason == Limit {
		return false
	}
	switch reasonOf(err) {
	case Unreachable, AuthFailed, NoBranch:
		return false
	}
	return true
}

// update fetches into the current generation.
func (c generations) update(ctx context.Context, remote Remote, at place) (tip, error) {
	repo, err := c.open()
	if err != nil {
		return tip{}, errRenew
	}
	defer repo.Close()
	before, err := repo.tracked()
	if err != nil {
		return tip{}, errRenew
	}
	return repo.take(ctx, remote, at, before)
}

// clone fetches into a new generation and makes it the current one.
func (c generations) clone(ctx context.Context, remote Remote, at place) (seen tip, err error) {
	path, err := c.scratch()
	if path != "" {
		defer os.RemoveAll(path) // nothing is there any more once it was promoted
	}
	if err != nil {
		return tip{}, err
	}
	repo, err := openBare(path)
	if err != nil {
		return tip{}, err
	}
	seen, err = repo.take(ctx, remote, at, plumbing.ZeroHash)
	repo.Close()
	if err != nil {
		return tip{}, err
	}
	return seen, c.promote(path)
}

// take fetches what the remote follows, proves that all of it is there and on the disk to
// stay, and only then moves the tracked ref.
func (r *Repo) take(ctx context.Context, remote Remote, at place, before plumbing.Hash) (tip, error) {
	from, err := remote.server(at)
	if err != nil {
		return tip{}, err
	}
	defer from.close()
	a, err := from.advert(ctx)
	if err != nil {
		return tip{}, err
	}
	if r.holds(ctx, a.tip) != nil {
		w := wish{want: a.tip.want(), haves: r.haves(before), depth: window}
		if err := pull(ctx, from, a, r, w); err != nil {
			return tip{}, remote.explainPin(err)
		}
		if err := r.holds(ctx, a.tip); err != nil {
			return tip{}, err
		}
	}
	if err := r.trimShallow(a.tip.commit); err != nil {
		return tip{}, err
	}
	if err := syncAll(r.store.Filesystem().Root()); err != nil {
		return tip{}, err
	}
	ref := plumbing.NewHashReference(tracked, a.tip.commit)
	return a.tip, r.store.SetReference(ref)
}

// holds proves that a tip is here whole: the tag that names it, the commit and
// its tree.
func (r *Repo) holds(ctx context.Context, t tip) error {
	if !t.tag.IsZero() {
		named, err := r.peel(t.tag)
		if err != nil {
			return err
		}
		if named.commit != t.commit {
			return fail(Garbage, "the server says that the tag points at %q, and it points at %q", t.commit, named.commit)
		}
	}
	return r.complete(ctx, t.commit)
}

// explainPin says what a server means that does not give out a pinned commit.
func (r Remote) explainPin(err error) error {
	if r.Commit == "" || !strings.Contains(err.Error(), "not our ref") {
		return err
	}
	return fail(NoBranch, "commit %q: the repository has no such commit, or its server gives out branches and tags only (%s)", r.Commit, err)
}
