package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/source"
)

// A person may go back to any commit that was good here. It is applied as every
// other commit is, and has to prove itself again; only where it comes from is
// different: from the clone on this disk, without the network. The host stays
// there until the branch moves or somebody says resume.

// rollbackFile and resumeFile in the state directory ask the daemon.
const (
	rollbackFile = "rollback" // holds the commit
	resumeFile   = "resume"
)

// RequestRollback asks the daemon to go back to a commit that was good on this
// host, given whole, by its first letters, or as "" for the one before this. It
// gives the commit that was meant.
func RequestRollback(cfg Config, commit string) (string, error) {
	l, open, err := readRecord(cfg)
	if err != nil {
		return "", err
	}
	to, err := l.pastGood(commit, open)
	if err != nil {
		return "", err
	}
	// What was asked for before and is not heeded yet does not count any more.
	if err := replaceRequest(cfg, rollbackFile, to.Commit, resumeFile, retryFile); err != nil {
		return "", fmt.Errorf("cannot ask for a rollback: %w", err)
	}
	return to.Commit, nil
}

// GoodCommits gives the commits that were good on this host, the newest first.
func GoodCommits(cfg Config) ([]PastGood, error) {
	l, _, err := readRecord(cfg)
	if err != nil {
		return nil, err
	}
	goods := slices.Clone(l.Goods)
	slices.Reverse(goods)
	return goods, nil
}

// ErrNothingToResume says that the host follows its branch already.
var ErrNothingToResume = errors.New("the host follows its branch: it is neither paused nor frozen, and nobody went back to another commit")

// Resumed is what RequestResume ended.
type Resumed struct {
	Pause    *Pause // nil when none was in force
	Freeze   *Pause // the same
	Rollback bool
}

// RequestResume ends a pause and a freeze, and asks the daemon to follow the branch again after a
// rollback.
func RequestResume(cfg Config) (Resumed, error) {
	var ended Resumed
	l, _, err := readRecord(cfg)
	if err != nil {
		return ended, err
	}
	if ended.Pause, err = endPause(cfg, pauseFile); err != nil {
		return ended, fmt.Errorf("cannot end the pause: %w", err)
	}
	if ended.Freeze, err = endPause(cfg, freezeFile); err != nil {
		return ended, fmt.Errorf("cannot end the freeze: %w", err)
	}
	_, err = os.Stat(filepath.Join(cfg.StateDir, rollbackFile))
	if ended.Rollback = l.Pin != nil || !errors.Is(err, fs.ErrNotExist); ended.Rollback {
		if err := replaceRequest(cfg, resumeFile, "", rollbackFile); err != nil {
			return ended, fmt.Errorf("cannot ask to resume: %w", err)
		}
	}
	if ended == (Resumed{}) {
		return ended, ErrNothingToResume
	}
	return ended, nil
}

// replaceRequest asks for something in place of what may have been asked before.
func replaceRequest(cfg Config, file, text string, instead ...string) error {
	for _, old := range instead {
		if err := os.Remove(filepath.Join(cfg.StateDir, old)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.WriteFile(filepath.Join(cfg.StateDir, file), []byte(text), 0o600)
}

// readRecord reads what the daemon has written, without a lock: records are
// replaced whole.
func readRecord(cfg Config) (*Ledger, *Attempt, error) {
	disk, err := apply.NewDisk("/")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = disk.Close() }()
	dir, err := disk.OpenDir(cfg.StateDir)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the state directory: %w", err)
	}
	defer func() { _ = dir.Close() }()
	l, err := loadLedger(dir, nil)
	if err != nil {
		return nil, nil, err
	}
	open, _, err := loadAttempts(dir, nil)
	return l, open, err
}

