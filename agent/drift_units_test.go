package agent

import (
	"context"
	"slices"
	"strings"
	"testing"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// TestServiceThatReadTheWrongBytesIsRestarted: somebody edited a file and restarted
// the service by hand; the file alone would leave the process with what it read.
func TestServiceThatReadTheWrongBytesIsRestarted(t *testing.T) {
	w, target := keptWorld(t, nil)
	good := w.state()
	w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
	w.sd.Tick(1)
	if _, err := w.sd.Run(context.Background(), units.Restart, "app.service"); err != nil {
		t.Fatal(err)
	}
	w.sd.Tick(1)
	h := mustHost(t, w)
	_, outcome := putRight(t, h, target)
	if outcome.Result != ResultCorrected {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if end := w.state(); !end.equal(good) {
		t.Errorf("the host is not as the good commit left it:\n%s", end.differs(good))
	}
	mustDrift(t, mustHost(t, w))
}

// TestServiceRestartedWhileItsFileIsPutBackIsRestartedOnceMore: somebody edited a file and
// restarted the service, and the restart came when the correction was under way.
func TestServiceRestartedWhileItsFileIsPutBackIsRestartedOnceMore(t *testing.T) {
	for name, at := range map[string]Stage{"before the file": StageStaging, "after the file": StageWatching} {
		t.Run(name, func(t *testing.T) {
			w, target := keptWorld(t, nil)
			good := w.state()
			w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
			w.sd.Tick(1)
			h := mustHost(t, w)
			restarts := 0
			h.Phase = func(stage Stage, _ string) {
				if stage != at || restarts > 0 {
					return
				}
				restarts++
				if _, err := w.sd.Run(context.Background(), units.Restart, "app.service"); err != nil {
					t.Error(err)
				}
				w.sd.Tick(1)
			}
			if _, outcome := putRight(t, h, target); outcome.Result != ResultCorrected || restarts != 1 {
				t.Fatalf("it ends as %q: %s, after %d restarts", outcome.Result, outcome.Reason, restarts)
			}
			h = mustHost(t, w) // what is owed outlasts the daemon
			wrong := at == StageStaging
			if wrong {
				mustDrift(t, h, "app.service")
			}
			_, outcome := putRight(t, h, target)
			if want := map[bool]Result{true: ResultCorrected}[wrong]; outcome.Result != want {
				t.Errorf("the look after it ends as %q: %s", outcome.Result, outcome.Reason)
			}
			if end := w.state(); !end.equal(good) {
				t.Errorf("the host is not as the good commit left it:\n%s", end.differs(good))
			}
			mustDrift(t, mustHost(t, w))
		})
	}
}

// TestMaskedServiceIsNotRestarted: a process has read the wrong bytes, and its unit is
// masked: the bytes come back, and a restart that must fail is not tried.
func TestMaskedServiceIsNotRestarted(t *testing.T) {
	w, target := keptWorld(t, nil)
	var conf string
	for p := range mustHost(t, w).Ledger.Good.State.Units["vendor.service"].Inputs {
		if target.State.Paths[p].Kind == plan.File {
			conf = p
		}
	}
	if conf == "" {
		t.Fatal("vendor.service reads nothing of the commit")
	}
	content := w.disk.Print(conf)
	w.disk.Overwrite(conf, "by hand\n")
	w.sd.Tick(1)
	if _, err := w.sd.Run(context.Background(), units.Restart, "vendor.service"); err != nil {
		t.Fatal(err)
	}
	w.disk.PutLink("/etc/systemd/system/vendor.service", "/dev/null")
	w.sd.Tick(1)
	before := invocations(w)
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if got := w.disk.Print(conf); got != content {
		t.Errorf("%s is %q, want %q", conf, got, content)
	}
	if after := invocations(w); after != before {
		t.Errorf("something was restarted:\n%s\n%s", before, after)
	}
	mustDrift(t, mustHost(t, w), "vendor.service")
}

// What stays hinders nothing else, and is not taken for the good commit's afterwards.
func TestStoppedServiceIsStartedWhereTheRepositorySaysSo(t *testing.T) {
	w, target := keptWorld(t, func(t *plan.Target) { t.Drift = map[string]plan.OnDrift{"vendor.service": plan.Correct} })
	good := w.state()
	if _, err := w.sd.Run(context.Background(), units.Stop, "vendor.service"); err != nil {
		t.Fatal(err)
	}
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if end := w.state(); !slices.ContainsFunc(end.procs, func(p string) bool { return strings.HasPrefix(p, "vendor.service") }) {
		t.Errorf("vendor.service does not run:\n%s", end.differs(good))
	}
}

// TestProgramOfTheSystemThatReadTheWrongBytesIsRestarted: somebody edited a file of
// sysctl.d and had it take effect. No role lists the unit that reads it.
func TestProgramOfTheSystemThatReadTheWrongBytesIsRestarted(t *testing.T) {
	w, target := keptWorld(t, nil)
	h := mustHost(t, w)
	inputs := map[string]string{"/etc/motd": target.State.Paths["/etc/motd"].Fingerprint()}
	h.Ledger.Good.State.Units["side.service"] = plan.Unit{Active: true, Inputs: inputs}
	if err := h.Ledger.save(h.State); err != nil {
		t.Fatal(err)
	}
	w.disk.Overwrite("/etc/motd", "by hand\n")
	w.sd.Tick(1)
	if _, err := w.sd.Run(context.Background(), units.Restart, "side.service"); err != nil {
		t.Fatal(err)
	}
	w.sd.Tick(1)
	h = mustHost(t, w)
	if _, outcome := putRight(t, h, target); outcome.Result != ResultCorrected {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if last := h.Ledger.History[len(h.Ledger.History)-1]; len(last.Restarts) != 1 || !strings.HasPrefix(last.Restarts[0], "restart side.service: /etc/motd changed") {
		t.Errorf("restarted are %q", last.Restarts)
	}

	if _, err := w.sd.Run(context.Background(), units.Stop, "side.service"); err != nil {
		t.Fatal(err)
	}
	mustDrift(t, mustHost(t, w)) // whether it runs is nobody's affair
}

// stoppedWorld is a host whose vendor.service shall not run, and that somebody started.
func stoppedWorld(t *testing.T, says map[string]plan.OnDrift) (*world, *plan.Target) {
	t.Helper()
	w, target := keptWorld(t, func(t *plan.Target) {
		t.State.Units["vendor.service"], t.Drift = plan.Unit{}, says
	})
	mustDrift(t, mustHost(t, w))
	if _, err := w.sd.Run(context.Background(), units.Start, "vendor.service"); err != nil {
		t.Fatal(err)
	}
	return w, target
}

func TestServiceThatShallBeStoppedAndRunsIsToldOf(t *testing.T) {
	w, target := stoppedWorld(t, nil)
	running := w.state()
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != "" || !w.state().equal(running) {
		t.Errorf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	list := mustDrift(t, mustHost(t, w), "vendor.service")
	if len(list) != 1 || list[0].How != "somebody started it" || list[0].Does() != "reported, and left as it is" {
		t.Errorf("it is %+v", list)
	}
}

func TestServiceThatShallBeStoppedIsStoppedWhereTheRepositorySaysSo(t *testing.T) {
	w, target := stoppedWorld(t, map[string]plan.OnDrift{"vendor.service": plan.Correct})
	h := mustHost(t, w)
	if _, outcome := putRight(t, h, target); outcome.Result != ResultCorrected {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if d, _ := w.sd.Show(context.Background(), "vendor.service"); d.IsActive() {
		t.Error("it still runs")
	}
	mustDrift(t, mustHost(t, w))
	stoppedAgain := h.Ledger.History[len(h.Ledger.History)-1]
	if stoppedAgain.Result != ResultCorrected || stoppedAgain.Reason != "correct vendor.service" {
		t.Errorf("the history says %+v", stoppedAgain)
	}
}
