//go:build e2e_host

package bus

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"evenkeel/units"
)

// These tests run inside a host: compiled with "go test -c -tags e2e_host", copied in by e2e,
// and started there as root, with systemd as PID 1. Every unit that they make is
// called bus-test-something and is gone afterwards.

const unitDir = "/run/systemd/system/"

// patience bounds every wait of these tests.
const patience = 60 * time.Second

type host struct {
	t   *testing.T
	ctx context.Context
	m   *Manager
}

func newHost(t *testing.T) *host {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m := New(log, Options{})
	t.Cleanup(func() { m.Close() })
	return &host{t: t, ctx: ctx, m: m}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Logf("%s", strings.TrimSpace(string(line)))
	return len(line), nil
}

// install writes unit files, has them loaded, and sees to it that they go.
func (h *host) install(files map[string]string) {
	h.t.Helper()
	for name, text := range files {
		h.write(name, text)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for name := range files {
			h.m.Run(ctx, units.Stop, name)
			h.m.ResetFailed(ctx, name)
			os.RemoveAll(unitDir + name + ".d")
			os.Remove(unitDir + name)
		}
		if err := h.m.DaemonReload(ctx); err != nil {
			h.t.Error(err)
		}
	})
	h.reload()
}

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(unitDir+name), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(unitDir+name, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) reload() {
	h.t.Helper()
	if err := h.m.DaemonReload(h.ctx); err != nil {
		h.t.Fatal(err)
	}
}

// run asks for a job and compares its result word.
func (h *host) run(verb units.Verb, name, want string) {
	h.t.Helper()
	got, err := h.m.Run(h.ctx, verb, name)
	if err != nil {
		h.t.Fatal(err)
	}
	if got != want {
		h.t.Fatalf("%s %s: result %q, want %q", verb, name, got, want)
	}
}

