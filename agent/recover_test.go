package agent

import (
	"fmt"
	"testing"
)

// TestCrashOfAnUnmanagedUnitWhileTheDaemonIsDown: a commit restarted a service of
// the vendor's, and with it, by systemd's own doing, another that no repository
// names. That one crashed while the daemon was restarted in the watch, and the
// commit was kept because the unit was up again.
func TestCrashOfAnUnmanagedUnitWhileTheDaemonIsDown(t *testing.T) {
	for _, c := range []struct {
		name  string
		crash int // seconds after its start, once
		want  Result
	}{
		{"nothing happens while the daemon is down", 100, ResultGood},
		{"the unit dies and systemd starts it again", 8, ResultUndone},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(plainScenario())
			w.disk.PutFile("/usr/lib/systemd/system/side.service", "[Unit]\nRequires=vendor.service\nAfter=vendor.service\n"+
				fmt.Sprintf("[Service]\nExecStart=/usr/bin/side\nRestart=always\n# behave: crash-once %d\n", c.crash), rootFile)
			w.sd.Boot()
			w.sd.Tick(20)                  // its first crash is long ago
			w.s.overtaken["commit"] = true // that is: the watch is still going on
			if outcome := deployed(t, w, (&spec{vendorConf: 1}).target("commit", w)); outcome.Result != ResultWatching {
				t.Fatalf("the commit ends as %q: %s", outcome.Result, outcome.Reason)
			}
			w.sd.Tick(7)
			if d, err := w.sd.Show(t.Context(), "side.service"); err != nil || !d.IsActive() {
				t.Fatalf("side.service is %+v, %v", d, err)
			}
			if h := w.recover(t); h.Ledger.History[len(h.Ledger.History)-1].Result != c.want {
				t.Errorf("the commit ends as %+v, want %q", h.Ledger.History, c.want)
			}
		})
	}
}

// recover starts the daemon once more, and lets it come to an end.
func (w *world) recover(t *testing.T) *Host {
	t.Helper()
	h, err := recoverWorld(w)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
