package agent

import (
	"context"
	"fmt"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// maxVerified bounds how often systemd-analyze runs in one check of a repository.
// Hosts of one role have the same units, so few runs see all there are.
const maxVerified = 200

// UnitCheck lets systemd-analyze judge the units of many hosts on a machine that
// is none of them. A host whose unit files were all seen on others is not asked
// about again.
type UnitCheck struct {
	LeftOut int // hosts that were not looked at, because the bound was reached

	analyze *apply.Analyze
	seen    map[seenUnit]bool
	runs    int
}

// seenUnit is one unit file as some host has it.
type seenUnit struct {
	path string
	at   plan.Path
}

// NewUnitCheck finds systemd-analyze. The error says why units cannot be
// verified on this machine.
func NewUnitCheck(ctx context.Context) (*UnitCheck, error) {
	analyze, err := apply.FindAnalyze(ctx)
	if err != nil {
		return nil, err
	}
	return &UnitCheck{analyze: analyze, seen: map[seenUnit]bool{}}, nil
}

// Look gives what systemd would say against a target's units, at the lines of
// the repository that they come from. The error says that no judgement was
// possible.
func (u *UnitCheck) Look(ctx context.Context, t *plan.Target) (manifest.Problems, error) {
	if !u.isNew(t) {
		return nil, nil
	}
	if u.runs++; u.runs > maxVerified {
		u.LeftOut++
		return nil, nil
	}
	faults, err := u.analyze.Verify(ctx, t)
	if err != nil {
		return nil, err
	}
	return toldBySystemd(faults, t), nil
}

// toldBySystemd puts what systemd said at the lines of the repository. What a
// template gives has lines that the repository has not.
func toldBySystemd(faults []apply.Invalid, t *plan.Target) manifest.Problems {
	problems := (&invalidError{faults}).problems(t)
	for i, f := range faults {
		problems[i].Message = "systemd says: " + f.Message
		if f.Line > 0 && problems[i].Line != f.Line {
			problems[i].Message = fmt.Sprintf("systemd says of line %d of what this gives: %s", f.Line, f.Message)
		}
	}
	return problems
}

// BringsUnits reports whether a target has a unit file or a drop-in.
func BringsUnits(t *plan.Target) bool {
	for p, at := range t.State.Paths {
		if at.Kind == plan.File && unitOf(p) != "" {
			return true
		}
	}
	return false
}

// isNew reports whether the target has a unit file that no target before it had.
// It remembers all of them.
func (u *UnitCheck) isNew(t *plan.Target) bool {
	found := false
	for p, at := range t.State.Paths {
		if at.Kind != plan.File || unitOf(p) == "" {
			continue
		}
		if key := (seenUnit{p, at}); !u.seen[key] {
			u.seen[key], found = true, true
		}
	}
	return found
}
