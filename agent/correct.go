package agent

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// A correction is an attempt at the good commit: the same steps, record, checks and
// verdict. Only what its end means is different, because no commit is to blame for
// it: one that fails is never a rejection, but the end of corrections of these places.

// Bounds of the fight with whoever changes something again and again.
const (
	maxCorrections    = 5
	correctionsWithin = time.Hour
)

// Corrections is what is remembered of the corrections of one path or unit.
type Corrections struct {
	Times []time.Time `json:"times,omitempty"` // those within the last hour
	Alone string      `json:"alone,omitempty"` // why it is left alone until a person says retry
}

// gaveUp says why a path or unit is not corrected any more, "" when it is.
func (h *Host) gaveUp(name string) string { return h.Ledger.Corrections[name].Alone }

// count remembers that the places are about to be corrected. One that was corrected
// too often is left alone from now on. It gives those that are not.
func (l *Ledger) count(names []string, now time.Time) []string {
	l.Corrections = copied(l.Corrections)
	maps.DeleteFunc(l.Corrections, func(_ string, c Corrections) bool {
		return c.Alone == "" && !slices.ContainsFunc(c.Times, func(t time.Time) bool { return isRecent(t, now) })
	})
	var left []string
	for _, name := range names {
		c := l.Corrections[name]
		c.Times = slices.DeleteFunc(slices.Clone(c.Times), func(t time.Time) bool { return !isRecent(t, now) })
		if len(c.Times) >= maxCorrections {
			c.Alone = fmt.Sprintf("it was corrected %d times within an hour, and somebody goes on changing it; \"evenkeel retry\" corrects it again", len(c.Times))
		} else {
			c.Times = append(c.Times, now)
			left = append(left, name)
		}
		l.Corrections[name] = c
	}
	return left
}

// isRecent reports whether a correction counts. One that is still to come was counted by
// a clock that has been set since.
func isRecent(t, now time.Time) bool {
	age := now.Sub(t)
	return age >= 0 && age < correctionsWithin
}

// spare ends the corrections of places for which there is no room among what is kept.
func (l *Ledger) spare(names []string) {
	l.Corrections = copied(l.Corrections)
	for _, name := range names {
		c := l.Corrections[name]
		c.Alone = "so much was changed at once that what stands there could not be kept; \"evenkeel retry\" corrects it, and lets go of what was kept before"
		l.Corrections[name] = c
	}
}

func without(all, these []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(these, name) })
}

// uncount makes the corrections of the places those that were counted before.
func (l *Ledger) uncount(names []string, counted map[string]Corrections) {
	l.Corrections = copied(l.Corrections)
	for _, name := range names {
		if was, known := counted[name]; known {
			l.Corrections[name] = was
		} else {
			delete(l.Corrections, name)
		}
	}
}

func copied[V any](m map[string]V) map[string]V {
	out := make(map[string]V, len(m))
	maps.Copy(out, m)
	return out
}

// leaveAlone ends the corrections of the places that an attempt corrected.
func (l *Ledger) leaveAlone(names []string, reason string) {
	l.Corrections = copied(l.Corrections)
	for _, name := range names {
		c := l.Corrections[name]
		if c.Alone != "" {
			continue // told once more, after a crash
		}
		c.Alone = "the correction failed: " + reason + "; \"evenkeel retry\" tries it once more"
		l.Corrections[name] = c
	}
}

// tryKey is what the tries of an attempt are counted under: those of a correction say
// nothing about its commit.
func (a *Attempt) tryKey() string {
	if a.isCorrection() {
		return "correct " + a.Commit
	}
	return a.Commit
}

func (a *Attempt) isCorrection() bool { return len(a.Corrects) > 0 }

// blameFor remembers what failed: a commit, or the correction of some places.
func (l *Ledger) blameFor(a *Attempt, reason, evidence string, now time.Time) {
	if a.isCorrection() {
		l.leaveAlone(a.Corrects, reason)
		return
	}
	l.Reject(Rejection{Commit: a.Commit, Digest: a.Digest, Reason: reason, Evidence: evidence, When: now})
}

// correction is what a correction wants: the good commit, but for what is left alone.
func (h *Host) correction(d drift, content map[string][]byte) wanted {
	good := h.Ledger.Good
	return wanted{
		target: &plan.Target{
			Commit: good.Commit, Roles: h.Ledger.Roles, State: plan.State{Paths: good.State.Paths.all(), Units: good.State.Units}, Content: content,
			Services: good.Services, Secret: good.Secret, Made: good.Made,
		},
		digest: good.Digest, key: h.Ledger.Key, subject: good.Subject, signer: good.Signer,
		to: d.to, owned: h.owned(), found: h.found(), corrects: d.correctedNames(),
	}
}

