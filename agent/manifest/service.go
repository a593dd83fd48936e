package manifest

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// service reads one entry of services:.
func (d *document) service(p pair) (service, bool) {
	s := service{name: p.name, place: d.place(p.key)}
	s.Settle, s.Deadline, s.Enabled, s.state = plan.DefaultSettle, plan.DefaultDeadline, true, started
	if !d.unitName(p.key, p.name) {
		return s, false
	}
	if isNull(resolve(p.value)) {
		return s, true
	}
	keys := d.fields(p.value, "service "+strconv.Quote(p.name), serviceKeys())
	s.drift = d.drift(keys)
	if p, ok := keys["after"]; ok {
		for _, n := range d.items(p.value, "after:") {
			if name, ok := d.text(n, "a unit in after:"); ok && d.unitOnly(n, name) {
				s.after = append(s.after, said{name, d.place(n)})
			}
		}
	}
	if p, ok := keys["restart_on"]; ok {
		s.restartOn = d.globs(p.value, "restart_on:")
	}
	if p, ok := keys["reload_on"]; ok {
		s.reloadOn = d.globs(p.value, "reload_on:")
	}
	if p, ok := keys["state"]; ok {
		s.state = d.unitState(p.value, keys)
		s.Enabled = s.state == started
	}
	if p, ok := keys["enabled"]; ok {
		if b, ok := d.truth(p.value, "enabled:"); ok {
			s.Enabled = b
		}
	}
	if p, ok := keys["settle"]; ok {
		s.Settle = d.duration(p.value, "settle:", plan.DefaultSettle)
	}
	if p, ok := keys["deadline"]; ok {
		s.Deadline = d.duration(p.value, "deadline:", plan.DefaultDeadline)
	}
	if p, ok := keys["checks"]; ok {
		for _, n := range d.items(p.value, "checks:") {
			if c, ok := d.check(n); ok && d.fits(n, c, s.Deadline) {
				s.Checks = append(s.Checks, c)
			}
		}
	}
	return s, true
}

// unitState reads state:, and which of the other keys it leaves without a meaning.
func (d *document) unitState(n *yaml.Node, keys map[string]pair) unitState {
	word, ok := d.text(n, "state:")
	state := unitState(word)
	switch {
	case !ok:
		return started
	case state != started && state != stopped && state != masked && state != installed:
		d.problem(n, "leave it out for a unit that shall run", "state: is started, stopped, masked or installed, not %q", word)
		return started
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if key == "state" || state == started || key == "enabled" && state == stopped || key == "drift" && state != installed {
			continue
		}
		d.problem(keys[key].key, "", "%s: says nothing of a unit that is %s", key, state)
	}
	return state
}

// unitName checks the name of a unit that shall run.
func (d *document) unitName(n *yaml.Node, name string) bool {
	if !d.unitOnly(n, name) {
		return false
	}
	if _, instance, ok := units.Template(name); ok && instance == "" {
		d.problem(n, "name an instance, such as "+strings.Replace(name, "@.", "@1.", 1), "%q is a template and cannot run", name)
		return false
	}
	switch units.TypeOf(name) {
	case "device", "scope", "slice":
		d.problem(n, "", "a %s cannot be listed as a service", units.TypeOf(name))
		return false
	}
	if ownUnit(name) {
		d.problem(n, "", "%q is evenkeel's own: no commit changes it", name)
		return false
	}
	return true
}

// unitOnly checks that a word is the name of a unit.
func (d *document) unitOnly(n *yaml.Node, name string) bool {
	err := units.Valid(name)
	if err == nil {
		return true
	}
	hint := ""
	if units.Valid(name+".service") == nil && units.TypeOf(name) == "" {
		hint = "did you mean " + strconv.Quote(name+".service") + "?"
	}
	if units.IsQuadlet(name) {
		hint = "what runs is the service that podman makes of it: " + (&units.Definition{Name: name}).QuadletService()
	}
	d.problem(n, hint, "%v", err)
	return false
}

// globs reads the patterns of restart_on: and reload_on:.
func (d *document) globs(n *yaml.Node, what string) []string {
	var out []string
	for _, item := range d.items(n, what) {
		s, ok := d.text(item, "a pattern of "+what)
		if !ok {
			continue
		}
		if !strings.HasPrefix(s, "/") || path.Clean(s) != s && path.Clean(s)+"/" != s {
			d.problem(item, "write "+path.Clean("/"+s), "%s %q must be an absolute, clean path", what, s)
			continue
		}
		if !validGlob(s) {
			d.problem(item, globHint(s), "%s %q is not a pattern", what, s)
			continue
		}
		out = append(out, path.Clean(s))
	}
	return out
}
