package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"evenkeel/metrics"
)

// tell says what the daemon is doing: in systemctl status, in the status file
// and in the metrics. It is also the sign that a pass makes progress.
func (d *daemon) tell(stage Stage, text string) {
	if was, took := d.board.enter(stage, time.Now()); was != "" && was != StageIdle {
		d.metrics.Stage(string(was), took)
	}
	d.metrics.Phase(string(stage))
	if len(text) == 40 {
		text = text[:12]
	}
	if d.host.Ledger != nil {
		d.fillFromLedger()
	}
	line := strings.TrimSpace(string(stage) + " " + text)
	if d.misconfigured.status() != nil {
		line += "; the configuration has problems, and what it said before stays in force"
	}
	_ = d.notify.Status(line)
	d.writeStatus()
}

// report tells people how a pass ended.
func (d *daemon) report(o Outcome) {
	stage := StageIdle
	if o.Result == ResultHeld || d.host.Ledger.Hold != nil {
		stage = StageHeld
	}
	if o.Result != "" {
		d.metrics.PassEnded(string(o.Result), time.Now())
		d.log.Log(context.Background(), d.level(o), "pass", "result", o.Result, "reason", o.Reason)
	}
	d.board.change(func(s *Status) {
		s.Result, s.Reason = o.Result, o.Reason
		s.Waiting, s.Refused, s.Deferred = d.waiting, nil, nil
		switch o.Result {
		case ResultRefused:
			for _, p := range d.refused.problems {
				s.Refused = append(s.Refused, p.String())
			}
		case ResultDeferred:
			s.Deferred = d.later.status()
		}
	})
	d.fillFromLedger()
	d.fillUnits()
	d.tellSysctls()
	d.metrics.Standing(metrics.Standing{
		Rejected: o.Result == ResultRejected, Refused: o.Result == ResultRefused,
		Waiting: o.Result == ResultWaiting, Held: d.host.Ledger.Hold != nil,
		RolledBack: d.host.Ledger.Pin != nil, Deferred: o.Result == ResultDeferred,
	})
	s := d.board.read()
	d.metrics.Commits(metrics.Commits{Target: commitOf(s.Target), Applied: commitOf(s.Applied), Good: commitOf(s.Good)})
	d.tell(stage, o.Reason)
}

