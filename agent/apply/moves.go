package apply

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"

	"evenkeel/agent/plan"
)

// Names of a path's siblings. The leading dot and the last character keep them
// out of unit loading and of *.conf globs.
func staged(name string) string  { return "." + name + ".evenkeel+" }
func shelved(name string) string { return "." + name + ".evenkeel~" }

// MaxName is the longest name in bytes that leaves room for its siblings.
const MaxName = 240

// maxOps bounds the operations on one path in one direction; four are the most
// that any crash needs.
const maxOps = 12

// Forward brings every path to its state after, and syncs. The intent must be
// durable before the first call. It stops at the first path that somebody else
// changed.
func Forward(disk FS, moves []Move) error {
	return walk(disk, moves, comesOrGoes, func(m Move, dir Dir, swaps bool) error {
		switch {
		case m.removesDirectory():
			return nil // done when the attempt is kept: making it again would need space
		case m.After.Kind == plan.Directory:
			return setDirectory(dir, m, m.AfterAttr)
		}
		return settle(dir, m, func(s trio) (op, error) { return m.forward(s, swaps) })
	})
}

// Backward brings every path back to its state before, and syncs. It does as
// much as it can: the error joins those of all paths.
func Backward(disk FS, moves []Move) error {
	back := make([]Move, len(moves))
	for i, m := range moves {
		back[len(moves)-1-i] = m // what stands in a directory goes before the directory
	}
	return walk(disk, back, comesOrGoes, func(m Move, dir Dir, swaps bool) error {
		switch {
		case m.makesDirectory():
			return removeDirectory(dir, path.Base(m.Path))
		case m.Before.Kind == plan.Directory:
			return setDirectory(dir, m, m.BeforeAttr)
		}
		return settle(dir, m, func(s trio) (op, error) { return m.backward(s, swaps) })
	})
}

// Finish removes what only a revert would need, and the directories that are
// no longer asked for. Errors are of no consequence for the managed paths.
func Finish(disk FS, moves []Move) error {
	last := append([]Move(nil), moves...)
	sort.SliceStable(last, func(i, j int) bool { return last[i].Path > last[j].Path })
	return walk(disk, last, comesOrGoes, func(m Move, dir Dir, _ bool) error {
		switch {
		case m.removesDirectory():
			return removeDirectory(dir, path.Base(m.Path))
		case m.After.Kind == plan.Directory:
			return nil
		}
		return settle(dir, m, func(s trio) (op, error) { return m.finish(s), nil })
	})
}

// makesDirectory reports whether the directory is the attempt's own, or that of
// an attempt it overtook. Directories are not known by inode.
func (m Move) makesDirectory() bool {
	return m.Before.Kind == plan.Absent && (m.After.Kind == plan.Directory || m.OldDir)
}

// removesDirectory reports whether a directory is to go once the attempt is kept.
func (m Move) removesDirectory() bool {
	return m.After.Kind == plan.Absent && (m.Before.Kind == plan.Directory || m.OldDir)
}

// comesOrGoes is a path that is absent before or after the attempt, and its
// directory may be as well.
func comesOrGoes(m Move) bool { return m.Before.Kind == plan.Absent || m.After.Kind == plan.Absent }