func (h *host) show(name string) units.Detail {
	h.t.Helper()
	d, err := h.m.Show(h.ctx, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

// until waits for a unit to be as the test wants it.
func (h *host) until(name, what string, ok func(units.Detail) bool) units.Detail {
	h.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		d := h.show(name)
		if ok(d) {
			return d
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: not seen in %v: %s; last %+v", name, patience, what, d)
		}
		wait(h.ctx, 50*time.Millisecond)
	}
}

const sleeper = "[Service]\nExecStart=/bin/sleep infinity\n"

func TestHostJobsOfAService(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-app.service"
	h.install(map[string]string{name: "[Service]\nType=simple\nExecStart=/bin/sleep infinity\nExecReload=/bin/true\n"})

	before := h.show(name)
	if before.Load != "loaded" || before.Active != "inactive" || before.Invocation != "" || !before.MainStart.IsZero() {
		t.Errorf("never started: %+v", before)
	}
	begin := time.Now()
	h.run(units.Start, name, units.Done)
	up := h.show(name)
	if up.Active != "active" || up.Sub != "running" || len(up.Invocation) != 32 || up.MainPID == 0 || up.Result != "success" {
		t.Errorf("started: %+v", up)
	}
	if up.Type != "simple" || up.Fragment != unitDir+name || !up.Condition || !up.CanReload {
		t.Errorf("started: %+v", up)
	}
	for what, at := range map[string]time.Time{"MainStart": up.MainStart, "ActiveAt": up.ActiveAt, "ConditionAt": up.ConditionAt} {
		if at.Before(begin.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("%s is %v, want about %v", what, at, begin)
		}
	}
	h.run(units.Start, name, units.Done)
	if again := h.show(name); again.Invocation != up.Invocation {
		t.Errorf("start of an active unit changed invocation %q to %q", up.Invocation, again.Invocation)
	}
	h.run(units.Reload, name, units.Done)
	h.run(units.Restart, name, units.Done)
	if after := h.show(name); after.Invocation == up.Invocation || after.MainPID == up.MainPID {
		t.Errorf("restart left invocation %q, pid %d", after.Invocation, after.MainPID)
	}
	h.run(units.Stop, name, units.Done)
	if down := h.show(name); down.Active != "inactive" || down.MainPID != 0 {
		t.Errorf("stopped: %+v", down)
	}
	h.run(units.Stop, name, units.Done)
}

func TestHostReloadThatCannotBe(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-app.service"
	h.install(map[string]string{name: sleeper})
	h.run(units.Start, name, units.Done)
	if result, err := h.m.Run(h.ctx, units.Reload, name); err == nil {
		t.Errorf("reload without ExecReload= gives %q, want an error", result)
	} else {
		t.Log(err)
	}
	if h.show(name).CanReload {
		t.Error("CanReload is true")
	}
}

func TestHostReloadThatFails(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-app.service"
	h.install(map[string]string{name: "[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/false\n"})
	h.run(units.Start, name, units.Done)
	h.run(units.Reload, name, "failed")
	h.until(name, "it runs on", func(d units.Detail) bool { return d.Active == "active" })
}

func TestHostStartThatFails(t *testing.T) {
	h := newHost(t)
	const name, needs = "bus-test-db.service", "bus-test-app.service"
	h.install(map[string]string{
		name:  "[Service]\nType=exec\nExecStart=/bin/nothing-here\n",
		needs: "[Unit]\nRequires=bus-test-db.service\nAfter=bus-test-db.service\n" + sleeper,
	})
	h.run(units.Start, name, "failed")
	if d := h.show(name); d.Active != "failed" || d.Result != "exit-code" || d.ExitStatus != 203 {
		t.Errorf("failed: %+v", d)
	}
	h.run(units.Start, needs, "dependency")
	if d := h.show(needs); d.Active != "inactive" {
		t.Errorf("unit whose dependency failed: %+v", d)
	}
}

func TestHostStartThatTimesOut(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-slow.service"
	h.install(map[string]string{name: "[Unit]\nJobTimeoutSec=1\n[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n"})
	h.run(units.Start, name, "timeout")
}

func TestHostCallerGivesUp(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-slow.service"
	h.install(map[string]string{name: "[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n"})
	ctx, cancel := context.WithTimeout(h.ctx, 500*time.Millisecond)
	defer cancel()
	result, err := h.m.Run(ctx, units.Start, name)
	if err == nil || ctx.Err() == nil {
		t.Fatalf("Run gives %q, %v, want the error of the context", result, err)
	}
	t.Log(err)
	h.until(name, "no job is left", func(d units.Detail) bool { return d.Job == "" })
}

func TestHostJobIsSeenWhileItRuns(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-slow.service"
	h.install(map[string]string{name: "[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n"})
	ctx, cancel := context.WithCancel(h.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.m.Run(ctx, units.Start, name)
	}()
	h.until(name, "a start job", func(d units.Detail) bool { return d.Job == "start" && d.Active == "activating" })
	list, err := h.m.List(h.ctx, []string{name})
	if err != nil || list[0].Job != "start" {
		t.Errorf("List gives %+v, %v", list, err)
	}
	cancel()
	<-ended
}

func TestHostStartLimit(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-bad.service"
	const gate = "/run/bus-test-gate"
	h.install(map[string]string{name: "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=1h\n" +
		"[Service]\nType=oneshot\nExecStart=/bin/test -e " + gate + "\n"})
	h.run(units.Start, name, "failed")
	h.run(units.Start, name, "failed")
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(gate) })
	h.run(units.Start, name, "failed") // repaired, and refused all the same
	if err := h.m.ResetFailed(h.ctx, name); err != nil {
		t.Fatal(err)
	}
	h.run(units.Start, name, units.Done)
}

func TestHostResetFailedOfNothing(t *testing.T) {
	h := newHost(t)
	if err := h.m.ResetFailed(h.ctx, "bus-test-nowhere.service"); err != nil {
		t.Error(err)
	}
}

func TestHostCrashLoop(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-loop.service"
	h.install(map[string]string{name: "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep 0.3\nRestart=always\nRestartSec=100ms\n"})
	h.run(units.Start, name, units.Done)
	first := h.show(name)
	later := h.until(name, "two restarts", func(d units.Detail) bool { return d.Restarts >= 2 })
	if later.Invocation == first.Invocation {
		t.Error("the invocation is the same after restarts")
	}
}

