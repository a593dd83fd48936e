package agent

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
	"evenkeel/metrics"
	"evenkeel/units"
)

// TestStatusTellsOfAServiceThatIsDown: status went on saying "active" of a service that
// somebody had stopped, and OK.
func TestStatusTellsOfAServiceThatIsDown(t *testing.T) {
	stop := func(t *testing.T, w *world) {
		if _, err := w.sd.Run(context.Background(), units.Stop, "db.service"); err != nil {
			t.Fatal(err)
		}
	}
	crash := func(mark string, ticks int) func(t *testing.T, w *world) {
		return func(t *testing.T, w *world) {
			dropIn(t, w, "db.service", mark)
			if _, err := w.sd.Run(context.Background(), units.Restart, "db.service"); err != nil {
				t.Fatal(err)
			}
			w.sd.Tick(ticks)
		}
	}
	for name, row := range map[string]struct {
		says    plan.OnDrift
		tamper  func(t *testing.T, w *world)
		problem string
		down    bool
	}{
		"it is up":            {"", func(*testing.T, *world) {}, "", false},
		"somebody stopped it": {"", stop, "somebody stopped it", true},
		"somebody stopped it, and it is reported": {plan.Report, stop, "somebody stopped it", true},
		"somebody stopped it, and nobody minds":   {plan.Ignore, stop, "", false},
		"nothing started it at boot": {"", func(_ *testing.T, w *world) {
			w.disk.Delete("/etc/systemd/system/multi-user.target.wants")
			w.sd.PowerOff()
			w.sd.Boot()
		}, "somebody stopped it, or nothing started it at boot", true},
		"it crashed":                     {"", crash("loop", 30), "its last run ended with exit-code", true},
		"it crashed, and nobody minds":   {plan.Ignore, crash("loop", 30), "its last run ended with exit-code", true},
		"systemd is about to restart it": {"", crash("fail", 0), "it ended by itself, and systemd is about to restart it", true},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := keptWorld(t, func(t *plan.Target) { t.Drift = map[string]plan.OnDrift{"": row.says} })
			d := &daemon{host: mustHost(t, w), metrics: metrics.New(prometheus.NewRegistry(), metrics.Build{})}
			if news := d.fillUnits(); !news || down(d.board.read().Units) != 0 {
				t.Fatalf("at first it is %+v", d.board.read().Units)
			}
			row.tamper(t, w)
			news := d.fillUnits()
			for _, u := range d.board.read().Units {
				if u.Name == "db.service" && (u.Problem != row.problem || u.IsDown() != row.down) {
					t.Errorf("it is %+v", u)
				}
			}
			if news != (mustShow(t, w, "db.service").Active != "active") {
				t.Errorf("that there is news is %t", news)
			}
			if d.fillUnits() {
				t.Error("the same is news once more")
			}
		})
	}
}

func dropIn(t *testing.T, w *world, name, mark string) {
	t.Helper()
	w.disk.PutDir("/etc/systemd/system/"+name+".d", apply.Attr{Mode: 0o755})
	w.disk.PutFile("/etc/systemd/system/"+name+".d/other.conf", "[Service]\n# behave: "+mark+"\n", rootFile)
	if err := w.sd.DaemonReload(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func mustShow(t *testing.T, w *world, name string) units.Detail {
	t.Helper()
	d, err := w.sd.Show(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
