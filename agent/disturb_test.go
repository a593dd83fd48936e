package agent

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// A job that a timer runs needs the database. It ran once, and since then ran
// again at each commit that restarted the database.
func TestRestartOfAServiceDoesNotRunTheJobsThatNeedIt(t *testing.T) {
	for _, version := range []int{252, 257} {
		for _, sick := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, sick %v", version, sick), func(t *testing.T) {
				w := newWorld(&scenario{version: version, sick: map[string]bool{"new": sick}})
				w.last = true
				w.disk.PutFile("/usr/lib/systemd/system/backup.service", "[Unit]\nRequires=db.service\nAfter=db.service\n[Service]\nType=oneshot\nExecStart=/usr/bin/backup\n", rootFile)
				w.disk.PutFile("/usr/lib/systemd/system/backup.timer", "[Timer]\nOnCalendar=daily\n", rootFile)
				deployed(t, w, (&spec{db: 1, dbConf: 1}).target("good", w))
				if result, err := w.sd.Run(t.Context(), units.Start, "backup.timer"); err != nil || result != units.Done {
					t.Fatalf("the timer ends as %q: %v", result, err)
				}
				if result, err := w.sd.Run(t.Context(), units.Start, "backup.service"); err != nil || result != units.Done {
					t.Fatalf("the job ends as %q: %v", result, err)
				}
				before, ran := w.sd.LastRun("backup.service")
				deployed(t, w, (&spec{db: 1, dbConf: 2}).target("new", w))
				if after, _ := w.sd.LastRun("backup.service"); !ran || after.Invocation != before.Invocation {
					t.Error("the job ran again")
				}
			})
		}
	}
}

// A unit allows two starts in five minutes. The third commit in that time was
// rejected for "start-limit-hit", although nothing was wrong with it.
func TestCommitsInQuickSuccessionDoNotHitTheStartLimit(t *testing.T) {
	w := newWorld(&scenario{version: 252})
	w.last = true
	w.disk.PutFile("/usr/lib/systemd/system/vendor.service", "[Unit]\nStartLimitIntervalSec=300\nStartLimitBurst=2\n[Service]\nEnvironmentFile=-/etc/vendor.d/a.conf\nExecStart=/usr/bin/vendor\n[Install]\nWantedBy=multi-user.target\n", rootFile)
	if err := w.sd.DaemonReload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 6; i++ {
		outcome := deployed(t, w, (&spec{vendorConf: 1 + i%3}).target(fmt.Sprint("commit", i), w))
		if outcome.Result != ResultGood {
			t.Fatalf("commit %d ends as %q: %s", i, outcome.Result, outcome.Reason)
		}
	}
}

// asked remembers of which services the checks were tried before a commit.
type asked struct {
	Health
	checks []string
}

func (a *asked) Baseline(_ context.Context, services map[string]plan.Service) map[string]bool {
	for unit, service := range services {
		for _, check := range service.Checks {
			a.checks = append(a.checks, unit+" "+check.String())
		}
	}
	return map[string]bool{}
}

// A commit brought a service whose check never passed. It failed before the
// commit too, as the service was not there: the commit was good.
func TestCheckThatComesWithACommitMustPass(t *testing.T) {
	w := newWorld(&scenario{version: 257})
	w.last = true
	old := (&spec{db: 1}).target("good", w)
	old.Services["db.service"] = plan.Service{Enabled: true, Checks: []plan.Check{{TCP: "127.0.0.1:5432"}}}
	deployed(t, w, old)
	target := (&spec{db: 1, app: 1}).target("new", w)
	target.Services["db.service"] = old.Services["db.service"]
	target.Services["app.service"] = plan.Service{Enabled: true, Checks: []plan.Check{{TCP: "127.0.0.1:80"}}}
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	a := &asked{Health: h.Health}
	h.Health = a
	if _, err := deployTarget(h, target); err != nil {
		t.Fatal(err)
	}
	if want := []string{"db.service tcp 127.0.0.1:5432"}; !slices.Equal(a.checks, want) {
		t.Errorf("checks that may go on failing are %q, want only those of the good commit %q", a.checks, want)
	}
}

// A file could not be replaced for days because of a second hard link. When that
// was gone and the daemon was killed once, the commit was rejected: its three
// tries were used up.
func TestCommitThatCannotBeStagedUsesUpNoTries(t *testing.T) {
	w := newWorld(&scenario{version: 252})
	w.disk.PutHardlink("/etc/issue", "/etc/issue.bak")
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	target := (&spec{issue: 2}).target("new", w)
	for range 2 * maxTries {
		if _, err := deployTarget(h, target); err == nil {
			t.Fatal("a file with two hard links was replaced")
		}
	}
	if tries := h.Ledger.Tries["new"]; tries != 0 {
		t.Errorf("%d tries are counted, want none", tries)
	}
}

// A host's own drop-in makes evenkeel require a service. To restart that would end
// the daemon in the middle of the attempt, at each try.
func TestWhatTakesEvenkeelDownIsNotTouched(t *testing.T) {
	w := newWorld(&scenario{version: 257, vendorUnit: "[Service]\nEnvironmentFile=-/etc/vendor.d/a.conf\nExecStart=/usr/bin/vendor\n", sideUnit: "Requires"})
	w.last = true
	w.disk.PutFile("/usr/lib/systemd/system/evenkeel.service", "[Unit]\nRequires=vendor.service\n[Service]\nExecStart=/usr/bin/evenkeel\n", rootFile)
	if err := w.sd.DaemonReload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if result, err := w.sd.Run(t.Context(), units.Start, "evenkeel.service"); err != nil || result != units.Done {
		t.Fatalf("the daemon starts with %q: %v", result, err)
	}
	before := w.state()
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := deployTarget(h, (&spec{vendorConf: 2}).target("new", w)); err == nil {
		t.Error("the service was restarted")
	}
	if after := w.state(); !after.equal(before) {
		t.Errorf("something was touched:\n%s", after.differs(before))
	}
}