func TestHostOneshot(t *testing.T) {
	h := newHost(t)
	const once, stays = "bus-test-once.service", "bus-test-stays.service"
	h.install(map[string]string{
		once:  "[Service]\nType=oneshot\nExecStart=/bin/true\n",
		stays: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
	})
	h.run(units.Start, once, units.Done)
	// Nothing refers to the unit: systemd forgets it at once, with its result,
	// unless the Manager holds it.
	if d := h.show(once); d.Active != "inactive" || d.Result != "success" || !d.Condition || d.Type != "oneshot" || d.MainStart.IsZero() {
		t.Errorf("oneshot: %+v", d)
	}
	h.run(units.Stop, once, units.Done)
	if d := h.show(once); d.Invocation != "" {
		t.Error("the Manager holds a unit that it has stopped")
	}
	h.run(units.Start, stays, units.Done)
	if d := h.show(stays); d.Active != "active" || d.Sub != "exited" || !d.RemainAfterExit {
		t.Errorf("oneshot with RemainAfterExit=: %+v", d)
	}
}

func TestHostConditionThatDoesNotHold(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-if.service"
	h.install(map[string]string{name: "[Unit]\nConditionPathExists=/nowhere\n" + sleeper})
	h.run(units.Start, name, units.Done)
	if d := h.show(name); d.Active != "inactive" || d.Condition || d.ConditionAt.IsZero() {
		t.Errorf("skipped: %+v", d)
	}
}

func TestHostRelations(t *testing.T) {
	h := newHost(t)
	const db, app, part, bound = "bus-test-db.service", "bus-test-app.service", "bus-test-part.service", "bus-test-bound.service"
	const socket, served = "bus-test-sock.socket", "bus-test-sock.service"
	h.install(map[string]string{
		db:     sleeper,
		app:    "[Unit]\nRequires=" + db + "\nAfter=" + db + "\n" + sleeper,
		part:   "[Unit]\nPartOf=" + db + "\n" + sleeper,
		bound:  "[Unit]\nBindsTo=" + db + "\nAfter=" + db + "\nConflicts=" + part + "\n" + sleeper,
		socket: "[Socket]\nListenStream=/run/bus-test-sock\n",
		served: sleeper,
	})
	// Inverse edges are seen only of units that systemd has loaded.
	for _, name := range []string{app, part, bound, served} {
		h.show(name)
	}
	h.run(units.Start, app, units.Done)
	h.run(units.Start, socket, units.Done)
	h.run(units.Start, part, units.Done)
	d := h.show(db)
	for what, list := range map[string][]string{"RequiredBy " + app: d.RequiredBy, "Before " + app: d.Before, "ConsistsOf " + part: d.ConsistsOf} {
		if !slices.Contains(list, what[strings.Index(what, " ")+1:]) {
			t.Errorf("%s: not in %q", what, list)
		}
	}
	h.run(units.Start, bound, units.Done)
	if d := h.show(db); !slices.Contains(d.BoundBy, bound) {
		t.Errorf("BoundBy gives %q", d.BoundBy)
	}
	h.until(part, "ended by the conflict", func(d units.Detail) bool { return d.Active == "inactive" })
	if d := h.show(part); !slices.Contains(d.ConflictedBy, bound) {
		t.Errorf("the unit that conflicts: %+v", d)
	}
	if d := h.show(bound); !slices.Contains(d.BindsTo, db) || !slices.Contains(d.Conflicts, part) || !slices.Contains(d.After, db) {
		t.Errorf("bound: %+v", d)
	}
	if d := h.show(socket); !slices.Contains(d.Triggers, served) || d.Type != "" {
		t.Errorf("socket: %+v", d)
	}
	if d := h.show(served); !slices.Contains(d.TriggeredBy, socket) || !slices.Contains(d.After, socket) {
		t.Errorf("socket's service: %+v", d)
	}
	// What the agent's suspect is for: a restart of the database takes the app along.
	was := h.show(app).Invocation
	h.run(units.Restart, db, units.Done)
	h.until(app, "restarted along", func(d units.Detail) bool { return d.Active == "active" && d.Invocation != was })
	h.run(units.Stop, db, units.Done)
	h.until(app, "stopped along", func(d units.Detail) bool { return d.Active == "inactive" })
}

