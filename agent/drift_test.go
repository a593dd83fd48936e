package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

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

func TestHostWithoutGoodCommitHasNoDrift(t *testing.T) {
	w := newWorld(plainScenario())
	h := mustHost(t, w)
	h.Ledger.Owned = shelve(map[string]Owned{"/etc/motd": {}})
	mustDrift(t, h)
}
