package health

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

const sec = time.Second

func TestSettle(t *testing.T) {
	for _, row := range []struct {
		about  string
		states []state
		others map[string][]state
		before bool          // SkippedBefore
		settle time.Duration // 10 s
		why    string        // in the finding; "" for a good one
		took   time.Duration // at most this, and at least a second less
	}{
		{
			about:  "a service that stays up settles when its time is over",
			states: []state{{0, running("a")}},
			took:   10 * sec,
		},
		{
			about:  "without a settle time one look is enough",
			states: []state{{0, running("a")}},
			settle: -1,
			took:   0,
		},
		{
			about:  "a service that dies 5 s after it was active is caught then",
			states: []state{{0, running("a")}, {5 * sec, unit("failed", "failed", "a", result("exit-code", 1))}},
			why:    "it failed", took: 6 * sec,
		},
		{
			about:  "a service that ends without a failure is down all the same",
			states: []state{{0, running("a")}, {5 * sec, unit("inactive", "dead", "a")}},
			why:    "it stopped", took: 6 * sec,
		},
		{
			about: "a crash is seen while systemd waits to restart it",
			states: []state{{0, running("a")}, {2 * sec, unit("activating", "auto-restart", "a", result("exit-code", 7))},
				{12 * sec, running("b", restarts(1))}},
			why: "about to restart", took: 3 * sec,
		},
		{
			about: "a crash is seen after systemd restarted it between two looks",
			states: []state{{0, running("a")},
				{2010 * time.Millisecond, unit("activating", "auto-restart", "a", result("exit-code", 7))},
				{2200 * time.Millisecond, running("b", restarts(1))}},
			why: "had to restart it 1 times", took: 3 * sec,
		},
		{
			about: "an operator's restart begins the settle time again",
			states: []state{{0, running("a")}, {4 * sec, unit("deactivating", "stop-sigterm", "a", job("restart"))},
				{5 * sec, running("b")}},
			took: 16 * sec,
		},
		{
			about: "an operator's restart of what crashes afterwards is no excuse",
			states: []state{{0, running("a")}, {4 * sec, running("b")},
				{12 * sec, unit("failed", "failed", "b", result("signal", 11))}},
			why: "it failed", took: 13 * sec,
		},
		{
			about: "an old process that has to be killed in an operator's restart is no failure",
			states: []state{{0, running("a")}, {4 * sec, unit("deactivating", "stop-sigkill", "a", job("restart"), result("timeout", 9))},
				{5 * sec, running("b")}},
			took: 16 * sec,
		},
		{
			about: "somebody who restarts it for ever is not waited for",
			states: []state{{0, running("a")}, {4 * sec, running("b")}, {8 * sec, running("c")}, {12 * sec, running("d")},
				{16 * sec, running("e")}, {20 * sec, running("f")}, {24 * sec, running("g")}},
			why: "again and again", took: 25 * sec,
		},
		{
			about:  "a restart that hangs is a failure after a while",
			states: []state{{0, running("a")}, {4 * sec, unit("activating", "start-pre", "b", job("restart"))}},
			why:    "did not come back within 30s", took: 35 * sec,
		},
		{
			about:  "a reload is no trouble",
			states: []state{{0, running("a")}, {2 * sec, unit("reloading", "reload", "a")}, {4 * sec, running("a")}},
			took:   10 * sec,
		},
		{
			about:  "a unit that is masked meanwhile has failed",
			states: []state{{0, running("a")}, {2 * sec, running("a", func(d *units.Detail) { d.Load = "masked" })}},
			why:    "could not load", took: 3 * sec,
		},
		{
			about:  "a oneshot that ran with success is good",
			states: []state{{0, unit("inactive", "dead", "a", oneshot)}},
			took:   10 * sec,
		},
		{
			about:  "a oneshot that systemd has forgotten since it ran is good",
			states: []state{{0, unit("inactive", "dead", "a", oneshot)}, {2 * sec, unit("inactive", "dead", "", oneshot)}},
			took:   10 * sec,
		},
		{
			about:  "a service that systemd has forgotten is down all the same",
			states: []state{{0, running("a")}, {2 * sec, unit("inactive", "dead", "")}},
			why:    "never started", took: 3 * sec,
		},
		{
			about:  "a oneshot that failed is caught at once",
			states: []state{{0, unit("failed", "failed", "a", oneshot, result("exit-code", 3))}},
			why:    "it failed", took: 0,
		},
		{
			about:  "a oneshot without a failed state shows by its result that it failed",
			states: []state{{0, unit("inactive", "dead", "a", oneshot, result("exit-code", 3))}},
			why:    "last run failed", took: 0,
		},
		{
			about: "a oneshot that a timer runs again meanwhile is good",
			states: []state{{0, unit("inactive", "dead", "a", oneshot)}, {3 * sec, unit("activating", "start", "b", oneshot)},
				{4 * sec, unit("inactive", "dead", "b", oneshot)}},
			took: 10 * sec,
		},
		{
			about:  "a oneshot that remains is good while it is active",
			states: []state{{0, unit("active", "exited", "a", remains)}},
			took:   10 * sec,
		},
		{
			about:  "a oneshot that remains and is stopped is down",
			states: []state{{0, unit("active", "exited", "a", remains)}, {3 * sec, unit("inactive", "dead", "a", remains)}},
			why:    "it stopped", took: 4 * sec,
		},
		{
			about:  "a start that a condition skipped is a failure",
			states: []state{{0, unit("inactive", "dead", "", skipped)}},
			why:    "condition in the unit kept it from starting", took: 0,
		},
		{
			about:  "a skipped oneshot did not do its work",
			states: []state{{0, unit("inactive", "dead", "old", oneshot, skipped)}},
			why:    "condition in the unit kept it from starting", took: 0,
		},
		{
			about:  "a start that was skipped before the commit as well is good",
			states: []state{{0, unit("inactive", "dead", "", skipped)}},
			before: true, took: 10 * sec,
		},
		{
			about:  "a later skip does not make the work of a oneshot undone",
			states: []state{{0, unit("inactive", "dead", "a", oneshot)}, {3 * sec, unit("inactive", "dead", "a", oneshot, skipped)}},
			took:   10 * sec,
		},
		{
			about:  "a service that sleeps until its socket wakes it is good",
			states: []state{{0, unit("inactive", "dead", "", triggeredBy("app.socket"))}},
			others: map[string][]state{"app.socket": {{0, unit("active", "listening", "s")}}},
			took:   10 * sec,
		},
		{
			about:  "a service whose socket failed is not",
			states: []state{{0, unit("inactive", "dead", "", triggeredBy("app.socket"))}},
			others: map[string][]state{"app.socket": {{0, unit("failed", "failed", "s")}}},
			why:    "never started", took: 0,
		},
		{
			about:  "a socket's service that crashed is not",
			states: []state{{0, unit("failed", "failed", "a", result("core-dump", 6), triggeredBy("app.socket"))}},
			others: map[string][]state{"app.socket": {{0, unit("active", "listening", "s")}}},
			why:    "it failed", took: 0,
		},
		{
			about:  "a timer is good while it is active",
			states: []state{{0, unit("active", "waiting", "t", func(d *units.Detail) { d.Type, d.Result = "", "success" })}},
			took:   10 * sec,
		},
		{
			about: "a unit that is not there has failed",
			why:   "could not load", took: 0,
		},
	} {
		t.Run(row.about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				systemd := &story{begin: begin, units: map[string][]state{"app.service": row.states}}
				for name, states := range row.others {
					systemd.units[name] = states
				}
				was, err := systemd.Show(t.Context(), "app.service")
				if err != nil {
					t.Fatal(err)
				}
				settle := row.settle
				if settle == 0 {
					settle = 10 * sec
				}
				w := Watched{Name: "app.service", Was: was, SkippedBefore: row.before}
				w.Service.Settle = max(settle, 0)
				found := settleOne(t.Context(), systemd, w)
				took := time.Since(begin)
				if found.OK != (row.why == "") || !strings.Contains(found.Why, row.why) || found.Interrupted {
					t.Errorf("found %+v, want why %q", found, row.why)
				}
				if !found.OK && !strings.HasPrefix(found.Evidence, "app.service is ") {
					t.Errorf("evidence = %q, want what systemd says", found.Evidence)
				}
				if took > row.took || took < row.took-sec {
					t.Errorf("took %s, want %s", took, row.took)
				}
			})
		})
	}
}

