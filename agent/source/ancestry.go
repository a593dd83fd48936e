package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
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

// Question is what somebody will want to know about the history of a commit.
type Question struct {
	Old []string // commits whose Ancestry will be asked for; "" is passed over
	All string   // the commit since which every one will be verified, "" for none
}

// Reach makes sure that questions about a fetched commit can be answered from
// dir. When the window of the cache does not do, up to 5,000 commits of history
// are fetched beside it, without their trees where the server can leave them
// out; they stay until the next Fetch. It is no error when that was not enough
// or not possible: then the answer stays Unknown. Errors are of type *Error.
func Reach(ctx context.Context, remote Remote, dir string, about Tip, q Question) error {
	at, err := remote.place()
	if err != nil {
		return public("read the history of", remote.shown(), credentials{}, err)
	}
	if at.scheme == "local" {
		return nil
	}
	repo, err := Open(dir)
	if err != nil {
		return err
	}
	known := repo.answers(about.Commit, q)
	repo.Close()
	if known {
		return nil
	}
	secrets, _ := remote.credentials(at.user)
	return public("read the history of", remote.shown(), secrets, generations{dir}.probe(ctx, remote, at, about))
}

// answers reports whether what is here is enough.
func (r *Repo) answers(commit string, q Question) bool {
	for _, old := range q.Old {
		if old == "" {
			continue
		}
		if answer, err := r.Ancestry(old, commit); err != nil || answer == Unknown {
			return false
		}
	}
	if q.All == "" {
		return true
	}
	_, err := r.since(plumbing.NewHash(q.All), plumbing.NewHash(commit))
	return err == nil
}

func (c generations) probe(ctx context.Context, remote Remote, at place, about Tip) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTime, errDeadline)
	defer cancel()
	path, err := c.scratch()
	if path != "" {
		defer os.RemoveAll(path)
	}
	if err != nil {
		return err
	}
	repo, err := openBare(path)
	if err != nil {
		return err
	}
	defer repo.Close()
	from, err := remote.server(at)
	if err != nil {
		return err
	}
	defer from.close()
	a, err := from.advert(ctx)
	if err != nil {
		return err
	}
	if a.tip.public() != about {
		return fail(Unreachable, "the %s moved in between", kindOfRef(remote.ref()))
	}
	err = pull(ctx, from, a, repo, wish{want: a.tip.want(), depth: probeDepth, bare: true})
	var own *Error
	if errors.As(err, &own) && own.Reason == Limit {
		return nil // a server without filters, and a long history of large files
	}
	if err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(c.dir, historyName))
}
