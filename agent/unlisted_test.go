package agent

import (
	"testing"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// A service that its socket started is listed nowhere. When its file goes it is stopped
// before, or nobody could stop it as its file says.
func TestARunningUnitIsStoppedBeforeItsFileGoes(t *testing.T) {
	const file = "/etc/systemd/system/app.service"
	for _, c := range []struct {
		what             string
		active, fragment string
		stays            bool
		want             string
	}{
		{"it runs", "active", file, false, "stop app.service"},
		{"it rests", "inactive", file, false, ""},
		{"its file stays", "active", file, true, ""},
		{"it runs from another file", "active", "/run/systemd/system/app.service", false, ""},
	} {
		d := units.Detail{Invocation: "1", Fragment: c.fragment}
		d.Load, d.Active = "loaded", c.active
		h := &Host{
			Ledger:  &Ledger{Owned: shelve(map[string]Owned{file: {}, "/etc/systemd/system/app@.service": {}})},
			Manager: programs{details: map[string]units.Detail{"app.service": d}},
		}
		at := plan.Path{Kind: plan.File}
		n := &now{details: map[string]units.Detail{}, state: plan.State{Paths: map[string]plan.Path{file: at}, Units: map[string]plan.Unit{}}}
		w := &wanted{target: &plan.Target{}}
		w.to = plan.State{Paths: map[string]plan.Path{}, Units: map[string]plan.Unit{}}
		if c.stays {
			w.to.Paths[file] = at
		}
		if err := h.addUnlisted(t.Context(), w, n); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range plan.Diff(plan.State{Units: n.state.Units}, plan.State{Units: w.to.Units}, nil).Steps() {
			got += string(s.Verb) + " " + s.Unit
		}
		if got != c.want {
			t.Errorf("%s: the steps are %q, want %q", c.what, got, c.want)
		}
	}
}

// A volume that a container brought up is listed nowhere, and stays "active" for ever
// when its Quadlet file goes.
func TestAServiceThatIsMadeNoMoreIsStopped(t *testing.T) {
	const name = "data-volume.service"
	for _, c := range []struct {
		what             string
		active, fragment string
		made             map[string]string
		want             string
	}{
		{"it is up", "active", "/run/systemd/generator/" + name, nil, "stop " + name},
		{"it rests", "inactive", "/run/systemd/generator/" + name, nil, ""},
		{"it is made from another file", "active", "/run/systemd/generator/" + name, map[string]string{name: "/etc/containers/systemd/data.volume"}, ""},
		{"it is another unit of that name", "active", "/usr/lib/systemd/system/" + name, nil, ""},
	} {
		d := units.Detail{Invocation: "1", Fragment: c.fragment}
		d.Load, d.Active = "loaded", c.active
		h := &Host{
			Ledger:  &Ledger{Good: &Good{Made: map[string]string{name: "/etc/containers/systemd/data.volume", "t@.service": "/etc/containers/systemd/t@.container"}}},
			Manager: programs{details: map[string]units.Detail{name: d}},
		}
		n := &now{details: map[string]units.Detail{}, state: plan.State{Units: map[string]plan.Unit{}}}
		w := &wanted{target: &plan.Target{Made: c.made}}
		w.to = plan.State{Paths: map[string]plan.Path{}, Units: map[string]plan.Unit{}}
		if err := h.addUnlisted(t.Context(), w, n); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range plan.Diff(plan.State{Units: n.state.Units}, plan.State{Units: w.to.Units}, nil).Steps() {
			got += string(s.Verb) + " " + s.Unit
		}
		if got != c.want {
			t.Errorf("%s: the steps are %q, want %q", c.what, got, c.want)
		}
	}
}
