//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// Who renders has a filter more than the daemon that started it, and rendering
// works all the same: the unit's own filter must let it be installed.
func TestChildThatRendersHasAFilterOfItsOwn(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		daemon := s.filters(h.Property("evenkeel.service", "MainPID"))
		h.Must("systemd-run", "--unit=watcher", "sh", "-c",
			`while :; do for p in $(pgrep -u evenkeel-render); do grep Seccomp_filters: /proc/$p/status; done; done >/var/tmp/seen 2>/dev/null`)
		for try := range 20 {
			s.repo.Write("roles/base/files/etc/shop/secret.conf", fmt.Sprintf("look %d\n", try))
			s.waitGood(s.repo.Commit(fmt.Sprintf("look %d", try)))
			if seen := h.ReadFile("/var/tmp/seen"); strings.Contains(seen, fmt.Sprintf("\t%d\n", daemon+1)) {
				return
			}
		}
		t.Errorf("the daemon has %d filters, and those that render were seen with: %s", daemon, h.ReadFile("/var/tmp/seen"))
	})
}

// filters is how many seccomp filters a process has.
func (s *site) filters(pid string) int {
	s.t.Helper()
	text := s.host.Must("grep", "Seccomp_filters:", "/proc/"+pid+"/status")
	return int(s.number(strings.Fields(text)[1]))
}
