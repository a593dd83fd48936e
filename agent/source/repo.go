package source

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Repo is a repository on this disk, open for reading: the current generation
// of a cache directory, or a local repository in place. Every object it gives
// has been checked against its hash.
type Repo struct {
	Limits Limits // bounds of Tree; Open sets DefaultLimits

	store   *filesystem.Storage
	history *Repo // commits from before the window, nil when nobody asked for them
}

// Info is what status and logs show of a commit. Author and Subject are one
// line of printable text.
type Info struct {
	Hash    string    `json:"hash"`
	Author  string    `json:"author"`
	Subject string    `json:"subject"`
	When    time.Time `json:"when"` // the committer's clock

	AllowPrune bool `json:"allow_prune,omitempty"` // its message has the trailer Evenkeel-Allow-Prune: true
}

// objectCache is how many bytes of objects are kept in memory. Every object is
// needed about once, so a small one does.
const objectCache = 1 << 20

// Open opens what path holds: a cache directory of Fetch, a bare repository, a
// repository with a work tree, or a linked work tree. Nothing is written, and
// no hook, filter or git binary is run. Errors are of type *Error.
func Open(path string) (*Repo, error) {
	generation, _ := generations{path}.current()
	if generation == "" {
		repo, err := openLocal(path)
		return repo, public("open", path, credentials{}, err)
	}
	repo, err := openBare(generation)
	if err != nil {
		return nil, public("open", path, credentials{}, err)
	}
	// Without it the answer to some question will be Unknown, which is safe.
	repo.history, _ = generations{path}.openHistory()
	return repo, nil
}

// OpenFetched opens where Fetch put the commits of a remote: its cache
// directory, or the repository itself when it is on this disk.
func OpenFetched(remote Remote, dir string) (*Repo, error) {
	if at, err := remote.place(); err == nil && at.scheme == "local" {
		dir = at.path
	}
	return Open(dir)
}

// Close lets go of the open packs.
func (r *Repo) Close() error {
	if r.history != nil {
		_ = r.history.Close() // it was only read
	}
	return r.store.Close()
}

func openBare(path string) (*Repo, error) {
	store := filesystem.NewStorageWithOptions(
		osfs.New(path, osfs.WithBoundOS()),
		cache.NewObjectLRU(objectCache),
		filesystem.Options{KeepDescriptors: true, AlternatesFS: osfs.New("/", osfs.WithBoundOS())},
	)
	if err := checkFormat(store); err != nil {
		return nil, err
	}
	return &Repo{Limits: DefaultLimits(), store: store}, nil
}

// checkFormat refuses the two repository formats that would look empty or broken.
func checkFormat(store *filesystem.Storage) error {
	conf, err := store.Config()
	if err != nil {
		return fail(Garbage, "its config file cannot be read: %s", printable(err.Error(), 200))
	}
	extensions := conf.Raw.Section("extensions")
	if strings.EqualFold(extensions.Option("objectFormat"), "sha256") {
		return fail(Garbage, "it uses SHA-256 object names, which cannot be read; convert it to SHA-1")
	}
	if strings.EqualFold(extensions.Option("refStorage"), "reftable") {
		return fail(Garbage, "it stores its branches as reftable, which cannot be read; convert it with git refs migrate --ref-format=files")
	}
	return nil
}

// openLocal finds the part of a repository that holds objects and branches.
func openLocal(path string) (*Repo, error) {
	for _, dir := range []string{filepath.Join(path, ".git"), path} {
		common, err := commonDir(dir)
		if err != nil {
			return nil, err
		}
		if info, err := os.Stat(filepath.Join(common, "objects")); err == nil && info.IsDir() {
			return openBare(common)
		}
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fail(Unreachable, "%v", err)
	}
	return nil, fail(Unreachable, "there is no Git repository")
}

// commonDir follows the two text files that a linked work tree has in place of
// a repository: .git with "gitdir:", and commondir.
func commonDir(dir string) (string, error) {
	if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
		text, err := readFileMax(dir, 4096)
		if err != nil {
			return "", err
		}
		to, found := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
		if !found {
			return "", fail(Garbage, "the file %q does not say where the repository is", dir)
		}
		dir = beside(filepath.Dir(dir), to)
	}
	text, err := readFileMax(filepath.Join(dir, "commondir"), 4096)
	if err != nil {
		return dir, nil // not a linked work tree
	}
	return beside(dir, strings.TrimSpace(string(text))), nil
}

func beside(dir, to string) string {
	if filepath.IsAbs(to) {
		return to
	}
	return filepath.Join(dir, to)
}

