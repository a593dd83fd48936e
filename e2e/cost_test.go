//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// What the daemon costs a host that it keeps: memory after ten deploys, and
// processor time of a poll that finds nothing new. It runs before all the other tests
// that run side by side: a host a processor, and nothing else is measured.
func TestCostOfTheDaemon(t *testing.T) {
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			costOfTheDaemon(t, theLab.Host(t, release, "web-1"))
		})
	}
}

func costOfTheDaemon(t *testing.T, h *lab.Host) {
	const (
		mostMemory = 20 << 20 // bytes resident
		mostTime   = 1000     // µs of processor time for a poll
		cheaper    = 5        // a machine on which waking up costs more is told by what git costs to ask the same
		tries      = 4        // a machine that was busy for a while is no fault of the daemon's
	)
	s := newSite(t, h)
	s.settled()
	for i := range 10 {
		s.repo.Write("roles/base/files/etc/shop/secret.conf", fmt.Sprintf("deploy %d\n", i))
		s.waitGood(s.repo.Commit(fmt.Sprintf("deploy %d", i)))
	}
	memory := s.residentMemory()
	s.waitPolls(5) // what a deploy leaves to be tidied up is no idle poll's
	var poll, git, most int64
	for range tries {
		poll, git = s.costOfAPoll(), s.costOfGit()
		if most = max(mostTime, git/cheaper); poll <= most {
			break
		}
	}
	measured("%s: %.1f MB resident after ten deploys; an idle poll takes %d µs of CPU, and \"git ls-remote\" %d µs",
		h.Release, float64(memory)/(1<<20), poll, git)
	if memory > mostMemory {
		t.Errorf("the daemon has %d bytes resident after ten deploys, more than %d", memory, mostMemory)
	}
	if poll > most {
		t.Errorf("an idle poll costs %d µs of CPU, more than %d, where \"git ls-remote\" costs %d; its processes have used\n%s", poll, most, git, s.usedBy())
	}
}

// costOfAPoll is the mean of the polls of a minute without news, in µs of processor time.
// All that the daemon does by the clock besides is in it.
func (s *site) costOfAPoll() int64 {
	s.t.Helper()
	const polls = 60 // a request each
	used, from := s.processorTime(), s.server.Requests()
	s.server.WaitRequests(polls, 2*soon)
	return (s.processorTime() - used) / int64(s.server.Requests()-from)
}

// costOfGit is the mean of some times that git asks for the same, in µs of processor
// time, the children included that it starts.
func (s *site) costOfGit() int64 {
	s.t.Helper()
	const times = 20
	sum := time.Duration(0)
	for range times {
		cmd := exec.Command("git", "ls-remote", s.server.URL(), "refs/heads/main")
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Fatalf("git cannot ask what the daemon asks: %v\n%s", err, out)
		}
		sum += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	return (sum / times).Microseconds()
}

// residentMemory of the daemon, in bytes.
func (s *site) residentMemory() int64 { return s.memory("VmRSS:") }

// memory is a line of the daemon's /proc/PID/status, in bytes.
func (s *site) memory(of string) int64 {
	s.t.Helper()
	pid := s.host.Property("evenkeel.service", "MainPID")
	for line := range strings.Lines(s.host.Must("cat", "/proc/"+pid+"/status")) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == of {
			return s.number(fields[1]) << 10
		}
	}
	s.t.Fatalf("process %s has no %s", pid, of)
	return 0
}

// processorTime that the daemon and its children have used so far, in µs.
func (s *site) processorTime() int64 {
	s.t.Helper()
	group := s.host.Property("evenkeel.service", "ControlGroup")
	for line := range strings.Lines(s.host.Must("cat", "/sys/fs/cgroup"+group+"/cpu.stat")) {
		if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
			return s.number(strings.TrimSpace(value))
		}
	}
	s.t.Fatalf("the control group %s has no usage_usec", group)
	return 0
}

// usedBy tells what each process of the daemon has used so far: ticks in the program, and
// in the kernel for it.
func (s *site) usedBy() string {
	s.t.Helper()
	group := s.host.Property("evenkeel.service", "ControlGroup")
	return s.host.Must("sh", "-c", "for p in $(cat /sys/fs/cgroup"+group+"/cgroup.procs); do cut -d ' ' -f 1,2,14,15 /proc/$p/stat; done")
}

func (s *site) number(text string) int64 {
	s.t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}