// walk calls f for each move with its open directory, and then syncs each
// directory once. A directory that is not there holds nothing to move, where gone
// says that this may be so.
func walk(disk FS, moves []Move, gone func(Move) bool, f func(m Move, dir Dir, swaps bool) error) error {
	var errs []error
	open := map[string]Dir{}
	defer func() {
		for _, dir := range open {
			_ = dir.Close()
		}
	}()
	var names []string
	for _, m := range moves {
		parent := path.Dir(m.Path)
		dir := open[parent]
		if dir == nil {
			var err error
			dir, err = disk.OpenDir(parent)
			if errors.Is(err, fs.ErrNotExist) && gone(m) {
				continue
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("cannot change %q: %w", m.Path, err))
				continue
			}
			open[parent] = dir
			names = append(names, parent)
		}
		if err := f(m, dir, disk.Swaps(dir)); err != nil {
			errs = append(errs, fmt.Errorf("cannot change %q: %w", m.Path, err))
		}
	}
	for _, name := range names {
		if err := open[name].Sync(); err != nil {
			errs = append(errs, fmt.Errorf("cannot sync %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// settle asks for the next operation and does it until none is left.
func settle(dir Dir, m Move, next func(trio) (op, error)) error {
	for range maxOps {
		s, err := look(dir, path.Base(m.Path))
		if err != nil {
			return err
		}
		o, err := next(s)
		if err != nil || o == none {
			return err
		}
		err = do(dir, m, o, s)
		if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
			continue // somebody was quicker: look again
		}
		if err != nil {
			return fmt.Errorf("cannot %s: %w", o, err)
		}
		if o == leaveP {
			return nil
		}
	}
	return fmt.Errorf("cannot settle it in %d steps: %w", maxOps, ErrForeign)
}

func look(dir Dir, name string) (s trio, err error) {
	for _, at := range []struct {
		name string
		id   *ID
	}{{name, &s.T}, {staged(name), &s.P}, {shelved(name), &s.B}} {
		info, err := dir.Stat(at.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return s, err
		default:
			*at.id = identity(info)
		}
	}
	return s, nil
}

func identity(info Info) ID { return ID{Inode: info.Inode, MTime: info.MTime.UnixNano()} }

func do(dir Dir, m Move, o op, s trio) error {
	name := path.Base(m.Path)
	switch o {
	case exchange:
		return swap(dir, name, staged(name), s.T)
	case undo:
		return lookAgain(swap(dir, name, staged(name), s.T))
	case swapBack:
		return lookAgain(swap(dir, name, shelved(name), s.T))
	case overlay:
		return dir.Replace(staged(name), name)
	case overBack:
		return dir.Replace(shelved(name), name)
	case linkOld:
		return dir.Hardlink(name, shelved(name))
	case shelve:
		return dir.Rename(staged(name), shelved(name))
	case place:
		return dir.Rename(staged(name), name)
	case retire:
		return retireTarget(dir, name, s.T)
	case bringOld:
		return dir.Rename(shelved(name), name)
	case dropT:
		return dir.Remove(name)
	case dropP, leaveP:
		return dir.Remove(staged(name))
	case dropB:
		return dir.Remove(shelved(name))
	case asideT:
		return setAside(dir, name)
	}
	panic("internal error: no such operation: " + string(o))
}

// swap exchanges the target and a sibling, and closes the gap between looking and
// exchanging: when what came out is not what was looked at, it goes straight back.
func swap(dir Dir, name, sibling string, looked ID) error {
	if err := dir.Exchange(sibling, name); err != nil {
		return err
	}
	if info, err := dir.Stat(sibling); err == nil && identity(info) == looked {
		return nil
	}
	if back := dir.Exchange(sibling, name); back != nil {
		return fmt.Errorf("%w, and it cannot go back: %v", ErrForeign, back)
	}
	return ErrForeign
}

// retireTarget is the same for a target that is only moved aside.
func retireTarget(dir Dir, name string, looked ID) error {
	if err := dir.Rename(name, shelved(name)); err != nil {
		return err
	}
	if info, err := dir.Stat(shelved(name)); err == nil && identity(info) == looked {
		return nil
	}
	if back := dir.Rename(shelved(name), name); back != nil {
		return fmt.Errorf("%w, and it cannot go back: %v", ErrForeign, back)
	}
	return ErrForeign
}

// lookAgain makes a foreign change on the way back no error: the next look decides
// what becomes of it.
func lookAgain(err error) error {
	if err == ErrForeign {
		return nil
	}
	return err
}

// Pending lists the paths that Backward has not put back yet and still could.
// What stood there before and is lost is not among them.
func Pending(disk FS, moves []Move) []string {
	var pending []string
	for _, m := range moves {
		if m.After.Kind == plan.Directory || m.Before.Kind == plan.Directory {
			continue
		}
		dir, err := disk.OpenDir(path.Dir(m.Path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var left op
		if err == nil {
			var s trio
			if s, err = look(dir, path.Base(m.Path)); err == nil {
				left, err = m.backward(s, disk.Swaps(dir))
			}
			_ = dir.Close()
		}
		if left != none || err != nil && !errors.Is(err, ErrLost) {
			pending = append(pending, m.Path)
		}
	}
	return pending
}

// Exists reports whether something stands at an absolute path.
func Exists(disk FS, name string) bool {
	dir, err := disk.OpenDir(path.Dir(name))
	if err != nil {
		return false
	}
	defer func() { _ = dir.Close() }()
	_, err = dir.Stat(path.Base(name))
	return err == nil
}

// setDirectory gives a directory its mode and owner in place.
func setDirectory(dir Dir, m Move, attr Attr) error {
	name := path.Base(m.Path)
	info, err := dir.Stat(name)
	if err != nil {
		return err
	}
	if info.Kind != plan.Directory {
		return fmt.Errorf("cannot set mode and owner: it is a %s now: %w", info.Kind, ErrForeign)
	}
	if info.Attr == attr {
		return nil
	}
	return dir.SetAttr(name, attr)
}

// removeDirectory leaves a directory that is not empty: what is in it is not ours.
func removeDirectory(dir Dir, name string) error {
	err := dir.Remove(name)
	if errors.Is(err, fs.ErrNotExist) || isNotEmpty(err) {
		return nil
	}
	return err
}
