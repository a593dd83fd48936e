package unitstest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"evenkeel/units"
	"evenkeel/units/unitstest"
)

func TestBoot(t *testing.T) {
	disk := unitstest.Files{
		"/etc/systemd/system/db.service":                          "[Service]\nType=notify\nExecStart=/usr/bin/db /etc/db.conf\n",
		"/etc/systemd/system/app.service":                         "[Unit]\nRequires=db.service\nAfter=db.service\n[Service]\nExecStart=/usr/bin/app /etc/app.conf\n",
		"/etc/systemd/system/multi-user.target.wants/app.service": "-> ../app.service",
		"/etc/app.conf": "one",
	}
	s := unitstest.New(unitstest.Config{Disk: disk})
	s.Boot()
	running := s.Processes()
	if len(running) != 2 || running["app.service"].Inputs["/etc/app.conf"] != `"one"` {
		t.Errorf("after the boot there run %v", running)
	}
	before, err := s.Show(t.Context(), "app.service")
	if err != nil {
		t.Fatal(err)
	}
	result, err := s.Run(t.Context(), units.Restart, "db.service")
	if result != units.Done || err != nil {
		t.Errorf("restart says %q, %v", result, err)
	}
	after, err := s.Show(t.Context(), "app.service")
	if err != nil {
		t.Fatal(err)
	}
	if after.Invocation == before.Invocation || !after.IsActive() {
		t.Errorf("the restart was not handed on: %+v", after)
	}
}

func BenchmarkBootAndReload(b *testing.B) {
	disk := unitstest.Files{
		"/etc/systemd/system/db.service":                          "[Service]\nType=notify\nExecStart=/usr/bin/db /etc/db.conf\n",
		"/etc/systemd/system/app.service":                         "[Unit]\nRequires=db.service\nAfter=db.service\n[Service]\nExecStart=/usr/bin/app /etc/app.conf\n",
		"/etc/systemd/system/multi-user.target.wants/app.service": "-> ../app.service",
		"/etc/app.conf": "one",
	}
	s := unitstest.New(unitstest.Config{Disk: disk})
	for b.Loop() {
		c := s.Clone(disk, nil)
		c.PowerOff()
		c.BootBegin()
		_ = c.DaemonReload(b.Context())
		c.BootFinish()
	}
}

func TestCallsAreRefused(t *testing.T) {
	s := unitstest.New(unitstest.Config{Disk: unitstest.Files{}})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	rows := []struct {
		name string
		ctx  context.Context
		off  bool
		want string
	}{
		{name: "the context has ended", ctx: gone, want: "context canceled"},
		{name: "the host is off", ctx: t.Context(), off: true, want: "the host is off"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := s.Clone(unitstest.Files{}, nil)
			if row.off {
				s.PowerOff()
			}
			_, system := s.System(row.ctx)
			_, list := s.List(row.ctx, nil)
			_, show := s.Show(row.ctx, "app.service")
			_, run := s.Run(row.ctx, units.Stop, "app.service")
			for _, err := range []error{system, list, show, run, s.DaemonReload(row.ctx), s.ResetFailed(row.ctx, "app.service")} {
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("a call says %v, want %q", err, row.want)
				}
			}
		})
	}
}

func TestEffectsAreAnnounced(t *testing.T) {
	disk := unitstest.Files{"/etc/systemd/system/app.service": "[Service]\nExecStart=/usr/bin/app\n"}
	var seen []string
	s := unitstest.New(unitstest.Config{Disk: disk})
	s.Before = func(effect string) {
		seen = append(seen, fmt.Sprint(effect, " ", len(s.Processes())))
	}
	if _, err := s.Run(t.Context(), units.Start, "app.service"); err != nil {
		t.Error(err)
	}
	if _, err := s.Show(t.Context(), "app.service"); err != nil {
		t.Error(err)
	}
	if err := s.DaemonReload(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.ResetFailed(t.Context(), "app.service"); err != nil {
		t.Error(err)
	}
	want := []string{"start app.service 0", "daemon-reload 1", "reset-failed app.service 1"}
	if !slices.Equal(seen, want) {
		t.Errorf("effects, with the number of processes before each: %q, want %q", seen, want)
	}
}
