//go:build e2e

package e2e

import (
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// breakApp makes the app answer 500 and its check give up soon.
func (s *site) breakApp() {
	s.t.Helper()
	s.repo.Edit("roles/app/files/etc/app/app.conf.tmpl", "broken = no", "broken = yes")
	s.repo.Edit("roles/app/role.yaml", "deadline: 20s", "deadline: 3s")
}

func (s *site) mendApp() {
	s.t.Helper()
	s.repo.Edit("roles/app/files/etc/app/app.conf.tmpl", "broken = yes", "broken = no")
}

// What failed once is not tried again, not by more polls, not by a restart of
// the daemon, and not under the name of another commit that renders the same.
func TestRejectedCommitIsNotTriedAgain(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		s.breakApp()
		bad := s.repo.Commit("answers 500")
		s.waitRejected(bad)
		files, running := h.Snapshot(), s.invocations()
		unmoved := func(after string) {
			t.Helper()
			if touched := files.Touched(h.Snapshot()); touched != "" {
				t.Errorf("after %s files were touched:\n%s", after, touched)
			}
			if units := s.restarted(running); len(units) > 0 {
				t.Errorf("after %s %q were started again", after, units)
			}
			if st := s.status(); !st.isRejected(bad) {
				t.Errorf("after %s the status has forgotten that %s is rejected: %+v", after, bad, st)
			}
		}

		s.waitPolls(10)
		unmoved("ten more polls")

		h.Must("systemctl", "restart", "evenkeel.service")
		s.waitPolls(2)
		s.waitRejected(bad)
		unmoved("a restart of the daemon")

		s.repo.Write("README.md", "This changes nothing on any host.\n")
		unrelated := s.repo.Commit("words about it")
		s.waitStatus("the unrelated commit to be looked at", func(st status) bool { return st.idle(unrelated) })
		s.waitPolls(2)
		unmoved("an unrelated commit on top")

		s.mendApp()
		fix := s.repo.Commit("the fix")
		s.waitGood(fix)
		s.answers("hello from the first of them, this is test")
	})
}

// A fix does not wait for the end of a watch that it makes pointless.
func TestFixIsDeployedWhileTheWatchStillRuns(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		s.repo.Edit("roles/app/files/etc/app/app.conf.tmpl", "broken = no", "broken = yes")
		s.repo.Edit("roles/app/role.yaml", "deadline: 20s", "deadline: 30m")
		bad := s.repo.Commit("answers 500, and takes its time")
		s.waitStatus("the watch of the bad commit", func(st status) bool {
			return st.Stage == "watching" && st.Attempt != nil && st.Attempt.Commit == bad
		})

		s.mendApp()
		fix := s.repo.Commit("the fix")
		s.waitGood(fix)
		s.answers("hello from the first of them, this is test")
	})
}

// An upgrade of the package restarts the daemon, in the middle of a watch as
// well. That is no reason to take a healthy commit back.
func TestUpgradeDuringAWatchKeepsAHealthyCommit(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.config.probation = 10 * time.Second
		s.configure()
		s.settled()
		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "good morning")
		commit := s.repo.Commit("another greeting")
		s.waitStatus("the commit to be watched with all services up", func(st status) bool {
			return st.Stage == "watching" && st.Applied.Commit == commit &&
				get(h, "http://127.0.0.1:8000/", "good morning") == nil
		})
		running, version := s.invocations(), h.Must("evenkeel", "version")

		h.Install(packageFile(t, "EVENKEEL_NEXT_DEB"))
		if now := h.Must("evenkeel", "version"); now == version {
			t.Errorf("the upgrade left version %q", version)
		}
		s.waitGood(commit)
		if units := s.restarted(running); len(units) > 0 {
			t.Errorf("the upgrade started %q again", units)
		}
		if st := s.status(); len(st.Rejected) > 0 {
			t.Errorf("something was rejected: %+v", st.Rejected)
		}
	})
}
