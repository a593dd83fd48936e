package agent

import (
	"testing"

	"evenkeel/agent/plan"
)

// TestDirectoriesOfOvertakenCommitsGo: a commit made a directory, the next did
// not want it, and a third came before that one had proved itself. The directory
// stayed, empty, and belonged to nobody.
func TestDirectoriesOfOvertakenCommitsGo(t *testing.T) {
	w := newWorld(plainScenario())
	first := (&spec{deep: 1}).target("first", w)
	second := (&spec{motd: 1}).target("second", w)
	third := (&spec{motd: 2}).target("third", w)
	w.s.overtaken = map[string]bool{"first": true, "second": true}
	w.overtake(t, first, second, third)
	if at := w.disk.Print("/etc/app"); at != "absent" {
		t.Errorf("/etc/app is %q, and no commit wants it any more", at)
	}
}

// overtake lets one commit come while the one before it is watched.
func (w *world) overtake(t *testing.T, targets ...*plan.Target) {
	t.Helper()
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		outcome, err := deployTarget(h, target)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]Result{true: ResultWatching, false: ResultGood}[w.s.overtaken[target.Commit]]; outcome.Result != want {
			t.Fatalf("%s ends as %q: %s", target.Commit, outcome.Result, outcome.Reason)
		}
	}
}

// plainScenario is a host whose vendor's units do nothing special.
func plainScenario() *scenario {
	return &scenario{
		version: 257, settle: 2, overtaken: map[string]bool{}, sick: map[string]bool{},
		vendorUnit: "[Service]\nEnvironmentFile=-/etc/vendor.d/a.conf\nExecStart=/usr/bin/vendor\n", sideUnit: "Requires",
	}
}
