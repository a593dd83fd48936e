//go:build e2e

package e2e

import (
	"os/exec"
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// The keeper may go without taking down what it kept: removing the package
// leaves services and files, purging it leaves nothing of its own.
func TestPackageComesAndGoes(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		bare := h.Snapshot("/etc", "/usr", "/var/lib/evenkeel", "/var/cache").Without("/usr/lib/systemd/system/lab-network.service")
		s := newSite(t, h)
		if got := h.Property("evenkeel.service", "UnitFileState"); got != "enabled" {
			t.Errorf("after the installation evenkeel.service is %s", got)
		}
		if got := h.Active("evenkeel.service"); got != "inactive" {
			t.Errorf("after the installation evenkeel.service is %s, and nobody has named a repository", got)
		}
		s.settled()
		files, running := h.Snapshot("/etc/app", "/etc/db", "/etc/proxy", "/etc/motd", "/etc/shop", "/srv/shop"), s.invocations()

		h.Must("dpkg", "--remove", "evenkeel")
		s.untouchedBelow("removing the package", files, running)
		s.answers("hello from the first of them, this is test")

		originals := h.Must("sh", "-c", "cd /var/lib/evenkeel && sha256sum original.*")
		said := h.Must("sh", "-c", "dpkg --purge evenkeel 2>&1")
		backup := strings.TrimSpace(h.Must("sh", "-c", "echo /var/backups/evenkeel.*"))
		if !strings.Contains(said, "originals of managed files are kept in "+backup+",") {
			t.Errorf("the purge does not say where originals are, which is %s:\n%s", backup, said)
		}
		if kept := h.Must("sh", "-c", "cd "+backup+" && test -e ledger.json && sha256sum original.*"); kept != originals {
			t.Errorf("of the originals\n%sthe purge kept\n%s", originals, kept)
		}
		if mode := h.Must("stat", "-c", "%a %U", backup); strings.TrimSpace(mode) != "700 root" {
			t.Errorf("%s is %s", backup, mode)
		}
		s.untouchedBelow("purging the package", files, running)
		for path := range h.Snapshot("/etc", "/usr", "/var/lib", "/var/cache") {
			if _, was := bare[path]; !was && strings.Contains(path, "evenkeel") && !strings.Contains(path, "/var/lib/dpkg/") {
				t.Errorf("%s is still there after the purge", path)
			}
		}
	})
}

func (s *site) untouchedBelow(by string, files lab.Snapshot, running map[string]string) {
	s.t.Helper()
	now := s.host.Snapshot("/etc/app", "/etc/db", "/etc/proxy", "/etc/motd", "/etc/shop", "/srv/shop")
	if touched := files.Touched(now); touched != "" {
		s.t.Errorf("%s touched files:\n%s", by, touched)
	}
	if units := s.restarted(running); len(units) > 0 {
		s.t.Errorf("%s started %q again", by, units)
	}
}

// An upgrade keeps what the operator wrote into the configuration, and goes on
// where the old version was, without touching a thing.
func TestUpgradeKeepsConfigurationAndHost(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		commit := s.settled()
		files, running, written := h.Snapshot("/etc", "/srv"), s.invocations(), h.ReadFile("/etc/evenkeel/config.yaml")

		h.Install(packageFile(t, "EVENKEEL_NEXT_DEB"))
		s.waitPolls(3)
		s.waitGood(commit)
		if now := h.ReadFile("/etc/evenkeel/config.yaml"); now != written {
			t.Errorf("the upgrade changed the configuration to:\n%s", now)
		}
		if diff := files.Diff(h.Snapshot("/etc", "/srv").Without("/etc/evenkeel/config.yaml.dpkg-dist")); diff != "" {
			t.Errorf("the upgrade changed files:\n%s", diff)
		}
		if units := s.restarted(running); len(units) > 0 {
			t.Errorf("the upgrade started %q again", units)
		}
	})
}

// Prometheus' own judge has nothing to say about the page, and the page is
// whole right after a restart of the daemon.
func TestMetricsPleasePromtool(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		commit := s.settled()
		h.Must("systemctl", "restart", "evenkeel.service")
		page, err := body(h, "http://127.0.0.1:9973/metrics")
		if err != nil {
			t.Fatalf("cannot get the metrics: %v", err)
		}
		if !strings.Contains(page, commit) {
			t.Errorf("right after a restart the page does not name commit %s:\n%s", commit, page)
		}
		cmd := exec.Command("promtool", "check", "metrics")
		cmd.Stdin = strings.NewReader(page)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s\n%s", err, out, page)
		}
	})
}
