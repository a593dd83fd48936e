package units

import (
	"slices"
	"strings"
)

// After gives the units that systemd starts before this one: After=, and what
// systemd adds by itself for Sockets= and Slice=. What follows from other units'
// files is not here: a socket's Before= its service is in the socket's Before,
// and a target comes after the units that it wants only when they agree.
func (d *Definition) After() []string {
	names := union(d.UnitNames("Unit", "After"), d.UnitNames("Service", "Sockets"), d.slice())
	return without(names, d.Name)
}

// Before gives the units that systemd starts after this one: Before=, and what
// a socket, timer or path starts.
func (d *Definition) Before() []string {
	return without(union(d.UnitNames("Unit", "Before"), d.Triggers()), d.Name)
}

// Binds gives the units whose stop or restart systemd hands on to this one.
func (d *Definition) Binds() []string {
	names := d.UnitNames("Unit", "Requires", "Requisite", "BindsTo", "PartOf", "StopPropagatedFrom")
	return without(union(names, d.slice()), d.Name)
}

// Wants gives the units that are started along with this one and whose failure
// it survives.
func (d *Definition) Wants() []string {
	return without(union(d.UnitNames("Unit", "Wants", "Upholds"), d.UnitNames("Service", "Sockets")), d.Name)
}

// Triggers gives the unit that a socket, timer or path starts. A socket with
// Accept=yes starts an instance for each connection, which is no unit that
// could be named.
func (d *Definition) Triggers() []string {
	var said []string
	switch TypeOf(d.Name) {
	case "socket":
		if d.yes("Socket", "Accept", false) {
			return nil
		}
		said = d.UnitNames("Socket", "Service")
	case "timer":
		said = d.UnitNames("Timer", "Unit")
	case "path":
		said = d.UnitNames("Path", "Unit")
	default:
		return nil
	}
	if len(said) > 0 {
		return said[len(said)-1:]
	}
	return []string{strings.TrimSuffix(d.Name, TypeOf(d.Name)) + "service"}
}

// slice gives the slice that the unit is put into by name: systemd requires it
// and starts it first.
func (d *Definition) slice() []string {
	var names []string
	for _, section := range []string{"Service", "Socket", "Mount", "Swap"} {
		names = union(names, d.UnitNames(section, "Slice"))
	}
	if len(names) == 0 {
		return nil
	}
	return names[len(names)-1:]
}

func union(lists ...[]string) []string {
	var all []string
	seen := map[string]bool{}
	for _, list := range lists {
		for _, name := range list {
			if !seen[name] {
				seen[name] = true
				all = append(all, name)
			}
		}
	}
	return all
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return n == name })
}

// RunsOnce reports whether a service is at rest again once it was up: a oneshot without
// RemainAfterExit=, see systemd.service(5).
func (d *Definition) RunsOnce() bool {
	kind := d.Value("Service", "Type")
	if kind == "" && d.Has("Service") && len(d.Values("Service", "ExecStart")) == 0 {
		kind = "oneshot"
	}
	return kind == "oneshot" && !d.yes("Service", "RemainAfterExit", false)
}
