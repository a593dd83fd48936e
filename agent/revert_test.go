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

// TestRevertGetsPastTheStartLimit: a commit's service crashed until systemd had
// enough, and the old one was refused a start.
func TestRevertGetsPastTheStartLimit(t *testing.T) {
	for _, version := range []int{252, 257} {
		s := plainScenario()
		s.version, s.settle = version, 9
		s.vendorUnit += "Restart=always\n"
		w := newWorld(s)
		loops := &spec{vendorConf: 1, mark: map[string]string{"/etc/vendor.d/a.conf": "loop"}}
		outcome := deployed(t, w, loops.target("loops", w))
		if outcome.Result != ResultRejected {
			t.Errorf("systemd %d: it ends as %q: %s", version, outcome.Result, outcome.Reason)
		}
		if d, err := w.sd.Show(t.Context(), "vendor.service"); err != nil || !d.IsActive() {
			t.Errorf("systemd %d: vendor.service is %s, %v", version, apply.Describe(d), err)
		}
	}
}

// TestRevertThatDoesNotHoldIsSaid: the old service came up in the revert and went
// down again, and the host was said to be back.
func TestRevertThatDoesNotHoldIsSaid(t *testing.T) {
	s := plainScenario()
	s.sick["sick"] = true
	w := newWorld(s)
	// What it needs is gone since the vendor's service started.
	w.disk.PutFile("/etc/vendor.d/a.conf", "vendor\n# behave: fail-without:/run/vendor\n", rootFile)
	w.disk.PutFile("/run/vendor", "", rootFile)
	w.sd.Boot()
	w.disk.Delete("/run/vendor")
	outcome := deployed(t, w, (&spec{vendorConf: 1}).target("sick", w))
	if outcome.Result != ResultHeld {
		t.Errorf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	if _, rejected := h.Ledger.IsRejected("sick", ""); !rejected || h.Open == nil || h.Open.phase != PhaseHeld || h.Ledger.Hold == nil {
		t.Errorf("after a start of the daemon: rejected %v, attempt %+v, hold %+v", rejected, h.Open, h.Ledger.Hold)
	}
}
