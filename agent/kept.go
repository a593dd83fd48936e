package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// What a person wrote over a managed file is kept when it is corrected: a few of them,
// in files of the state directory that only root reads. Of secret files nothing is kept,
// because no secret is in the state directory.

// keptPrefix begins the names of these files: drift.NUMBER.DIGEST, with the digest of the
// path.
const keptPrefix = "drift."

// Bounds of what is kept.
const (
	maxKept      = 10
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

// keepDrifted stores what is about to be replaced or removed. It is lasting before the
// first effect.
func (h *Host) keepDrifted(found drift) error {
	for _, x := range found.corrections() {
		from := x.step.From
		if x.Secret || from.Kind != plan.File && from.Kind != plan.Link || from.Digest != "" && from.Digest == x.step.To.Digest {
			continue
		}
		k := Kept{Path: x.Name, When: h.Now().UTC(), At: from}
		if from.Kind == plan.File {
			var err error
			if k.Content, err = h.readOriginal(x.Name); err != nil {
				return fmt.Errorf("cannot keep what stands at %q: %w", x.Name, err)
			}
		}
		if err := h.keepOne(k); err != nil {
			return fmt.Errorf("cannot keep what stands at %q: %w", x.Name, err)
		}
	}
	return nil
}

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
	digest := h.index.Key.Digest([]byte(k.Path))[:16]
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	for _, old := range list {
		if strings.HasSuffix(old.file, "."+digest) {
			was, err := readKept(h.State, old.file)
			if err == nil && was.At == k.At {
				if err := h.State.Remove(old.file); err != nil {
					return err
				}
				list = slices.DeleteFunc(list, func(o Kept) bool { return o.file == old.file })
				break
			}
		}
	}
	if err := h.dropKept(list, int64(len(data))); err != nil {
		return err
	}
	return writeState(h.State, fmt.Sprintf("%s%06d.%s", keptPrefix, number, digest), data)
}

// dropKept makes room for one more.
func (h *Host) dropKept(list []Kept, size int64) error {
	for _, k := range list {
		size += k.size
	}
	for len(list) > 0 && (len(list) >= maxKept || size > maxKeptBytes) {
		if err := h.State.Remove(list[0].file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		size -= list[0].size
		list = list[1:]
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
