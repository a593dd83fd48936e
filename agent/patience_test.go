package agent

import (
	"log/slog"
	"testing"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// A boot that never ended, because of one unit that hangs, kept every commit out,
// also the one that would have mended that unit.
func TestCommitDoesNotWaitForEverForAJobThatHangs(t *testing.T) {
	w := newWorld(&scenario{version: 252})
	a := newAsker(t, w)
	at := time.Now()
	a.host.Now = func() time.Time { return at }
	a.log = slog.New(slog.DiscardHandler)
	target := &plan.Target{State: plan.State{Units: map[string]plan.Unit{"vendor.service": {Active: true}}}}
	hangs := now{details: map[string]units.Detail{"vendor.service": {Status: units.Status{Load: "loaded", Job: "start"}}}}
	quiet := now{details: map[string]units.Detail{"vendor.service": {Status: units.Status{Load: "loaded"}}}}
	for i, row := range []struct {
		about string
		later time.Duration
		host  now
		waits bool
	}{
		{"a job has begun", 0, hangs, true},
		{"it takes its time", jobPatience - time.Second, hangs, true},
		{"it has ended", time.Second, quiet, false},
		{"another has begun", time.Second, hangs, true},
		{"that takes its time too", jobPatience - time.Second, hangs, true},
		{"it hangs", time.Second, hangs, false},
		{"it still does", time.Hour, hangs, false},
	} {
		at = at.Add(row.later)
		a.patience.begin()
		if missing := a.missing(target, row.host); (len(missing) > 0) != row.waits {
			t.Errorf("%d: %s: waits for %q", i, row.about, missing)
		}
	}
}
