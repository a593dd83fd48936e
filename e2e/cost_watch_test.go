//go:build e2e && cost

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// What 10,000 files may cost more than 100. Memory counts both as all that is resident, and
// without the program's own code, of which what ran last makes some MB more or less resident.
const (
	mostForMany    = 5 << 20                // bytes
	mostIdle       = 100 * time.Millisecond // of processor time in a minute
	mostToCorrect  = 5 * time.Second        // from an edit, in a repository of that size
	editsOfMany    = 5
	inOneDirectory = 20
)

// watchCost is what a daemon costs that watches so many files.
type watchCost struct {
	files    int
	deployed time.Duration // how long the first commit took
	resident int64         // bytes at rest
	own      int64         // of those, bytes that are no part of the program itself
	started  int64         // bytes at rest after a start
	peak     int64         // bytes, all corrections included
	idle     time.Duration // of processor time in a minute, children included
	edit     time.Duration // from an edit to its correction, the median of some
}

// What the watch of many files costs. It takes minutes, and nothing else may run meanwhile,
// so that only "make cost" has it.
func TestCostOfTheWatch(t *testing.T) {
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			var costs []watchCost
			for _, n := range []int{100, 1000, 10_000} {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					c := costOfTheWatch(t, theLab.Host(t, release, "web-1"), n)
					measured("%s: %d files: %.1f MB at rest, %.1f of them its own, %.1f MB after a start, %.1f MB at most; %v of CPU in an idle minute; %v from an edit to its correction; deployed in %v",
						release, n, megabytes(c.resident), megabytes(c.own), megabytes(c.started), megabytes(c.peak), c.idle.Round(time.Millisecond), c.edit.Round(time.Millisecond), c.deployed.Round(time.Second))
					costs = append(costs, c)
				})
			}
			if len(costs) < 3 {
				return // it has failed
			}
			few, many := costs[0], costs[len(costs)-1]
			if more := max(many.own-few.own, many.resident-few.resident); more > mostForMany {
				t.Errorf("%d files take %.1f MB more than %d", many.files, megabytes(more), few.files)
			}
			if more := many.idle - few.idle; more > mostIdle {
				t.Errorf("%d files take %v more of an idle minute than %d", many.files, more, few.files)
			}
			if many.edit > mostToCorrect {
				t.Errorf("with %d files an edit is corrected after %v", many.files, many.edit)
			}
		})
	}
}

func megabytes(n int64) float64 { return float64(n) / (1 << 20) }

func costOfTheWatch(t *testing.T, h *lab.Host, n int) watchCost {
	s := newSite(t, h)
	place := func(i int) string { return fmt.Sprintf("/etc/many/%d/%d.conf", i/inOneDirectory, i) }
	var files strings.Builder
	for i := range n {
		s.repo.Write("roles/base/files"+place(i), fmt.Sprintf("file %d\n", i))
		fmt.Fprintf(&files, "\n  %s: {feeds: none}", place(i))
	}
	s.repo.Edit("roles/base/role.yaml", "files:", "files:"+files.String())
	s.config.more = "interval: 10s\n"
	s.configure()
	c := watchCost{files: n}
	began := time.Now()
	s.settled()
	c.deployed = time.Since(began)
	s.waitNoDrift()

	var took []time.Duration
	for i := range editsOfMany {
		at := h.Outside(place(i * 7))
		began := time.Now()
		if err := os.WriteFile(at, []byte("by hand\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if !pollOften(soon, func() bool { return h.ReadFile(place(i*7)) == fmt.Sprintf("file %d\n", i*7) }) {
			t.Fatalf("%s is not corrected", place(i*7))
		}
		took = append(took, time.Since(began))
		s.waitNoDrift()
	}
	c.edit = percentile(took, 50)

	daemon := h.Property("evenkeel.service", "MainPID")
	c.peak = s.peakMemory(daemon)
	s.waitPolls(2) // what the last correction took is given back by then
	used := s.processorTime()
	lab.Poll(time.Minute, func() bool { return false }) // nothing happens
	c.idle = time.Duration(s.processorTime()-used) * time.Microsecond
	c.resident, c.own = s.residentMemory(), s.memory("RssAnon:")

	h.Must("systemctl", "restart", "evenkeel.service")
	s.waitPolls(3)
	s.waitNoDrift()
	c.started = s.residentMemory()
	return c
}
