package agent

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// freePrunes is how many paths a commit may always take away without being asked
// about them; of more paths than that, one in pruneShare.
const (
	freePrunes = 5
	pruneShare = 5
)

// pruning is what a commit takes away of what evenkeel brought here.
type pruning struct {
	gone  []string // sorted; what stays because its original is stale included
	back  []string // those of gone at which what stood there before evenkeel will stand, sorted
	owned int      // of how many
	all   bool     // the commit asks for nothing at all, and something is here
}

// pruning counts what people wrote in their repository: files and links.
// Directories go with what is in them, and the links that enable a unit with the
// unit.
func (l *Ledger) pruning(w wanted) pruning {
	nothing := len(w.target.State.Paths) == 0 && len(w.target.State.Units) == 0
	owned := l.Owned.all()
	p := pruning{all: nothing && len(owned)+len(l.Found) > 0}
	for _, name := range slices.Sorted(maps.Keys(owned)) {
		if l.Good != nil && l.Good.State.Paths.all()[name].Kind == plan.Directory || l.enables(name) {
			continue
		}
		p.owned++
		if _, stays := w.owned[name]; stays {
			continue
		}
		p.gone = append(p.gone, name)
		if _, back := w.to.Paths[name]; back && !w.isStale(name) {
			p.back = append(p.back, name)
		}
	}
	return p
}

// asks says why a person should look before that happens, "" when it is little.
func (p pruning) asks() string {
	switch {
	case p.all && len(p.back) > 0:
		return "it asks for nothing at all here, and would take away all that evenkeel brought: " + p.what()
	case p.all:
		return "it asks for nothing at all here, and would take away all that evenkeel brought"
	case len(p.gone) > freePrunes && len(p.gone)*pruneShare > p.owned:
		what := ""
		if len(p.back) > 0 {
			what = ": " + p.what()
		}
		return fmt.Sprintf("it would take away %d of the %d paths that evenkeel brought here%s; up to %d go without asking",
			len(p.gone), p.owned, what, max(freePrunes, p.owned/pruneShare))
	}
	return ""
}

// what tells what goes from what gets back what stood there before.
func (p pruning) what() string {
	return fmt.Sprintf("%d are removed, and %d get back what stood there before", len(p.gone)-len(p.back), len(p.back))
}

// enables reports whether a path is a link that enables a unit, or one that a unit is
// enabled under another name by. On another machine nobody knows of those of packages.
func (l *Ledger) enables(name string) bool {
	if isEnablement(name) {
		return true
	}
	var at plan.Path
	if l.Good != nil {
		at = l.Good.State.Paths.all()[name]
	}
	if at.Kind == plan.Absent { // it is ours to be away
		at = l.Owned.all()[name].original()
	}
	return at.Kind == plan.Link && path.Dir(name) == "/etc/systemd/system" && !isMask(at) && units.Valid(path.Base(at.Link)) == nil
}

// isEnablement reports whether a path is a link that enables a unit.
func isEnablement(p string) bool {
	dir := path.Base(path.Dir(p))
	return strings.HasPrefix(p, "/etc/systemd/system/") && (strings.HasSuffix(dir, ".wants") || strings.HasSuffix(dir, ".requires"))
}
