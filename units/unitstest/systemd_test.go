package unitstest_test

import (
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
