package apply

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"

	"evenkeel/agent/plan"
)

// Accounts turns names of users and groups into numbers and back. It answers
// from one look at the host, so that a pass sees one truth.
type Accounts interface {
	UID(name string) (uint32, bool)
	GID(name string) (uint32, bool)
	User(uid uint32) string  // the decimal number when it has no name
	Group(gid uint32) string // the decimal number when it has no name
	Names() (users, groups []string)
}

// Missing says that the host does not have something yet that a commit needs:
// a user, a group, a program, a unit. The commit waits for it.
type Missing struct{ What string }

// Error names what is missing.
func (m *Missing) Error() string { return m.What + " is not there yet" }

// Prepare works out the moves that lead from what stands there now to what shall
// stand there, without touching anything. Prior is what an open attempt that this
// one overtakes has moved, nil when there is none: what stood there before that is
// what the moves can be taken back to. The error joins all that stands in the way;
// errors.As finds a *Missing in it.
func Prepare(accounts Accounts, now Seen, after map[string]plan.Path, prior []Move) ([]Move, error) {
	overtaken := map[string]Move{}
	for _, m := range prior {
		overtaken[m.Path] = m
	}
	var moves []Move
	var errs []error
	for _, step := range steps(rewind(now.Paths, prior), after, overtaken) {
		m := Move{Path: step.Path, Before: step.From, After: step.To, BeforeID: now.IDs[step.Path]}
		old, over := overtaken[step.Path]
		if over {
			m = succeed(old, step.To, now.IDs[step.Path])
		}
		err := m.resolve(accounts)
		if over && err == nil {
			err = m.fits(now.Paths[step.Path].Kind)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot stage %q: %w", m.Path, err))
		}
		moves = append(moves, m)
	}
	return moves, errors.Join(errs...)
}

// rewind is what stood there before an open attempt.
func rewind(now map[string]plan.Path, prior []Move) map[string]plan.Path {
	if len(prior) == 0 {
		return now
	}
	before := maps.Clone(now)
	for _, m := range prior {
		if delete(before, m.Path); m.Before.Kind != plan.Absent {
			before[m.Path] = m.Before
		}
	}
	return before
}

// steps are the differences between the two states, and every path that an
// overtaken attempt has moved, in the order of plan.Diff.
func steps(before, after map[string]plan.Path, overtaken map[string]Move) []plan.PathStep {
	list := plan.Diff(plan.State{Paths: before}, plan.State{Paths: after}, nil).Paths
	listed := map[string]bool{}
	for _, s := range list {
		listed[s.Path] = true
	}
	var rest []plan.PathStep
	for p, m := range overtaken {
		if !listed[p] {
			rest = append(rest, plan.PathStep{Path: p, From: m.Before, To: m.Before})
		}
	}
	slices.SortFunc(rest, func(a, b plan.PathStep) int { return strings.Compare(a.Path, b.Path) })
	return append(list, rest...)
}

// succeed carries a move of an overtaken attempt over to the one that overtakes
// it: what stood there before the first of them is what a revert goes back to. What
// somebody else has put there since is replaced as if it were the attempt's own.
func succeed(old Move, after plan.Path, at ID) Move {
	m := Move{Path: old.Path, Before: old.Before, BeforeID: old.BeforeID, After: after, Over: true, Old: old.Old, OldDir: old.makesDirectory()}
	switch {
	case after == old.After && !old.Back && old.Settled(at):
		m.AfterID, m.Stays = old.AfterID, true
		return m
	case after == old.Before:
		m.Back = true
	}
	if !old.AfterID.none() {
		m.Old = append(slices.Clone(m.Old), old.AfterID)
	}
	if !at.none() && !m.isOld(at) && at != m.BeforeID {
		m.Old = append(slices.Clone(m.Old), at)
	}
	return m
}

// fits reports whether what stands there now, where an overtaken attempt has been,
// can be replaced in one step.
func (m *Move) fits(now plan.Kind) error {
	directory := m.After.Kind == plan.Directory || m.removesDirectory()
	switch {
	case now == plan.Absent || directory == (now == plan.Directory):
		return nil
	case now == plan.Other:
		return errors.New("a device, socket or pipe stands there")
	}
	return fmt.Errorf("a %s stands there by now: move it away on the host", now)
}

func (m *Move) resolve(accounts Accounts) error {
	if name := path.Base(m.Path); len(name) > MaxName {
		return fmt.Errorf("the name is longer than %d bytes", MaxName)
	}
	if (m.Before.Kind == plan.Directory && m.After.Kind != plan.Directory && m.After.Kind != plan.Absent) ||
		(m.After.Kind == plan.Directory && m.Before.Kind != plan.Directory && m.Before.Kind != plan.Absent) {
		return fmt.Errorf("a %s stands where a %s shall be: one cannot replace the other in one step; "+
			"let it go in a commit of its own, or move it away on the host", m.Before.Kind, m.After.Kind)
	}
	if m.Before.Kind == plan.Other {
		return errors.New("a device, socket or pipe stands there")
	}
	var err error
	if m.AfterAttr, err = attrOf(accounts, m.After); err != nil {
		return err
	}
	if m.Before.Kind == plan.Directory {
		m.BeforeAttr, err = attrOf(accounts, m.Before)
	}
	return err
}

