package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// keptWorld is a host at a good commit that has a bit of everything.
func keptWorld(t *testing.T, change func(*plan.Target)) (*world, *plan.Target) {
	t.Helper()
	w := newWorld(plainScenario())
	target := (&spec{db: 1, app: 1, dbConf: 1, appConf: 1, vendorConf: 1, motd: 1, deep: 1, link: 1, dir: 1}).target("good", w)
	if change != nil {
		change(target)
	}
	if outcome, err := deployTarget(mustHost(t, w), target); err != nil || outcome.Result != ResultGood {
		t.Fatalf("the good commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	return w, target
}

func mustHost(t *testing.T, w *world) *Host {
	t.Helper()
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// putRight is one look for drift and what follows from it.
func putRight(t *testing.T, h *Host, target *plan.Target) (drift, Outcome) {
	t.Helper()
	found, outcome, err := h.correct(context.Background(), target.Content)
	if err != nil {
		t.Fatal(err)
	}
	return found, outcome
}

// mustDrift is a look that must end with what is listed.
func mustDrift(t *testing.T, h *Host, want ...string) []Deviation {
	t.Helper()
	found, err := h.findDrift(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range found.list {
		names = append(names, x.Name)
	}
	if !slices.Equal(names, want) {
		t.Errorf("drifted are %q, want %q", names, want)
	}
	return found.list
}

func TestDriftIsPutBack(t *testing.T) {
	other := apply.Attr{Mode: 0o600, UID: 100, GID: 100}
	for name, tamper := range map[string]func(w *world){
		"nothing":                    func(*world) {},
		"content":                    func(w *world) { w.disk.Overwrite("/etc/app/app.conf", "by hand\n") },
		"another inode":              func(w *world) { w.disk.PutFile("/etc/app/app.conf", "by hand\n", rootFile) },
		"mode and owner":             func(w *world) { w.disk.Chmod("/etc/app/app.conf", other) },
		"mode of a directory":        func(w *world) { w.disk.Chmod("/etc/spool", other) },
		"deleted":                    func(w *world) { w.disk.Delete("/etc/motd") },
		"deleted with its directory": func(w *world) { w.disk.Delete("/etc/app") },
		"replaced by a link": func(w *world) {
			w.disk.Delete("/etc/motd")
			w.disk.PutLink("/etc/motd", "/etc/issue")
		},
		"another link":   func(w *world) { w.disk.PutLink("/etc/current", "elsewhere") },
		"link gone":      func(w *world) { w.disk.Delete("/etc/current") },
		"link to a file": func(w *world) { w.disk.PutFile("/etc/current", "file\n", rootFile) },
		"disabled":       func(w *world) { w.disk.Delete("/etc/systemd/system/multi-user.target.wants/app.service") },
		"vendor's unit disabled": func(w *world) {
			w.disk.Delete("/etc/systemd/system/multi-user.target.wants/vendor.service")
		},
		"unit file": func(w *world) {
			w.disk.Overwrite("/etc/systemd/system/db.service", "[Service]\nExecStart=/usr/bin/evil\n")
		},
		"many": func(w *world) {
			w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
			w.disk.Delete("/etc/motd")
			w.disk.Chmod("/etc/spool", other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, target := keptWorld(t, nil)
			good := w.state()
			tamper(w)
			drifted := !w.state().equal(good)
			before := invocations(w)
			h := mustHost(t, w)
			goodBefore := *h.Ledger.Good
			_, outcome := putRight(t, h, target)
			if want := map[bool]Result{true: ResultCorrected}[drifted]; outcome.Result != want {
				t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
			}
			if end := w.state(); !end.equal(good) {
				t.Errorf("the host is not as the good commit left it:\n%s", end.differs(good))
			}
			if h.Ledger.Good.Digest != goodBefore.Digest || h.Ledger.Good.When != goodBefore.When {
				t.Error("another commit is good now")
			}
			if after := invocations(w); after != before && name != "unit file" {
				t.Errorf("nothing had read what drifted, and something was restarted:\n%s\n%s", before, after)
			}
			if last := h.Ledger.History[len(h.Ledger.History)-1]; drifted && (last.Result != ResultCorrected || !strings.HasPrefix(last.Reason, "correct ")) {
				t.Errorf("the history says %q: %s", last.Result, last.Reason)
			}
			mustDrift(t, mustHost(t, w))
		})
	}
}

// invocations tells which processes run.
func invocations(w *world) string {
	var b strings.Builder
	for _, name := range []string{"db.service", "app.service", "vendor.service"} {
		d, _ := w.sd.Show(context.Background(), name)
		fmt.Fprintln(&b, name, d.Active, d.Invocation)
	}
	return b.String()
}

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

func TestDriftThatIsLeftAlone(t *testing.T) {
	for name, row := range map[string]struct {
		says   map[string]plan.OnDrift
		tamper func(w *world)
		want   []string
		does   string
	}{
		"the repository says report": {
			map[string]plan.OnDrift{"/etc/motd": plan.Report}, func(w *world) { w.disk.Delete("/etc/motd") },
			[]string{"/etc/motd"}, "reported, and left as it is",
		},
		"the repository says ignore": {
			map[string]plan.OnDrift{"": plan.Ignore}, func(w *world) { w.disk.Delete("/etc/motd") }, nil, "",
		},
		"a directory stands there": {
			nil, func(w *world) { w.disk.Delete("/etc/motd"); w.disk.PutDir("/etc/motd", apply.Attr{Mode: 0o755}) },
			[]string{"/etc/motd"}, "left alone: a directory stands where a file was; move it away",
		},
		"a socket stands there": {
			nil, func(w *world) { w.disk.Delete("/etc/motd"); w.disk.PutOther("/etc/motd") },
			[]string{"/etc/motd"}, "left alone: a device, socket or pipe stands there; move it away",
		},
		"it has other names": {
			nil, func(w *world) { w.disk.Delete("/etc/motd"); w.disk.PutHardlink("/etc/issue", "/etc/motd") },
			[]string{"/etc/motd"}, "left alone: the file that stands there has other names (hard links); remove it",
		},
		"somebody added a drop-in": {
			nil, func(w *world) {
				w.disk.PutDir("/etc/systemd/system/db.service.d", apply.Attr{Mode: 0o755})
				w.disk.PutFile("/etc/systemd/system/db.service.d/x.conf", "[Service]\nNice=1\n", rootFile)
			},
			[]string{"/etc/systemd/system/db.service.d/x.conf"}, "left alone: it is not evenkeel's; remove it, or bring it into the repository",
		},
		"somebody masked a service that runs": {
			nil, func(w *world) { w.disk.PutLink("/etc/systemd/system/vendor.service", "/dev/null") },
			[]string{"vendor.service"}, "left alone: somebody masked it, and that link is not evenkeel's; \"systemctl unmask vendor.service\" takes it away",
		},
		"somebody masked a service and stopped it": {
			map[string]plan.OnDrift{"vendor.service": plan.Correct}, func(w *world) {
				w.disk.PutLink("/etc/systemd/system/vendor.service", "/dev/null")
				w.sd.Run(context.Background(), units.Stop, "vendor.service")
			},
			[]string{"vendor.service"}, "left alone: somebody masked it, and that link is not evenkeel's; \"systemctl unmask vendor.service\" takes it away",
		},
		"somebody masked a service that nobody minds": {
			map[string]plan.OnDrift{"vendor.service": plan.Ignore}, func(w *world) { w.disk.PutLink("/etc/systemd/system/vendor.service", "/dev/null") }, nil, "",
		},
		"a service read what is only reported": {
			map[string]plan.OnDrift{"/etc/app/app.conf": plan.Report}, func(w *world) {
				w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
				w.sd.Tick(1)
				w.sd.Run(context.Background(), units.Restart, "app.service")
			},
			[]string{"/etc/app/app.conf", "app.service"}, "reported, and left as it is",
		},
		"a service read what is ignored": {
			map[string]plan.OnDrift{"/etc/app/app.conf": plan.Ignore}, func(w *world) {
				w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
				w.sd.Tick(1)
				w.sd.Run(context.Background(), units.Restart, "app.service")
			},
			nil, "",
		},
		"somebody stopped a service": {
			nil, func(w *world) { w.sd.Run(context.Background(), units.Stop, "vendor.service") },
			[]string{"vendor.service"}, "reported, and left as it is",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, target := keptWorld(t, func(t *plan.Target) { t.Drift = row.says })
			row.tamper(w)
			drifted := w.state()
			_, outcome := putRight(t, mustHost(t, w), target)
			if outcome.Result != "" || !w.state().equal(drifted) {
				t.Errorf("it ends as %q: %s\n%s", outcome.Result, outcome.Reason, w.state().differs(drifted))
			}
			for _, x := range mustDrift(t, mustHost(t, w), row.want...) {
				if x.Does() != row.does {
					t.Errorf("%s is %s, want %s", x.Name, x.Does(), row.does)
				}
			}
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
func TestDriftThatIsLeftAloneStaysDrift(t *testing.T) {
	w, target := keptWorld(t, func(t *plan.Target) { t.Drift = map[string]plan.OnDrift{"/etc/app/app.conf": plan.Report} })
	w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
	w.disk.Overwrite("/etc/motd", "by hand\n")
	h := mustHost(t, w)
	if _, outcome := putRight(t, h, target); outcome.Result != ResultCorrected || !slices.Equal(h.Ledger.Good.Except, nil) {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	mustDrift(t, mustHost(t, w), "/etc/app/app.conf")
}

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

// TestFightIsGivenUp: a loop rewrites a file again and again.
func TestFightIsGivenUp(t *testing.T) {
	w, target := keptWorld(t, nil)
	for range maxCorrections {
		w.disk.Overwrite("/etc/motd", "by a loop\n")
		if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
			t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
		}
		w.sd.Tick(1)
	}
	w.disk.Overwrite("/etc/motd", "by a loop\n")
	w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
		t.Fatalf("what is not fought about ends as %q: %s", outcome.Result, outcome.Reason)
	}
	list := mustDrift(t, mustHost(t, w), "/etc/motd")
	if len(list) != 1 || !strings.Contains(list[0].Does(), "5 times within an hour") {
		t.Errorf("it is %+v", list)
	}

	// An hour later nobody is sure that it is over; a person's word is what counts.
	w.sd.Tick(int(2 * time.Hour / time.Second))
	h := mustHost(t, w)
	if _, outcome := putRight(t, h, target); outcome.Result != "" {
		t.Errorf("after a while it ends as %q", outcome.Result)
	}
	h.Ledger.Corrections = nil
	if _, outcome := putRight(t, h, target); outcome.Result != ResultCorrected {
		t.Errorf("after a retry it ends as %q: %s", outcome.Result, outcome.Reason)
	}
}

// TestCorrectionThatFailsIsNotRepeated: what a person did by hand keeps the service
// alive; the good commit's file does not any more.
func TestCorrectionThatFailsIsNotRepeated(t *testing.T) {
	w, target := keptWorld(t, nil)
	w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
	w.sd.Tick(1)
	if _, err := w.sd.Run(context.Background(), units.Restart, "app.service"); err != nil {
		t.Fatal(err)
	}
	w.sd.Tick(1)
	byHand := w.disk.Print("/etc/app/app.conf")
	w.s.sick["good"] = true
	h := mustHost(t, w)
	_, outcome := putRight(t, h, target)
	if outcome.Result != ResultFailed {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if at := w.disk.Print("/etc/app/app.conf"); at != byHand {
		t.Errorf("what the person wrote became %q", at)
	}
	if len(h.Ledger.Rejected) > 0 {
		t.Errorf("the good commit is rejected: %+v", h.Ledger.Rejected)
	}
	list := mustDrift(t, mustHost(t, w), "/etc/app/app.conf", "app.service")
	if len(list) != 2 || list[0].Corrected() || list[1].Corrected() {
		t.Errorf("it will be corrected again: %+v", list)
	}
}

// Wherever a correction is cut short, the host ends with the drift as it was or
// without it, and the next look puts it right.
func TestCorrectionSurvivesCrashes(t *testing.T) {
	w, target := keptWorld(t, nil)
	good := w.state()
	w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
	w.disk.Delete("/etc/motd")
	w.sd.Tick(1)
	if _, err := w.sd.Run(context.Background(), units.Restart, "app.service"); err != nil {
		t.Fatal(err)
	}
	w.sd.Tick(1)
	w.disk.Settle()
	drifted := w.state()
	rng := rand.New(rand.NewPCG(1, 6))
	points := 0
	w.hook(func(effect string) {
		for _, power := range []bool{false, true} {
			points++
			dead := w.clone()
			if dead.die(); power {
				if err := dead.powerCut(rng); err != nil {
					t.Fatalf("before %q: %v", effect, err)
				}
			}
			h, err := recoverWorld(dead)
			if err != nil {
				t.Fatalf("before %q: %v", effect, err)
			}
			end := dead.state()
			if !power && !end.equal(good) && !end.equal(drifted) || power && !sameFiles(end.tree, good.tree) && !sameFiles(end.tree, drifted.tree) {
				t.Fatalf("before %q, power %t, it is neither the drift nor the good commit:\n%s", effect, power, end.differs(good))
			}
			if len(h.Ledger.Rejected) > 0 || h.Ledger.Good == nil {
				t.Fatalf("before %q the good commit is lost: %+v", effect, h.Ledger.Rejected)
			}
			found, outcome := putRight(t, h, target)
			if end := dead.state(); !end.equal(good) {
				t.Fatalf("before %q, power %t, the next look does not put it right, it ends as %q: %s %+v\n%s", effect, power, outcome.Result, outcome.Reason, found.list, end.differs(good))
			}
		}
	})
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
		t.Fatalf("without a crash it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if w.unhook(); points < 40 {
		t.Errorf("only %d points were tried", points)
	}
}

func TestHostWithoutGoodCommitHasNoDrift(t *testing.T) {
	w := newWorld(plainScenario())
	h := mustHost(t, w)
	h.Ledger.Owned = map[string]Owned{"/etc/motd": {}}
	mustDrift(t, h)
}

// TestNothingIsCorrectedWhileAnAttemptIsOpen: the host is on its way to another commit,
// and what is not as the good one left it may be just that.
func TestNothingIsCorrectedWhileAnAttemptIsOpen(t *testing.T) {
	w, target := keptWorld(t, nil)
	w.s.overtaken["next"] = true
	h := mustHost(t, w)
	if outcome, err := deployTarget(h, (&spec{motd: 2}).target("next", w)); err != nil || outcome.Result != ResultWatching {
		t.Fatalf("the next commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	w.disk.Overwrite("/etc/motd", "by hand\n")
	before := w.state()
	if _, outcome := putRight(t, h, target); outcome.Result != "" || !w.state().equal(before) {
		t.Errorf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	mustDrift(t, h)
}

// TestDiskThatWasFullForAMinuteDoesNotEndCorrections: each try that could not even begin
// counted, and after five of them the path was left alone until a person said retry.
func TestDiskThatWasFullForAMinuteDoesNotEndCorrections(t *testing.T) {
	for _, fails := range []string{keptPrefix, ".motd.evenkeel+"} {
		w, target := keptWorld(t, nil)
		good := w.state()
		w.disk.Overwrite("/etc/motd", "by hand\n")
		h := mustHost(t, w)
		w.fails(-1, fails)
		for range 2 * maxCorrections {
			if _, outcome, err := h.correct(context.Background(), target.Content); err == nil || outcome.Result != "" {
				t.Fatalf("%s: on a full disk it ends as %q: %s %v", fails, outcome.Result, outcome.Reason, err)
			}
			w.sd.Tick(1)
		}
		w.mend()
		if _, outcome := putRight(t, h, target); outcome.Result != ResultCorrected || !w.state().equal(good) {
			t.Errorf("%s: afterwards it ends as %q: %s\n%s", fails, outcome.Result, outcome.Reason, w.state().differs(good))
		}
	}
}