// comesFirst reports whether drift is to be corrected before a commit begins: something is
// gone that the commit asks for as well. Where it asks for what stands on the host, or for
// something else than the good commit, somebody may have helped himself by hand, and have
// pushed the same or better since: back and forth would be the worst of it.
func (d drift) comesFirst(t *plan.Target) bool {
	gone := false
	for _, x := range d.corrections() {
		if x.step.Path == "" {
			continue // a unit
		}
		switch asked := t.State.Paths[x.Name]; {
		case asked == x.step.From:
			return false
		case x.step.From.Kind == plan.Absent:
			gone = true
		case asked != x.step.To:
			return false
		}
	}
	return gone
}

// finishCorrection ends an attempt that put the good commit right. The good commit is
// what it was. It may run twice.
func (h *Host) finishCorrection() error {
	a, l := h.Open, h.Ledger
	unfinished := apply.Finish(h.Disk, a.Moves)
	l.CameUp = nil
	delete(l.Tries, a.tryKey())
	if n := len(l.History); n == 0 || l.History[n-1].Attempt != a.Number {
		l.Note(Entry{When: h.Now(), Commit: a.Commit, Attempt: a.Number, Result: ResultCorrected, Reason: "correct " + someOf(a.Corrects), Restarts: a.Restarts})
	}
	if err := l.save(h.State); err != nil {
		return err
	}
	h.Open = nil
	h.countCorrected(a)
	if unfinished != nil {
		h.Log.Warn("what was corrected stays beside the managed files for now", "err", unfinished)
		a.unfinished = true
		h.leftover = append(h.leftover, a)
		return nil
	}
	if err := h.retire(a); err != nil {
		h.Log.Warn("the record of a finished correction stays for now", "err", err)
	}
	return nil
}

// countCorrected counts what a correction put right, also one that an earlier process
// began.
func (h *Host) countCorrected(a *Attempt) {
	if h.Corrected == nil {
		return
	}
	for _, name := range a.Corrects {
		kind := DriftUnit
		if at, isPath := h.Ledger.Good.State.Paths.all()[name]; isPath {
			kind = kindOf(at.Kind)
		}
		h.Corrected(kind)
	}
}

// someOf names a few.
func someOf(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// correct looks once more, and brings what drifted back in one attempt. The outcome is
// empty when nothing is left to do.
func (h *Host) correct(ctx context.Context, content map[string][]byte) (drift, Outcome, error) {
	if err := h.makeWay(); err != nil {
		return drift{}, Outcome{}, err
	}
	found, err := h.findDrift(ctx)
	if err != nil || len(found.corrections()) == 0 {
		return found, Outcome{}, err
	}
	w := h.correction(found, content)
	spared, counted := h.tooMuch(found), h.Ledger.Corrections
	h.Ledger.spare(spared)
	// Durable before the first effect: a crash must not begin the count anew.
	left := h.Ledger.count(without(w.corrects, spared), h.Now())
	if err := h.Ledger.save(h.State); err != nil {
		return found, Outcome{}, err
	}
	if len(left) < len(w.corrects) { // some are left alone from now on
		if found, err = h.findDrift(ctx); err != nil {
			return found, Outcome{}, err
		}
		w = h.correction(found, content)
	}
	if len(w.corrects) == 0 {
		return found, Outcome{}, nil
	}
	var outcome Outcome
	if err = h.keepDrifted(found); err == nil {
		outcome, err = h.putRight(ctx, w, found)
	}
	if err != nil && h.Open == nil { // nothing was touched, such as on a disk that is full
		h.Ledger.uncount(w.corrects, counted)
		h.trySave()
	}
	return found, outcome, err
}

// putRight carries out a correction. It is said once it begins: on a disk that is full it
// may be tried for hours.
func (h *Host) putRight(ctx context.Context, w wanted, found drift) (Outcome, error) {
	p, err := h.begin(ctx, w, &found.now)
	if err != nil {
		return Outcome{}, err
	}
	for _, x := range found.corrections() {
		h.Log.Info("correct", "name", x.Name, "drift", x.How)
	}
	return h.carryThrough(ctx, p, found.now)
}

// watchedPaths are all paths whose change may be drift: those of the good commit, and
// where systemd would find a mask or a drop-in for one of its services.
func (h *Host) watchedPaths() []string {
	good := h.Ledger.Good
	if good == nil {
		return nil
	}
	paths := slices.Collect(maps.Keys(good.State.Paths.all()))
	for name := range good.Services {
		paths = append(paths, path.Join("/etc/systemd/system", name))
	}
	return paths
}