// pastGood finds the commit that a person means. "" is the good one while an
// attempt is open, and else the newest that asked for something else.
func (l *Ledger) pastGood(meant string, open *Attempt) (PastGood, error) {
	if meant == "" {
		for _, past := range slices.Backward(l.Goods) {
			if open != nil && open.phase != PhaseKeep || l.Good == nil || past.Digest != l.Good.Digest {
				return past, nil
			}
		}
		return PastGood{}, errors.New("cannot go back: no other commit was good on this host")
	}
	var found []PastGood
	for _, past := range l.Goods {
		if past.Commit == meant || len(meant) >= minPrefix && strings.HasPrefix(past.Commit, meant) {
			found = append(found, past)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return PastGood{}, fmt.Errorf("cannot go back to %q: it was not good on this host; these were:\n%s", meant, l.namesOfGoods())
	}
	return PastGood{}, fmt.Errorf("cannot go back to %q: %d commits begin so", meant, len(found))
}

func (l *Ledger) namesOfGoods() string {
	var names []string
	for _, past := range slices.Backward(l.Goods) {
		name := fmt.Sprintf("  %.12s %s %s", past.Commit, past.When.Format("2006-01-02 15:04"), past.Subject)
		names = append(names, strings.TrimRight(name, " "))
	}
	if len(names) == 0 {
		return "  none yet"
	}
	return strings.Join(names, "\n")
}

// heedPin reads the requests to go back, to follow the branch again, and to apply
// what is kept back.
func (d *daemon) heedPin() error {
	return errors.Join(d.heedRequest(resumeFile, d.heedResume), d.heedRequest(rollbackFile, d.heedRollback), d.heedRequest(nowFile, d.heedNow))
}

func (d *daemon) heedResume([]byte) {
	d.log.Info("a person asks to follow the branch again")
	d.host.Ledger.Pin, d.host.Ledger.Key = nil, ""
}

func (d *daemon) heedRollback(request []byte) {
	l := d.host.Ledger
	to, err := l.pastGood(strings.TrimSpace(string(request)), d.host.Open)
	if err != nil {
		d.log.Error("a rollback is not possible", "err", err)
		return
	}
	if l.Pin != nil && l.Pin.Commit == to.Commit { // it was heeded before a crash, or there was a retry since
		l.retryNoMore()
		l.forgive(to.Commit, to.Digest)
		return
	}
	d.log.Info("a person goes back", "commit", to.Commit)
	d.refused.key, d.refused.problems = "", nil
	l.pin(to, d.branchHead(), d.host)
	// Whoever goes back in the middle of an incident means now.
	l.Override = &Override{Reason: "a person goes back", When: d.host.Now(), Commit: to.Commit}
}

// pin makes the host follow a commit. Whatever it failed for since it was good is
// forgotten: a person asks for it. Whoever goes back while a retry is on takes the retry
// back: what it tried would begin again when the host follows the branch again.
func (l *Ledger) pin(to PastGood, head string, h *Host) {
	l.Pin, l.Key = &Pin{Commit: to.Commit, Head: head, Since: h.Now()}, ""
	l.retryNoMore()
	l.forgive(to.Commit, to.Digest)
	if l.Hold != nil && !l.Hold.Asks {
		l.Hold = nil
	}
	l.Note(Entry{When: h.Now(), Commit: to.Commit, Result: ResultRollback, Reason: "a person asked for it"})
}

// branchHead is where the branch was last seen.
func (d *daemon) branchHead() string {
	return commitOf(d.board.read().Target)
}

// follow gives the commit that the host is to be at: the branch's newest, or the
// one that a person went back to. It needs no network for that one.
func (d *daemon) follow(ctx context.Context) (seen, error) {
	newest, err := d.head(ctx)
	l := d.host.Ledger
	if l.Pin == nil {
		return newest, err
	}
	head := newest.tip.Commit // "" where nobody answered
	commit, news := l.followed(head)
	if news != "" {
		d.log.Info(news, "commit", commit, "branch", head)
		err = l.save(d.host.State)
	} else {
		err = nil
	}
	if commit == head {
		return newest, err
	}
	return seen{tip: source.Tip{Commit: commit}, from: d.origins, past: true}, err
}

// followed decides which of a pin and the branch's newest commit counts; head is
// "" when nobody knows it. A branch that moved ends the pin, which is news.
func (l *Ledger) followed(head string) (commit, news string) {
	switch pin := l.Pin; {
	case head == "" || head == pin.Head:
		return pin.Commit, ""
	case pin.Head == "":
		l.Pin = &Pin{Commit: pin.Commit, Head: head, Since: pin.Since}
		return pin.Commit, "the host stays where a person took it until the branch moves"
	}
	l.Pin, l.Key = nil, ""
	return head, "the branch moved, which ends a rollback"
}

// rolledBack is the rollback that keeps a commit of the branch off this host, nil when
// none does.
func (l *Ledger) rolledBack(head string) *RollbackStatus {
	pin := l.Pin
	if pin == nil || pin.Head != "" && pin.Head != head {
		return nil
	}
	return &RollbackStatus{Commit: pin.Commit, Since: pin.Since.UTC()}
}

// renderPast renders a commit that a person goes back to. It was proven once, and a
// person with all rights asks for it, so neither a signature nor how it stands to
// newer commits counts; the oldest one that the host's config allows does. A
// clone that was deleted is fetched again; it holds the last commits only.
func (d *daemon) renderPast(ctx context.Context, past seen, facts manifest.Facts) (RenderReply, error) {
	d.host.tell(StageRendering, past.tip.Commit)
	reply, err := d.renderFromClones(ctx, past, facts)
	if err == nil || ctx.Err() != nil {
		return reply, err
	}
	d.host.tell(StageFetching, past.tip.Commit)
	if _, fetchErr := d.fetch(ctx, past, source.Question{}); fetchErr == nil {
		d.host.tell(StageRendering, past.tip.Commit)
		reply, err = d.renderFromClones(ctx, past, facts)
	}
	if err != nil {
		reply.Problems = manifest.Problems{{
			Message: fmt.Sprintf("cannot go back to commit %.12s: %v", past.tip.Commit, err),
			Hint:    "the clone holds the newest commits only; revert in Git, and say \"evenkeel resume\"",
		}}
	}
	return reply, nil
}

// renderFromClones takes the first clone that has the commit. The error is that of
// the first.
func (d *daemon) renderFromClones(ctx context.Context, past seen, facts manifest.Facts) (RenderReply, error) {
	var first error
	proof := Proof{Policy: source.Policy{Minimum: d.trust.policy.Minimum}, AllowRewrite: true}
	for _, o := range past.from {
		reply, err := d.renderOffer(ctx, Offer{Remote: o.remote, Dir: o.dir, Tip: past.tip}, proof, facts, past.only)
		if err == nil {
			return reply, nil
		}
		// A commit that is not there at all is only too old for the clone.
		if reply.Info.Hash != "" {
			d.isDamaged(past, o.dir, err)
		}
		first = cmpErr(first, err)
	}
	return RenderReply{}, first
}
