package agent

import (
	"fmt"
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

// TestUnitThatAnOvertakenCommitTookDownComesBack: a commit's service crashed, and
// systemd stopped what was bound to it. Before that was noticed, a commit came
// that had nothing to do with either, and nobody started the bound unit again.
func TestUnitThatAnOvertakenCommitTookDownComesBack(t *testing.T) {
	s := plainScenario()
	s.sideUnit, s.overtaken["crashes"] = "BindsTo", true
	s.vendorUnit += "Restart=always\n"
	w := newWorld(s)
	crashes := &spec{vendorConf: 1, mark: map[string]string{"/etc/vendor.d/a.conf": "crash 6"}}
	w.overtake(t, crashes.target("crashes", w), (&spec{motd: 1}).target("harmless", w))
	if _, up := w.sd.Processes()["side.service"]; !up {
		t.Error("side.service is down")
	}
}

// TestOvertakenCommitListedAVendorsUnit: the link that enables the unit was there
// before, and no pass looked at it again. The next commit, which did not list the
// unit, could not be staged: "changed by somebody else".
func TestOvertakenCommitListedAVendorsUnit(t *testing.T) {
	s := plainScenario()
	s.overtaken["lists it"] = true
	w := newWorld(s)
	start := w.state()
	w.overtake(t, (&spec{vendorConf: 1}).target("lists it", w), (&spec{}).target("does not", w))
	if end := w.state(); !end.equal(start) {
		t.Errorf("the host is not as it was before both:\n%s", end.differs(start))
	}
}

// TestServiceThatDiedUnderAnOvertakenCommitReadsItsOldConfig: systemd had started
// it again, so nobody knew what it had read; the next commit, which did not want
// its new configuration, put the old file back and left the process alone.
func TestServiceThatDiedUnderAnOvertakenCommitReadsItsOldConfig(t *testing.T) {
	s := plainScenario()
	s.overtaken["dies"] = true
	s.vendorUnit += "Restart=always\n"
	w := newWorld(s)
	start := w.state()
	dies := &spec{vendorConf: 1, mark: map[string]string{"/etc/vendor.d/a.conf": "crash-once 6"}}
	w.overtake(t, dies.target("dies", w), (&spec{}).target("harmless", w))
	if end := w.state(); !end.equal(start) {
		t.Errorf("the host is not as it was before both:\n%s", end.differs(start))
	}
}

// TestOneshotThatAnOvertakenCommitDroppedRunsAgainWhenItIsTakenBack: the next commit asked for
// it anew, in another version, and failed. Nobody remembered that the good one's had run, so
// it counted as failed from then on.
func TestOneshotThatAnOvertakenCommitDroppedRunsAgainWhenItIsTakenBack(t *testing.T) {
	task := func(target *plan.Target, version int) *plan.Target {
		if version > 0 {
			s := &spec{}
			s.file(target, version, "/etc/systemd/system/task.service", "", fmt.Sprintf("[Service]\nType=oneshot\nExecStart=/usr/bin/task\n# %d\n", version))
			s.service(target, "task.service")
		}
		return target
	}
	s := plainScenario()
	s.overtaken["drops it"], s.sick["bad"] = true, true
	w := newWorld(s)
	w.last = true
	good := task((&spec{motd: 1}).target("good", w), 1)
	if outcome := deployed(t, w, good); outcome.Result != ResultGood {
		t.Fatalf("the first commit ends as %q: %s", outcome.Result, outcome.Reason)
	}
	w.last = false
	first, _ := w.sd.LastRun("task.service")
	h := mustHost(t, w)
	if _, err := deployTarget(h, task((&spec{motd: 2}).target("drops it", w), 0)); err != nil {
		t.Fatal(err)
	}
	if run, _ := w.sd.LastRun("task.service"); run.Invocation != first.Invocation {
		t.Error("the commit that drops it ran it")
	}
	w.last = true
	outcome, err := deployTarget(h, task((&spec{motd: 1}).target("bad", w), 2))
	if err != nil || outcome.Result != ResultRejected {
		t.Fatalf("the last commit ends as %q: %s, %v", outcome.Result, outcome.Reason, err)
	}
	mustDrift(t, h)
}