// Under Restart=always with a period of one second the unit is active at nearly
// every look. It must be caught wherever in the period the looks fall.
func TestSettleCatchesCrashLoop(t *testing.T) {
	for offset := time.Duration(0); offset < sec; offset += 50 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			systemd := &story{begin: time.Now(), units: map[string][]state{}}
			for n := range 60 {
				at := offset + time.Duration(n)*sec
				systemd.units["app.service"] = append(systemd.units["app.service"],
					state{at, running(string(rune('a'+n)), restarts(uint32(n)))},
					state{at + 980*time.Millisecond, unit("activating", "auto-restart", string(rune('a'+n)), restarts(uint32(n)))})
			}
			<-time.After(offset) // of the bubble's own time
			was, err := systemd.Show(t.Context(), "app.service")
			if err != nil {
				t.Fatal(err)
			}
			if found := settleOne(t.Context(), systemd, app(was, 3*sec)); found.OK {
				t.Errorf("offset %s: %+v, want a failure", offset, found)
			}
		})
	}
}

func TestSettleWithoutAnAnswerFromSystemd(t *testing.T) {
	for _, row := range []struct {
		about string
		back  time.Duration
		why   string
	}{
		{"a bus that comes back is no failure of the unit", 8 * sec, ""},
		{"a bus that stays away proves nothing good", time.Hour, "systemd does not answer"},
	} {
		synctest.Test(t, func(t *testing.T) {
			systemd := &story{begin: time.Now(), units: map[string][]state{"app.service": {{0, running("a")}}}}
			systemd.mute = func(since time.Duration) bool { return since > sec && since < row.back }
			found := settleOne(t.Context(), systemd, app(running("a"), 5*sec))
			if found.OK != (row.why == "") || !strings.Contains(found.Why, row.why) {
				t.Errorf("%s: %+v", row.about, found)
			}
		})
	}
}

func TestSettleInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		systemd := &story{begin: time.Now(), units: map[string][]state{"app.service": {{0, running("a")}}}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*sec)
		defer cancel()
		found := settleOne(ctx, systemd, app(running("a"), 10*sec))
		if found.OK || !found.Interrupted || found.Why != "" {
			t.Errorf("found %+v, want it interrupted and nothing else", found)
		}
	})
}

func app(was units.Detail, settle time.Duration) Watched {
	return Watched{Name: "app.service", Was: was, Service: plan.Service{Settle: settle}}
}

func settleOne(ctx context.Context, systemd *story, w Watched) Finding {
	return (&Prober{Manager: systemd}).Settle(ctx, []Watched{w})[0]
}

func TestSettleGivesEachUnitItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		systemd := &story{begin: begin, units: map[string][]state{
			"db.service":  {{0, running("a")}, {5 * sec, unit("failed", "failed", "a")}},
			"app.service": {{0, running("a")}},
		}}
		db := app(running("a"), 2*sec)
		db.Name = "db.service"
		got := (&Prober{Manager: systemd}).Settle(t.Context(), []Watched{db, app(running("a"), 4*sec)})
		if len(got) != 2 || !got[0].OK || !got[1].OK || time.Since(begin) != 4*sec {
			t.Errorf("findings %+v after %s, want both good after the longer time", got, time.Since(begin))
		}
		got = (&Prober{Manager: systemd}).Settle(t.Context(), []Watched{app(running("a"), 10*sec), db})
		if len(got) != 2 || got[1].OK || got[1].Unit != "db.service" || time.Since(begin) > 6*sec {
			t.Errorf("findings %+v after %s, want the failure as soon as it is there", got, time.Since(begin))
		}
	})
}
