package agent

import (
	"testing"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// TestOneshotOfATakenBackCommitRunsForTheNext: a commit listed a vendor's
// oneshot and was taken back for another reason; the next one that lists it
// found it in the ledger as "has run" and left it alone.
func TestOneshotOfATakenBackCommitRunsForTheNext(t *testing.T) {
	s := plainScenario()
	s.sick["bad"] = true
	w := newWorld(s)
	w.last = true
	w.disk.PutFile("/usr/lib/systemd/system/once.service", "[Service]\nType=oneshot\nExecStart=/usr/bin/once\n", apply.Attr{Mode: 0o644})
	var runs []string
	for _, commit := range []string{"bad", "good"} {
		target := (&spec{motd: 1}).target(commit, w)
		(&spec{}).service(target, "once.service")
		if commit == "good" {
			target.State.Paths["/etc/spool"] = plan.Path{Kind: plan.Directory, Mode: 0o750, Owner: "root", Group: "root"}
		}
		outcome := deployed(t, w, target)
		if want := map[string]Result{"bad": ResultRejected, "good": ResultGood}[commit]; outcome.Result != want {
			t.Fatalf("%s ends as %q: %s", commit, outcome.Result, outcome.Reason)
		}
		run, _ := w.sd.LastRun("once.service")
		runs = append(runs, run.Invocation)
	}
	if runs[0] == runs[1] {
		t.Error("once.service did not run for the second commit")
	}
}

func deployed(t *testing.T, w *world, target *plan.Target) Outcome {
	t.Helper()
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := deployTarget(h, target)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}
