package agent

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// This file keeps back a commit that could be applied: during a pause, and outside
// of the maintenance windows. It is fetched, rendered and compared with the host as
// ever, so that people see what will happen. What is open is never kept back.

// Bounds of what is kept back.
const (
	maxWould     = 50               // steps that status shows
	lookAgain    = 10 * time.Minute // the steps are worked out anew then
	overrideLife = time.Hour        // how long a person's word waits for a commit
	soonest      = 100 * time.Millisecond
)

// notYet says why no commit may begin now.
type notYet struct {
	why    string
	until  time.Time // zero: nobody knows
	paused bool      // by a person, not by a window
}

// deferred is the commit that is kept back, and what it would do.
type deferred struct {
	key     string // of the pass
	commit  string
	notYet  notYet
	windows *plan.Windows // of the repository
	steps   []string
	more    int
	renewed time.Time
}

// Override is a person's word that the newest commit shall be applied although a
// pause or a window keeps it back. It counts once.
type Override struct {
	Reason string    `json:"reason"`
	When   time.Time `json:"when"`
	Commit string    `json:"commit,omitempty"` // what it is used for, "" until then
}

// RequestNow asks the daemon to apply the newest commit whatever keeps it back.
func RequestNow(cfg Config, reason string) error {
	reason, err := checkReason(reason)
	if err == nil {
		o := Override{Reason: reason, When: time.Now().UTC()}
		err = inState(cfg, func(dir apply.Dir) error { return writeJSON(dir, nowFile, o) })
	}
	if err != nil {
		return fmt.Errorf("cannot ask for a sync now: %w", err)
	}
	return nil
}

func (d *daemon) heedNow(request []byte) {
	o := new(Override)
	if err := json.Unmarshal(request, o); err != nil {
		d.log.Warn("a request to sync now cannot be read and counts for nothing", "err", err)
		return
	}
	d.log.Info("a person asks to sync now", "reason", o.Reason)
	o.Commit = ""
	d.host.Ledger.Override = o
}

// override gives the word that counts for a commit, nil when there is none.
func (d *daemon) override(commit string) *Override {
	o := d.host.Ledger.Override
	if o == nil || o.Commit != "" && o.Commit != commit || d.host.Now().Sub(o.When) > overrideLife {
		return nil
	}
	return o
}

// useOverride binds a person's word to the commit that it lets in, and says so.
func (d *daemon) useOverride(o *Override, commit string, shut notYet) error {
	if o.Commit == commit {
		return nil // said before a crash, or by the rollback itself
	}
	h := d.host
	o.Commit = commit
	if shut.why == "" { // nobody's word was needed; it does not count for the next commit
		return h.Ledger.save(h.State)
	}
	d.log.Warn("a person has a commit applied now", "commit", commit, "reason", o.Reason, "although", shut.why)
	h.Ledger.Note(Entry{When: h.Now(), Commit: commit, Result: ResultOverride, Reason: "a person said so (" + o.Reason + "), although it is " + shut.why})
	return h.Ledger.save(h.State)
}

// spendOverride ends a person's word once the pass is over that it was for. One
// that is still waited for, or was interrupted, is not over.
func (d *daemon) spendOverride(result Result) {
	h := d.host
	if h.Ledger.Override == nil || slices.Contains([]Result{"", ResultWaiting, ResultFailed, ResultWatching, ResultUndone}, result) {
		return
	}
	h.Ledger.Override = nil
	h.trySave()
}

// shut says why a commit may not begin now; "" when it may. What completes an
// attempt that is open may.
func (d *daemon) shut(t *plan.Target) notYet {
	if open := d.host.Open; open != nil && open.phase == PhaseStay && open.Commit == t.Commit {
		return notYet{}
	}
	return d.shutNow(t.Windows)
}

