//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// corrections that the daemon has counted.
func (s *site) corrections() int64 {
	s.t.Helper()
	sum := int64(0)
	for _, kind := range []string{"file", "link", "directory", "unit"} {
		sum += s.number(s.metric(`evenkeel_corrections_total{kind="` + kind + `"}`))
	}
	return sum
}

// historyCorrections are those on record since the last commit.
func (s *site) historyCorrections() int {
	s.t.Helper()
	n := 0
	for _, entry := range s.status().History {
		if entry.Result == "corrected" {
			n++
		}
	}
	return n
}

// waitNoDrift waits until the daemon knows of no drift and is at rest.
func (s *site) waitNoDrift() {
	s.t.Helper()
	s.waitStatus("no drift", func(st status) bool {
		return st.Attempt == nil && st.Stage == "idle" && len(st.Drift) == 0
	})
}

// A loop that rewrites a file again and again is not fought for ever; it is named, and
// the rest of the host is looked after all the same.
func TestFightOverAFileIsGivenUp(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		h.Must("systemd-run", "--unit=fight", "/bin/sh", "-c", "while :; do echo by a loop > /etc/motd; sleep 0.1; done")
		s.waitStatus("the fight to be given up", func(st status) bool {
			return len(st.Drift) == 1 && st.Drift[0].Name == "/etc/motd" && strings.HasPrefix(st.Drift[0].Does, "left alone")
		})
		h.Script("echo by hand > /etc/shop/old.conf")
		h.WaitFor("another file to be corrected", soon, func() bool { return h.ReadFile("/etc/shop/old.conf") == "old\n" })
		h.WaitFor("evenkeel_drift to be 1", soon, func() bool { return s.metric(`evenkeel_drift{kind="file"}`) == "1" })
		h.Must("systemctl", "stop", "fight.service")
		h.Must("evenkeel", "retry")
		s.waitNoDrift()
		if text := h.ReadFile("/etc/motd"); strings.Contains(text, "loop") {
			t.Errorf("/etc/motd is %q", text)
		}
	})
}

// A service that a person stopped stays stopped and is told of; one that crashed is
// started again.
func TestStoppedServiceIsReportedAndCrashedOneStarted(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.repo.Write("roles/base/units/fragile.service", "[Service]\nExecStart=/bin/sleep infinity\n")
		s.repo.Edit("roles/base/role.yaml", "  prepare.service: {}", "  prepare.service: {}\n  fragile.service: {settle: 1s}")
		s.settled()
		s.waitNoDrift()
		h.Must("systemctl", "stop", "proxy.service")
		s.waitStatus("the stop to be seen", func(st status) bool {
			return len(st.Drift) == 1 && st.Drift[0].Name == "proxy.service" && strings.HasPrefix(st.Drift[0].Does, "reported")
		})
		if got := h.Active("proxy.service"); got != "inactive" {
			t.Errorf("proxy.service is %s", got)
		}
		h.Must("systemctl", "start", "proxy.service")
		s.waitNoDrift()
		before := s.corrections()
		h.Must("systemctl", "kill", "-s", "KILL", "fragile.service")
		s.waitStatus("the crash to be put right", func(st status) bool {
			return s.corrections() > before && st.Attempt == nil && len(st.Drift) == 0
		})
		s.answers("hello from the first of them, this is test")
	})
}

// While a person says hands off nothing is put back, and all of it afterwards.
func TestDriftIsLeftToWhoeverPaused(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		s.waitNoDrift()
		h.Must("evenkeel", "pause", "--reason", "somebody is at it")
		h.Script("echo by hand > /etc/shop/old.conf")
		s.waitStatus("the drift to be told of", func(st status) bool { return len(st.Drift) == 1 })
		s.waitPolls(3)
		if text := h.ReadFile("/etc/shop/old.conf"); text != "by hand\n" {
			t.Errorf("during the pause the file says %q", text)
		}
		h.Must("evenkeel", "resume")
		s.waitNoDrift()
		if text := h.ReadFile("/etc/shop/old.conf"); text != "old\n" {
			t.Errorf("after the pause the file says %q", text)
		}
	})
}

// What somebody masks, or adds to a unit, is not evenkeel's: it is told of. The verbs say
// the same as the status, and give back what a person wrote.
func TestDriftVerbs(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.repo.Write("roles/base/files/etc/shop/reported.conf", "from Git\n")
		s.repo.Edit("roles/base/role.yaml", "  /etc/shop/old.conf: {feeds: none}", "  /etc/shop/old.conf: {feeds: none}\n  /etc/shop/reported.conf: {feeds: none, drift: report}")
		s.settled()
		s.waitNoDrift()
		if out, err := h.Run("evenkeel", "drift"); err != nil {
			t.Errorf("without drift: %v: %s", err, out)
		}

		h.Script("echo by hand > /etc/shop/reported.conf")
		h.Script("mkdir /etc/systemd/system/app.service.d; printf '[Service]\\nNice=1\\n' > /etc/systemd/system/app.service.d/x.conf")
		s.waitStatus("both to be told of", func(st status) bool { return len(st.Drift) == 2 })
		out, err := h.Run("evenkeel", "drift")
		if err == nil || !hasLine(strings.Split(out, "\n"), "/etc/shop/reported.conf", "content changed", "reported") ||
			!hasLine(strings.Split(out, "\n"), "app.service.d/x.conf", "left alone") || !strings.Contains(out, "-from Git\n+by hand\n") {
			t.Errorf("evenkeel drift says (%v):\n%s", err, out)
		}
		h.Script("rm -r /etc/systemd/system/app.service.d")

		h.Script("echo precious > /etc/shop/old.conf")
		h.WaitFor("the correction", soon, func() bool { return h.ReadFile("/etc/shop/old.conf") == "old\n" })
		if got := h.Must("evenkeel", "drift", "show", "/etc/shop/old.conf"); got != "precious" {
			t.Errorf("what was kept is %q", got)
		}
		h.Script("mkdir -p /root/checkout/roles/base/files/etc/shop; echo 'hosts: []' > /root/checkout/fleet.yaml; echo old > /root/checkout/roles/base/files/etc/shop/old.conf")
		h.Must("evenkeel", "drift", "adopt", "/etc/shop/old.conf", "--repo", "/root/checkout")
		if got := h.ReadFile("/root/checkout/roles/base/files/etc/shop/old.conf"); got != "precious\n" {
			t.Errorf("the checkout has %q", got)
		}
	})
}
