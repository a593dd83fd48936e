package source

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	// window is the depth of every fetch. It is constant: with a changing depth,
	// go-git and servers disagree about what is there, and a depth of one
	// downloads every file at every change.
	window = 50

	fetchTime = 120 * time.Second
	tracked   = "refs/heads/tracked" // where a generation keeps the commit of its last fetch
)

var errDeadline = errors.New("it took longer than allowed")

// Fetch brings the newest commit of the branch, with its whole tree and the 50
// commits behind it, into the cache directory, and gives its hash. The hash is
// that of the ref as it was fetched, which may be newer than what Head said.
//
// The current generation is used when it can be; on any doubt about it, and
// after 40 packs, a new one is cloned beside it and takes its place. A network
// failure is no such doubt and leaves it alone. A local repository is read
// where it is, and the directory is not touched. Errors are of type *Error.
//
// Fetch parses what a server sends; run it where a crash does no harm. Two
// Fetches of one directory must not run at once.
func Fetch(ctx context.Context, remote Remote, dir string) (commit string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTime, errDeadline)
	defer cancel()
	at, err := remote.place()
	secrets, _ := remote.credentials(at.user)
	defer func() { err = public("fetch", remote.shown(), secrets, err) }()
	if err != nil {
		return "", err
	}
	if at.scheme == "local" {
		head, err := localHead(at.path, remote.Branch)
		return hexOf(head), err
	}
	c := generations{dir}
	if err := c.tidy(); err != nil {
		return "", err
	}
	head, err := c.update(ctx, remote, at)
	if doubtful(err) {
		head, err = c.clone(ctx, remote, at)
	}
	return hexOf(head), err
}

func hexOf(hash plumbing.Hash) string {
	if hash.IsZero() {
		return ""
	}
	return hash.String()
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
func (c generations) update(ctx context.Context, remote Remote, at place) (plumbing.Hash, error) {
	repo, err := c.open()
	if err != nil {
		return plumbing.ZeroHash, errRenew
	}
	defer repo.Close()
	before, err := repo.tracked()
	if err != nil {
		return plumbing.ZeroHash, errRenew
	}
	return repo.take(ctx, remote, at, before)
}

// clone fetches into a new generation and makes it the current one.
func (c generations) clone(ctx context.Context, remote Remote, at place) (head plumbing.Hash, err error) {
	path, err := c.scratch()
	if path != "" {
		defer os.RemoveAll(path) // nothing is there any more once it was promoted
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	repo, err := openBare(path)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	head, err = repo.take(ctx, remote, at, plumbing.ZeroHash)
	repo.Close()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return head, c.promote(path)
}

// take fetches the branch, proves that all of it is there, and only then moves
// the tracked ref.
func (r *Repo) take(ctx context.Context, remote Remote, at place, before plumbing.Hash) (plumbing.Hash, error) {
	from, err := remote.server(at)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer from.close()
	a, err := from.advert(ctx, remote.Branch)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if r.complete(ctx, a.head) != nil {
		w := wish{want: a.head, haves: r.haves(before), depth: window}
		if err := pull(ctx, from, a.caps, r, w); err != nil {
			return plumbing.ZeroHash, err
		}
		if err := r.complete(ctx, a.head); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	if err := r.trimShallow(a.head); err != nil {
		return plumbing.ZeroHash, err
	}
	ref := plumbing.NewHashReference(tracked, a.head)
	return a.head, r.store.SetReference(ref)
}
