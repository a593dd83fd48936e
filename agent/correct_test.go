package agent

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

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

// TestCommitWithWhatSomebodyDidByHandDoesNotFlapBackFirst: only what is gone comes before a
// commit, and nothing where the commit is about the same places.
func TestCommitWithWhatSomebodyDidByHandDoesNotFlapBackFirst(t *testing.T) {
	for name, row := range map[string]struct {
		tamper func(w *world)
		next   spec
		want   bool
	}{
		"nothing drifted":                         {func(*world) {}, spec{motd: 2}, false},
		"a file is gone, the commit is elsewhere": {func(w *world) { w.disk.Delete("/etc/app/app.conf") }, spec{motd: 2, appConf: 1}, true},
		"a file is gone, the commit changes it":   {func(w *world) { w.disk.Delete("/etc/app/app.conf") }, spec{motd: 1, appConf: 2}, true},
		"a file is gone, the commit removes it":   {func(w *world) { w.disk.Delete("/etc/app/app.conf") }, spec{motd: 1}, false},
		"an edit, the commit is elsewhere":        {func(w *world) { w.disk.Overwrite("/etc/app/app.conf", "by hand\n") }, spec{motd: 2, appConf: 1}, false},
		"an edit that the commit has as well":     {func(w *world) { w.disk.Overwrite("/etc/app/app.conf", "app 2\n") }, spec{motd: 1, appConf: 2}, false},
		"an edit, and a file that is gone": {func(w *world) {
			w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
			w.disk.Delete("/etc/motd")
		}, spec{motd: 1, appConf: 1, dir: 2}, true},
		"an edit that the commit has better, and a file that is gone": {func(w *world) {
			w.disk.Overwrite("/etc/app/app.conf", "by hand\n")
			w.disk.Delete("/etc/motd")
		}, spec{motd: 1, appConf: 2}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := keptWorld(t, nil)
			row.tamper(w)
			found, err := mustHost(t, w).findDrift(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			next := row.next
			next.db, next.app, next.dbConf, next.vendorConf, next.deep, next.link, next.dir = 1, 1, 1, 1, 1, 1, max(1, next.dir)
			if got := found.comesFirst(next.target("next", w)); got != row.want {
				t.Errorf("it is corrected first: %t", got)
			}
		})
	}
}

// TestRecordOfACorrectionHasOnlyWhatIsRead: it was as large as the host has files, and what
// units read there they must be able to say.
func TestRecordOfACorrectionHasOnlyWhatIsRead(t *testing.T) {
	reads := func(p string) map[string]plan.Unit {
		return map[string]plan.Unit{"app.service": {Inputs: map[string]string{p: ""}}}
	}
	at := plan.Path{Kind: plan.File}
	a := &Attempt{
		Owned:  map[string]Owned{"/etc/other": {}},
		Before: plan.State{Units: reads("/etc/before")},
		After:  plan.State{Paths: map[string]plan.Path{"/etc/now": at, "/etc/before": at, "/etc/after": at, "/etc/other": at}, Units: reads("/etc/after")},
	}
	to := a.After
	a.leaveToLedger(now{state: plan.State{Units: reads("/etc/now")}})
	if _, other := a.After.Paths["/etc/other"]; other || len(a.After.Paths) != 3 || a.Owned != nil {
		t.Errorf("it has %v and owns %v", a.After.Paths, a.Owned)
	}
	if len(to.Paths) != 4 {
		t.Error("what is wanted lost something")
	}
}