// shutNow is shut for a commit with windows of its own. Those of the host's own
// config win.
func (d *daemon) shutNow(windows *plan.Windows) notYet {
	if p := d.host.pause(); p != nil {
		return notYet{p.String(), p.Until, true}
	}
	if d.cfg.Windows != nil {
		windows = d.cfg.Windows
	}
	const outside = "outside of its maintenance windows"
	switch open, opens, err := windows.At(d.host.Now()); {
	case err != nil:
		return notYet{why: fmt.Sprintf("%s: %v", outside, err)}
	case open:
		return notYet{}
	case opens.IsZero():
		return notYet{why: outside + ", which do not open in the next two weeks"}
	default:
		return notYet{why: outside + " until " + opens.Format("Mon ") + clock(opens), until: opens}
	}
}

// overtakes reports whether a newer commit may end the watch of another now. One that
// is kept back must not: the watch would only begin anew.
func (d *daemon) overtakes(c *candidate) bool {
	shut := d.shut(c.target)
	if shut.why != "" && d.override(c.target.Commit) == nil {
		d.log.Info("a newer commit does not end the watch", "commit", c.target.Commit, "reason", shut.why)
		return false
	}
	if held := d.locks.find(); held != nil {
		d.log.Info("a newer commit does not end the watch", "commit", c.target.Commit, "reason", "it waits for "+held.String())
		return false
	}
	return true
}

// keepBack ends a pass with a commit that may not begin now. Status says what it
// would do.
func (d *daemon) keepBack(c *candidate, w wanted, n now) (Outcome, bool) {
	commit := c.target.Commit
	shut := d.shut(c.target)
	if o := d.override(commit); o != nil {
		if err := d.useOverride(o, commit, shut); err != nil {
			return failed(err), true
		}
		return Outcome{}, false
	}
	if shut.why == "" {
		return Outcome{}, false
	}
	steps := stepsOf(plan.Diff(n.state, w.to, nil))
	d.later = deferred{key: c.key, commit: commit, notYet: shut, windows: c.target.Windows, renewed: d.host.Now()}
	if d.later.more = max(len(steps)-maxWould, 0); d.later.more > 0 {
		steps = steps[:maxWould]
	}
	d.later.steps = steps
	return d.later.outcome(), true
}

// stepsOf is a plan as people read it.
func stepsOf(p plan.Plan) []string {
	if text := strings.TrimSpace(p.String()); text != "" {
		return strings.Split(text, "\n")
	}
	return nil
}

func (l *deferred) outcome() Outcome {
	return Outcome{Result: ResultDeferred, Reason: fmt.Sprintf("commit %.12s would be applied, but is %s", l.commit, l.notYet.why)}
}

func (l *deferred) status() *DeferredStatus {
	return &DeferredStatus{Commit: l.commit, Reason: l.notYet.why, Until: l.notYet.until.UTC(), Steps: l.steps, More: l.more}
}

// stillKept answers for a commit that an earlier pass kept back, while the same
// keeps it back.
func (d *daemon) stillKept(key string) (Outcome, bool) {
	l, now := &d.later, d.host.Now()
	if l.key != key || key == "" || now.Before(l.renewed) || now.Sub(l.renewed) >= lookAgain || d.override(l.commit) != nil {
		return Outcome{}, false
	}
	if p := d.host.pause(); p == nil && !l.notYet.paused && now.Before(l.notYet.until) {
		return l.outcome(), true // the opening is known: a look costs little
	}
	if d.shutNow(l.windows).why != l.notYet.why {
		return Outcome{}, false
	}
	return l.outcome(), true
}

// wakeFor shortens the time to the next look to the moment at which what keeps a
// commit back ends.
func (d *daemon) wakeFor(delay time.Duration, result Result) time.Duration {
	var ends []time.Time
	if result == ResultDeferred {
		ends = append(ends, d.later.notYet.until)
	}
	if !d.asks.nothing {
		for _, p := range []*Pause{d.host.pause(), d.host.freeze()} {
			if p != nil {
				ends = append(ends, p.Until)
			}
		}
	}
	for _, end := range ends {
		if !end.IsZero() {
			delay = min(delay, max(end.Sub(d.host.Now()), soonest))
		}
	}
	return delay
}
