//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// soon bounds what should take seconds, on a machine that is busy with other
// hosts.
const soon = 90 * time.Second

// statusFile is what "evenkeel status" reads.
const statusFile = "/run/evenkeel/status.json"

// services of the example, in the order in which they need each other.
var services = []string{"db.service", "app.service", "proxy.service"}

// site is a host with the package installed, and the repository it follows: a
// copy of examples/small with some more kinds of paths in it.
type site struct {
	t      *testing.T
	host   *lab.Host
	repo   *lab.Repo
	server *lab.Server
	config config
}

// config is the host's own configuration, as far as tests change it.
type config struct {
	probation time.Duration
	labels    map[string]string
	more      string // lines; an interval in them is in place of 1s
}

// newSite installs the package and makes the repository, without a commit yet;
// start makes the host follow it.
func newSite(t *testing.T, h *lab.Host) *site {
	t.Helper()
	s := &site{t: t, host: h, config: config{probation: 2 * time.Second}}
	t.Cleanup(s.tellIfFailed)
	s.repo = theLab.Repo(t, "config")
	s.repo.CopyTree("../examples/small")
	s.furnish()
	s.server = theLab.Serve(t, s.repo, "", "")
	h.Install(packageFile(t, "EVENKEEL_DEB"))
	s.configure()
	return s
}

// packageFile is a package that make built; make e2e says where.
func packageFile(t *testing.T, variable string) string {
	t.Helper()
	file := os.Getenv(variable)
	if file == "" {
		t.Fatalf("%s does not name a package: run the tests with \"make e2e\"", variable)
	}
	return file
}

