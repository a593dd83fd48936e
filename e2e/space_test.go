//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// A commit for which a disk is too small waits without a trace, and goes in as
// soon as there is room.
func TestCommitWaitsForRoomOnTheDisk(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		h.Script("mkdir -p /srv/small && mount -t tmpfs -o size=2m none /srv/small")
		good := s.settled()
		before := h.Snapshot()
		for _, name := range []string{"one", "two"} {
			s.repo.Write("roles/base/files/srv/small/"+name, strings.Repeat("a line of data\n", 60_000))
		}
		s.repo.Write("roles/base/files/etc/shop/new.conf", "new\n")
		big := s.repo.Commit("two files of 0.9 MB")
		st := s.waitStatus("the commit to wait for room", func(st status) bool {
			return st.idle(big) && len(st.Waiting) > 0
		})
		if !strings.Contains(st.Waiting[0], `/srv/small`) || !strings.Contains(st.Waiting[0], "KiB are needed") {
			t.Errorf("it waits for %q", st.Waiting)
		}
		if st.Good.Commit != good || st.Applied.Commit != good {
			t.Errorf("good is %s and applied %s, want both %s", st.Good.Commit, st.Applied.Commit, good)
		}
		if touched := before.Touched(h.Snapshot()); touched != "" {
			t.Errorf("while the commit waits files were touched:\n%s", touched)
		}

		h.Must("mount", "-o", "remount,size=8m", "/srv/small")
		s.waitGood(big)
	})
}
