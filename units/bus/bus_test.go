package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"

	"evenkeel/units"
)

func TestOutcome(t *testing.T) {
	then, now := time.Unix(1, 0), time.Unix(2, 0)
	up := glance{Detail: units.Detail{Status: units.Status{Active: "active"}, Invocation: "a", ActiveAt: then, Condition: true, ConditionAt: then, Result: "success"}}
	upAgain := up
	upAgain.Invocation, upAgain.ActiveAt, upAgain.ConditionAt = "b", now, now
	down := up
	down.Active = "inactive"
	failed := upAgain
	failed.Active, failed.Result = "failed", "exit-code"
	ran := upAgain
	ran.Active = "inactive"
	skippedNow := down
	skippedNow.Condition, skippedNow.ConditionAt = false, now
	reloadFailed := up
	reloadFailed.reloadResult = "exit-code"
	for _, row := range []struct {
		says          string
		verb          units.Verb
		before, after glance
		word          string
		seen          bool
	}{
		{"a start that came up", units.Start, down, upAgain, units.Done, true},
		{"a start of what was up", units.Start, up, up, units.Done, true},
		{"a start that failed", units.Start, down, failed, "failed", true},
		{"a start of which nothing is seen", units.Start, down, down, "failed", false},
		{"a oneshot that ran", units.Start, down, ran, units.Done, true},
		{"a start that its condition skipped", units.Start, down, skippedNow, units.Done, true},
		{"a restart that came up", units.Restart, up, upAgain, units.Done, true},
		{"a restart that failed", units.Restart, up, failed, "failed", true},
		{"a restart of which nothing is seen", units.Restart, up, up, "failed", false},
		{"a restart that its condition skipped", units.Restart, up, skippedNow, units.Done, true},
		{"a stop that stopped", units.Stop, up, down, units.Done, true},
		{"a stop that left the unit failed", units.Stop, up, failed, units.Done, true},
		{"a stop of which nothing is seen", units.Stop, up, up, "canceled", false},
		{"a reload, which leaves no trace", units.Reload, up, up, units.Done, false},
		{"a reload that failed", units.Reload, up, reloadFailed, "failed", false},
	} {
		t.Run(row.says, func(t *testing.T) {
			if word, seen := outcome(row.verb, row.before, row.after); word != row.word || seen != row.seen {
				t.Errorf("got %q, seen %v, want %q, %v", word, seen, row.word, row.seen)
			}
		})
	}
}

func TestDetail(t *testing.T) {
	p := properties{
		"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "Type": "notify", "RemainAfterExit": true,
		"InvocationID": []byte{0xab, 0x01}, "NRestarts": uint32(3), "Result": "success", "ConditionResult": true,
		"ExecMainStartTimestamp": uint64(1_500_000), "ActiveEnterTimestamp": uint64(0), "MainPID": uint32(7), "ExecMainStatus": int32(9),
		"RequiredBy": []string{"x.service"}, "After": []string{}, "Wants": "of another type",
		"Job": []any{uint32(5), dbus.ObjectPath("/org/freedesktop/systemd1/job/5")},
	}
	d := p.detail("app.service")
	if d.Name != "app.service" || d.Active != "active" || d.Type != "notify" || !d.RemainAfterExit || d.Invocation != "ab01" ||
		d.Restarts != 3 || d.MainPID != 7 || d.ExitStatus != 9 || !d.Condition || len(d.RequiredBy) != 1 {
		t.Errorf("got %+v", d)
	}
	if !d.MainStart.Equal(time.UnixMilli(1500)) || !d.ActiveAt.IsZero() || d.After != nil || d.Wants != nil {
		t.Errorf("got %+v", d)
	}
	if p.job() != "/org/freedesktop/systemd1/job/5" {
		t.Errorf("job gives %q", p.job())
	}
	if d := p.detail("srv.mount"); d.Type != "" {
		t.Errorf("a mount has service type %q", d.Type)
	}
	none := properties{"InvocationID": make([]byte, 16), "Job": []any{uint32(0), dbus.ObjectPath("/")}}
	if none.detail("app.service").Invocation != "" || none.job() != "" {
		t.Errorf("never started: %+v, job %q", none.detail("app.service"), none.job())
	}
}

func TestMajorVersion(t *testing.T) {
	for version, want := range map[string]int{"252.39-1~deb12u2": 252, "257": 257, "v256-rc1": 256, "": 0, "unknown": 0} {
		if got := majorVersion(version); got != want {
			t.Errorf("%q gives %d, want %d", version, got, want)
		}
	}
}

// Names that are no units need no answer from systemd, so not even a connection.
func TestListOfNothingThatCouldBeLoaded(t *testing.T) {
	m := New(slog.New(slog.DiscardHandler), nowhere(t))
	list, err := m.List(t.Context(), []string{"app@.service", "nonsense"})
	if err != nil || len(list) != 2 || list[0].Load != notFound || list[1].Name != "nonsense" {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestNoSystemdAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(slog.New(slog.DiscardHandler), nowhere(t))
		begin := time.Now()
		_, err := m.System(t.Context())
		if err == nil || !strings.Contains(err.Error(), "system bus: ") || !strings.Contains(err.Error(), "private socket: ") {
			t.Errorf("error %v, want both ways named", err)
		}
		if took := time.Since(begin); took < time.Second || took > 5*time.Second {
			t.Errorf("gave up after %v, want some tries within five seconds", took)
		}
	})
}

// A host that went down while a revert was under way was held: the bus had gone, and a
// message that could not be sent was taken for systemd's answer.
func TestMessageThatTheBusDidNotTakeIsNoAnswer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	bus, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Write([]byte("l"))
	if err == nil || !isOfTheSocket(fmt.Errorf("cannot show unit: %w", err)) {
		t.Errorf("%v is taken for an answer", err)
	}
	if answer := (dbus.Error{Name: "org.freedesktop.systemd1.NoSuchUnit"}); isOfTheSocket(answer) {
		t.Errorf("%v is taken for a lost connection", answer)
	}
}

func TestAskingAfterClose(t *testing.T) {
	m := New(slog.New(slog.DiscardHandler), nowhere(t))
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Run(t.Context(), units.Start, "app.service"); !errors.Is(err, errClosed) {
		t.Errorf("error %v, want %v", err, errClosed)
	}
}

// A bus that accepts and never answers must not hold the caller for longer than
// its context.
func TestSilentBus(t *testing.T) {
	options := nowhere(t)
	path := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	options.Bus = "unix:path=" + path
	m := New(slog.New(slog.DiscardHandler), options)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := m.Run(ctx, units.Restart, "app.service"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}

func nowhere(t *testing.T) Options {
	dir := t.TempDir()
	return Options{Bus: "unix:path=" + dir + "/bus", Private: "unix:path=" + dir + "/private"}
}
