//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"evenkeel/e2e/lab"
)

// scenarioStatus is what a scenario reads of "evenkeel status --json".
type scenarioStatus struct {
	status
	RejectedBy []struct {
		Commit, Reason string
		Evidence       []string
	} `json:"rejected"`
	HeldFor *struct {
		Reason   string
		Evidence []string
	} `json:"held"`
}

func (s *scenario) read() scenarioStatus {
	out, _ := s.host.Run("evenkeel", "status", "--json") // its exit code is a verdict
	return parsedStatus([]byte(out))
}

func parsedStatus(text []byte) scenarioStatus {
	var st scenarioStatus
	_ = json.Unmarshal(text, &st)
	_ = json.Unmarshal(text, &st.status)
	return st
}

// soonStatus waits until yes says so of the status. Asking the program twenty times a
// second would keep the machine busy with that alone: it is asked when the file that it
// reads says so.
func (s *scenario) soonStatus(yes func(scenarioStatus) bool) (st scenarioStatus, so bool) {
	so = lab.Poll(soon, func() bool {
		text, err := s.host.ReadLive(statusFile)
		if st = parsedStatus(text); err != nil || !yes(st) {
			return false
		}
		st = s.read()
		return yes(st)
	})
	return st, so
}

// soonSo waits until yes says so.
func (s *scenario) soonSo(fault string, yes func() bool) string {
	if lab.Poll(soon, yes) {
		return ""
	}
	return fault
}

// commit applies a commit's files and pushes it; the first one starts evenkeel.
func (s *scenario) commit(name string) string {
	files, known := s.commits[name]
	if !known {
		return "it has no files"
	}
	message := name
	first := len(s.ids) == 0
	if first {
		s.repo.Write("fleet.yaml", "hosts: [{match: '*', roles: [app]}]\n")
	}
	for _, f := range files {
		text := s.placed(string(f.Data))
		switch f.Name {
		case "MESSAGE":
			message = text
		case "REMOVE":
			for _, gone := range strings.Fields(text) {
				s.repo.Remove(gone)
			}
		case "SAME":
			s.repo.Restore(s.ids[strings.TrimSpace(text)])
		default:
			s.repo.Write(f.Name, text)
			if strings.HasPrefix(text, "#!") {
				s.repo.Executable(f.Name)
			}
		}
	}
	s.markProcesses()
	s.newest = s.repo.Commit(message)
	s.ids[name] = s.newest
	if first {
		s.host.WriteFile("/etc/evenkeel/config.yaml", s.hostConfig(), 0o640)
		s.host.Must("systemctl", "enable", "--now", "evenkeel.service")
	}
	return ""
}

// hostConfig is the scenario's, with what it does not say.
func (s *scenario) hostConfig() string {
	text := s.placed(s.config)
	for _, line := range []string{"repo: " + s.server.URL(), "interval: 1s", "probation: 2s"} {
		key, _, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(text, key) && !strings.Contains(text, "\n"+key) {
			text = line + "\n" + text
		}
	}
	return text
}

func (s *scenario) good(string) string {
	st, so := s.soonStatus(func(st scenarioStatus) bool {
		return st.idle(s.newest) && st.Good.Commit == s.newest && st.Applied.Commit == s.newest && st.Held == nil
	})
	if !so {
		return fmt.Sprintf("it is not; the status is %+v", st)
	}
	s.files, s.running = s.host.Snapshot().Without(configFile), s.units()
	return ""
}

// verdict waits until the newest commit came to it, for a reason with these words.
func (s *scenario) verdict(word string, is func(scenarioStatus) bool) func(string) string {
	return func(words string) string {
		st, done := s.soonStatus(func(st scenarioStatus) bool {
			rests := st.Stage == "idle" || st.Stage == "held"
			return rests && (st.Attempt == nil || st.Held != nil) && st.Target.Commit == s.newest && is(st)
		})
		if !done {
			return fmt.Sprintf("it is not %s; the status is %+v", word, st)
		}
		if said := st.why(s.newest); !strings.Contains(said, words) {
			return fmt.Sprintf("it is for another reason:\n%s", said)
		}
		return ""
	}
}

// why is all that the status says against a commit.
func (st scenarioStatus) why(commit string) string {
	lines := append(slices.Clone(st.Refused), st.Waiting...)
	for _, r := range st.RejectedBy {
		if r.Commit == commit {
			lines = append(append(lines, r.Reason), r.Evidence...)
		}
	}
	if st.Deferred != nil {
		lines = append(append(lines, st.Deferred.Reason), st.Deferred.Steps...)
	}
	if st.HeldFor != nil {
		lines = append(append(lines, st.HeldFor.Reason), st.HeldFor.Evidence...)
	}
	return strings.Join(lines, "\n")
}

func (s *scenario) watching(string) string {
	st, so := s.soonStatus(func(st scenarioStatus) bool { return st.Stage == "watching" && st.Applied.Commit == s.newest })
	if !so {
		return fmt.Sprintf("it is not; the status is %+v", st)
	}
	return ""
}

func (s *scenario) at(name string) string {
	st, so := s.soonStatus(func(st scenarioStatus) bool { return st.Good.Commit == s.ids[name] })
	if so {
		return ""
	}
	return "the good commit is " + st.Good.Commit
}

// waitClosed makes sure that a story is about what it is meant to be about.
func (s *scenario) waitClosed(string) string {
	if s.closes.IsZero() || !time.Now().Before(s.closes) {
		return "the window is not open"
	}
	if !lab.Poll(atTheTurn, func() bool { return time.Now().After(s.closes) }) {
		return "it does not close"
	}
	return ""
}

