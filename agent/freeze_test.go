package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// frozenWorld is a host at a good commit on which a person has drift left as it is.
func frozenWorld(t *testing.T) (*world, *plan.Target) {
	t.Helper()
	w, target := keptWorld(t, nil)
	freeze(t, w)
	return w, target
}

func freeze(t *testing.T, w *world) {
	t.Helper()
	if err := writeJSON(mustHost(t, w).State, freezeFile, Pause{Reason: "by hand for now"}); err != nil {
		t.Fatal(err)
	}
}

func thaw(t *testing.T, w *world) {
	t.Helper()
	if err := mustHost(t, w).State.Remove(freezeFile); err != nil {
		t.Fatal(err)
	}
}

func TestFrozenHostIsLeftAsItIs(t *testing.T) {
	w, target := keptWorld(t, func(t *plan.Target) { t.Drift = map[string]plan.OnDrift{"vendor.service": plan.Correct} })
	freeze(t, w)
	good := w.state()
	w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
	w.disk.Delete("/etc/motd")
	if _, err := w.sd.Run(context.Background(), units.Stop, "vendor.service"); err != nil {
		t.Fatal(err)
	}
	drifted := w.state()
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != "" || !w.state().equal(drifted) {
		t.Errorf("it ends as %q: %s\n%s", outcome.Result, outcome.Reason, w.state().differs(drifted))
	}
	for _, x := range mustDrift(t, mustHost(t, w), "/etc/app/app.conf", "/etc/motd", "vendor.service") {
		if x.Does() != "left alone: the host is frozen: by hand for now" {
			t.Errorf("%s is %s", x.Name, x.Does())
		}
	}
	thaw(t, w)
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
		t.Errorf("after it it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if end := w.state(); !sameFiles(end.tree, good.tree) {
		t.Errorf("the host is not as the good commit left it:\n%s", end.differs(good))
	}
}