func attrOf(accounts Accounts, p plan.Path) (Attr, error) {
	if p.Kind != plan.File && p.Kind != plan.Directory {
		return Attr{}, nil
	}
	uid, ok := accounts.UID(p.Owner)
	if !ok {
		return Attr{}, &Missing{What: fmt.Sprintf("user %q", p.Owner)}
	}
	gid, ok := accounts.GID(p.Group)
	if !ok {
		return Attr{}, &Missing{What: fmt.Sprintf("group %q", p.Group)}
	}
	return Attr{Mode: p.Mode, UID: uid, GID: gid}, nil
}

// Stage puts every new file beside its target, makes the missing directories,
// and syncs all of it; nothing that anybody reads has changed yet. The moves
// must be on record before, so that Unstage can clean up after a crash. It
// fills in the identities, and fails with ErrForeign when a path is no longer
// as it was seen.
func Stage(disk FS, moves []Move, content func(digest string) ([]byte, error)) error {
	var made []string
	open := map[string]Dir{}
	defer func() {
		for _, dir := range open {
			dir.Close()
		}
	}()
	for i := range moves {
		m := &moves[i]
		parent := path.Dir(m.Path)
		dir := open[parent]
		if dir == nil {
			var err error
			if dir, err = disk.OpenDir(parent); errors.Is(err, fs.ErrNotExist) && m.After.Kind == plan.Absent {
				continue
			} else if err != nil {
				return fmt.Errorf("cannot stage %q: %w", m.Path, err)
			}
			open[parent] = dir
			made = append(made, parent)
		}
		if err := m.stage(dir, content); err != nil {
			return fmt.Errorf("cannot stage %q: %w", m.Path, err)
		}
	}
	for _, name := range made {
		if err := open[name].Sync(); err != nil {
			return fmt.Errorf("cannot sync %q: %w", name, err)
		}
	}
	return nil
}

func (m *Move) stage(dir Dir, content func(string) ([]byte, error)) error {
	name := path.Base(m.Path)
	if m.After.Kind == plan.Directory {
		if m.Before.Kind == plan.Directory && !m.Over {
			return nil
		}
		if _, err := dir.Mkdir(name, m.AfterAttr); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil // setDirectory gives it mode and owner, or finds that it is none
	}
	if m.Before.Kind == plan.Directory || m.removesDirectory() {
		return nil
	}
	if !m.Over {
		if err := m.pin(dir, name); err != nil {
			return err
		}
	}
	if m.Back || m.Stays || m.After.Kind == plan.Absent {
		return nil
	}
	info, err := m.create(dir, staged(name), content)
	if err != nil {
		return err
	}
	m.AfterID = identity(info)
	return nil
}

func (m *Move) create(dir Dir, name string, content func(string) ([]byte, error)) (Info, error) {
	if m.After.Kind == plan.Link {
		return dir.Symlink(m.After.Link, name)
	}
	data, err := content(m.After.Digest)
	if err != nil {
		return Info{}, err
	}
	return dir.Create(name, data, m.AfterAttr, m.Path)
}

// pin records the identity of what stands there, and clears siblings that an
// earlier attempt could not remove.
func (m *Move) pin(dir Dir, name string) error {
	for _, old := range []string{staged(name), shelved(name)} {
		if err := dir.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if m.Before.Kind == plan.Absent {
		if _, err := dir.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, ErrForeign)
		}
		return nil
	}
	if err := dir.Pin(name); err != nil {
		return err
	}
	info, err := dir.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Kind != m.Before.Kind {
		return ErrForeign
	} else if err != nil {
		return err
	}
	if m.BeforeID.MTime != 0 && m.BeforeID.MTime != info.MTime.UnixNano() {
		return ErrForeign
	}
	if info.Mount {
		return errors.New("it is a mount point")
	}
	if info.Links > 1 {
		return fmt.Errorf("it has %d hard links", info.Links)
	}
	m.BeforeID = identity(info)
	return nil
}

// Unstage takes back what Stage did, whole or in part. It is safe to call when
// nothing was staged, and when only the record of it is left.
func Unstage(disk FS, moves []Move) error {
	back := slices.Clone(moves)
	slices.Reverse(back)
	// Where the directory is gone, what was staged in it is: a revert may have come between.
	gone := func(Move) bool { return true }
	return walk(disk, back, gone, func(m Move, dir Dir, _ bool) error {
		name := path.Base(m.Path)
		if m.Stays || m.Back {
			return nil
		}
		if m.After.Kind == plan.Directory {
			if m.Before.Kind == plan.Absent && !m.OldDir {
				return removeDirectory(dir, name)
			}
			return nil
		}
		err := dir.Remove(staged(name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func isNotEmpty(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}
