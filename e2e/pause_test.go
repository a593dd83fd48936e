//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// atTheTurn bounds what happens at the turn of a minute that is up to two away.
const atTheTurn = 4 * time.Minute

// turn is the first whole minute that is at least so far away, in UTC.
func turn(atLeast time.Duration) time.Time {
	return time.Now().UTC().Add(atLeast + time.Minute - time.Nanosecond).Truncate(time.Minute)
}

// between is a window of this day or night, as both configurations have it.
func between(from, to time.Time) string {
	return fmt.Sprintf(`windows: {zone: Etc/UTC, allow: [{from: "%s", to: "%s"}]}`, from.Format("15:04"), to.Format("15:04"))
}

func (s *site) waitLong(what string, yes func(status) bool) {
	s.t.Helper()
	var st status
	if !lab.Poll(atTheTurn, func() bool { st = s.status(); return yes(st) }) {
		s.t.Fatalf("on %s: waited %v in vain for %s; the status is %+v", s.host.Release, atTheTurn, what, st)
	}
}

// A commit that comes too early waits for its window, and goes in when that opens,
// although the next look at the repository is far away.
func TestCommitWaitsForItsWindowAndTheDaemonWakesAtTheOpening(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		opens := turn(40 * time.Second)
		s.config.more = "interval: 1h\n" + between(opens, opens.Add(time.Hour)) + "\n"
		s.configure()
		files, running := h.Snapshot(), s.invocations()
		h.Must("systemctl", "reload", "evenkeel.service")
		s.waitStatus("the configuration to be in force", func(st status) bool { return st.NextLook.After(time.Now().Add(10 * time.Minute)) })
		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "good morning")
		commit := s.repo.Commit("another greeting")
		h.Must("evenkeel", "sync")
		st := s.waitStatus("the commit to wait", func(st status) bool { return st.idle(commit) && st.Deferred != nil })
		if want := "until " + opens.Format("Mon 2006-01-02 15:04") + " UTC"; !strings.Contains(st.Deferred.Reason, want) {
			t.Errorf("status says %q, want %q", st.Deferred.Reason, want)
		}
		if !hasLine(st.Deferred.Steps, "proxy.service") && !hasLine(st.Deferred.Steps, "app.service") {
			t.Errorf("status does not say what it would do: %q", st.Deferred.Steps)
		}
		if out, err := h.Run("evenkeel", "status"); err != nil || !strings.Contains(out, "outside of its maintenance windows until") {
			t.Errorf("status says\n%s", out)
		}
		if out, err := h.Run("evenkeel", "plan"); err != nil || !strings.Contains(out, "Not now, because it is outside of its maintenance windows until") {
			t.Errorf("plan says\n%s", out)
		}
		if now := time.Now(); now.Before(opens) {
			s.untouched("waiting for a window", files, running)
		}
		s.waitLong("the commit to go in", func(st status) bool { return st.idle(commit) && st.Good.Commit == commit })
		if now := time.Now(); now.Before(opens) {
			t.Errorf("it is good at %s, before the window opens at %s", now, opens)
		}
		s.answers("good morning, this is test")
	})
}

// A commit that fails after its window has closed goes back at once.
func TestRevertDoesNotWaitForAWindow(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		before := h.Snapshot("/etc", "/srv")
		closes := s.closing("30m")
		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "good morning")
		bad := s.repo.Commit("another greeting")
		s.waitStatus("the watch", func(st status) bool { return st.Stage == "watching" && st.Applied.Commit == bad })
		s.begun(closes)
		h.WaitFor("the window to close", atTheTurn, func() bool { return time.Now().After(closes) })
		h.Must("systemctl", "kill", "--signal=KILL", "app.service")
		s.waitRejected(bad)
		if diff := before.Diff(h.Snapshot("/etc", "/srv")); diff != "" {
			t.Errorf("the revert left something behind:\n%s", diff)
		}
		s.answers("hello from the first of them, this is test")
	})
}

// closing gives all hosts a window that closes soon, and a probation; the next commit
// brings both.
func (s *site) closing(probation string) time.Time {
	s.t.Helper()
	closes := turn(45 * time.Second)
	s.repo.Edit("fleet.yaml", "    roles: [base, db, app, proxy]", "    roles: [base, db, app, proxy]\n    probation: "+probation+"\n    "+between(closes.Add(-time.Hour), closes))
	return closes
}

// begun says that a test is about what it is meant to be about.
func (s *site) begun(closes time.Time) {
	s.t.Helper()
	if now := time.Now(); !now.Before(closes) {
		s.t.Fatalf("the commit began at %s, when the window had closed at %s", now, closes)
	}
}
