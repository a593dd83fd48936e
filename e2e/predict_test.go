//go:build e2e

package e2e

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// What a reviewer reads in the comment on a pull request is what the host then
// does: the same paths, and the same jobs in the same order for the same reasons.
func TestCheckDiffPredictsWhatTheDaemonDoes(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		for _, c := range []struct {
			what   string
			change func()
		}{
			{"a value that two files use", func() { s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "good evening") }},
			{"every kind of path", s.disturb},
			{"a new service, and a unit that others hang on", func() {
				s.repo.Write("roles/base/units/extra.service", "[Unit]\nAfter=app.service\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n")
				s.repo.Edit("roles/base/role.yaml", "  prepare.service: {}\n", "  prepare.service: {}\n  extra.service: {settle: 1s}\n")
				s.repo.Edit("roles/db/units/db.service", "[Service]\n", "[Service]\nEnvironment=NEW=1\n")
			}},
			{"files that programs of the system read", func() {
				s.repo.Write("roles/base/files/etc/sysctl.d/60-shop.conf", "net.ipv4.conf.all.log_martians = 1\n")
				s.repo.Write("roles/base/files/etc/systemd/journald.conf.d/60-shop.conf", "[Journal]\nRuntimeMaxUse=20M\n")
				s.repo.Edit("roles/db/units/db.service", "NEW=1", "NEW=2")
			}},
			{"one of them changes, the other goes", func() {
				s.repo.Remove("roles/base/files/etc/sysctl.d/60-shop.conf")
				s.repo.Edit("roles/base/files/etc/systemd/journald.conf.d/60-shop.conf", "20M", "21M")
			}},
			{"only a deadline", func() { s.repo.Edit("roles/proxy/role.yaml", "deadline: 20s", "deadline: 25s") }},
			{"a service that leaves", func() {
				s.repo.Remove("roles/base/units/extra.service")
				s.repo.Edit("roles/base/role.yaml", "  extra.service: {settle: 1s}\n", "")
			}},
		} {
			c.change()
			predicted := s.predict()
			before := h.Snapshot()
			commit := s.repo.Commit(c.what)
			s.waitGood(commit)
			if got := s.jobs(commit); !slices.Equal(got, predicted.jobs) {
				t.Errorf("%s: predicted\n  %s\nthe daemon did\n  %s", c.what, strings.Join(predicted.jobs, "\n  "), strings.Join(got, "\n  "))
			}
			if got := changedPaths(before, h.Snapshot(), predicted.paths); !slices.Equal(got, predicted.paths) {
				t.Errorf("%s: predicted changes of\n  %s\nthe host changed\n  %s", c.what, strings.Join(predicted.paths, "\n  "), strings.Join(got, "\n  "))
			}
		}
	})
}

// prediction is what "check --diff" says: jobs in order with their reasons, and
// paths, sorted.
type prediction struct{ jobs, paths []string }

// predict asks the program on this machine, for the facts of the host, what the
// work tree does after the newest commit.
func (s *site) predict() prediction {
	s.t.Helper()
	cmd := exec.Command("../build/evenkeel", "check", s.repo.Work(), "--diff", "HEAD", "--facts", "-", "--format", "json")
	cmd.Stdin = strings.NewReader(s.host.Must("evenkeel", "facts", "--json"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("cannot predict: %v\n%s", err, out)
	}
	var answer struct {
		Changes struct {
			Groups []struct {
				Hosts, Steps []string
				Files        []struct{ Path string }
			}
		}
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		s.t.Fatalf("cannot read the prediction: %v\n%s", err, out)
	}
	if groups := answer.Changes.Groups; len(groups) != 1 || !slices.Equal(groups[0].Hosts, []string{"web-1"}) {
		s.t.Fatalf("the prediction is not about web-1 alone:\n%s", out)
	}
	p := prediction{}
	for _, step := range answer.Changes.Groups[0].Steps {
		verb, _, _ := strings.Cut(step, " ")
		if slices.Contains([]string{"start", "stop", "restart", "reload"}, verb) {
			p.jobs = append(p.jobs, step)
		}
	}
	for _, f := range answer.Changes.Groups[0].Files {
		p.paths = append(p.paths, f.Path)
	}
	slices.Sort(p.paths)
	return p
}

// jobs are what the status says that was done to units for a commit.
func (s *site) jobs(commit string) []string {
	s.t.Helper()
	history := s.status().History
	if len(history) == 0 || history[0].Commit != commit {
		s.t.Fatalf("the history does not begin with %s: %+v", commit, history)
	}
	return history[0].Restarts
}

// changedPaths are those that differ, but for directories that had to be made or
// removed for a path, of which a prediction says nothing.
func changedPaths(before, now lab.Snapshot, predicted []string) []string {
	var paths []string
	for line := range strings.Lines(before.Diff(now)) {
		path, _, _ := strings.Cut(line, ": ")
		was, is := before[path], now[path]
		_, stood := before[path]
		_, stands := now[path]
		made := stood != stands && (was.Mode|is.Mode)&fs.ModeDir != 0
		if made && !slices.Contains(predicted, path) {
			continue
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}
