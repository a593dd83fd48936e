package agent

import (
	"context"
	"errors"
	"fmt"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/agent/source"
)

// candidate is a commit that was fetched, verified, rendered and wired.
type candidate struct {
	info    source.Info
	signer  string
	minimum string // minimum_commit, which it was proven to contain
	past    bool   // a person went back to it
	target  *plan.Target
	digest  string
	key     string
}

// pass is one look at the repository and all that follows from it:
//
//	source -> manifest -> plan -> apply -> health -> verdict
//
// It ends with the outcome that status, log and metrics tell.
func (d *daemon) pass(ctx context.Context) Outcome {
	if outcome, stop := d.onHold(ctx); stop {
		return outcome
	}
	c, outcome := d.look(ctx)
	if c == nil {
		return outcome
	}
	return d.act(ctx, c)
}

// look fetches and renders the newest commit. Without a candidate the outcome
// says why there is nothing to act on.
func (d *daemon) look(ctx context.Context) (*candidate, Outcome) {
	if err := d.readTrust(); err != nil {
		return nil, d.refuse("", manifest.Problems{{Message: err.Error()}})
	}
	d.keys = d.keyring.look(d.cfg)
	newest, err := d.follow(ctx)
	if err != nil {
		return nil, d.sourceFailed("", err)
	}
	facts, err := d.collectFacts(ctx)
	if err != nil {
		return nil, failed(err)
	}
	d.host.forgetQuestion(newest.tip.Commit)
	key := d.keyOf(newest.tip)
	if outcome, known := d.decided(key, newest.tip.Commit); known {
		return nil, outcome
	}
	reply, err := d.render(ctx, newest, facts)
	if err == nil && !newest.past {
		d.tellCommit(reply)
	}
	var dead *ChildError
	switch {
	case errors.As(err, &dead):
		return nil, d.refuse(key, manifest.Problems{{Message: err.Error()}})
	case err != nil:
		return nil, d.sourceFailed(key, err)
	case len(reply.Problems) > 0:
		return nil, d.refuse(key, reply.Problems)
	}
	if err := d.wire(ctx, reply.Target); err != nil {
		var problems manifest.Problems
		if errors.As(err, &problems) {
			return nil, d.refuse(key, problems)
		}
		return nil, failed(err)
	}
	d.warnings, d.sysctls = asText(reply.Target.Warnings), manifest.SysctlNames(reply.Target)
	c := &candidate{info: reply.Info, signer: reply.Signer, minimum: reply.Minimum, past: newest.past, target: reply.Target, digest: manifest.Digest(reply.Target), key: key}
	if outcome, stop := d.notThis(c); stop {
		return nil, outcome
	}
	return c, Outcome{}
}

// notThis finds the reasons not to act on a candidate that is right in itself.
func (d *daemon) notThis(c *candidate) (Outcome, bool) {
	l := d.host.Ledger
	if r, rejected := l.IsRejected(c.target.Commit, c.digest); rejected {
		if r.Commit != c.target.Commit {
			r.Reason = fmt.Sprintf("it asks for the same as commit %.12s, which failed here: %s", r.Commit, r.Reason)
			r.Commit, r.When = c.target.Commit, d.host.Now()
			l.Reject(r)
		}
		l.Key = c.key
		if err := l.save(d.host.State); err != nil {
			return failed(err), true
		}
		if hold := d.host.holdHere(); hold != nil || d.host.isHeld() { // that is what a person must hear of first
			return Outcome{Result: ResultHeld, Reason: d.host.Ledger.Hold.Reason}, true
		}
		return Outcome{Result: ResultRejected, Reason: r.Reason, Evidence: r.Evidence}, true
	}
	return Outcome{}, false
}