// unitState is how a unit is, for comparison.
type unitState struct{ active, invocation string }

// mark remembers how the host is.
func (s *scenario) mark() {
	s.files, s.running = s.host.Snapshot().Without(configFile), s.units()
	s.markProcesses()
}

// markProcesses remembers what runs, and what was logged so far.
func (s *scenario) markProcesses() {
	s.before = s.units()
	_, s.journal, _ = strings.Cut(s.host.Must("journalctl", "--quiet", "-n1", "-o", "cat", "--show-cursor"), "-- cursor: ")
}

// notStories are prefixes of units that come and go by themselves: the daemon's own,
// systemd's own with the slices that it makes for instances, transient ones, and what
// podman mounts for a container, or makes for a pod, and names after its id.
var notStories = []string{"evenkeel", "systemd-", "system-", "run-", "var-lib-containers-", "machine.slice", "machine-libpod"}

// units lists all that systemd runs or has seen fail, but for itself, the daemon, the
// system's own and what is gone by itself.
func (s *scenario) units() map[string]unitState {
	out := s.host.Must("systemctl", "show", "--property=Id,ActiveState,InvocationID", "--state=active,failed,activating,reloading",
		"*.service", "*.socket", "*.timer", "*.path", "*.mount", "*.target", "*.slice")
	all := map[string]unitState{}
	for block := range strings.SplitSeq(out, "\n\n") {
		property := map[string]string{}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			property[key] = value
		}
		name := property["Id"]
		if name == "" || slices.ContainsFunc(notStories, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		all[name] = unitState{property["ActiveState"], property["InvocationID"]}
	}
	return all
}

// same compares all but which processes run: a revert starts what it has to.
func (s *scenario) same(string) string {
	var differs string
	s.soonSo("", func() bool {
		differs = s.files.Diff(s.host.Snapshot().Without(configFile))
		now := s.units()
		for name := range maps.Keys(mergeUnits(s.running, now)) {
			if was, is := s.running[name].active, now[name].active; was != is {
				differs += fmt.Sprintf("%s was %q and is %q\n", name, was, is)
			}
		}
		return differs == ""
	})
	return differs
}

func mergeUnits(a, b map[string]unitState) map[string]unitState {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// processes checks that units run, and whether they were started since the last commit.
func (s *scenario) processes(again bool) func(string) string {
	return func(names string) string {
		now := s.units()
		for _, name := range strings.Fields(names) {
			switch {
			case now[name].active != "active":
				return fmt.Sprintf("%s is %q", name, now[name].active)
			case (now[name].invocation != s.before[name].invocation) != again:
				return fmt.Sprintf("%s was started again: %v", name, !again)
			}
		}
		return ""
	}
}

func (s *scenario) are(state string) func(string) string {
	return func(names string) string {
		for _, name := range strings.Fields(names) {
			if s.soonSo("no", func() bool { return s.host.Active(name) == state }) != "" {
				return fmt.Sprintf("%s is %s", name, s.host.Active(name))
			}
		}
		return ""
	}
}

func (s *scenario) file(rest string) string {
	name, want, _ := strings.Cut(rest, " ")
	if !path.IsAbs(name) {
		return "it needs a path"
	}
	return s.soonSo("the text is not in it", func() bool {
		text, err := s.host.ReadLive(name)
		return err == nil && strings.Contains(string(text), want)
	})
}

// says looks for words in what a command prints, soon.
func (s *scenario) says(command ...string) func(string) string {
	return func(words string) string {
		var out string
		if s.soonSo("no", func() bool { out, _ = s.host.Run(command...); return strings.Contains(out, words) }) == "" {
			return ""
		}
		return "it does not say so:\n" + out
	}
}

// reloads checks how often systemd read its unit files since the last commit came, as
// it says itself.
func (s *scenario) reloads(want string) string {
	out := s.host.Must("journalctl", "--no-pager", "--quiet", "-o", "cat", "_PID=1", "--after-cursor", s.journal)
	n := 0
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line == "Reloading." || line == "Reloading..." {
			n++
		}
	}
	if got := strconv.Itoa(n); got != want {
		return "it did so " + got + " times:\n" + out
	}
	return ""
}

// historyHas looks for words in the history alone.
func (s *scenario) historyHas(words string) string {
	var text []byte
	_, so := s.soonStatus(func(st scenarioStatus) bool {
		text, _ = json.Marshal(st.History)
		return strings.Contains(string(text), words)
	})
	if !so {
		return fmt.Sprintf("it does not say so:\n%s", text)
	}
	return ""
}

func (s *scenario) metricIs(rest string) string {
	name, want, _ := strings.Cut(rest, " ")
	return s.soonSo("it is another value", func() bool {
		value, err := s.metricNow(name)
		return err == nil && value == want
	})
}

func (s *scenario) run(well bool) func(string) string {
	return func(script string) string {
		out, err := s.host.Run("/bin/sh", "-c", script)
		if (err == nil) != well {
			return fmt.Sprintf("%v: %s", err, out)
		}
		return ""
	}
}

// evenkeel runs a verb. What follows from it is another line of the story.
func (s *scenario) evenkeel(arguments string) string {
	for name, id := range s.ids {
		arguments = strings.ReplaceAll(arguments, "@"+name+"@", id)
	}
	out, err := s.host.Run("/bin/sh", "-c", "timeout 60 evenkeel "+arguments)
	s.t.Logf("evenkeel %s: %v\n%s", arguments, err, out)
	return ""
}
