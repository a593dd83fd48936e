//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// A commit that takes much away is asked about: nothing is touched, and status,
// log and metric say so. The next one that keeps the files goes in; an approved
// one too; and one whose author says that it is meant.
func TestCommitThatTakesMuchAwayIsAskedAbout(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.manyPages(20)
		first := s.settled()
		files, running := h.Snapshot(), s.invocations()

		s.repo.Remove("roles/base/files/etc/pages")
		s.repo.Write("roles/base/role.yaml", "files:\n  /etc/motd: {feeds: none}\n")
		s.repo.Remove("roles/base/files/etc/shop")
		s.repo.Remove("roles/base/units/prepare.service")
		asked := s.repo.Commit("oops")
		st := s.waitHeld(asked)
		s.untouched("asking", files, running)
		if st.Held.Commit != asked || !strings.Contains(strings.Join(st.Held.Paths, " "), "/etc/pages/07.html") {
			t.Errorf("status does not say what would go: %+v", st.Held)
		}
		if text, err := h.Run("evenkeel", "status"); err == nil || !strings.Contains(text, "HELD") || !strings.Contains(text, "evenkeel approve "+asked[:12]) {
			t.Errorf("status says\n%s", text)
		}
		if held := s.metric("evenkeel_held"); held != "1" {
			t.Errorf("evenkeel_held is %q, want 1", held)
		}
		if journal := h.Journal("evenkeel.service", 200); !hasLine(strings.Split(journal, "\n"), "asking before anything is touched", "/etc/pages/07.html") {
			t.Errorf("the log does not say what would go:\n%s", journal)
		}
		if text, err := h.Run("evenkeel", "plan"); err == nil || !strings.Contains(text, `It would wait for "evenkeel approve"`) {
			t.Errorf("plan says\n%s", text)
		}

		s.repo.Restore(first)
		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "as you were")
		s.waitGood(s.repo.Commit("no, keep them"))
		s.answers("as you were, this is test")
		if _, err := h.Run("evenkeel", "approve", asked); err == nil {
			t.Error("a commit that is no longer asked about can be approved")
		}

		s.repo.Remove("roles/base/files/etc/pages")
		meant := s.repo.Commit("they are old")
		s.waitHeld(meant)
		h.Must("systemctl", "restart", "evenkeel.service")
		s.waitHeld(meant)
		if _, err := h.Run("evenkeel", "approve", asked[:12]); err == nil {
			t.Error("the answer to another commit was taken")
		}
		h.Must("evenkeel", "approve", meant[:12])
		s.waitGood(meant)
		if h.Exists("/etc/pages") {
			t.Error("the pages are still there")
		}

		s.manyPages(20)
		s.waitGood(s.repo.Commit("they were not"))
		s.repo.Remove("roles/base/files/etc/pages")
		s.waitGood(s.repo.Commit("yes, they were\n\nSigned-off-by: A. Author <author@example.com>\nEvenkeel-Allow-Prune: true"))
		if h.Exists("/etc/pages") {
			t.Error("the pages are still there")
		}
	})
}

// manyPages gives the base role files that nothing reads.
func (s *site) manyPages(n int) {
	s.t.Helper()
	for i := range n {
		s.repo.Write(fmt.Sprintf("roles/base/files/etc/pages/%02d.html", i), "a page\n")
	}
}

// waitHeld waits until a commit is asked about.
func (s *site) waitHeld(commit string) status {
	s.t.Helper()
	return s.waitStatus("commit "+commit+" to be asked about", func(st status) bool {
		return st.idle(commit) && st.Held != nil && st.Held.Commit == commit && st.Result == "held"
	})
}

// A package that was upgraded while evenkeel kept its configuration file has a
// newer version of it, and the original that evenkeel kept is stale. dpkg's own
// rules decide which version stands there.
func TestStaleOriginalIsAskedAbout(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.lamp("1", "wick = short\n")
		s.repo.Write("roles/base/files/etc/lamp.conf", "wick = long\n")
		s.settled()
		s.lamp("2", "wick = none\nled = yes\n")
		if got := h.ReadFile("/etc/lamp.conf"); got != "wick = long\n" {
			t.Fatalf("the upgrade put %q there", got)
		}
		s.waitStatus("the package's version to be listed", func(st status) bool {
			return strings.Contains(strings.Join(st.PackageFiles, " "), "/etc/lamp.conf.dpkg-dist")
		})

		s.repo.Remove("roles/base/files/etc/lamp.conf")
		asked := s.repo.Commit("no more lamp")
		st := s.waitHeld(asked)
		if !strings.Contains(st.Held.Reason, "package lamp ships another version") || fmt.Sprint(st.Held.Paths) != "[/etc/lamp.conf]" {
			t.Errorf("it asks %+v", st.Held)
		}
		if got := h.ReadFile("/etc/lamp.conf"); got != "wick = long\n" {
			t.Errorf("asking put %q there", got)
		}
		h.Must("evenkeel", "approve")
		s.waitGood(asked)
		if got := h.ReadFile("/etc/lamp.conf"); got != "wick = long\n" {
			t.Errorf("%q stands there, want what stood there", got)
		}

		// Without an upgrade in between the original comes back, unasked.
		s.repo.Write("roles/base/files/etc/lamp.conf", "wick = longer\n")
		s.waitGood(s.repo.Commit("lamp again"))
		s.repo.Remove("roles/base/files/etc/lamp.conf")
		s.waitGood(s.repo.Commit("and off"))
		if got := h.ReadFile("/etc/lamp.conf"); got != "wick = long\n" {
			t.Errorf("%q stands there, want the original", got)
		}
	})
}

// lamp installs a small package with a configuration file, as apt would without
// a terminal.
func (s *site) lamp(version, conf string) {
	s.t.Helper()
	s.host.WriteFile("/var/tmp/lamp/DEBIAN/control", "Package: lamp\nVersion: "+version+"\nArchitecture: all\nMaintainer: A. Author <author@example.com>\nDescription: a lamp\n", 0o644)
	s.host.WriteFile("/var/tmp/lamp/DEBIAN/conffiles", "/etc/lamp.conf\n", 0o644)
	s.host.WriteFile("/var/tmp/lamp/etc/lamp.conf", conf, 0o644)
	s.host.Script("dpkg-deb --root-owner-group --build /var/tmp/lamp /var/tmp/lamp.deb >/dev/null; DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold -i /var/tmp/lamp.deb")
}
