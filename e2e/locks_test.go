//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// apt installs a package while a commit comes: the commit waits for apt-get by name,
// the files of both are whole, and it goes in when apt is done.
func TestCommitWaitsForApt(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		running := s.invocations()
		h.WriteFile("/var/tmp/slow/DEBIAN/control", "Package: slow\nVersion: 1\nArchitecture: all\nMaintainer: A. Author <author@example.com>\nDescription: takes its time\n", 0o644)
		h.WriteFile("/var/tmp/slow/DEBIAN/postinst", "#!/bin/sh\ntouch /var/tmp/slow.begun\nuntil [ -e /var/tmp/slow.end ]; do sleep 0.1; done\n", 0o755)
		h.WriteFile("/var/tmp/slow/etc/slow.conf", "slow\n", 0o644)
		h.Script("dpkg-deb --root-owner-group --build /var/tmp/slow /var/tmp/slow.deb >/dev/null")
		h.Must("systemd-run", "--quiet", "--unit=installing", "--setenv=DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "/var/tmp/slow.deb")
		if !lab.Poll(soon, func() bool { return h.Exists("/var/tmp/slow.begun") }) {
			t.Fatalf("apt-get is not in the middle of it:\n%s", h.Journal("installing.service", 30))
		}

		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "good morning")
		commit := s.repo.Commit("another greeting")
		st := s.waitStatus("the commit to wait for apt-get", func(st status) bool { return st.idle(commit) && len(st.Waiting) > 0 })
		if who := st.Waiting[0]; !strings.Contains(who, "(apt-get) holds /var/lib/dpkg/lock-frontend") {
			t.Errorf("it waits for %q", who)
		}
		s.waitPolls(3)
		if again := s.restarted(running); len(again) > 0 {
			t.Errorf("%v were restarted while apt-get was at work", again)
		}
		s.answers("hello from the first of them, this is test")
		if got := h.Active("installing.service"); got != "active" {
			t.Fatalf("apt-get is %s by now", got)
		}

		h.WriteFile("/var/tmp/slow.end", "", 0o644)
		s.waitGood(commit)
		s.answers("good morning, this is test")
		if got := h.Must("dpkg-query", "--show", "--showformat=${Status}", "slow"); got != "install ok installed" {
			t.Errorf("dpkg says %q", got)
		}
	})
}
