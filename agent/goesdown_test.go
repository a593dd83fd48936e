package agent

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"evenkeel/agent/plan"
)

// TestPoweroffInAnApplyBlamesNoCommit: systemd stopped a service while its commit let it
// settle. The commit was rejected; its revert could not start anything any more, and the
// host was held after the next boot. Here the shutdown begins before each effect of a
// commit, of one that fails, and of its revert.
func TestPoweroffInAnApplyBlamesNoCommit(t *testing.T) {
	for _, stops := range [][]string{{"app.service"}, {"proxy.service", "app.service", "db.service"}} {
		for _, commit := range []string{"fine", "sick"} {
			for _, onFailure := range []plan.OnFailure{plan.Revert, plan.Hold} {
				t.Run(fmt.Sprint(commit, " ", onFailure, ", first stops ", stops[0]), func(t *testing.T) {
					points, begun := 0, 0
					for {
						open, more := poweroff(t, points, commit, onFailure, stops)
						if !more {
							break
						}
						points++
						if open {
							begun++
						}
					}
					t.Logf("%d of %d shutdowns were in an attempt", begun, points)
					if begun < 10 {
						t.Error("the shutdowns prove too little")
					}
				})
			}
		}
	}
}

// poweroff lets the host go down before the nth effect of a commit. It reports whether an
// attempt was open then, and whether there was such an effect.
func poweroff(t *testing.T, point int, commit string, onFailure plan.OnFailure, stops []string) (open, more bool) {
	t.Helper()
	w := newWorld(&scenario{version: 257, settle: 2, sick: map[string]bool{"sick": true}})
	w.last = true
	deployed(t, w, (&spec{db: 1, app: 1, proxy: 1, appConf: 1}).target("good", w))
	target := (&spec{db: 1, app: 2, proxy: 1, appConf: 2, motd: 1}).target(commit, w)
	target.OnFailure = onFailure
	h := mustHost(t, w)
	n, at := 0, ""
	w.hook(func(effect string) {
		if n == point {
			at = effect
			if err := w.sd.GoDown(stops...); err != nil {
				t.Fatalf("%s: %v", effect, err)
			}
		}
		n++
	})
	outcome, err := deployTarget(h, target)
	w.unhook()
	if at == "" {
		return false, false
	}
	where := fmt.Sprintf("going down before %q", at)
	if err != nil && !errors.Is(err, errGoesDown) {
		t.Fatalf("%s: it ends as %q: %s, %v", where, outcome.Result, outcome.Reason, err)
	}
	open = h.Open != nil && h.Open.phase != PhaseHeld && h.Open.phase != PhaseStay

	if err := w.powerCut(rand.New(rand.NewPCG(1, uint64(point)))); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if h, err = goOn(w, target); commit == "fine" && err != nil {
		t.Fatalf("%s: after the next boot: %v", where, err)
	}
	_, rejected := h.Ledger.IsRejected(commit, "")
	switch {
	case commit == "fine" && (rejected || h.Ledger.Hold != nil || h.Ledger.Good.Commit != "fine"):
		t.Fatalf("%s: rejected %t, hold %+v, good %s", where, rejected, h.Ledger.Hold, h.Ledger.Good.Commit)
	case commit == "sick" && onFailure == plan.Revert && (!rejected || h.Ledger.Hold != nil || h.Open != nil):
		t.Fatalf("%s: rejected %t, hold %+v, open %+v", where, rejected, h.Ledger.Hold, h.Open)
	case commit == "sick" && onFailure == plan.Hold && (h.Open == nil || h.Open.phase != PhaseStay || h.Ledger.Hold == nil):
		t.Fatalf("%s: open %+v, hold %+v", where, h.Open, h.Ledger.Hold)
	}
	for _, unit := range []string{"db.service", "app.service", "proxy.service"} {
		if _, runs := w.sd.Processes()[unit]; !runs {
			t.Errorf("%s: %s does not run", where, unit)
		}
	}
	return open, true
}