// furnish adds what the example lacks: a link, a directory with an owner, a
// mode that is not the default, a oneshot that systemd forgets when it has run.
func (s *site) furnish() {
	s.t.Helper()
	s.repo.Write("roles/base/files/etc/shop/old.conf", "old\n")
	s.repo.Write("roles/base/files/etc/shop/secret.conf", "quiet\n")
	s.repo.Write("roles/base/units/prepare.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
	s.repo.Write("roles/base/role.yaml", `services:
  prepare.service: {}
files:
  /etc/motd: {feeds: none}
  /etc/shop/old.conf: {feeds: none}
  /etc/shop/secret.conf: {mode: "0600", owner: nobody, group: nogroup, feeds: none}
directories:
  /srv/shop: {mode: "0750", owner: nobody}
links:
  /etc/shop/current.conf: old.conf
`)
}

// disturb changes every kind of path in the work tree, so that a revert has
// bytes, a mode, an owner, a link, a new and a removed file to put right.
func (s *site) disturb() {
	s.t.Helper()
	s.repo.Write("roles/base/files/etc/motd.tmpl", "this host is new\n")
	s.repo.Remove("roles/base/files/etc/shop/old.conf")
	s.repo.Write("roles/base/files/etc/shop/new.conf", "new\n")
	s.repo.Write("roles/base/role.yaml", `services:
  prepare.service: {}
files:
  /etc/motd: {mode: "0600", feeds: none}
  /etc/shop/new.conf: {feeds: none}
  /etc/shop/secret.conf: {mode: "0640", owner: root, group: root, feeds: none}
directories:
  /srv/shop: {mode: "0755"}
  /srv/shop/new: {}
links:
  /etc/shop/current.conf: new.conf
`)
}

// configure writes the host's own configuration.
func (s *site) configure() {
	s.t.Helper()
	text := fmt.Sprintf("repo: %s\nprobation: %s\n%s", s.server.URL(), s.config.probation, s.config.more)
	if !strings.Contains(s.config.more, "interval:") {
		text += "interval: 1s\n"
	}
	if len(s.config.labels) > 0 {
		text += "labels:\n"
		for name, value := range s.config.labels {
			text += fmt.Sprintf("  %s: %s\n", name, value)
		}
	}
	s.host.WriteFile("/etc/evenkeel/config.yaml", text, 0o640)
}

// start enables and starts the daemon.
func (s *site) start() {
	s.t.Helper()
	s.host.Must("systemctl", "enable", "--now", "evenkeel.service")
}

// settled commits the example, starts the daemon, and waits until the commit
// is the good one.
func (s *site) settled() string {
	s.t.Helper()
	commit := s.repo.Commit("the example")
	s.start()
	s.waitGood(commit)
	return commit
}

// status is the part of "evenkeel status --json" that tests look at.
type status struct {
	Stage    string
	Result   string
	Reason   string
	Target   struct{ Commit, Subject string }
	Applied  struct{ Commit string }
	Good     struct{ Commit string }
	Attempt  *struct{ Commit string }
	Refused  []string
	Waiting  []string
	Rejected []rejection
	Held     *struct {
		Reason, Commit string
		Paths          []string
	}
	NextLook time.Time `json:"next_look"`
	Paused   *struct{ Reason string }
	Lock     *struct{ Process string }
	Deferred *struct {
		Commit, Reason string
		Steps          []string
	}
	PackageFiles []string `json:"package_files"`
	Warnings     []string
	Drift        []struct{ Name, Kind, How, Does string }
	ContactError string `json:"contact_error"`
	History      []struct {
		Commit, Result, Reason string
		Restarts               []string
	}
}

type rejection struct {
	Commit, Reason string
	Evidence       []string
}

// idle reports whether nothing is under way for the commit.
func (st status) idle(commit string) bool {
	return st.Target.Commit == commit && st.Attempt == nil && (st.Stage == "idle" || st.Stage == "held")
}

func (st status) isRejected(commit string) bool {
	return slices.ContainsFunc(st.Rejected, func(r rejection) bool { return r.Commit == commit })
}

// status asks the daemon; it is empty while there is none.
func (s *site) status() status {
	out, _ := s.host.Run("evenkeel", "status", "--json") // its exit code is a verdict
	return readStatus([]byte(out))
}

func readStatus(text []byte) (st status) {
	_ = json.Unmarshal(text, &st)
	return st
}

// waitGood waits until the host is at the commit and the commit proved itself.
func (s *site) waitGood(commit string) {
	s.t.Helper()
	s.waitStatus("commit "+commit+" to be good", func(st status) bool {
		return st.idle(commit) && st.Good.Commit == commit && st.Applied.Commit == commit
	})
}

// waitRejected waits until the commit has failed and the host is back.
func (s *site) waitRejected(commit string) status {
	s.t.Helper()
	return s.waitStatus("commit "+commit+" to be rejected", func(st status) bool {
		return st.idle(commit) && st.isRejected(commit)
	})
}

// waitRefused waits until the commit was found faulty before anything was touched.
func (s *site) waitRefused(commit string) status {
	s.t.Helper()
	return s.waitStatus("commit "+commit+" to be refused", func(st status) bool {
		return st.idle(commit) && len(st.Refused) > 0
	})
}

// waitStatus waits until yes says so of the status. A process that asks twenty times a
// second would keep the machine busy with that alone: the program is asked once the file
// that it reads says so.
func (s *site) waitStatus(what string, yes func(status) bool) status {
	s.t.Helper()
	var st status
	if !lab.Poll(soon, func() bool {
		if text, err := s.host.ReadLive(statusFile); err == nil {
			if st = readStatus(text); !yes(st) {
				return false
			}
		}
		st = s.status()
		return yes(st)
	}) {
		s.t.Fatalf("on %s: waited %v in vain for %s; the status is %+v", s.host.Release, soon, what, st)
	}
	return st
}

// waitPolls waits until the daemon has asked the server some more times.
func (s *site) waitPolls(n int) {
	s.t.Helper()
	const most = 2 // requests that one poll makes
	from := s.server.Requests()
	s.host.WaitFor(fmt.Sprintf("%d more polls", n), soon, func() bool { return s.server.Requests() >= from+most*n })
}

// answers checks that the example works, from the proxy to the database.
func (s *site) answers(want string) {
	s.t.Helper()
	for _, unit := range services {
		if got := s.host.Active(unit); got != "active" {
			s.t.Errorf("%s is %s", unit, got)
		}
	}
	if err := get(s.host, "http://127.0.0.1:8000/", want); err != nil {
		s.t.Errorf("the site does not answer: %v", err)
	}
}

// invocations of the example's services: another one is another start.
func (s *site) invocations() map[string]string {
	s.t.Helper()
	ids := map[string]string{}
	for _, unit := range services {
		ids[unit] = s.host.Invocation(unit)
	}
	return ids
}

// restarted lists the services whose invocation differs from before.
func (s *site) restarted(before map[string]string) []string {
	s.t.Helper()
	var units []string
	for _, unit := range services {
		if s.host.Invocation(unit) != before[unit] {
			units = append(units, unit)
		}
	}
	return units
}

// metric gives the value of a line of /metrics, named with its labels.
func (s *site) metric(name string) string {
	s.t.Helper()
	value, err := s.metricNow(name)
	if err != nil {
		s.t.Fatalf("cannot get the metrics: %v", err)
	}
	return value
}

// metricNow is metric for a daemon that may be about to start.
func (s *site) metricNow(name string) (string, error) {
	page, err := body(s.host, "http://127.0.0.1:9973/metrics")
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", err
}

func (s *site) tellIfFailed() {
	if s.t.Failed() && s.host.IsOn() {
		out, _ := s.host.Run("evenkeel", "status")
		s.t.Logf("evenkeel status:\n%s\nits journal:\n%s", out, s.host.Journal("evenkeel.service", 80))
	}
}
