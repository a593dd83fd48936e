//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// Bounds of the daemon while the kernel tells it of 20,000 things a second.
const (
	mostInFlood    = 40 << 20 // bytes resident
	mostCPUInFlood = 1000     // ms
)

// flood fills the directory of managed files with 10,000 of somebody else's and empties it
// again; in the middle a managed file is edited.
const flood = `for my $i (1 .. 10_000) { open my $f, '>', "/etc/many/foreign$i" or die; close $f }
open my $f, '>', '/etc/many/7.conf' or die;
print $f "by hand\n";
close $f;
unlink "/etc/many/foreign$_" for 1 .. 10_000;
`

// A directory with managed files that is filled and emptied loses no drift, and costs
// little, also when the kernel has more to say than it keeps for the daemon.
func TestFloodOfEventsLosesNoDrift(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		var files strings.Builder
		for i := range 20 {
			s.repo.Write(fmt.Sprintf("roles/base/files/etc/many/%d.conf", i), fmt.Sprintf("file %d\n", i))
			fmt.Fprintf(&files, "\n  /etc/many/%d.conf: {feeds: none}", i)
		}
		s.repo.Edit("roles/base/role.yaml", "files:", "files:"+files.String())
		s.config.more = "interval: 10m\n" // what else the daemon does is not measured
		s.configure()
		s.settled()
		s.waitNoDrift()
		h.WriteFile("/var/tmp/flood", flood, 0o600)
		daemon := h.Property("evenkeel.service", "MainPID")
		h.WriteFile("/var/tmp/reset", "5", 0o600)
		h.Must("cp", "/var/tmp/reset", "/proc/"+daemon+"/clear_refs") // its peak begins anew

		corrections := int64(0)
		for _, round := range []struct {
			name  string
			do    func()
			edits int64
		}{
			{"it listens all the time", func() { h.Must("perl", "/var/tmp/flood") }, 1},
			{"it does not listen, and the kernel loses most", func() {
				h.Must("kill", "-STOP", daemon)
				defer h.Must("kill", "-CONT", daemon)
				h.Must("perl", "/var/tmp/flood")
				h.WriteFile("/etc/many/8.conf", "by hand\n", 0o644) // of this it is never told
			}, 2},
		} {
			used, began := s.daemonCPU(daemon), time.Now()
			round.do()
			took := time.Since(began).Round(time.Millisecond)
			h.WaitFor("the correction", soon, func() bool {
				return h.ReadFile("/etc/many/7.conf") == "file 7\n" && h.ReadFile("/etc/many/8.conf") == "file 8\n"
			})
			s.waitNoDrift()
			if corrections += round.edits; s.corrections() != corrections {
				t.Errorf("%s: %d corrections are counted, want %d", round.name, s.corrections(), corrections)
			}
			used = s.daemonCPU(daemon) - used
			peak := s.peakMemory(daemon)
			measured("%s: 20,000 events in %v (%s): %d ms of CPU, %.1f MB at most", h.Release, took, round.name, used, float64(peak)/(1<<20))
			if used > mostCPUInFlood || peak > mostInFlood {
				t.Errorf("%s: the daemon used %d ms of CPU and %d bytes", round.name, used, peak)
			}
		}
		if now := h.Property("evenkeel.service", "MainPID"); now != daemon {
			t.Errorf("the daemon was process %s, and is %s", daemon, now)
		}
	})
}

// daemonCPU is the processor time that a process has used so far, in ms. Its children are
// not in it.
func (s *site) daemonCPU(pid string) int64 {
	s.t.Helper()
	text := s.host.Must("cat", "/proc/"+pid+"/stat")
	fields := strings.Fields(text[strings.LastIndex(text, ")"):])
	const ms = 10                                             // of a tick
	return ms * (s.number(fields[12]) + s.number(fields[13])) // see stat in proc(5)
}