func TestHostUnitsThatAreNotThere(t *testing.T) {
	h := newHost(t)
	const masked, broken, alias, of = "bus-test-masked.service", "bus-test-broken.service", "bus-test-alias.service", "bus-test-app.service"
	h.install(map[string]string{of: sleeper, broken: "[Service]\nType=nonsense\n"})
	for link, says := range map[string]string{masked: "/dev/null", alias: unitDir + of} {
		if err := os.Symlink(says, unitDir+link); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(unitDir + link) })
	}
	h.reload()
	h.run(units.Start, of, units.Done)
	names := []string{"bus-test-nowhere.service", masked, broken, alias, of, "bus-test-app@.service", "no unit name", "-.mount"}
	list, err := h.m.List(h.ctx, names)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"not-found inactive", "masked inactive", "bad-setting inactive", "loaded active", "loaded active", "not-found inactive", "not-found inactive", "loaded active"}
	for i, s := range list {
		if s.Name != names[i] || s.Load+" "+s.Active != want[i] {
			t.Errorf("List gives %+v for %q, want %s", s, names[i], want[i])
		}
		if d := h.show(names[i]); d.Status != s {
			t.Errorf("Show gives %+v, List %+v", d.Status, s)
		}
	}
	for _, name := range names[:3] {
		if result, err := h.m.Run(h.ctx, units.Start, name); err == nil {
			t.Errorf("start of %s gives %q, want an error", name, result)
		} else {
			t.Log(err)
		}
	}
	h.run(units.Stop, alias, units.Done)
}

func TestHostUnitFileThatChanged(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-app.service"
	h.install(map[string]string{name: sleeper})
	h.run(units.Start, name, units.Done)
	if h.show(name).NeedReload {
		t.Error("NeedReload at once")
	}
	// systemd 252 does not notice a drop-in whose directory is new.
	h.write(name+".d/10.conf", "[Service]\nExecReload=/bin/true\n")
	h.write(name, sleeper+"# changed\n")
	h.until(name, "NeedReload", func(d units.Detail) bool { return d.NeedReload })
	was := h.show(name)
	h.reload()
	now := h.show(name)
	if now.NeedReload || !now.CanReload || !slices.Equal(now.DropIns, []string{unitDir + name + ".d/10.conf"}) {
		t.Errorf("after the reload: %+v", now)
	}
	if now.Invocation != was.Invocation || now.MainPID != was.MainPID {
		t.Error("the reload restarted the unit")
	}
}

func TestHostSystem(t *testing.T) {
	h := newHost(t)
	s, err := h.m.System(h.ctx)
	if err != nil || s.Version < 230 || s.State == "" {
		t.Errorf("System gives %+v, %v", s, err)
	}
	t.Logf("%+v", s)
}

// The bus is stopped over the bus: the answer, or at least the signal of the
// job, is lost with it.
func TestHostBusStoppedAndBackAgain(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-app.service"
	h.install(map[string]string{name: sleeper})
	if h.m.link.direct {
		t.Fatal("did not begin on the bus")
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		h.m.Run(ctx, units.Start, "dbus.socket")
		h.m.Run(ctx, units.Start, "dbus.service")
	})
	h.run(units.Stop, "dbus.socket", units.Done)
	h.run(units.Stop, "dbus.service", units.Done)
	if d := h.show("dbus.service"); d.Active != "inactive" {
		t.Fatalf("the bus runs: %+v", d.Status)
	}
	if !h.m.link.direct {
		t.Error("not on the private socket")
	}
	everything(h, name)

	other := newHost(t) // begins without a bus
	everything(other, name)

	h.run(units.Start, "dbus.socket", units.Done)
	h.run(units.Start, "dbus.service", units.Done)
	everything(h, name)
	third := newHost(t)
	everything(third, name)
	if third.m.link.direct {
		t.Error("the bus is up and was not used")
	}
}

