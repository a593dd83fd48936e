package agent

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// crashedWorld is a host whose services crash until systemd starts them no more. How they
// fare from then on is up to drop-ins that are somebody else's.
func crashedWorld(t *testing.T, behave map[string]string) (*world, *plan.Target) {
	t.Helper()
	w, target := keptWorld(t, nil)
	for name := range behave {
		dropIn(t, w, name, "loop")
		if _, err := w.sd.Run(context.Background(), units.Restart, name); err != nil {
			t.Fatal(err)
		}
	}
	w.sd.Tick(30)
	for name, mark := range behave {
		if d := mustShow(t, w, name); d.Active != "failed" || d.Result != "exit-code" {
			t.Fatalf("%s is %s, %s", name, d.Active, d.Result)
		}
		dropIn(t, w, name, mark)
	}
	return w, target
}

// TestFailedCorrectionDoesNotStopTheServiceThatCrashed: a correction started a crashed
// service, which crashed once more; then evenkeel stopped it, cleared its failure, and said
// that somebody had stopped it.
func TestFailedCorrectionDoesNotStopTheServiceThatCrashed(t *testing.T) {
	for name, row := range map[string]struct{ mark, active string }{
		"it crashes again and again":                    {"loop", "failed"},
		"it crashes once more, and systemd restarts it": {"crash-once 3", "active"},
		"it does not start":                             {"fail", "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			w, target := crashedWorld(t, map[string]string{"db.service": row.mark})
			h := mustHost(t, w)
			var effects []string
			w.hook(func(effect string) { effects = append(effects, effect) })
			_, outcome := putRight(t, h, target)
			w.unhook()
			if outcome.Result != ResultFailed {
				t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
			}
			if slices.Contains(effects, "stop db.service") {
				t.Errorf("it was stopped: %q", effects)
			}
			if d := mustShow(t, w, "db.service"); d.Active == "inactive" {
				t.Errorf("it is %s (%s), %s", d.Active, d.Sub, d.Result)
			}
			w.sd.Tick(30)
			if d := mustShow(t, w, "db.service"); d.Active != row.active {
				t.Errorf("left to systemd it became %s (%s), want %s", d.Active, d.Sub, row.active)
			}
			found, err := mustHost(t, w).findDrift(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			said := false
			for _, x := range found.list {
				if x.Name == "db.service" {
					said = true
					if !strings.HasPrefix(x.How, "it is failed, its last run ended with ") || !strings.HasPrefix(x.Does(), "left alone: the correction failed: ") {
						t.Errorf("people read %q, %q", x.How, x.Does())
					}
				}
			}
			if said != (row.active == "failed") {
				t.Errorf("drifted is %+v", found.list)
			}
			if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != "" {
				t.Errorf("it is tried again, and ends as %q: %s", outcome.Result, outcome.Reason)
			}
		})
	}
}

// TestServiceWhoseTurnNeverCameStaysFailed: two services had crashed. The first could not be
// started again, and the failure of the second was cleared before its turn.
func TestServiceWhoseTurnNeverCameStaysFailed(t *testing.T) {
	w, target := crashedWorld(t, map[string]string{"db.service": "fail", "vendor.service": "fine"})
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultFailed {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	for _, name := range []string{"db.service", "vendor.service"} {
		if d := mustShow(t, w, name); d.Active == "inactive" {
			t.Errorf("%s is %s (%s), %s", name, d.Active, d.Sub, d.Result)
		}
	}
}

// Wherever the correction of a crashed service is cut short, nobody takes it afterwards for
// one that a person stopped, and it runs in the end.
func TestCorrectionOfACrashedServiceSurvivesCrashes(t *testing.T) {
	w, target := crashedWorld(t, map[string]string{"db.service": "fine", "vendor.service": "fine"})
	rng := rand.New(rand.NewPCG(1, 7))
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
				t.Fatalf("before %q, power %t: %v", effect, power, err)
			}
			if _, outcome := putRight(t, h, target); outcome.Result == ResultFailed || h.Ledger.Hold != nil {
				t.Fatalf("before %q, power %t, the next look ends as %q: %s", effect, power, outcome.Result, outcome.Reason)
			}
			for _, name := range []string{"db.service", "vendor.service"} {
				if d := mustShow(t, dead, name); !d.IsActive() {
					t.Fatalf("before %q, power %t, %s is %s (%s) in the end", effect, power, name, d.Active, d.Sub)
				}
			}
		}
	})
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
		t.Fatalf("without a crash it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if w.unhook(); points < 20 {
		t.Errorf("only %d points were tried", points)
	}
}

// TestReportOfADownServiceTakesNothingOffTheShelf: each minute's report took 16 ms, most of it
// for the paths of the good commit, where a service rested.
func TestReportOfADownServiceTakesNothingOffTheShelf(t *testing.T) {
	w, _ := keptWorld(t, nil)
	h := mustHost(t, w)
	if _, err := w.sd.Run(context.Background(), units.Stop, "app.service"); err != nil {
		t.Fatal(err)
	}
	h.Ledger.putAway()
	down, err := h.problemOf(context.Background(), units.Status{Name: "app.service", Active: "inactive"})
	if err != nil || down != "somebody stopped it" {
		t.Errorf("the problem is %q, %v", down, err)
	}
	if h.Ledger.isOff() {
		t.Error("the paths of the good commit were looked up")
	}
}
