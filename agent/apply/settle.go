package apply

import (
	"errors"
	"fmt"

	"evenkeel/agent/plan"
)

// ErrForeign says that somebody else changed a path since it was looked at. The
// attempt that meets it is undone and tried again later; the commit is not to
// blame.
var ErrForeign = errors.New("changed by somebody else")

// ErrLost says that the file that stood there before is gone, so that a revert
// cannot put it back. A person must look.
var ErrLost = errors.New("what stood there before is gone")

// ID tells one file from another for as long as an attempt lasts.
type ID struct {
	Inode uint64 `json:"inode,omitempty"`
	MTime int64  `json:"mtime,omitempty"` // ns since the epoch
}

func (id ID) none() bool { return id.Inode == 0 }

// Move is one path of an attempt: what stood there before, what shall stand
// there after, and how both are known. With T the path itself, P its sibling
// .NAME.evenkeel+ and B its sibling .NAME.evenkeel~, a replaced file goes
//
//	             T       P       B
//	staged     before  after     -
//	exchanged  after   before    -
//	placed     after     -     before    the attempt is watched
//	kept       after     -       -
//	reverted   before    -       -
//
// Each arrow is one rename or unlink, recognises its own work by ID, and may
// run twice. A crash leaves one of these lines.
type Move struct {
	Path       string    `json:"path"`
	Before     plan.Path `json:"before"`
	After      plan.Path `json:"after"`
	BeforeAttr Attr      `json:"before_attr"` // Before and After with their owners resolved
	AfterAttr  Attr      `json:"after_attr"`
	BeforeID   ID        `json:"before_id"`
	AfterID    ID        `json:"after_id"`
	Over       bool      `json:"over,omitempty"`    // an attempt that this one overtook has been here
	Old        []ID      `json:"old,omitempty"`     // its file, and those of attempts that it overtook itself
	OldDir     bool      `json:"old_dir,omitempty"` // it made the directory that stands here
	Back       bool      `json:"back,omitempty"`    // After is Before: what an overtaken attempt did here is taken back
	Stays      bool      `json:"stays,omitempty"`   // After already stands there: an overtaken attempt put it there
}

// trio is what stands at a move's three names.
type trio struct{ T, P, B ID }

// op is one atomic change of the three names.
type op string

const (
	none     op = ""
	exchange op = "exchange the staged file and the target"
	overlay  op = "rename the staged file over the target" // where exchange is missing
	linkOld  op = "link the old file aside"                // where exchange is missing
	shelve   op = "rename the old file aside"
	place    op = "rename the staged file to the target"
	retire   op = "rename the target aside"
	swapBack op = "exchange the old file and the target"
	overBack op = "rename the old file over the target" // where exchange is missing
	bringOld op = "rename the old file back"
	undo     op = "exchange the target and the staged file back"
	dropT    op = "remove the target"
	dropP    op = "remove the staged file"
	leaveP   op = "remove the last trace of the attempt" // the path is as somebody else left it
	dropB    op = "remove the old file"
	asideT   op = "move a foreign file out of the way"
)

func (m Move) isBefore(id ID) bool { return !id.none() && id.Inode == m.BeforeID.Inode }
func (m Move) isAfter(id ID) bool  { return !id.none() && id == m.AfterID }

func (m Move) isOld(id ID) bool {
	for _, old := range m.Old {
		if id == old {
			return true
		}
	}
	return false
}

func (m Move) isOurs(id ID) bool { return m.isAfter(id) || m.isOld(id) }

// Settled reports whether the path is as a finished attempt leaves it, judged by
// the file that stands there.
func (m Move) Settled(id ID) bool {
	switch {
	case m.After.Kind == plan.Directory || m.removesDirectory():
		return true
	case m.Back:
		return id.Inode == m.BeforeID.Inode
	}
	return id == m.AfterID
}

// IsOurs reports whether a file is one that this attempt, or one that it
// overtook, has put there.
func (m Move) IsOurs(id ID) bool { return m.isOurs(id) }

// forward decides the next operation towards the state "placed", none when it
// is reached.
func (m Move) forward(s trio, swaps bool) (op, error) {
	switch {
	case m.Back:
		return m.backward(s, swaps)
	case m.After.Kind == plan.Absent:
		return m.forwardRemoval(s)
	case m.isAfter(s.T):
		switch {
		case m.isBefore(s.P):
			return shelve, nil
		case m.isOld(s.P):
			return dropP, nil
		}
		return none, nil
	case !m.isAfter(s.P):
		return none, fmt.Errorf("cannot find the staged file: %w", ErrForeign)
	case s.T.none():
		if !m.BeforeID.none() && !m.isBefore(s.B) {
			return none, fmt.Errorf("cannot replace it: it was removed: %w", ErrForeign)
		}
		return place, nil
	case s.T == m.BeforeID || m.isBefore(s.T) && m.isBefore(s.B) || m.isOld(s.T):
		switch {
		case swaps:
			return exchange, nil
		case m.isBefore(s.T) && s.B.none():
			return linkOld, nil
		}
		return overlay, nil
	}
	return none, fmt.Errorf("cannot replace it: %w", ErrForeign)
}

func (m Move) forwardRemoval(s trio) (op, error) {
	switch {
	case s.T.none():
		return none, nil
	case m.isOld(s.T):
		return dropT, nil
	case s.T == m.BeforeID && s.B.none():
		return retire, nil
	}
	return none, fmt.Errorf("cannot remove it: %w", ErrForeign)
}

// backward decides the next operation towards the state "reverted", none when
// it is reached. A foreign file in the way is moved aside, never lost.
func (m Move) backward(s trio, swaps bool) (op, error) {
	if !m.isBefore(s.T) && !m.isOurs(s.T) && m.untouched(s) {
		if s.T.none() && !s.P.none() {
			return leaveP, nil // somebody else removed it
		}
		return m.sweep(s), nil
	}
	switch {
	case m.BeforeID.none() && !s.T.none():
		if m.isOurs(s.T) {
			return dropT, nil
		}
		return asideT, nil
	case m.BeforeID.none():
		return m.sweep(s), nil
	case m.isBefore(s.T):
		return m.sweep(s), nil
	case !s.T.none() && !m.isOurs(s.T) && !m.isBefore(s.B) && !m.isBefore(s.P):
		return m.sweep(s), nil // somebody else replaced what stood there, and theirs stays
	case !s.T.none() && !m.isOurs(s.T):
		return asideT, nil
	case m.isBefore(s.B):
		switch {
		case s.T.none():
			return bringOld, nil
		case swaps:
			return swapBack, nil
		}
		return overBack, nil
	case m.isBefore(s.P) && s.T.none():
		return place, nil
	case m.isBefore(s.P):
		return undo, nil
	}
	return none, fmt.Errorf("cannot put it back: %w", ErrLost)
}

// untouched reports whether the attempt never got to this path, so that
// whatever stands there now is none of its business.
func (m Move) untouched(s trio) bool {
	waits := m.isAfter(s.P) || m.After.Kind == plan.Absent
	return waits && !m.isBefore(s.P) && !m.isBefore(s.B) && !m.Over
}

// sweep removes the siblings once the target is right.
func (m Move) sweep(s trio) op {
	switch {
	case !s.P.none():
		return dropP
	case !s.B.none():
		return dropB
	}
	return none
}

// finish decides the next operation towards the state "kept".
func (m Move) finish(s trio) op { return m.sweep(s) }
