//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// Whatever happens to the repository, the services run on, and the reason is
// where people and alerts look.
var troubles = []struct {
	what   string
	reason string // its word in evenkeel_source_errors_total
	make   func(s *site)
	mend   func(s *site)
}{
	{
		what:   "an unreachable server",
		reason: "unreachable",
		make:   func(s *site) { s.server.Stop() },
		mend:   func(s *site) { s.server.Start() },
	},
	{
		what:   "a network that is cut",
		reason: "unreachable",
		make:   func(s *site) { s.host.CutNetwork() },
		mend:   func(s *site) { s.host.RestoreNetwork() },
	},
	{
		what:   "a server that answers 500",
		reason: "unreachable",
		make: func(s *site) {
			s.server.Answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of order", 500) })
		},
		mend: func(s *site) { s.server.Answer(nil) },
	},
	{
		what:   "a deleted branch",
		reason: "no-branch",
		make:   func(s *site) { s.repo.DeleteBranch() },
		mend:   func(s *site) { s.repo.ForcePush() },
	},
	{
		what:   "a repository full of garbage",
		reason: "garbage",
		make: func(s *site) {
			s.repo.Write("README.md", "something new to fetch\n")
			s.repo.Commit("this one will be garbage")
			s.repo.Break()
		},
		mend: func(s *site) { s.repo.Mend() },
	},
}

// The child looks by itself while there is no news, so nobody waits for its answer then.
func TestNewCommitIsSeenAfterTheChildThatLooksWasKilled(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		s.waitPolls(5) // by then it looks by itself
		h.Must("pkill", "-KILL", "-f", "evenkeel child-poll")
		s.repo.Edit("hosts/web-1.yaml", "greeting: ", "greeting: again ")
		s.waitGood(s.repo.Commit("after the child was killed"))
		if n := s.metric(`evenkeel_source_errors_total{reason="limit"}`); n != "1" {
			t.Errorf("the child that was killed is counted %q times as a failure, want once", n)
		}
	})
}

func TestTroubleWithTheRepositoryTouchesNothing(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		for _, c := range troubles {
			files, running := h.Snapshot(), s.invocations()
			c.make(s)
			st := s.waitStatus(c.what+" to be in the status", func(st status) bool { return st.ContactError != "" })
			t.Logf("%s: %s: %s", h.Release, c.what, st.ContactError)
			s.untouched(c.what, files, running)
			if up := s.metric("evenkeel_source_up"); up != "0" {
				t.Errorf("%s: evenkeel_source_up is %q, want 0", c.what, up)
			}
			counter := `evenkeel_source_errors_total{reason="` + c.reason + `"}`
			if n := s.metric(counter); n == "" || n == "0" {
				t.Errorf("%s: %s is %q", c.what, counter, n)
			}

			c.mend(s)
			s.waitStatus("the end of "+c.what, func(st status) bool { return st.ContactError == "" })
			s.repo.Edit("hosts/web-1.yaml", "greeting: ", "greeting: again ")
			s.waitGood(s.repo.Commit("after " + c.what))
		}
		s.answers(strings.Repeat("again ", len(troubles)) + "hello from the first of them")
	})
}

// A branch whose history was rewritten is not followed, until the host's own
// configuration says so.
func TestForcePushedBranchIsNotFollowed(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		first := s.settled()
		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "second thoughts")
		second := s.repo.Commit("another greeting")
		s.waitGood(second)
		files, running := h.Snapshot(), s.invocations()

		s.repo.Reset(first)
		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "rewritten")
		s.repo.CommitOnly("history is what I say")
		s.repo.ForcePush()
		st := s.waitStatus("the rewritten branch to be in the status", func(st status) bool {
			return strings.Contains(st.Reason+st.ContactError+strings.Join(st.Refused, " "), "rewritten")
		})
		t.Logf("%s: %q %q %q", h.Release, st.Reason, st.ContactError, st.Refused)
		s.untouched("a force-push", files, running)
		if n := s.metric(`evenkeel_source_errors_total{reason="rewritten"}`); n == "" || n == "0" {
			t.Errorf("no metric tells of the rewritten branch: %q", n)
		}
		if st.Good.Commit != second {
			t.Errorf("good is %s, want %s", st.Good.Commit, second)
		}

		h.WriteFile("/etc/evenkeel/config.yaml", h.ReadFile("/etc/evenkeel/config.yaml")+"allow_rewritten: true\n", 0o640)
		h.Must("systemctl", "reload", "evenkeel.service")
		s.waitGood(s.repo.Head())
		s.answers("rewritten, this is test")
	})
}

func (s *site) untouched(by string, files lab.Snapshot, running map[string]string) {
	s.t.Helper()
	if touched := files.Touched(s.host.Snapshot()); touched != "" {
		s.t.Errorf("%s touched files:\n%s", by, touched)
	}
	if units := s.restarted(running); len(units) > 0 {
		s.t.Errorf("%s started %q again", by, units)
	}
}

// The ways into a repository that a host can have: https with a password and
// an authority of its own, and ssh with a key and known hosts.
func TestRepositoryOverHTTPSAndSSH(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		commit := s.repo.Commit("the example")
		https := theLab.ServeTLS(t, s.repo, "deploy", "correct horse")
		h.WriteFile("/etc/evenkeel/ca.pem", https.CA(), 0o600)
		h.WriteFile("/etc/evenkeel/password", "correct horse\n", 0o600)
		h.WriteFile("/etc/evenkeel/config.yaml", "interval: 1s\nprobation: 2s\nrepo: "+https.URL()+`
auth:
  username: deploy
  password_file: /etc/evenkeel/password
  ca_file: /etc/evenkeel/ca.pem
`, 0o640)
		s.start()
		s.waitGood(commit)

		ssh := theLab.ServeSSH(t, s.repo)
		h.WriteFile("/etc/evenkeel/key", ssh.Key, 0o600)
		h.WriteFile("/etc/evenkeel/known_hosts", ssh.KnownHosts, 0o600)
		h.WriteFile("/etc/evenkeel/config.yaml", "interval: 1s\nprobation: 2s\nrepo: "+ssh.URL+`
auth:
  ssh_key_file: /etc/evenkeel/key
  known_hosts_file: /etc/evenkeel/known_hosts
`, 0o640)
		h.Must("systemctl", "reload", "evenkeel.service")
		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "by another way")
		s.waitGood(s.repo.Commit("over ssh"))
		s.answers("by another way, this is test")
		if journal := h.Journal("", 100000); strings.Contains(journal, "correct horse") {
			t.Error("the password is in the journal")
		}
	})
}