// level keeps a quiet log quiet: a pass without news is of no interest.
func (d *daemon) level(o Outcome) slog.Level {
	s := d.board.read()
	if s.Result == o.Result && s.Reason == o.Reason || o.Result == ResultUnchanged {
		return slog.LevelDebug
	}
	switch o.Result {
	case ResultGood, ResultSuperseded, ResultWatching, ResultDeferred:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

func commitOf(c *CommitStatus) string {
	if c == nil {
		return ""
	}
	return c.Commit
}

// fillFromLedger copies what the record says. Only the pass that owns the record
// calls it, or the loop between two passes.
func (d *daemon) fillFromLedger() {
	d.board.change(func(s *Status) { s.fill(d.host.Ledger, d.host.Open) })
}

// fill copies what a record and its open attempt, nil for none, say.
func (s *Status) fill(l *Ledger, open *Attempt) {
	s.Good, s.Applied, s.Attempt, s.Held, s.Rejected, s.History = nil, nil, nil, nil, nil, nil
	s.Rollback, s.Except = nil, nil
	if good := l.Good; good != nil {
		s.Good = &CommitStatus{Commit: good.Commit, Subject: good.Subject, Signer: good.Signer, Since: good.When.UTC()}
		s.Applied, s.Except = s.Good, good.Except
	}
	if pin := l.Pin; pin != nil {
		s.Rollback = &RollbackStatus{Commit: pin.Commit, Since: pin.Since.UTC()}
	}
	s.Roles = l.Roles
	if open != nil {
		s.Applied = &CommitStatus{Commit: open.Commit, Subject: open.Subject, Signer: open.Signer, Since: open.Since.UTC()}
		s.Attempt = &AttemptStatus{Commit: open.Commit, Since: open.Since.UTC(), Try: max(l.Tries[open.tryKey()], 1), Corrects: open.Corrects}
	}
	if hold := l.Hold; hold != nil {
		s.Held = hold.status()
	}
	for _, r := range slices.Backward(l.Rejected) {
		s.Rejected = append(s.Rejected, RejectedEntry{Commit: r.Commit, Reason: r.Reason, When: r.When.UTC(), Evidence: linesOf(r.Evidence)})
	}
	for _, e := range slices.Backward(l.History) {
		s.History = append(s.History, HistoryEntry{When: e.When.UTC(), Commit: e.Commit, Result: e.Result, Reason: e.Reason, Evidence: linesOf(e.Evidence), Restarts: e.Restarts})
	}
}

func linesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// status is the hold as people see it.
func (h *Hold) status() *HeldStatus {
	s := &HeldStatus{Since: h.Since.UTC(), Reason: h.Reason, Do: h.Do, Evidence: linesOf(h.Evidence)}
	if s.Do == "" {
		s.Do = "look at the reason, mend it, then run \"evenkeel retry\" or push a fix"
	}
	if q := h.Question; q != nil {
		s.Commit, s.Paths, s.Back, s.More = q.Commit, q.Paths, q.Back, q.More
	}
	return s
}

// fillPackageFiles looks for what package managers left beside managed files, and reports
// whether that is news.
func (d *daemon) fillPackageFiles() bool {
	list := d.host.beside()
	list = list[:min(len(list), maxPackageFiles)]
	same := false
	d.board.change(func(s *Status) {
		same = slices.Equal(s.PackageFiles, list)
		s.PackageFiles = list
	})
	return !same
}

// tellCommit adds to the status what the commit says of itself.
func (d *daemon) tellCommit(reply RenderReply) {
	d.metrics.Head(reply.Info.When)
	d.headMade = reply.Info.When
	d.board.change(func(s *Status) {
		if t := s.Target; t != nil && t.Commit == reply.Info.Hash {
			s.Target = &CommitStatus{Commit: t.Commit, Subject: reply.Info.Subject, Signer: reply.Signer, Since: t.Since}
		}
	})
}

// tidy removes clones that nothing follows any more.
func (d *daemon) tidy() {
	var keep []string
	for _, o := range d.origins {
		keep = append(keep, o.dir)
	}
	if err := tidyClones(d.cfg.CacheDir, keep); err != nil {
		d.log.Warn("old clones stay in the cache", "err", err)
	}
}

// writeStatus brings the status file up to date.
func (d *daemon) writeStatus() {
	s := d.board.read()
	s.Version, s.PID, s.Written = d.opt.Version, os.Getpid(), time.Now().UTC()
	s.Host, s.Repo, s.Branch, s.StateDir = d.cfg.Host, d.cfg.Repo, d.cfg.Branch, d.cfg.StateDir
	s.Tag, s.Pinned, s.Config = d.cfg.Tag, d.cfg.Commit, d.misconfigured.status()
	s.Stale = d.cfg.Stale.alarms(time.Now(), s.Contact, d.headMade)
	d.metrics.Stale(len(s.Stale) > 0)
	s.Lock = d.locks.held.status()
	s.Paused, s.Frozen = d.host.pause().status(), d.host.freeze().status()
	d.metrics.Paused(s.Paused.since())
	d.metrics.Frozen(s.Frozen.since())
	s.Warnings = slices.Concat(d.warnings, d.noSysctls, d.keys.Faults, d.aside(), d.unserved.list(), d.lookout.faults())
	if err := WriteStatus(StatusFile, s); err != nil {
		d.log.Warn("the status is not written", "err", err)
	}
}

// aside tells of the files that a revert set aside and that nobody has taken yet.
func (d *daemon) aside() []string {
	var list []string
	for _, file := range d.host.Ledger.Aside {
		if _, err := os.Lstat(file); err == nil {
			list = append(list, fmt.Sprintf("%s: somebody wrote this over a managed path during an attempt that was taken back; move it or remove it", file))
		}
	}
	return list
}

// recallMetrics gives the series that outlive a restart their values.
func (d *daemon) recallMetrics() {
	var success time.Time
	l := d.host.Ledger
	if l.Good != nil {
		success = l.Good.When
	}
	d.metrics.Recall(time.Time{}, success, time.Time{})
}
