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
			Ledger:  &Ledger{Owned: map[string]Owned{file: {}, "/etc/systemd/system/app@.service": {}}},
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
