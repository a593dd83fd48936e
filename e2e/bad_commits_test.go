//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// What a commit can have wrong that shows only when it runs. Each row is
// committed together with harmless changes of every kind of path.
var failsWhenItRuns = []struct {
	fault     string
	cause     string // in the metrics
	edit      func(r *lab.Repo)
	probation time.Duration // 0: the usual one
}{
	{
		fault: "a unit that exits at once",
		cause: "step",
		edit: func(r *lab.Repo) {
			r.Edit("roles/app/units/app.service", "ExecStart=/usr/local/bin/example-app /etc/app/app.conf", "ExecStart=/bin/false")
		},
	},
	{
		fault: "a unit that crashes 5 s after each start under Restart=always",
		cause: "unit",
		edit: func(r *lab.Repo) {
			r.Edit("roles/proxy/units/proxy.service", "Type=notify", "Type=exec")
			r.Edit("roles/proxy/units/proxy.service", "ExecStart=/usr/local/bin/example-proxy", "ExecStart=/bin/sh -c 'sleep 5; exit 1'\nRestartSec=100ms")
			r.Edit("roles/proxy/units/proxy.service", "Restart=on-failure", "Restart=always")
			// Without a check only the loop itself tells.
			r.Write("roles/proxy/role.yaml", "services:\n  proxy.service: {settle: 1s}\n")
		},
		probation: 10 * time.Second,
	},
	{
		fault: "a database that fails and takes down what requires it",
		cause: "step",
		edit: func(r *lab.Repo) {
			r.Edit("roles/db/units/db.service", "ExecStart=/usr/local/bin/example-db", "ExecStart=/bin/false")
		},
	},
	{
		fault: "a check that answers 500",
		cause: "check",
		edit: func(r *lab.Repo) {
			r.Edit("roles/app/files/etc/app/app.conf.tmpl", "broken = no", "broken = yes")
			r.Edit("roles/app/role.yaml", "deadline: 20s", "deadline: 3s")
		},
	},
}

// A commit that fails after the first effect is undone without a trace: bytes,
// modes, owners, links, and services that work.
func TestCommitThatFailsWhenItRunsIsReverted(t *testing.T) {
	t.Parallel()
	for _, c := range failsWhenItRuns {
		t.Run(c.fault, func(t *testing.T) {
			onEachRelease(t, func(t *testing.T, h *lab.Host) {
				s := newSite(t, h)
				if c.probation != 0 {
					s.config.probation = c.probation
					s.configure()
				}
				good := s.settled()
				before := h.Snapshot()

				s.disturb()
				c.edit(s.repo)
				bad := s.repo.Commit(c.fault)
				st := s.waitRejected(bad)

				if diff := before.Diff(h.Snapshot()); diff != "" {
					t.Errorf("the revert left something behind:\n%s", diff)
				}
				if st.Good.Commit != good || st.Applied.Commit != good {
					t.Errorf("good is %s and applied %s, want both %s", st.Good.Commit, st.Applied.Commit, good)
				}
				s.answers("hello from the first of them, this is test")
				if got := s.metric("evenkeel_rejected"); got != "1" {
					t.Errorf("evenkeel_rejected is %q, want 1", got)
				}
				if reverts := fmt.Sprintf("evenkeel_reverts_total{reason=%q}", c.cause); s.metric(reverts) != "1" {
					t.Errorf("%s is %q, want 1", reverts, s.metric(reverts))
				}
				if jobs := s.metric(`evenkeel_unit_jobs_total{result="done",verb="start"}`); jobs == "0" || jobs == "" {
					t.Errorf("the metrics say that systemd has done %q starts", jobs)
				}
				if info := fmt.Sprintf("evenkeel_commit_info{applied=%q,good=%q,target=%q}", good, good, bad); s.metric(info) != "1" {
					t.Errorf("there is no %s", info)
				}
			})
		})
	}
}