// TestCommitLeavesAloneWhatIsFrozen: a commit about something else took away what somebody
// had written by hand, and started what he had stopped.
func TestCommitLeavesAloneWhatIsFrozen(t *testing.T) {
	w, target := frozenWorld(t)
	w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
	w.disk.Delete("/etc/current")
	w.sd.Tick(1)
	for _, do := range []struct {
		verb units.Verb
		name string
	}{{units.Restart, "app.service"}, {units.Stop, "vendor.service"}} {
		if _, err := w.sd.Run(context.Background(), do.verb, do.name); err != nil {
			t.Fatal(err)
		}
	}
	w.sd.Tick(1)
	byHand, running := w.disk.Print("/etc/app/app.conf"), invocations(w)
	next := &spec{db: 1, app: 1, dbConf: 1, appConf: 1, vendorConf: 1, motd: 2, deep: 1, link: 1, dir: 1}
	h := mustHost(t, w)
	if outcome, err := deployTarget(h, next.target("next", w)); err != nil || outcome.Result != ResultGood {
		t.Fatalf("the commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	if at := w.disk.Print("/etc/app/app.conf"); at != byHand {
		t.Errorf("what was written by hand became %q", at)
	}
	if text, _ := w.disk.ReadFile("/etc/motd"); string(text) != "motd 2\n" {
		t.Errorf("what the commit asks for is %q", text)
	}
	if now := invocations(w); now != running {
		t.Errorf("the commit started something:\n%s\n%s", running, now)
	}
	mustDrift(t, mustHost(t, w), "/etc/app/app.conf", "/etc/current", "app.service", "vendor.service") // which reads the first

	// What the commit asks for anew it brings.
	next.appConf = 2
	if outcome, err := deployTarget(mustHost(t, w), next.target("third", w)); err != nil || outcome.Result != ResultGood {
		t.Fatalf("the commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	if text, _ := w.disk.ReadFile("/etc/app/app.conf"); string(text) != "app 2\n" {
		t.Errorf("what the commit asks for is %q", text)
	}
	mustDrift(t, mustHost(t, w), "/etc/current", "vendor.service")

	thaw(t, w)
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
		t.Errorf("after it it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	mustDrift(t, mustHost(t, w), "vendor.service") // which a person stopped
}

// TestServiceThatReadWhatIsFrozenIsRestartedAfterwards: a commit in between must not make
// what the process read count as the good commit's.
func TestServiceThatReadWhatIsFrozenIsRestartedAfterwards(t *testing.T) {
	w, _ := frozenWorld(t)
	w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
	w.sd.Tick(1)
	next := &spec{db: 1, app: 2, dbConf: 1, appConf: 1, vendorConf: 1, motd: 1, deep: 1, link: 1, dir: 1}
	target := next.target("next", w)
	if outcome, err := deployTarget(mustHost(t, w), target); err != nil || outcome.Result != ResultGood {
		t.Fatalf("the commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	w.sd.Tick(1)
	mustDrift(t, mustHost(t, w), "/etc/app/app.conf", "app.service")
	thaw(t, w)
	before := invocations(w)
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
		t.Fatalf("after it it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if after := invocations(w); after == before {
		t.Error("app.service still runs with what was written by hand")
	}
	mustDrift(t, mustHost(t, w))
}

// TestCommitAboutSomethingElseLeavesAloneWhatIsOnlyReported: the manual says that it stays.
func TestCommitAboutSomethingElseLeavesAloneWhatIsOnlyReported(t *testing.T) {
	says := map[string]plan.OnDrift{"/etc/app/app.conf": plan.Report, "/etc/spool": plan.Ignore}
	w, _ := keptWorld(t, func(t *plan.Target) { t.Drift = says })
	w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
	w.disk.Overwrite("/etc/db.conf", "by hand\n")
	byHand := w.disk.Print("/etc/app/app.conf")
	next := (&spec{db: 1, app: 1, dbConf: 1, appConf: 1, vendorConf: 1, motd: 2, deep: 1, link: 1, dir: 1}).target("next", w)
	next.Drift = says
	if outcome, err := deployTarget(mustHost(t, w), next); err != nil || outcome.Result != ResultGood {
		t.Fatalf("the commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	if at := w.disk.Print("/etc/app/app.conf"); at != byHand {
		t.Errorf("what was written by hand became %q", at)
	}
	if text, _ := w.disk.ReadFile("/etc/db.conf"); string(text) != "db 1\n" {
		t.Errorf("what is to be corrected is %q", text)
	}
	mustDrift(t, mustHost(t, w), "/etc/app/app.conf")
}

// Wherever a commit on a frozen host is cut short, what was written by hand stays.
func TestFrozenDriftSurvivesCrashesOfACommit(t *testing.T) {
	w, _ := frozenWorld(t)
	w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
	byHand := w.disk.Print("/etc/app/app.conf")
	next := (&spec{db: 1, app: 2, dbConf: 1, appConf: 1, vendorConf: 1, motd: 2, deep: 1, link: 1, dir: 1}).target("next", w)
	points := 0
	w.hook(func(effect string) {
		points++
		dead := w.clone()
		dead.die()
		if _, err := recoverWorld(dead); err != nil {
			t.Fatalf("before %q: %v", effect, err)
		}
		if at := dead.disk.Print("/etc/app/app.conf"); at != byHand {
			t.Fatalf("before %q: it became %q", effect, at)
		}
		found, err := mustHost(t, dead).findDrift(t.Context())
		if err != nil || len(found.list) == 0 || found.list[0].Name != "/etc/app/app.conf" {
			t.Fatalf("before %q: drifted are %+v, %v", effect, found.list, err)
		}
	})
	outcome, err := deployTarget(mustHost(t, w), next)
	if w.unhook(); err != nil || outcome.Result != ResultGood || points < 20 {
		t.Errorf("it ends as %q: %s %v after %d points", outcome.Result, outcome.Reason, err, points)
	}
}

// TestPauseThatBeginsBetweenLookAndCorrectionCounts: rendering the good commit once more
// takes a while, and the person was there first.
func TestPauseThatBeginsBetweenLookAndCorrectionCounts(t *testing.T) {
	for _, file := range []string{pauseFile, freezeFile} {
		w, target := keptWorld(t, nil)
		h := mustHost(t, w)
		w.disk.Overwrite("/etc/motd", "by hand\n")
		mustDrift(t, h, "/etc/motd")
		if err := writeJSON(h.State, file, Pause{Reason: "somebody is at it"}); err != nil {
			t.Fatal(err)
		}
		drifted := w.state()
		if _, outcome := putRight(t, h, target); outcome.Result != "" || !w.state().equal(drifted) {
			t.Errorf("%s: it ends as %q: %s", file, outcome.Result, outcome.Reason)
		}
	}
}

// TestCorrectionsCountedByAWrongClockAreForgotten: a clock that was years ahead had counted
// five corrections, and once it was right the next one was never made.
func TestCorrectionsCountedByAWrongClockAreForgotten(t *testing.T) {
	l, at := &Ledger{}, time.Date(2036, 11, 25, 7, 0, 0, 0, time.UTC)
	for range maxCorrections {
		l.count([]string{"/etc/motd"}, at)
	}
	at = at.AddDate(-10, 0, 0)
	for i := range maxCorrections + 1 {
		if left := l.count([]string{"/etc/motd"}, at); len(left) != map[bool]int{true: 1}[i < maxCorrections] {
			t.Errorf("correction %d after the clock was set: %v %+v", i, left, l.Corrections)
		}
		at = at.Add(time.Second)
	}
}

// TestCorrectionNeverGoesPastAPackageManager: a commit does after two hours, because it may
// mend what hangs; a correction in the middle of an upgrade only fights it.
func TestCorrectionNeverGoesPastAPackageManager(t *testing.T) {
	a, at := kept(t)
	a.locks.files = lockFiles(t)
	_, end := lockBy(t, a.locks.files[0].path)
	for range 3 {
		a.calm.begin()
		if why := a.notCalm(context.Background()); !strings.Contains(why, "dpkg to finish") {
			t.Errorf("at %s it waits for %q", at, why)
		}
		*at = at.Add(installPatience)
	}
	end()
	a.calm.begin()
	if why := a.notCalm(context.Background()); why != "" {
		t.Errorf("when it is free it waits for %q", why)
	}
}

// TestCommitDoesNotEnableWhatSomebodyDisabledOnAFrozenHost: the link was the vendor's, and
// a commit about the motd made it anew.
func TestCommitDoesNotEnableWhatSomebodyDisabledOnAFrozenHost(t *testing.T) {
	const link = "/etc/systemd/system/multi-user.target.wants/vendor.service"
	w := newWorld(plainScenario())
	w.disk.Delete(link)
	w.disk.PutLink(link, "/lib/systemd/system/vendor.service")
	asks := &spec{db: 1, app: 1, vendorConf: 1, motd: 1}
	if outcome, err := deployTarget(mustHost(t, w), asks.target("good", w)); err != nil || outcome.Result != ResultGood {
		t.Fatalf("the good commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	freeze(t, w)
	w.disk.Delete(link)
	asks.motd = 2
	next := asks.target("next", w)
	h := mustHost(t, w)
	if outcome, err := deployTarget(h, next); err != nil || outcome.Result != ResultGood {
		t.Fatalf("the commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	mustDrift(t, mustHost(t, w), link)
	if _, ours := h.Ledger.Owned.all()[link]; ours {
		t.Error("the vendor's link counts as evenkeel's")
	}
	thaw(t, w)
	if _, outcome := putRight(t, mustHost(t, w), next); outcome.Result != ResultCorrected {
		t.Errorf("after it it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	mustDrift(t, mustHost(t, w))
}

// TestReloadReadsWhatIsFrozenToo: a commit about one file had a service reload, which read
// another one that somebody had written to; when that was put right the service went on
// with what it had read. So it was with one that knows no reload and is restarted.
func TestReloadReadsWhatIsFrozenToo(t *testing.T) {
	for verb, soft := range map[string]map[string]bool{
		"reload":  {"/etc/app/app.conf": true, "/etc/motd": true},
		"restart": {"/etc/motd": true},
	} {
		reads := func(t *plan.Target) *plan.Target {
			u := t.State.Units["app.service"]
			u.Inputs["/etc/motd"], u.Soft = t.State.Paths["/etc/motd"].Fingerprint(), soft
			t.State.Units["app.service"] = u
			return t
		}
		w, _ := keptWorld(t, func(t *plan.Target) { reads(t) })
		freeze(t, w)
		w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
		w.sd.Tick(1)
		next := reads((&spec{db: 1, app: 1, dbConf: 1, appConf: 1, vendorConf: 1, motd: 2, deep: 1, link: 1, dir: 1}).target("next", w))
		if outcome, err := deployTarget(mustHost(t, w), next); err != nil || outcome.Result != ResultGood {
			t.Fatalf("%s: the commit ends as %q: %s %v", verb, outcome.Result, outcome.Reason, err)
		}
		mustDrift(t, mustHost(t, w), "/etc/app/app.conf", "app.service")
		thaw(t, w)
		h := mustHost(t, w)
		if _, outcome := putRight(t, h, next); outcome.Result != ResultCorrected {
			t.Fatalf("%s: after it it ends as %q: %s", verb, outcome.Result, outcome.Reason)
		}
		if last := h.Ledger.History[len(h.Ledger.History)-1]; len(last.Restarts) != 1 || !strings.HasPrefix(last.Restarts[0], verb+" app.service") {
			t.Errorf("%s: the correction did %q", verb, last.Restarts)
		}
		mustDrift(t, mustHost(t, w))
	}
}

// TestDirectoryInPlaceOfAFrozenFileRefusesNoCommit: no commit at all came to the host, and
// the hint said that evenkeel had brought the directory.
func TestDirectoryInPlaceOfAFrozenFileRefusesNoCommit(t *testing.T) {
	w, _ := frozenWorld(t)
	w.disk.Delete("/etc/motd")
	w.disk.PutDir("/etc/motd", apply.Attr{Mode: 0o755})
	asks := &spec{db: 1, app: 1, dbConf: 2, appConf: 1, vendorConf: 1, motd: 1, deep: 1, link: 1, dir: 1}
	clashes := func(commit string) (*plan.Target, manifest.Problems) {
		target, h := asks.target(commit, w), mustHost(t, w)
		n, err := h.observe(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		return target, h.clashes(target, n)
	}
	next, problems := clashes("next")
	if len(problems) > 0 {
		t.Errorf("it is refused: %v", problems)
	}
	if outcome, err := deployTarget(mustHost(t, w), next); err != nil || outcome.Result != ResultGood {
		t.Errorf("it ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	mustDrift(t, mustHost(t, w), "/etc/motd")
	asks.motd = 2
	if _, problems = clashes("third"); len(problems) != 1 || !strings.HasPrefix(problems[0].Hint, "move it away") {
		t.Errorf("a commit that asks for another file has the problems %+v", problems)
	}
}

// TestCommitWaitsForAFileThatItsServiceCannotDoWithout: the file was deleted, and stays so.
// The commit was rejected, and the way back from it held the host with the service down.
func TestCommitWaitsForAFileThatItsServiceCannotDoWithout(t *testing.T) {
	const unit = "/etc/systemd/system/app.service"
	for name, row := range map[string]struct {
		deleted string
		next    spec
		want    string
	}{
		"its unit file":                     {unit, spec{app: 1, appConf: 2}, unit},
		"its unit file, which comes anew":   {unit, spec{app: 2, appConf: 1}, ""},
		"what it can do without":            {"/etc/app/app.conf", spec{app: 2, appConf: 1}, ""},
		"another service's file":            {unit, spec{app: 1, appConf: 1, vendorConf: 2}, ""},
		"its own, and one that it requires": {unit, spec{app: 1, appConf: 1, dbConf: 2}, unit},
		"the file of one that is restarted": {"/etc/systemd/system/db.service", spec{app: 1, appConf: 1, dbConf: 2}, "/etc/systemd/system/db.service"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := frozenWorld(t)
			w.disk.Delete(row.deleted)
			next := row.next
			next.db, next.motd, next.deep, next.link, next.dir = 1, 1, 1, 1, 1
			next.dbConf, next.vendorConf = max(next.dbConf, 1), max(next.vendorConf, 1)
			h, target := mustHost(t, w), next.target("next", w)
			n, err := h.observe(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			found := h.hindered(h.complete(target, "digest", "key", n), n)
			switch {
			case row.want == "" && len(found) > 0, row.want != "" && len(found) != 1:
				t.Errorf("it waits for %q", found)
			case row.want != "" && !strings.HasPrefix(found[0], row.want+", without which "):
				t.Errorf("it waits for %q", found[0])
			}
		})
	}
}
