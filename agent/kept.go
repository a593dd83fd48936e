package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// What a person wrote over a managed file is kept when it is corrected, or when a commit
// takes its place: a few versions of each, in files of the state directory that only root
// reads. Of secret files nothing is kept, because no secret is in the state directory.

// keptPrefix begins the names of these files: drift.NUMBER.DIGEST, with the digest of the
// path.
const keptPrefix = "drift."

// Bounds of what is kept.
const (
	maxKept      = 10      // of one path
	maxKeptAll   = 500     // together
	maxKeptFile  = 1 << 20 // a larger one is left alone
	maxKeptBytes = 4 << 20 // together
)

// Kept is what stood at a path before it was corrected.
type Kept struct {
	Path    string    `json:"path"`
	When    time.Time `json:"when"` // of the correction
	At      plan.Path `json:"at"`
	Content []byte    `json:"content,omitempty"`

	file string // in the state directory
	size int64
}

// keepDrifted stores what is about to be replaced or removed by a correction. It is
// lasting before the first effect.
func (h *Host) keepDrifted(found drift) error {
	for _, x := range found.corrections() {
		if h.isWorthKeeping(x) {
			if err := h.keep1(x.Name, x.step.From); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Host) isWorthKeeping(x Deviation) bool {
	from := x.step.From
	return !x.Secret && (from.Kind == plan.File || from.Kind == plan.Link) && (from.Digest == "" || from.Digest != x.step.To.Digest)
}

// keepReplaced is keepDrifted for a commit: it brings something else to where somebody
// wrote since the last one, or since the open attempt that it overtakes.
func (h *Host) keepReplaced(a *Attempt, n now) error {
	if a.isCorrection() {
		return nil
	}
	left, secret := h.left()
	for _, m := range a.Moves {
		ours, owned := left[m.Path]
		is := n.state.Paths[m.Path]
		written := owned && is != ours && (is.Digest == "" || is.Digest != ours.Digest && is.Digest != m.After.Digest)
		if !written || a.Secret[m.Path] || secret[m.Path] || is.Kind != plan.File && is.Kind != plan.Link {
			continue
		}
		if size := h.sizeOf(m.Path); size > maxKeptFile {
			h.Log.Warn("a commit takes the place of what somebody wrote, which is too large to be kept", "path", m.Path, "bytes", size)
			continue
		}
		h.Log.Info("a commit takes the place of what somebody wrote; \"evenkeel drift show\" has it", "path", m.Path)
		if err := h.keep1(m.Path, is); err != nil {
			return err
		}
	}
	return nil
}

// left is what we left on the host where it is ours, and which of it is secret.
func (h *Host) left() (paths map[string]plan.Path, secret map[string]bool) {
	paths, secret = map[string]plan.Path{}, map[string]bool{}
	if good := h.Ledger.Good; good != nil {
		for p := range h.Ledger.Owned.all() {
			if at, ours := good.State.Paths.all()[p]; ours {
				paths[p] = at
			}
		}
		maps.Copy(secret, good.Secret)
	}
	for _, m := range h.standing() {
		paths[m.Path] = m.After
	}
	if h.Open != nil {
		maps.Copy(secret, h.Open.Secret)
	}
	return paths, secret
}

// keep1 keeps what stands at a path.
func (h *Host) keep1(p string, at plan.Path) error {
	k := Kept{Path: p, When: h.Now().UTC(), At: at}
	var err error
	if at.Kind == plan.File {
		k.Content, err = h.readOriginal(p)
	}
	if err == nil {
		err = h.keepOne(k)
	}
	if err != nil {
		return fmt.Errorf("cannot keep what stands at %q: %w", p, err)
	}
	return nil
}

// tooMuch names the places that one correction must leave alone, because what stands there
// could only be kept in place of what others of them hold.
func (h *Host) tooMuch(found drift) (names []string) {
	size, n := int64(0), 0
	for _, x := range found.corrections() {
		if !h.isWorthKeeping(x) {
			continue
		}
		n++
		size += keptSize(h.sizeOf(x.Name))
		if n > maxKeptAll || size > maxKeptBytes {
			names = append(names, x.Name)
		}
	}
	return names
}

// forgetSecrets lets go of what is kept of paths that hold secrets by now: somebody may
// have written one there in clear first.
func (h *Host) forgetSecrets() {
	if len(h.Ledger.Good.Secret) == 0 {
		return
	}
	list, err := listKept(h.State)
	for _, k := range list {
		for p, secret := range h.Ledger.Good.Secret {
			if secret && strings.HasSuffix(k.file, "."+h.keptOf(p)) {
				err = errors.Join(err, h.State.Remove(k.file))
			}
		}
	}
	if err != nil {
		h.Log.Warn("what is kept of paths that are secret now stays in the state directory", "err", err)
	}
}

// keptOf ends the names of the files that keep something of a path.
func (h *Host) keptOf(p string) string { return h.index.Key.Digest([]byte(p))[:16] }

// sizeOf is how large the file at a path is, 0 when nobody can tell.
func (h *Host) sizeOf(p string) int64 {
	dir, err := h.Disk.OpenDir(path.Dir(p))
	if err != nil {
		return 0
	}
	defer func() { _ = dir.Close() }()
	info, err := dir.Stat(path.Base(p))
	if err != nil {
		return 0
	}
	return info.Size
}

// keptSize is how large a file is about that keeps so much.
func keptSize(content int64) int64 { return content*4/3 + 1024 }

// keepOne stores one, and lets go of the oldest. The same once more takes the place of
// the first: a loop must not push out what people wrote.
func (h *Host) keepOne(k Kept) error {
	list, err := listKept(h.State)
	if err != nil {
		return err
	}
	number := 1
	if len(list) > 0 {
		number = list[len(list)-1].number() + 1
	}
	digest := h.keptOf(k.Path)
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	for i, old := range list {
		if strings.HasSuffix(old.file, "."+digest) {
			was, err := readKept(h.State, old.file)
			if err == nil && was.At == k.At {
				if err := h.State.Remove(old.file); err != nil {
					return err
				}
				list = slices.Delete(list, i, i+1)
				break
			}
		}
	}
	if err := h.dropKept(list, digest, int64(len(data))); err != nil {
		return err
	}
	return writeState(h.State, fmt.Sprintf("%s%06d.%s", keptPrefix, number, digest), data)
}

// dropKept makes room for one more of a path: the oldest go, first of that path.
func (h *Host) dropKept(list []Kept, digest string, size int64) error {
	same := 0
	for _, k := range list {
		size += k.size
		if strings.HasSuffix(k.file, "."+digest) {
			same++
		}
	}
	all := len(list)
	for _, k := range list {
		ofIt := strings.HasSuffix(k.file, "."+digest)
		if all < maxKeptAll && size <= maxKeptBytes && (!ofIt || same < maxKept) {
			continue
		}
		if err := h.State.Remove(k.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		all, size = all-1, size-k.size
		if ofIt {
			same--
		}
	}
	return nil
}

func (k Kept) number() int {
	number, _, _ := strings.Cut(strings.TrimPrefix(k.file, keptPrefix), ".")
	n, _ := strconv.Atoi(number)
	return n
}

// listKept names what is kept, the oldest first, unread.
func listKept(dir apply.Dir) ([]Kept, error) {
	names, err := dir.Names()
	if err != nil {
		return nil, fmt.Errorf("cannot list the state directory: %w", err)
	}
	var list []Kept
	for _, name := range names {
		if !strings.HasPrefix(name, keptPrefix) || strings.HasSuffix(name, "+") {
			continue
		}
		info, err := dir.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("cannot list the state directory: %w", err)
		}
		list = append(list, Kept{file: name, size: info.Size})
	}
	slices.SortFunc(list, func(a, b Kept) int { return a.number() - b.number() })
	return list, nil
}

func readKept(dir apply.Dir, file string) (Kept, error) {
	data, err := dir.Read(file, 4*maxKeptFile)
	if err != nil {
		return Kept{}, fmt.Errorf("cannot read %q of the state directory: %w", file, err)
	}
	k := Kept{file: file, size: int64(len(data))}
	if err := json.Unmarshal(data, &k); err != nil {
		return Kept{}, fmt.Errorf("cannot read %q of the state directory: %w", file, err)
	}
	return k, nil
}

// KeptHere gives what is kept on this host, the newest first.
func KeptHere(cfg Config) ([]Kept, error) {
	disk, err := apply.NewDisk("/")
	if err != nil {
		return nil, err
	}
	defer func() { _ = disk.Close() }()
	dir, err := disk.OpenDir(cfg.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("cannot open the state directory: %w", err)
	}
	defer func() { _ = dir.Close() }()
	return readAllKept(dir)
}

func readAllKept(dir apply.Dir) ([]Kept, error) {
	list, err := listKept(dir)
	if err != nil {
		return nil, err
	}
	var out []Kept
	for _, k := range slices.Backward(list) {
		full, err := readKept(dir, k.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the daemon let go of it meanwhile
		} else if err != nil {
			return nil, err
		}
		out = append(out, full)
	}
	return out, nil
}
