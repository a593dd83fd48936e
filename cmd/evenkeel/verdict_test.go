package main

import (
	"testing"
	"time"

	"evenkeel/agent"
)

// A daemon that was killed in the middle of an attempt is not WORKING.
func TestVerdictOfADaemonThatIsGone(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 30, 0, 0, time.UTC)
	good := &agent.CommitStatus{Commit: "aaaaaaaaaaaaaaaa", Subject: "Good", Since: now.Add(-2 * time.Hour)}
	open := &agent.AttemptStatus{Commit: "bbbbbbbbbbbbbbbb", Since: now.Add(-2 * time.Minute), Try: 1}
	for _, row := range []struct {
		status agent.Status
		want   string
	}{
		{agent.Status{Target: good, Good: good, Written: now.Add(-time.Hour)},
			`STOPPED: evenkeel does not run. Its last word, at 02:30 (1h): OK: the host is at aaaaaaaaaaaa "Good" since 01:30 (2h).`},
		{agent.Status{Target: &agent.CommitStatus{Commit: open.Commit}, Good: good, Attempt: open, Written: now.Add(-time.Minute)},
			`STOPPED: evenkeel does not run. Its last word, at 03:29 (1m): WORKING: evenkeel is bringing this host to bbbbbbbbbbbb, try 1, for 2m. The next start ends that attempt.`},
	} {
		if got := lastWords(row.status, now); got.code != exitFailed || got.sentence != row.want {
			t.Errorf("\n got %d %s\nwant %d %s", got.code, got.sentence, exitFailed, row.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 30, 0, 0, time.UTC)
	good := &agent.CommitStatus{Commit: "aaaaaaaaaaaaaaaa", Subject: "Good", Since: now.Add(-2 * time.Hour)}
	bad := &agent.CommitStatus{Commit: "bbbbbbbbbbbbbbbb", Subject: "Bad"}
	up := []agent.UnitStatus{{Name: "app.service", Active: "active"}, {Name: "db.service", Active: "active"}}
	for _, row := range []struct {
		what   string
		status agent.Status
		code   int
		want   string
	}{
		{"at the newest commit", agent.Status{Target: good, Good: good, Units: up}, 0,
			`OK: the host is at aaaaaaaaaaaa "Good" since 01:30 (2h); 2 services up.`},
		{"a oneshot that rests", agent.Status{Target: good, Good: good, Units: append(up[:1:1], agent.UnitStatus{Name: "job.service", Active: "inactive"})}, 0,
			`OK: the host is at aaaaaaaaaaaa "Good" since 01:30 (2h); 1 service up, 1 at rest.`},
		{"right after the installation", agent.Status{}, 0, "STARTING: no commit has proved itself here yet."},
		{"held", agent.Status{Target: bad, Good: good, Held: &agent.HeldStatus{Since: now.Add(-time.Minute), Reason: "the revert failed", Do: `"evenkeel retry"`}}, 1,
			`HELD: evenkeel does nothing here since 03:29 (1m): the revert failed. To go on: "evenkeel retry"`},
		{"a person went back", agent.Status{Target: bad, Good: good, Result: agent.ResultUnchanged,
			Rollback: &agent.RollbackStatus{Commit: good.Commit, Since: now.Add(-time.Hour)}, Rejected: []agent.RejectedEntry{{Commit: bad.Commit}}}, 1,
			`ROLLED BACK: a person took this host back to aaaaaaaaaaaa 1h ago; it stays there until the branch moves, or "evenkeel resume".`},
		{"a person wants to go back, and that waits", agent.Status{Target: bad, Good: good, Rollback: &agent.RollbackStatus{Commit: good.Commit}, Waiting: []string{"dpkg to finish"}}, 1,
			`WAITING: bbbbbbbbbbbb "Bad" waits for dpkg to finish; the host stays at aaaaaaaaaaaa "Good".`},
		{"not all was well before", agent.Status{Target: good, Good: good, Except: []string{"app.service tcp 127.0.0.1:1"}}, 0,
			`OK: the host is at aaaaaaaaaaaa "Good" since 01:30 (2h); good except for 1 check that failed before it as well.`},
		{"the configuration cannot be used", agent.Status{Target: good, Good: good, Config: &agent.ConfigStatus{Since: now.Add(-3 * time.Minute),
			Problems: []string{"/etc/evenkeel/config.yaml:3: interval must be a time", "/etc/evenkeel/config.yaml:4: unknown key"}}}, 1,
			`BAD CONFIGURATION: since 03:27 (3m), /etc/evenkeel/config.yaml:3: interval must be a time (and 1 more); what it said before stays in force, and the host is at aaaaaaaaaaaa "Good".`},
		{"on its way", agent.Status{Target: bad, Good: good, Stage: agent.StageWatching,
			Attempt: &agent.AttemptStatus{Commit: bad.Commit, Since: now.Add(-7 * time.Second), Try: 1, WaitingFor: "probation"}}, 0,
			`WORKING: evenkeel is bringing this host to bbbbbbbbbbbb "Bad", try 1, for 7s: waiting for probation.`},
		{"going back", agent.Status{Target: bad, Good: good, Stage: agent.StageReverting, Attempt: &agent.AttemptStatus{Commit: bad.Commit}}, 1,
			`REVERTING: bbbbbbbbbbbb "Bad" failed here; evenkeel is putting aaaaaaaaaaaa "Good" back.`},
		{"correcting", agent.Status{Target: good, Good: good, Stage: agent.StageApplying, Attempt: &agent.AttemptStatus{Commit: good.Commit, Corrects: []string{"/etc/motd"}}}, 0,
			`WORKING: evenkeel corrects 1 place, which somebody changed; the host stays at aaaaaaaaaaaa "Good".`},
		{"a correction failed", agent.Status{Target: good, Good: good, Stage: agent.StageReverting, Attempt: &agent.AttemptStatus{Commit: good.Commit, Corrects: []string{"/etc/a", "/etc/b"}}}, 1,
			`REVERTING: a correction of 2 places failed here; evenkeel puts back what stood there.`},
		{"drift that stays", agent.Status{Target: good, Good: good, Drift: []agent.DriftStatus{{Name: "/etc/motd"}}, DriftMore: 2}, 0,
			`OK: the host is at aaaaaaaaaaaa "Good" since 01:30 (2h); 3 places changed by hand, see "evenkeel drift".`},
		{"refused", agent.Status{Target: bad, Good: good, Result: agent.ResultRefused, Refused: []string{"fleet.yaml:1: x"}}, 1,
			`REFUSED: bbbbbbbbbbbb "Bad" has 1 problem, nothing was touched; the host stays at aaaaaaaaaaaa "Good".`},
		{"refused for its history", agent.Status{Target: bad, Good: good, Result: agent.ResultRefused, Reason: "the branch was rewritten"}, 1,
			`REFUSED: bbbbbbbbbbbb "Bad": the branch was rewritten; the host stays at aaaaaaaaaaaa "Good".`},
		{"rejected", agent.Status{Target: bad, Good: good, Result: agent.ResultRejected,
			Rejected: []agent.RejectedEntry{{Commit: bad.Commit, Reason: "app.service exited with 1", When: now.Add(-49 * time.Hour)}}}, 1,
			`REJECTED: bbbbbbbbbbbb "Bad" failed here 2d ago (app.service exited with 1) and is not tried again; the host is at aaaaaaaaaaaa "Good".`},
		{"an old rejection is history", agent.Status{Target: good, Good: good, Rejected: []agent.RejectedEntry{{Commit: bad.Commit}}}, 0,
			`OK: the host is at aaaaaaaaaaaa "Good" since 01:30 (2h).`},
		{"the first commit waits", agent.Status{Target: bad, Waiting: []string{`user "app"`, "group adm"}}, 1,
			`WAITING: bbbbbbbbbbbb "Bad" waits for user "app", group adm; the host stays at what was found here, no commit has proved itself yet.`},
		{"a service died later", agent.Status{Target: good, Good: good, Units: append(up[:1:1], agent.UnitStatus{Name: "db.service", Active: "failed"})}, 1,
			`DOWN: the host is at aaaaaaaaaaaa "Good", but db.service has failed.`},
		{"a service is not what it should be", agent.Status{Target: good, Good: good, Units: []agent.UnitStatus{{Name: "db.service", Active: "inactive", Problem: "not running"}}}, 1,
			`DOWN: the host is at aaaaaaaaaaaa "Good", but db.service: not running.`},
		{"a service crashed, and its correction did not help", agent.Status{Target: good, Good: good, Result: agent.ResultFailed,
			Units: []agent.UnitStatus{{Name: "db.service", Active: "failed", Problem: "its last run ended with signal"}}}, 1,
			`DOWN: the host is at aaaaaaaaaaaa "Good", but db.service has failed, its last run ended with signal.`},
		{"somebody stopped a service, and it stays so", agent.Status{Target: good, Good: good, Drift: []agent.DriftStatus{{Name: "db.service"}},
			Units: append(up[:1:1], agent.UnitStatus{Name: "db.service", Active: "inactive", Problem: "somebody stopped it"})}, 1,
			`DOWN: the host is at aaaaaaaaaaaa "Good", but db.service: somebody stopped it.`},
		{"a person works on it", agent.Status{Target: good, Good: good, Paused: &agent.PauseStatus{Since: now.Add(-time.Minute), Reason: "new disks"}}, 1,
			`PAUSED: since 03:29 (1m): new disks; the host stays at aaaaaaaaaaaa "Good". To go on: "evenkeel resume".`},
		{"a person works on it, and a commit comes", agent.Status{Target: bad, Good: good, Result: agent.ResultDeferred,
			Paused:   &agent.PauseStatus{Since: now.Add(-time.Minute), Until: now.Add(2 * time.Hour), Reason: "new disks"},
			Deferred: &agent.DeferredStatus{Commit: bad.Commit, Reason: "paused"}}, 1,
			`PAUSED: since 03:29 (1m) until 2026-11-23 05:30 UTC: new disks; the host stays at aaaaaaaaaaaa "Good", and bbbbbbbbbbbb "Bad" is not applied. To go on: "evenkeel resume".`},
		{"a person has it frozen", agent.Status{Target: good, Good: good, Drift: []agent.DriftStatus{{Name: "/etc/motd"}},
			Frozen: &agent.PauseStatus{Since: now.Add(-time.Minute), Reason: "new disks"}}, 1,
			`FROZEN: since 03:29 (1m): new disks; the host is at aaaaaaaaaaaa "Good"; 1 place changed by hand, see "evenkeel drift", and what drifts stays. To go on: "evenkeel resume".`},
		{"what fails in a pause is said first", agent.Status{Target: bad, Good: good, Stage: agent.StageReverting, Attempt: &agent.AttemptStatus{Commit: bad.Commit}, Paused: &agent.PauseStatus{}}, 1,
			`REVERTING: bbbbbbbbbbbb "Bad" failed here; evenkeel is putting aaaaaaaaaaaa "Good" back.`},
		{"a commit waits for its window", agent.Status{Target: bad, Good: good, Units: up, Result: agent.ResultDeferred,
			Deferred: &agent.DeferredStatus{Commit: bad.Commit, Reason: "outside of its maintenance windows until 2026-11-23 22:00 UTC"}}, 0,
			`OK: the host is at aaaaaaaaaaaa "Good" since 01:30 (2h); 2 services up; bbbbbbbbbbbb "Bad" is outside of its maintenance windows until 2026-11-23 22:00 UTC.`},
		{"the first commit waits for its window", agent.Status{Target: bad, Deferred: &agent.DeferredStatus{Reason: "paused"}}, 0,
			`STARTING: no commit has proved itself here yet; bbbbbbbbbbbb "Bad" is paused.`},
		{"the remote is away", agent.Status{Target: good, Good: good, Contact: now.Add(-20 * time.Hour), ContactError: "no route to host"}, 0,
			`OK, but the repository does not answer since 2026-11-22 07:30 (20h) (no route to host); the host stays at aaaaaaaaaaaa "Good".`},
		{"the remote was never there", agent.Status{ContactError: "no route to host"}, 0,
			`NO REPOSITORY: it has not answered yet (no route to host); nothing was touched.`},
	} {
		t.Run(row.what, func(t *testing.T) {
			got := verdictOf(row.status, now)
			if got.code != row.code || got.sentence != row.want {
				t.Errorf("\n got %d %s\nwant %d %s", got.code, got.sentence, row.code, row.want)
			}
		})
	}
}
