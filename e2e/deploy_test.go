//go:build e2e

package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// The main story: install the package, name the repository, start. The three
// services come up in the order in which they need each other, and a reboot
// changes nothing.
func TestExampleComesUpInOrder(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		commit := s.settled()
		s.answers("hello from the first of them, this is test")

		for i := 1; i < len(services); i++ {
			first, second := services[i-1], services[i]
			ready, started := s.moment(first, "ActiveEnterTimestampMonotonic"), s.moment(second, "ExecMainStartTimestampMonotonic")
			if started < ready {
				t.Errorf("%s was started %d µs before %s was ready", second, ready-started, first)
			}
		}
		const settle = 1_000_000 // µs, of app.service in examples/small/roles/app/role.yaml
		if gap := s.moment("proxy.service", "ExecMainStartTimestampMonotonic") - s.moment("app.service", "ActiveEnterTimestampMonotonic"); gap < settle {
			t.Errorf("proxy.service was started %d µs after app.service was up, before that had settled", gap)
		}

		files := h.Snapshot()
		h.Reboot()
		s.waitGood(commit)
		s.answers("hello from the first of them, this is test")
		if touched := files.Without("/etc/machine-id").Touched(h.Snapshot().Without("/etc/machine-id")); touched != "" {
			t.Errorf("a reboot changed files:\n%s", touched)
		}
	})
}

// moment is a monotonic timestamp of a unit, in microseconds.
func (s *site) moment(unit, property string) int64 {
	s.t.Helper()
	at, err := strconv.ParseInt(s.host.Property(unit, property), 10, 64)
	if err != nil || at == 0 {
		s.t.Fatalf("%s has no %s: %v", unit, property, err)
	}
	return at
}

// A changed file restarts the service that reads it and what depends on that,
// nothing else, and the reason is on record.
func TestConfigChangeRestartsWhatUsesIt(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		before := s.invocations()

		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "good evening")
		commit := s.repo.Commit("another greeting")
		s.waitGood(commit)
		s.answers("good evening, this is test")
		if got, want := s.restarted(before), []string{"app.service", "proxy.service"}; !slices.Equal(got, want) {
			t.Errorf("restarted were %q, want %q", got, want)
		}

		history := s.status().History
		if len(history) == 0 || history[0].Commit != commit {
			t.Fatalf("the history does not begin with %s: %+v", commit, history)
		}
		if !hasLine(history[0].Restarts, "app.service", "/etc/app/app.conf") {
			t.Errorf("the history does not say why app.service was restarted: %q", history[0].Restarts)
		}
		if journal := strings.Split(h.Journal("evenkeel.service", 200), "\n"); !hasLine(journal, "app.service", "/etc/app/app.conf") {
			t.Error("the log does not say why app.service was restarted")
		}
	})
}

// hasLine reports whether one of the lines has all the words.
func hasLine(lines []string, words ...string) bool {
	return slices.ContainsFunc(lines, func(line string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
}