// everything uses each method once.
func everything(h *host, name string) {
	h.t.Helper()
	h.reload()
	was := h.show(name).Invocation
	h.run(units.Restart, name, units.Done)
	if now := h.show(name); now.Invocation == was || now.Active != "active" {
		h.t.Errorf("restart: %+v", now)
	}
	list, err := h.m.List(h.ctx, []string{name})
	if err != nil || list[0].Active != "active" {
		h.t.Errorf("List gives %+v, %v", list, err)
	}
	if _, err := h.m.System(h.ctx); err != nil {
		h.t.Error(err)
	}
	if err := h.m.ResetFailed(h.ctx, name); err != nil {
		h.t.Error(err)
	}
}

func TestHostBusKilledUnderARunningJob(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-slow.service"
	const gate = "/run/bus-test-gate"
	h.install(map[string]string{name: "[Service]\nType=oneshot\nRemainAfterExit=yes\n" +
		"ExecStart=/bin/sh -c 'until [ -e " + gate + " ]; do sleep 0.1; done'\n"})
	t.Cleanup(func() { os.Remove(gate) })
	type answer struct {
		result string
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		result, err := h.m.Run(h.ctx, units.Start, name)
		answers <- answer{result, err}
	}()
	other := newHost(t)
	other.until(name, "the job runs", func(d units.Detail) bool { return d.Job == "start" })
	bus := other.show("dbus.service")
	if err := syscall.Kill(int(bus.MainPID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// The first questions may meet the connection as it breaks.
	for end := time.Now().Add(patience); ; wait(h.ctx, 50*time.Millisecond) {
		d, err := other.m.Show(other.ctx, "dbus.service")
		if err == nil && d.MainPID != bus.MainPID {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the bus is neither down nor new: %+v, %v", d, err)
		}
	}
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if a := <-answers; a.err != nil || a.result != units.Done {
		t.Errorf("Run gives %q, %v, want done", a.result, a.err)
	}
	other.run(units.Start, "dbus.service", units.Done)
}

func TestHostBusThatHangs(t *testing.T) {
	h := newHost(t)
	const name = "bus-test-app.service"
	h.install(map[string]string{name: sleeper})
	h.m.options.CallLimit = time.Second
	bus := h.show("dbus.service")
	if err := syscall.Kill(int(bus.MainPID), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(int(bus.MainPID), syscall.SIGCONT) })
	everything(h, name)
	if !h.m.link.direct {
		t.Error("not on the private socket")
	}
}

func TestHostReturnsToTheBus(t *testing.T) {
	h := newHost(t)
	h.m.options.ReturnAfter = time.Millisecond
	h.m.lostOnce = true // so that it begins on the private socket
	const name = "bus-test-app.service"
	h.install(map[string]string{name: sleeper})
	everything(h, name)
	if h.m.link.direct {
		t.Error("stays on the private socket although the bus is up")
	}
}

func TestHostRestartsTheBusItself(t *testing.T) {
	h := newHost(t)
	was := h.show("dbus.service").Invocation
	h.run(units.Restart, "dbus.service", units.Done)
	if now := h.show("dbus.service"); now.Invocation == was || now.Active != "active" {
		t.Errorf("after the restart: %+v", now)
	}
}

func BenchmarkHost(b *testing.B) {
	var names []string
	files, err := fs.Glob(os.DirFS("/usr/lib/systemd/system"), "*.service")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range files {
		if len(names) < 100 && loadable(name) {
			names = append(names, name)
		}
	}
	for i := len(names); i < 100; i++ {
		names = append(names, fmt.Sprintf("bus-test-%d.service", i))
	}
	m := New(slog.New(slog.DiscardHandler), Options{})
	defer m.Close()
	ctx := context.Background()
	if _, err := m.List(ctx, names); err != nil {
		b.Fatal(err)
	}
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			if _, err := m.link.conn.ListUnitsByNamesContext(ctx, names); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("List", func(b *testing.B) {
		for b.Loop() {
			if _, err := m.List(ctx, names); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Show", func(b *testing.B) {
		for b.Loop() {
			if _, err := m.Show(ctx, names[0]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
