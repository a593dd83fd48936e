package manifest

import (
	"cmp"
	"slices"

	"evenkeel/agent/plan"
)

// driftKey may stand in an entry of the fleet, in a role, and at a file, a directory or
// a service: the nearest one to a path counts.
func driftKey(otherwise string) Key {
	return Key{Name: "drift", Value: OneOf(string(plan.Correct), string(plan.Report), string(plan.Ignore)),
		About: "What becomes of a change that no commit asked for: it is put back, only told of, or nobody cares. Default: " + otherwise + "."}
}

// drift reads the key, "" where a mapping does not have it.
func (d *document) drift(keys map[string]pair) plan.OnDrift {
	p, ok := keys["drift"]
	if !ok {
		return ""
	}
	s, ok := d.text(p.value, "drift:")
	if !ok {
		return ""
	}
	said := plan.OnDrift(s)
	if !slices.Contains([]plan.OnDrift{plan.Correct, plan.Report, plan.Ignore}, said) {
		d.problem(p.value, "correct puts it back, report only tells of it, ignore does neither", "drift: is correct, report or ignore, not %q", s)
		return ""
	}
	return said
}

// onDrift remembers what is said about drift at a path or of a unit: at itself, or in
// its role.
func (b *builder) onDrift(name string, itself plan.OnDrift, ro role) {
	said := cmp.Or(itself, ro.drift)
	if said == "" {
		return
	}
	if b.t.Drift == nil {
		b.t.Drift = map[string]plan.OnDrift{}
	}
	b.t.Drift[name] = said
}

// onDriftElsewhere is what the fleet says about all other paths.
func (l loaded) onDriftElsewhere() {
	var said plan.OnDrift
	for _, e := range l.assigned.entries {
		said = cmp.Or(e.drift, said) // the later one wins
	}
	l.builder.onDrift("", said, role{})
}
