package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// originalPrefix begins the names of files in the state directory that hold
// what stood at a path before evenkeel first wrote there, by digest.
const originalPrefix = "original."

// content gives the bytes of a file that an attempt writes: from the target, or
// an original that goes back to its place.
func (h *Host) content(target *plan.Target, digest string) ([]byte, error) {
	if data, ok := target.Content[digest]; ok {
		return data, nil
	}
	data, err := h.State.Read(originalPrefix+digest, apply.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read what stood there before evenkeel: %w", err)
	}
	if h.index.Key.Digest(data) != digest {
		return nil, errors.New("cannot use what stood there before evenkeel: the stored copy is damaged")
	}
	return data, nil
}

// keepOriginals stores the content of files that become ours with this attempt.
func (h *Host) keepOriginals(owned map[string]Owned) error {
	wrote := false
	for _, p := range slices.Sorted(maps.Keys(owned)) {
		o := owned[p].original()
		if _, already := h.Ledger.Owned.all()[p]; already || o.Kind != plan.File {
			continue
		}
		if _, err := h.State.Stat(originalPrefix + o.Digest); err == nil {
			continue
		}
		data, err := h.readOriginal(p)
		if err == nil && h.index.Key.Digest(data) != o.Digest {
			err = apply.ErrForeign
		}
		if err == nil {
			err = writeState(h.State, originalPrefix+o.Digest, data)
		}
		if err != nil {
			return fmt.Errorf("cannot keep a copy of %q: %w", p, err)
		}
		wrote = true
	}
	if !wrote {
		return nil
	}
	return h.State.Sync()
}

// readOriginal reads what stood at a path before the open attempt, if there is
// one, else what stands there now.
func (h *Host) readOriginal(p string) ([]byte, error) {
	dir, err := h.Disk.OpenDir(path.Dir(p))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Read(path.Base(p), apply.MaxFile)
}

// dropOriginals removes copies that nothing refers to any more.
func (h *Host) dropOriginals() {
	used := map[string]bool{}
	for _, o := range h.Ledger.Owned.all() {
		used[originalPrefix+o.original().Digest] = true
	}
	names, err := h.State.Names()
	for _, name := range names {
		if strings.HasPrefix(name, originalPrefix) && !used[name] {
			err = errors.Join(err, h.State.Remove(name))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.Log.Warn("some copies of files stay in the state directory", "err", err)
	}
}
