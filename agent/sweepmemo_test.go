package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// memo reads records as the daemon does, and remembers what it read: thousands
// of universes start from the same bytes. They share the parts that nobody
// changes; audit proves that nobody did.
type memo struct{ known map[string]any }

func (m *memo) decode(data []byte, into any) error {
	was, ok := m.known[string(data)]
	switch into := into.(type) {
	case *Attempt:
		if !ok {
			a := new(Attempt)
			if err := json.Unmarshal(data, a); err != nil {
				return err
			}
			m.keep(data, a)
			was = a
		}
		*into = *was.(*Attempt)
	case *Ledger:
		if !ok {
			l := new(Ledger)
			if err := json.Unmarshal(data, l); err != nil {
				return err
			}
			m.keep(data, l)
			was = l
		}
		*into = was.(*Ledger).fork()
	default:
		return fmt.Errorf("internal error: no record is a %T", into)
	}
	return nil
}

func (m *memo) keep(data []byte, record any) {
	if m.known == nil {
		m.known = map[string]any{}
	}
	m.known[string(data)] = record
}

// fork copies what a daemon changes in its ledger.
func (l *Ledger) fork() Ledger {
	c := *l
	c.Runs, c.Tries, c.CameUp = maps.Clone(l.Runs), maps.Clone(l.Tries), maps.Clone(l.CameUp)
	c.Rejected, c.History, c.Aside = slices.Clone(l.Rejected), slices.Clone(l.History), slices.Clone(l.Aside)
	if l.Good != nil {
		good := *l.Good
		c.Good = &good
	}
	return c
}

// audit makes sure that each record still is what its bytes say.
func (m *memo) audit() error {
	for text, record := range m.known {
		if again, err := json.Marshal(record); err != nil || !bytes.Equal(again, []byte(text)) {
			return fmt.Errorf("a record that universes share was changed by one of them: %v\n%s\nis now\n%s", err, text, again)
		}
	}
	return nil
}
