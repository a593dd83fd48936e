package agent

import (
	"fmt"
	"slices"
	"strings"
)

// This file holds what evenkeel asks about a commit that has no fault. The answer
// is "evenkeel approve", a trailer of the commit, or another commit; until then
// nothing is touched.

// doubt is one reason to ask.
type doubt struct {
	reason  string
	paths   []string
	back    []string // those at which what stood there before evenkeel will stand
	trailer bool     // the author of the commit can answer it by a trailer
}

// doubts are the reasons to ask before a commit is applied.
func (d *daemon) doubts(c *candidate, w wanted) []doubt {
	var all []doubt
	if reason := d.renamed(c); reason != "" {
		all = append(all, doubt{reason: reason})
	}
	if p := d.host.Ledger.pruning(w); p.asks() != "" {
		all = append(all, doubt{reason: p.asks(), paths: p.gone, back: p.back, trailer: true})
	}
	if len(w.newer) > 0 {
		all = append(all, stale(w.newer))
	}
	if c.info.AllowPrune {
		all = slices.DeleteFunc(all, func(d doubt) bool { return d.trailer })
	}
	return all
}

// renamed finds that the host has another name than when its state was written,
// and that this changes what it is.
func (d *daemon) renamed(c *candidate) string {
	l := d.host.Ledger
	if slices.Equal(l.Roles, c.target.Roles) {
		l.Host = d.cfg.Host // written with the next verdict
	}
	if l.Host == "" || l.Host == d.cfg.Host || l.Good == nil || slices.Equal(l.Roles, c.target.Roles) {
		return ""
	}
	return fmt.Sprintf("this host was %q and is %q now, which changes its roles from %v to %v; \"evenkeel retry\" says that this is meant",
		l.Host, d.cfg.Host, l.Roles, c.target.Roles)
}

// stale asks about paths whose original is out of date.
func stale(list []newer) doubt {
	d := doubt{trailer: true}
	var whys []string
	for _, n := range list {
		d.paths = append(d.paths, n.path)
		whys = append(whys, fmt.Sprintf("%s (%s)", n.path, n.why))
	}
	const shown = 3
	if more := len(whys) - shown; more > 0 {
		whys = append(whys[:shown], fmt.Sprintf("%d more", more))
	}
	d.reason = "it no longer asks for what a package has a newer version of, so the original that evenkeel keeps is stale and will not be put back: " +
		strings.Join(whys, ", ") + "; if you approve, what stands there now stays"
	return d
}

// question holds a commit until a person answers. An answer counts for what it
// was given for, and no longer.
func (d *daemon) question(c *candidate, w wanted) (Outcome, bool) {
	l := d.host.Ledger
	doubts := d.doubts(c, w)
	if len(doubts) == 0 || l.Approved != nil && l.Approved.Digest == c.digest {
		d.host.forgetQuestion("")
		return Outcome{}, false
	}
	q := &Question{Commit: c.target.Commit, Digest: c.digest}
	var reasons []string
	trailer := true
	for _, one := range doubts {
		reasons = append(reasons, one.reason)
		q.Paths, q.Back = append(q.Paths, one.paths...), append(q.Back, one.back...)
		trailer = trailer && one.trailer
	}
	slices.Sort(q.Paths)
	q.Paths = slices.Compact(q.Paths)
	if q.More = max(len(q.Paths)-maxAsked, 0); q.More > 0 {
		q.Paths = q.Paths[:maxAsked]
	}
	q.Back = slices.DeleteFunc(q.Back, func(p string) bool { return !slices.Contains(q.Paths, p) })
	do := fmt.Sprintf("run \"evenkeel approve %.12s\" if this is meant, else push a commit that does not do it", c.target.Commit)
	if trailer {
		do += "; a commit with the trailer \"Evenkeel-Allow-Prune: true\" is not asked about"
	}
	return d.holdAsking(Hold{Reason: fmt.Sprintf("commit %.12s waits for your word: %s", c.target.Commit, strings.Join(reasons, "; and ")), Commit: c.target.Commit, Do: do, Question: q}), true
}

// holdAsking stops until a person answers, and says so once.
func (d *daemon) holdAsking(hold Hold) Outcome {
	h := d.host
	if was := h.Ledger.Hold; was == nil || was.Reason != hold.Reason {
		hold.Asks, hold.Since = true, h.Now()
		h.Ledger.Hold, h.Ledger.Approved = &hold, nil
		if q := hold.Question; q != nil {
			h.Log.Warn("asking before anything is touched", "commit", q.Commit, "reason", hold.Reason, "paths", q.list(), "do", hold.Do)
		}
		h.trySave()
	}
	return Outcome{Result: ResultHeld, Reason: hold.Reason}
}

// list is the paths as one line.
func (q *Question) list() string {
	text := strings.Join(q.Paths, " ")
	if q.More > 0 {
		text += fmt.Sprintf(" and %d more", q.More)
	}
	return text
}

// forgetQuestion drops what was asked about any commit but the one given.
func (h *Host) forgetQuestion(commit string) {
	if hold := h.Ledger.Hold; hold != nil && hold.Question != nil && hold.Question.Commit != commit {
		h.Ledger.Hold = nil
		h.trySave()
	}
}
