package agent

import (
	"strings"

	"evenkeel/agent/plan"
)

// slim makes a ledger take little memory: the same text is there once, however often the
// record says it, and all of them are in one piece. What was read or rendered lies among
// the garbage that came with it, and would keep pages of that.
func (l *Ledger) slim() {
	if l.Good == nil {
		return
	}
	t := onePiece{at: map[string]int{}}
	for p, at := range l.Good.State.Paths {
		t.add(p, at.Digest, at.Link, at.Owner, at.Group, string(at.Kind))
	}
	good := *l.Good
	good.State.Paths = make(map[string]plan.Path, len(l.Good.State.Paths))
	owned := make(map[string]Owned, len(l.Owned))
	for p, at := range l.Good.State.Paths {
		at.Kind, at.Owner, at.Group = plan.Kind(t.once(string(at.Kind))), t.once(at.Owner), t.once(at.Group)
		at.Digest, at.Link = t.once(at.Digest), t.once(at.Link)
		name := t.once(p)
		good.State.Paths[name] = at
		if o, ours := l.Owned[p]; ours {
			owned[name] = o
		}
	}
	for p, o := range l.Owned {
		if _, known := owned[p]; !known { // to write it once more would bring the other text back
			owned[p] = o
		}
	}
	if l.Owned != nil {
		l.Owned = owned
	}
	l.Good = &good
}

// onePiece is many texts in one.
type onePiece struct {
	at  map[string]int // where each begins
	all strings.Builder
}

func (t *onePiece) add(list ...string) {
	for _, text := range list {
		if _, known := t.at[text]; !known {
			t.at[text] = t.all.Len()
			t.all.WriteString(text)
		}
	}
}

// once gives a text as a piece of the one, where it was added. Nothing may be added after it.
func (t *onePiece) once(text string) string {
	at, known := t.at[text]
	if !known {
		return text
	}
	return t.all.String()[at : at+len(text)]
}
