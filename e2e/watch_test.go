//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// watched is a site with a long probation in the middle of the watch of a healthy
// commit.
func watched(t *testing.T, h *lab.Host, probation time.Duration) (s *site, commit string) {
	t.Helper()
	s = newSite(t, h)
	s.settled()
	s.config.probation = probation
	s.configure()
	h.Must("systemctl", "reload", "evenkeel.service")
	s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "good morning")
	commit = s.repo.Commit("another greeting")
	s.waitStatus("the commit to be watched with all services up", func(st status) bool {
		return st.Stage == "watching" && st.Applied.Commit == commit &&
			get(h, "http://127.0.0.1:8000/", "good morning") == nil
	})
	return s, commit
}

// A newer commit that has to wait, or that validation refuses, does not leave the
// one under watch without a verdict.
func TestNewerCommitThatMustWaitDoesNotEndTheWatchForGood(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s, commit := watched(t, h, 8*time.Second)
		s.repo.Write("roles/base/files/etc/shop/later.conf", "later\n")
		s.repo.Edit("roles/base/role.yaml", "directories:", "  /etc/shop/later.conf: {owner: later, feeds: none}\ndirectories:")
		newer := s.repo.Commit("a file of a user that is not there yet")
		s.waitStatus("the first commit to be good while the second waits", func(st status) bool {
			return st.idle(newer) && st.Good.Commit == commit && len(st.Waiting) > 0
		})

		h.Must("useradd", "--system", "later")
		s.waitGood(newer)
		s.answers("good morning, this is test")
	})
}

// A reload in the middle of a pass takes effect after it.
func TestReloadDuringAWatchIsNotLost(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s, commit := watched(t, h, 8*time.Second)
		s.config.labels = map[string]string{"env": "prod"}
		s.configure()
		h.Must("systemctl", "kill", "--signal=HUP", "--kill-whom=main", "evenkeel.service")
		h.WaitFor("the other environment", soon, func() bool {
			return get(h, "http://127.0.0.1:8000/", "this is production") == nil
		})
		s.waitGood(commit)
		s.answers("good morning, this is production")
	})
}

// A mistake in the host's own configuration stops the daemon, and does not leave
// the host between two commits.
func TestBrokenConfigurationDoesNotLeaveAnAttemptOpen(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s, commit := watched(t, h, 30*time.Minute)
		h.WriteFile("/etc/evenkeel/config.yaml", "repos: typing error\n", 0o640)
		h.Must("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "evenkeel.service")
		h.WaitFor("the daemon to give up on its configuration", soon, func() bool {
			return h.Property("evenkeel.service", "ExecMainStatus") == "78"
		})
		if open := h.Must("find", "/var/lib/evenkeel", "-name", "attempt.*"); open != "" {
			t.Errorf("an attempt is open: %s", open)
		}
		s.answers("good morning, this is test")

		s.configure()
		h.Must("systemctl", "start", "evenkeel.service")
		s.waitGood(commit)
		if journal := h.Journal("evenkeel.service", 80); !strings.Contains(journal, "repos") {
			t.Errorf("the log does not name the mistake:\n%s", journal)
		}
	})
}

// Somebody edits managed files while a commit is on probation, and the commit is
// taken back: their words are kept beside the files and named until they are gone.
func TestEditDuringAWatchThatEndsBadlyIsKeptAndNamed(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		before := h.Snapshot("/etc", "/srv")
		s.disturb()
		s.breakApp()
		s.repo.Edit("roles/app/role.yaml", "deadline: 3s", "deadline: 15s")
		bad := s.repo.Commit("answers 500")
		s.waitStatus("the watch", func(st status) bool { return st.Stage == "watching" })
		h.Script("echo by rename > /etc/motd.new && mv /etc/motd.new /etc/motd; echo in place >> /etc/shop/new.conf")
		s.waitRejected(bad)

		kept := []string{"/etc/.motd.evenkeel!", "/etc/shop/.new.conf.evenkeel!"}
		for i, want := range []string{"by rename\n", "new\nin place\n"} {
			if got := h.ReadFile(kept[i]); got != want {
				t.Errorf("%s says %q, want %q", kept[i], got, want)
			}
		}
		if warnings := s.status().Warnings; !hasLine(warnings, kept[0]) || !hasLine(warnings, kept[1]) {
			t.Errorf("the status does not name them: %q", warnings)
		}
		if diff := before.Diff(h.Snapshot("/etc", "/srv").Without(kept...)); diff != "" {
			t.Errorf("the revert left something else behind:\n%s", diff)
		}

		h.Must("rm", kept[0], kept[1])
		h.Must("systemctl", "reload", "evenkeel.service")
		s.waitStatus("the warnings to end", func(st status) bool { return !hasLine(st.Warnings, "evenkeel!") })
	})
}
