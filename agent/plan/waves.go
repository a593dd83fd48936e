package plan

// Waves is the order in which the units of a target that shall run come up: each after
// those of the earlier waves that it waits for. Names are sorted inside a wave.
func Waves(t Target) [][]string {
	var names []string
	for _, name := range sorted(t.State.Units) {
		// What is only to go back to how it was found is no service of the target.
		if _, listed := t.Services[name]; listed && t.State.Units[name].Active {
			names = append(names, name)
		}
	}
	return order(names, func(name string) []string { return t.State.Units[name].After })
}
