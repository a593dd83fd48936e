package source

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// Ancestry says how a commit stands to the one that was applied before.
type Ancestry string

// The four answers. Unknown means that history ends, in what we have of it,
// before the old commit was met; whoever decides must treat it as Diverged.
const (
	Same     Ancestry = "same"      // it is the same commit
	Forward  Ancestry = "forward"   // the old commit is an ancestor of the new one
	Diverged Ancestry = "rewritten" // the whole history is here and the old commit is not in it
	Unknown  Ancestry = "unknown"   // the old commit is not in the part of history that is here
)

// maxWalk bounds a walk through history; a repository on the local disk may
// hold all of a large project.
const maxWalk = 20_000

// probeDepth is how far back Relate asks a server, in commits.
const probeDepth = 5000

// Ancestry tells how new stands to old. It looks only at what is on this disk:
// in a cache that is at least the last 50 commits. Errors are of type *Error.
func (r *Repo) Ancestry(old, new string) (Ancestry, error) {
	before, err := parseHash(old)
	if err == nil {
		var after plumbing.Hash
		if after, err = parseHash(new); err == nil {
			var answer Ancestry
			if answer, err = r.ancestry(before, after); err == nil {
				return answer, nil
			}
		}
	}
	return Unknown, public("read the history of", new, credentials{}, err)
}

func (r *Repo) ancestry(before, after plumbing.Hash) (Ancestry, error) {
	if before == after {
		return Same, nil
	}
	if _, err := r.commit(after); err != nil {
		return Unknown, err
	}
	found, missed := false, false
	cut := r.walk(after, maxWalk, func(hash plumbing.Hash, known bool) step {
		missed = missed || !known
		if found = hash == before; found {
			return stop
		}
		return descend
	})
	switch {
	case found:
		return Forward, nil
	case cut || missed:
		return Unknown, nil
	}
	return Diverged, nil
}

// step is what a walk does after a commit.
type step int

const (
	descend step = iota // go on to its parents
	skip                // leave its parents out
	stop                // end the walk
)

// walk visits commits breadth first, each once, and tells visit whether the
// commit is here. It reports whether it was cut short at max commits.
func (r *Repo) walk(from plumbing.Hash, max int, visit func(hash plumbing.Hash, known bool) step) (cut bool) {
	seen := map[plumbing.Hash]bool{from: true}
	for queue := []plumbing.Hash{from}; len(queue) > 0; queue = queue[1:] {
		if max--; max < 0 {
			return true
		}
		c, err := r.commit(queue[0])
		next := visit(queue[0], err == nil)
		if next == stop {
			return false
		}
		if next == skip || err != nil {
			continue
		}
		for _, parent := range c.ParentHashes {
			if !seen[parent] {
				seen[parent] = true
				queue = append(queue, parent)
			}
		}
	}
	return false
}

// haves are the commits that a server may leave out of a pack: where we were,
// and what came before, in case the branch went back.
func (r *Repo) haves(head plumbing.Hash) []plumbing.Hash {
	var list []plumbing.Hash
	if head.IsZero() {
		return nil
	}
	r.walk(head, window, func(hash plumbing.Hash, known bool) step {
		if known {
			list = append(list, hash)
		}
		return descend
	})
	return list
}

// setShallow adds to the commits whose parents we do not have.
func (r *Repo) setShallow(more []plumbing.Hash) error {
	if len(more) == 0 {
		return nil
	}
	have, err := r.store.Shallow()
	if err != nil {
		return err
	}
	for _, hash := range more {
		if !slices.Contains(have, hash) {
			have = append(have, hash)
		}
	}
	return r.store.SetShallow(have)
}

// trimShallow forgets the marks that no walk from head meets any more. Without
// it each fetch would leave one, and each fetch sends all.
func (r *Repo) trimShallow(head plumbing.Hash) error {
	have, err := r.store.Shallow()
	if err != nil || len(have) == 0 {
		return err
	}
	var keep []plumbing.Hash
	cut := r.walk(head, maxWalk, func(hash plumbing.Hash, _ bool) step {
		if slices.Contains(have, hash) {
			keep = append(keep, hash)
			return skip
		}
		return descend
	})
	if cut || len(keep) == len(have) {
		return nil
	}
	return r.store.SetShallow(keep)
}

// Relate is Ancestry with the server's help: when the window of the cache does
// not answer, up to 5,000 commits of history are fetched into a throw-away
// repository in dir, without their trees where the server can leave them out.
// The answer is Unknown when that was not enough or not possible.
// Errors are of type *Error.
func Relate(ctx context.Context, remote Remote, dir, old, new string) (Ancestry, error) {
	at, err := remote.place()
	if err != nil {
		return Unknown, public("read the history of", remote.shown(), credentials{}, err)
	}
	repo, err := OpenFetched(remote, dir)
	if err != nil {
		return Unknown, err
	}
	answer, err := repo.Ancestry(old, new)
	repo.Close()
	if err != nil || answer != Unknown || at.scheme == "local" {
		return answer, err
	}
	secrets, _ := remote.credentials(at.user)
	answer, err = generations{dir}.probe(ctx, remote, at, plumbing.NewHash(old), plumbing.NewHash(new))
	return answer, public("read the history of", remote.shown(), secrets, err)
}

func (c generations) probe(ctx context.Context, remote Remote, at place, old, new plumbing.Hash) (Ancestry, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTime, errDeadline)
	defer cancel()
	path, err := c.scratch()
	if path != "" {
		defer os.RemoveAll(path)
	}
	if err != nil {
		return Unknown, err
	}
	repo, err := openBare(path)
	if err != nil {
		return Unknown, err
	}
	defer repo.Close()
	from, err := remote.server(at)
	if err != nil {
		return Unknown, err
	}
	defer from.close()
	a, err := from.advert(ctx, remote.Branch)
	if err != nil {
		return Unknown, err
	}
	if a.head != new {
		return Unknown, fail(Unreachable, "the branch moved in between")
	}
	err = pull(ctx, from, a.caps, repo, wish{want: new, depth: probeDepth, bare: true})
	var own *Error
	if errors.As(err, &own) && own.Reason == Limit {
		return Unknown, nil // a server without filters, and a long history of large files
	}
	if err != nil {
		return Unknown, err
	}
	return repo.ancestry(old, new)
}
