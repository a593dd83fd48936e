package agent

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
)

// freePrunes is how many paths a commit may always take away without being asked
// about them; of more paths than that, one in pruneShare.
const (
	freePrunes = 5
	pruneShare = 5
)

// pruning is what a commit takes away of what evenkeel brought here.
type pruning struct {
	gone  []string // sorted
	owned int      // of how many
	all   bool     // the commit asks for nothing at all, and something is here
}

// pruning counts what people wrote in their repository: files and links.
// Directories go with what is in them, and the links that enable a unit with the
// unit.
func (l *Ledger) pruning(w wanted) pruning {
	nothing := len(w.target.State.Paths) == 0 && len(w.target.State.Units) == 0
	p := pruning{all: nothing && len(l.Owned.all())+len(l.Found) > 0}
	for _, name := range slices.Sorted(maps.Keys(l.Owned.all())) {
		if l.Good != nil && l.Good.State.Paths.all()[name].Kind == plan.Directory || isEnablement(name) {
			continue
		}
		p.owned++
		if _, stays := w.owned[name]; !stays {
			p.gone = append(p.gone, name)
		}
	}
	return p
}

// asks says why a person should look before that happens, "" when it is little.
func (p pruning) asks() string {
	switch {
	case p.all:
		return "it asks for nothing at all here, and would take away all that evenkeel brought"
	case len(p.gone) > freePrunes && len(p.gone)*pruneShare > p.owned:
		return fmt.Sprintf("it would take away %d of the %d paths that evenkeel brought here; up to %d go without asking",
			len(p.gone), p.owned, max(freePrunes, p.owned/pruneShare))
	}
	return ""
}

// isEnablement reports whether a path is a link that enables a unit.
func isEnablement(p string) bool {
	dir := path.Base(path.Dir(p))
	return strings.HasPrefix(p, "/etc/systemd/system/") && (strings.HasSuffix(dir, ".wants") || strings.HasSuffix(dir, ".requires"))
}
