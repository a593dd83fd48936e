package manifest

import (
	"slices"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// selfHarm reports a unit whose start or stop would take evenkeel down: then nobody
// would be there to take the commit back.
func (b *builder) selfHarm(place plan.Place, f *units.File, rendered bool) {
	for _, a := range f.Assignments {
		if a.Section != "Unit" || a.Key != "Conflicts" && a.Key != "PropagatesStopTo" {
			continue
		}
		words, err := units.Words(a.Value)
		if err != nil {
			continue // systemd-analyze says it
		}
		for _, name := range words {
			if !ownUnit(name) && !slices.Contains([]string{"sysinit.target", "basic.target", "system.slice", "-.mount"}, name) {
				continue
			}
			at := place
			if !rendered {
				at.Line = a.Line
			}
			b.c.at(at, "", "%s=%s would stop evenkeel itself, and nobody could take the commit back", a.Key, name)
		}
	}
}