// What a commit can have wrong that shows before anything is touched.
var failsBefore = []struct {
	fault string
	edit  func(r *lab.Repo)
}{
	{
		fault: "a path through a symbolic link of the host",
		edit: func(r *lab.Repo) {
			r.Write("roles/base/files/etc/os-release/more.conf", "x\n")
		},
	},
	{
		fault: "a file where the host has a directory",
		edit: func(r *lab.Repo) {
			r.Write("roles/base/files/etc/profile.d", "x\n")
		},
	},
	{
		fault: "a directory where the host has a file",
		edit: func(r *lab.Repo) {
			r.Write("roles/base/role.yaml", "files:\n  /etc/motd: {feeds: none}\ndirectories:\n  /etc/debian_version: {}\n")
		},
	},
	{
		fault: "a template with a key that nobody set",
		edit: func(r *lab.Repo) {
			r.Edit("roles/app/files/etc/app/app.conf.tmpl", "{{ .vars.greeting }}", "{{ .vars.greting }}")
		},
	},
	{
		fault: "a unit that systemd-analyze verify refuses",
		edit: func(r *lab.Repo) {
			r.Edit("roles/app/units/app.service", "ExecStart=/usr/local/bin/example-app /etc/app/app.conf\n", "")
		},
	},
	{
		fault: "a validator that says no",
		edit: func(r *lab.Repo) {
			r.Edit("roles/app/role.yaml", `{mode: "0644"}`,
				`{mode: "0644", validate: [/bin/grep, -q, "broken = never", /etc/app/app.conf]}`)
			r.Edit("roles/app/files/etc/app/app.conf.tmpl", "broken = no", "broken = no # checked")
		},
	},
	{
		fault: "a file outside the allowed roots",
		edit: func(r *lab.Repo) {
			r.Write("roles/base/files/var/lib/elsewhere/file", "not here\n")
		},
	},
}

// A fault that can be seen beforehand leaves the host alone: no file so much
// as changes its ctime, no service is started again.
func TestCommitThatFailsBeforehandTouchesNothing(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		good := s.settled()
		before, running := h.Snapshot(), s.invocations()
		for _, c := range failsBefore {
			s.disturb()
			c.edit(s.repo)
			bad := s.repo.Commit(c.fault)
			st := s.waitRefused(bad)
			if touched := before.Touched(h.Snapshot()); touched != "" {
				t.Errorf("%s: something was touched:\n%s", c.fault, touched)
			}
			if units := s.restarted(running); len(units) > 0 {
				t.Errorf("%s: %q were started again", c.fault, units)
			}
			if st.Good.Commit != good {
				t.Errorf("%s: good is %s, want %s", c.fault, st.Good.Commit, good)
			}
			if st.Target.Subject != c.fault {
				t.Errorf("%s: the subject of the commit is %q", c.fault, st.Target.Subject)
			}
			t.Logf("%s: %s: refused with %q", h.Release, c.fault, st.Refused)
			s.repo.Restore(good)
		}
		s.answers("hello from the first of them, this is test")
	})
}

// With no good commit yet there is still a place to go back to: the host as it
// was found.
func TestFirstCommitBeingBadLeavesTheHostAsItWas(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		h.Must("systemctl", "enable", "evenkeel.service")
		before := h.Snapshot()

		s.repo.Edit("roles/app/files/etc/app/app.conf.tmpl", "broken = no", "broken = yes")
		s.repo.Edit("roles/app/role.yaml", "deadline: 20s", "deadline: 3s")
		bad := s.repo.Commit("the first, and bad")
		s.start()
		s.waitRejected(bad)
		if diff := before.Diff(h.Snapshot()); diff != "" {
			t.Errorf("the revert left something behind:\n%s", diff)
		}
		for _, unit := range services {
			if got := h.Property(unit, "LoadState"); got != "not-found" {
				t.Errorf("systemd still knows %s: %s", unit, got)
			}
		}

		s.repo.Edit("roles/app/files/etc/app/app.conf.tmpl", "broken = yes", "broken = no")
		s.waitGood(s.repo.Commit("the fix"))
		s.answers("hello from the first of them, this is test")
	})
}