// act brings the host to a candidate.
func (d *daemon) act(ctx context.Context, c *candidate) Outcome {
	d.patience.begin()
	if reason := d.notQuiet(ctx, &d.patience); reason != "" {
		return d.wait(reason)
	}
	d.host.tell(StageObserving, c.target.Commit)
	// First: what an earlier attempt left must not be taken for the host's own.
	if err := d.host.makeWay(); err != nil {
		return failed(err)
	}
	if outcome, stop := d.correctFirst(ctx, c.target); stop {
		return outcome
	}
	n, err := d.host.observe(ctx, c.target)
	if err != nil {
		return d.refuse("", d.host.unfit(c.target, n, err))
	}
	if clashes := d.host.clashes(c.target, n); len(clashes) > 0 {
		return d.refuse("", clashes)
	}
	if missing := d.missing(c.target, n); len(missing) > 0 {
		return d.wait(missing...)
	}
	w := d.host.complete(c.target, c.digest, c.key, n)
	w.subject, w.signer, w.minimum, w.past = c.info.Subject, c.signer, c.minimum, c.past
	if err := d.host.addUnlisted(ctx, &w, &n); err != nil {
		return failed(err)
	}
	if d.isGood(w, n) {
		return d.adopt(w)
	}
	if hindered := d.host.hindered(w, n); len(hindered) > 0 {
		return d.wait(hindered...)
	}
	d.host.redactor.learn(c.target.Words)
	if outcome, asks := d.question(c, w); asks {
		return outcome
	}
	if outcome, stop := d.keepBack(c, w, n); stop {
		return outcome
	}
	d.host.tell(StageValidating, c.target.Commit)
	if err := d.validate(ctx, w, n); err != nil {
		return d.invalid(c, err)
	}
	// Validating may have taken its time: people, and package managers, come in between.
	if outcome, stop := d.keepBack(c, w, n); stop {
		return outcome
	}
	if reason := d.locked(&d.patience); reason != "" {
		return d.wait(reason)
	}
	if err := d.makeAccounts(ctx, c.target, &n); err != nil {
		return failed(err)
	}
	return d.settled(d.host.deploy(ctx, w, n))
}

// isGood reports whether the target asks for just what is good here already.
func (d *daemon) isGood(w wanted, n now) bool {
	good := d.host.Ledger.Good
	return d.host.Open == nil && good != nil && good.Digest == w.digest
}

// adopt records that a new commit asks for nothing new.
func (d *daemon) adopt(w wanted) Outcome {
	l := d.host.Ledger
	if l.Good.Commit != w.target.Commit {
		if err := d.host.moveAnchorFor(w.past, w.target.Commit, w.minimum); err != nil {
			return failed(err)
		}
		l.Good.Commit, l.Good.Subject, l.Good.Signer = w.target.Commit, w.subject, w.signer
		l.Proved(PastGood{Commit: w.target.Commit, Subject: w.subject, Digest: w.digest, When: d.host.Now()})
		l.Note(Entry{When: d.host.Now(), Commit: w.target.Commit, Result: ResultUnchanged, Reason: "it asks for nothing new here"})
	}
	l.Good.Drift = w.target.Drift
	l.Good.Secret = w.target.Secret // what was in clear may be encrypted now, with the same bytes
	d.host.forgetSecrets()
	l.Key, l.Roles, l.Hold = w.key, w.target.Roles, nil
	if err := l.save(d.host.State); err != nil {
		return failed(err)
	}
	return Outcome{Result: ResultUnchanged}
}

// settled reads how an attempt ended. Whatever went wrong before the intent was
// recorded has left no trace on the host.
func (d *daemon) settled(outcome Outcome, err error) Outcome {
	var missing *apply.Missing
	var full *apply.NoRoom
	switch {
	case errors.As(err, &missing), errors.As(err, &full):
		return d.wait(err.Error())
	case err != nil:
		return failed(err)
	}
	return outcome
}

func failed(err error) Outcome { return Outcome{Result: ResultFailed, Reason: err.Error()} }

// asText is warnings as status shows them.
func asText(warnings []plan.Warning) []string {
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w.String())
	}
	return lines
}
