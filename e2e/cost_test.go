//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

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
		tries      = 3        // a machine that was busy for a while is no fault of the daemon's
		atRest     = 12       // polls after a deploy, until all memory is given back
	)
	s := newSite(t, h)
	s.settled()
	for i := range 10 {
		s.repo.Write("roles/base/files/etc/shop/secret.conf", fmt.Sprintf("deploy %d\n", i))
		s.waitGood(s.repo.Commit(fmt.Sprintf("deploy %d", i)))
	}
	memory := s.residentMemory()
	s.startBareLooks()
	s.waitPolls(atRest)
	cost := s.costOfPolls()
	for range tries - 1 {
		if cost.isMuch() {
			cost = s.costOfPolls()
		}
	}
	fmt.Fprintf(os.Stderr, "%s: %.1f MB resident after ten deploys; an idle poll takes %d µs of CPU, and a bare look at the repository %d µs\n",
		h.Release, float64(memory)/(1<<20), cost.poll, cost.look)
	if memory > mostMemory {
		t.Errorf("the daemon has %d bytes resident after ten deploys, more than %d", memory, mostMemory)
	}
	if cost.isMuch() {
		t.Errorf("an idle poll costs %d µs of CPU, more than a millisecond, and more than %d bare looks, one of which costs %d; its processes have used\n%s",
			cost.poll, mostForLooks, cost.look, s.usedBy())
	}
}

// pollCost is what a poll without news costs, and a bare look at the same time: the mean of
// some of them, in µs of processor time.
type pollCost struct{ poll, look int64 }

// What a poll may cost: a millisecond. On a machine that is slow to wake up it may cost a few
// bare looks: it takes 1.6 to 1.9 of them where processors are awake and caches warm, and up
// to five where they are not, since it has more code to fetch.
const (
	mostForPoll  = 1000 // µs
	mostForLooks = 6    // times
)

func (c pollCost) isMuch() bool { return c.poll > max(mostForPoll, mostForLooks*c.look) }

// costOfPolls measures for a minute of a poll a second. All that the daemon and its
// children do in it counts: also what is due each minute, the facts and the report.
func (s *site) costOfPolls() pollCost {
	s.t.Helper()
	const times = 60
	polls, requests := s.passes(), s.server.Requests()
	poll, look := s.processorTime("evenkeel.service"), s.processorTime(bareLooks)
	s.host.WaitFor("idle polls", 2*soon, func() bool { return s.server.Requests() >= requests+2*times })
	poll, look = s.processorTime("evenkeel.service")-poll, s.processorTime(bareLooks)-look
	requests = s.server.Requests() - requests
	polls = s.passes() - polls
	if looks := int64(requests) - polls; polls > 0 && looks > 0 { // each is one request
		return pollCost{poll / polls, look / looks}
	}
	s.t.Fatalf("%d passes were counted, and %d requests", polls, requests)
	return pollCost{}
}

// passes that the daemon has counted so far, whatever their result.
func (s *site) passes() int64 {
	s.t.Helper()
	page, err := body(s.host, "http://127.0.0.1:9973/metrics")
	if err != nil {
		s.t.Fatalf("cannot get the metrics: %v", err)
	}
	sum := int64(0)
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "evenkeel_passes_total{") {
			sum += s.number(strings.Fields(line)[1])
		}
	}
	return sum
}

// residentMemory of the daemon, in bytes.
func (s *site) residentMemory() int64 {
	s.t.Helper()
	pid := s.host.Property("evenkeel.service", "MainPID")
	for line := range strings.Lines(s.host.Must("cat", "/proc/"+pid+"/status")) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			return s.number(fields[1]) << 10
		}
	}
	s.t.Fatalf("process %s has no VmRSS", pid)
	return 0
}

// processorTime that the processes of a service have used so far, in µs.
func (s *site) processorTime(service string) int64 {
	s.t.Helper()
	group := s.host.Property(service, "ControlGroup")
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