// Commit describes a commit, whose hash is given as 40 hex digits. Errors are
// of type *Error.
func (r *Repo) Commit(hash string) (Info, error) {
	h, err := parseHash(hash)
	if err != nil {
		return Info{}, public("read commit", hash, credentials{}, err)
	}
	c, err := r.commit(h)
	if err != nil {
		return Info{}, public("read commit", hash, credentials{}, err)
	}
	return Info{
		Hash:    hash,
		Author:  printable(c.author.name, 100),
		Subject: printable(c.message, 200),
		When:    c.committer.when,

		AllowPrune: allowsPrune(c.message),
	}, nil
}

// maxObject bounds a commit or tree object.
const maxObject = 8 << 20

func (r *Repo) commit(hash plumbing.Hash) (*commitObject, error) {
	raw, err := r.object(plumbing.CommitObject, hash, maxObject)
	if err != nil && r.history != nil {
		raw, err = r.history.object(plumbing.CommitObject, hash, maxObject)
	}
	if err != nil {
		return nil, err
	}
	return parseCommit(raw.content)
}

func (r *Repo) tag(hash plumbing.Hash) (*tagObject, error) {
	raw, err := r.object(plumbing.TagObject, hash, maxObject)
	if err != nil {
		return nil, err
	}
	return parseTag(raw.content)
}

func (r *Repo) tree(hash plumbing.Hash) ([]object.TreeEntry, error) {
	raw, err := r.object(plumbing.TreeObject, hash, maxObject)
	if err != nil {
		return nil, err
	}
	t := &object.Tree{}
	if err := t.Decode(raw); err != nil {
		return nil, fail(Garbage, "tree %q is broken", hash)
	}
	return t.Entries, nil
}

func (r *Repo) blob(hash plumbing.Hash, max int64) ([]byte, error) {
	raw, err := r.object(plumbing.BlobObject, hash, max)
	if err != nil {
		return nil, err
	}
	return raw.content, nil
}

// whole is an object in memory.
type whole struct {
	*plumbing.MemoryObject
	content []byte
}

// object reads an object of a kind and proves its hash.
func (r *Repo) object(kind plumbing.ObjectType, hash plumbing.Hash, max int64) (whole, error) {
	size, err := r.size(hash)
	if err != nil {
		return whole{}, err
	}
	if size > max {
		return whole{}, fail(Limit, "%s %q has %d bytes, more than %d", kind, hash, size, max)
	}
	stored, err := r.store.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return whole{}, missing(hash, err)
	}
	if stored.Type() != kind {
		return whole{}, fail(Garbage, "%q is a %s and not a %s", hash, stored.Type(), kind)
	}
	reader, err := stored.Reader()
	if err != nil {
		return whole{}, missing(hash, err)
	}
	defer reader.Close()
	content, err := io.ReadAll(io.LimitReader(reader, size+1))
	if err != nil {
		return whole{}, missing(hash, err)
	}
	if plumbing.ComputeHash(kind, content) != hash {
		return whole{}, fail(Garbage, "%s %q is corrupt", kind, hash)
	}
	memory := &plumbing.MemoryObject{}
	memory.SetType(kind)
	if _, err := memory.Write(content); err != nil {
		return whole{}, err
	}
	return whole{memory, content}, nil
}

// size is the size of an object, known before it is unpacked.
func (r *Repo) size(hash plumbing.Hash) (int64, error) {
	size, err := r.store.EncodedObjectSize(hash)
	if err == nil {
		return size, nil
	}
	// The size alone is not looked up in alternates, which clones made with
	// --shared have.
	stored, second := r.store.EncodedObject(plumbing.AnyObject, hash)
	if second != nil {
		return 0, missing(hash, err)
	}
	return stored.Size(), nil
}

func missing(hash plumbing.Hash, err error) error {
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return fail(Garbage, "object %q is missing", hash)
	}
	return fail(Garbage, "object %q cannot be read: %s", hash, printable(err.Error(), 200))
}

// maxComplete is where complete stops looking: the limits of Tree refuse
// anything near it.
const maxComplete = 200_000

// complete proves that a commit and its whole tree are there. Every tree is
// looked at once, so a tree that names itself over and over costs nothing.
func (r *Repo) complete(ctx context.Context, head plumbing.Hash) error {
	c, err := r.commit(head)
	if err != nil {
		return err
	}
	seen := map[plumbing.Hash]bool{c.TreeHash: true}
	for queue := []plumbing.Hash{c.TreeHash}; len(queue) > 0 && len(seen) < maxComplete; queue = queue[1:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := r.tree(queue[0])
		if err != nil {
			return err
		}
		for _, e := range entries {
			if seen[e.Hash] || e.Mode == filemode.Submodule {
				continue
			}
			seen[e.Hash] = true
			if e.Mode == filemode.Dir {
				queue = append(queue, e.Hash)
			} else if _, err := r.size(e.Hash); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Repo) tracked() (plumbing.Hash, error) {
	ref, err := r.store.Reference(tracked)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return ref.Hash(), nil
}
