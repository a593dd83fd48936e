package agent

import (
	"fmt"
	"strings"
	"testing"

	"evenkeel/agent/plan"
)

// TestCrashOfAnUnmanagedUnitWhileTheDaemonIsDown: a commit restarted a service of
// the vendor's, and with it, by systemd's own doing, another that no repository
// names. That one crashed while the daemon was restarted in the watch, and the
// commit was kept because the unit was up again.
func TestCrashOfAnUnmanagedUnitWhileTheDaemonIsDown(t *testing.T) {
	for _, c := range []struct {
		name  string
		crash int // seconds after its start, once
		want  Result
	}{
		{"nothing happens while the daemon is down", 100, ResultGood},
		{"the unit dies and systemd starts it again", 8, ResultUndone},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(plainScenario())
			w.disk.PutFile("/usr/lib/systemd/system/side.service", "[Unit]\nRequires=vendor.service\nAfter=vendor.service\n"+
				fmt.Sprintf("[Service]\nExecStart=/usr/bin/side\nRestart=always\n# behave: crash-once %d\n", c.crash), rootFile)
			w.sd.Boot()
			w.sd.Tick(20)                  // its first crash is long ago
			w.s.overtaken["commit"] = true // that is: the watch is still going on
			if outcome := deployed(t, w, (&spec{vendorConf: 1}).target("commit", w)); outcome.Result != ResultWatching {
				t.Fatalf("the commit ends as %q: %s", outcome.Result, outcome.Reason)
			}
			w.sd.Tick(7)
			if d, err := w.sd.Show(t.Context(), "side.service"); err != nil || !d.IsActive() {
				t.Fatalf("side.service is %+v, %v", d, err)
			}
			if h := w.recover(t); h.Ledger.History[len(h.Ledger.History)-1].Result != c.want {
				t.Errorf("the commit ends as %+v, want %q", h.Ledger.History, c.want)
			}
		})
	}
}

// recover starts the daemon once more, and lets it come to an end.
func (w *world) recover(t *testing.T) *Host {
	t.Helper()
	h, err := recoverWorld(w)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestRebootInTheWatchIsUndone: the host went down in a watch, the early recovery
// was not there, and the watch went on as if the commit had been seen healthy
// through the boot.
func TestRebootInTheWatchIsUndone(t *testing.T) {
	s := plainScenario()
	s.overtaken["commit"], s.noEarly = true, true
	w := newWorld(s)
	if outcome := deployed(t, w, (&spec{motd: 1}).target("commit", w)); outcome.Result != ResultWatching {
		t.Fatalf("the commit ends as %q: %s", outcome.Result, outcome.Reason)
	}
	start := newWorld(s).state()
	w.sd.PowerOff()
	if err := w.bootUp(); err != nil {
		t.Fatal(err)
	}
	h := w.recover(t)
	if last := h.Ledger.History[len(h.Ledger.History)-1]; last.Result != ResultUndone {
		t.Errorf("the commit ends as %+v", last)
	}
	if end := w.state(); !end.equal(start) {
		t.Errorf("the host is not as it was:\n%s", end.differs(start))
	}
}

// TestInterruptedCommitIsTriedThreeTimes: a commit that takes the host down each
// time it is applied is not tried for ever.
func TestInterruptedCommitIsTriedThreeTimes(t *testing.T) {
	w := newWorld(plainScenario())
	start := w.state()
	target := (&spec{vendorConf: 1, motd: 1}).target("commit", w)
	for try := 1; try <= maxTries; try++ {
		w.cutShort(target)
		h := w.recover(t)
		_, rejected := h.Ledger.IsRejected("commit", "")
		if want := try == maxTries; rejected != want {
			t.Errorf("after try %d the commit is rejected: %v, want %v", try, rejected, want)
		}
		if end := w.state(); !end.equal(start) {
			t.Errorf("after try %d the host is not as it was:\n%s", try, end.differs(start))
		}
	}
	if outcome := deployed(t, w, target); outcome.Result != ResultRejected {
		t.Errorf("then it ends as %q: %s", outcome.Result, outcome.Reason)
	}
}

// TestCommitThatTakesTheHostDownIsTriedThreeTimes: the host starts anew in each watch of
// a commit, and early in the boot its files are put back. It was tried for ever.
func TestCommitThatTakesTheHostDownIsTriedThreeTimes(t *testing.T) {
	s := plainScenario()
	s.overtaken["commit"] = true
	w := newWorld(s)
	target := (&spec{vendorConf: 1, motd: 1}).target("commit", w)
	start := newWorld(s).state()
	for try := 1; try <= maxTries; try++ {
		w.last = false
		if outcome := deployed(t, w, target); outcome.Result != ResultWatching {
			t.Fatalf("try %d ends as %q: %s", try, outcome.Result, outcome.Reason)
		}
		w.sd.PowerOff()
		if err := w.bootUp(); err != nil {
			t.Fatal(err)
		}
		h := w.recover(t)
		r, rejected := h.Ledger.IsRejected("commit", "")
		if want := try == maxTries; rejected != want {
			t.Errorf("after try %d the commit is rejected: %v, want %v", try, rejected, want)
		}
		if want := "the host was started anew before it had proved itself, 3 times"; rejected && r.Reason != want {
			t.Errorf("it is rejected because %q, want %q", r.Reason, want)
		}
		if end := w.state(); !end.equal(start) {
			t.Errorf("after try %d the host is not as it was:\n%s", try, end.differs(start))
		}
	}
	if outcome := deployed(t, w, target); outcome.Result != ResultRejected {
		t.Errorf("then it ends as %q: %s", outcome.Result, outcome.Reason)
	}
}

// cutShort deploys a target and kills the daemon at the first job.
func (w *world) cutShort(target *plan.Target) {
	type killed struct{}
	defer w.unhook()
	defer func() {
		if r := recover(); r != nil && r != (killed{}) {
			panic(r)
		}
	}()
	w.hook(func(effect string) {
		if strings.HasPrefix(effect, "restart ") {
			panic(killed{})
		}
	})
	if h, err := w.host(); err == nil {
		_, _ = deployTarget(h, target)
	}
}
