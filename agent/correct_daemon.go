package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/agent/source"
)

// This file is the daemon's part of corrections: when one begins, what it waits for, and
// where its contents come from.

// checkDrift is a look at the host as a whole, and the correction of what may be
// corrected. The outcome is empty when nothing was done.
func (d *daemon) checkDrift(ctx context.Context) Outcome {
	h := d.host
	if d.fillUnits() {
		d.writeStatus()
	}
	if !h.recovered || h.Open != nil || h.Ledger.Machine != d.machine {
		return Outcome{}
	}
	found, err := h.findDrift(ctx)
	if err != nil {
		d.driftUnknown(err)
		return Outcome{}
	}
	if d.told != "" {
		d.locks.look(h.Now()) // somebody may have finished, and have put right himself what drifted
	}
	d.tellDrift(found.list)
	if len(found.corrections()) == 0 || h.Ledger.Hold != nil {
		d.told = ""
		d.goesOn()
		return Outcome{}
	}
	if wait := d.hitch.left(found.correctedNames(), h.Now()); wait > 0 {
		d.lookout.again(wait)
		return Outcome{}
	}
	d.calm.begin()
	if reason := d.notCalm(ctx); reason != "" {
		return d.correctLater(reason)
	}
	outcome, err := d.correct(ctx, found)
	if err != nil {
		// Nothing was touched, or the attempt is open and the next pass ends it.
		d.thwarted(found, err)
		return Outcome{}
	}
	d.told = ""
	d.goesOn()
	d.lookout.again(0)
	return outcome
}

// correctFirst puts right what drifted before a commit begins, where a file is gone. The way
// back from the commit leads to what stood there before it: to a service without its file.
// A pass ends with it when the correction is still open.
func (d *daemon) correctFirst(ctx context.Context, t *plan.Target) (Outcome, bool) {
	h := d.host
	if h.Open != nil || h.Ledger.Hold != nil || h.Ledger.Machine != d.machine {
		return Outcome{}, false
	}
	found, err := h.findDrift(ctx)
	if err != nil || !found.comesFirst(t) || d.hitch.left(found.correctedNames(), h.Now()) > 0 {
		return Outcome{}, false // what cannot be looked at is told of by the look of its own
	}
	outcome, err := d.correct(ctx, found)
	if err != nil {
		d.thwarted(found, err) // the commit may be what mends it
		return Outcome{}, false
	}
	if outcome.Result == ResultCorrected {
		d.goesOn()
		d.log.Info("corrected", "what", outcome.Reason)
	}
	d.lookout.again(0)
	return outcome, h.Open != nil
}

// driftPatience is how long a correction waits for somebody to end.
const driftPatience = 5 * time.Second

// thwarted says that a correction could not begin, once, and puts off the next try.
func (d *daemon) thwarted(found drift, err error) {
	if d.hitch.hit(found.correctedNames(), err, d.host.Now()) {
		d.driftUnknown(err)
	}
	d.lookout.again(d.hitch.wait)
}

// goesOn forgets what was in the way.
func (d *daemon) goesOn() {
	if d.hitch.fault != "" {
		d.hitch = hitch{}
		d.board.change(func(s *Status) { s.DriftFault = "" })
		d.writeStatus()
	}
}

// correctLater ends a look whose corrections wait for somebody.
func (d *daemon) correctLater(reason string) Outcome {
	if reason != d.told {
		d.log.Info("drift is not corrected yet", "waiting", reason)
		d.told = reason
		d.writeStatus()
	}
	d.lookout.again(driftPatience)
	return Outcome{}
}

// notCalm is notQuiet for corrections. They never go past the lock of a package manager,
// which a commit does in the end: no correction is what mends a package that hangs.
func (d *daemon) notCalm(ctx context.Context) string {
	if held := d.locks.look(d.host.Now()); held != nil {
		return held.String()
	}
	return d.notQuiet(ctx, &d.calm)
}

// correct puts right what drifted. What it needs comes from the good commit first,
// which takes a while.
func (d *daemon) correct(ctx context.Context, found drift) (Outcome, error) {
	content, err := d.goodContent(ctx, found)
	if err != nil {
		return Outcome{}, err
	}
	// Rendering may have taken its time: people, and package managers, come in between.
	// The host looks for the former once more itself.
	if held := d.locks.look(d.host.Now()); held != nil {
		return d.correctLater(held.String()), nil
	}
	found, outcome, err := d.host.correct(ctx, content)
	if outcome.Result != ResultCorrected {
		d.tellDrift(found.list)
	}
	return outcome, err
}

// goodContent gives the bytes of the files that are to be put back. They are not kept
// anywhere: the good commit is rendered again from the clone. Where only owner or mode
// changed, the bytes are still there. A host that has secrets renders all of the commit:
// what programs say of it is to be cleaned of every secret there is, and the daemon may have
// been started since it knew them.
func (d *daemon) goodContent(ctx context.Context, found drift) (map[string][]byte, error) {
	content, missing := map[string][]byte{}, map[string]string{}
	for _, x := range found.corrections() {
		digest := x.step.To.Digest
		if digest == "" {
			continue
		}
		if x.step.From.Digest == digest {
			if data, err := d.host.readOriginal(x.Name); err == nil && d.host.index.Key.Digest(data) == digest {
				content[digest] = data
				continue
			}
		}
		missing[digest] = x.Name
	}
	if len(missing) == 0 {
		return content, nil
	}
	var only []string
	if len(d.host.Ledger.Good.Secret) == 0 {
		only = slices.Sorted(maps.Values(missing))
	}
	reply, err := d.renderGood(ctx, only)
	if err != nil {
		return nil, err
	}
	if only == nil {
		d.host.redactor.learn(reply.Target.Words)
	}
	for digest, name := range missing {
		data, same := reply.Target.Content[digest]
		if !same {
			return nil, fmt.Errorf("cannot correct %q: the good commit gives something else for it now, because a label or fact of this host changed", name)
		}
		content[digest] = data
	}
	return content, nil
}

// renderGood renders the good commit from the clone, or only what it has at some paths.
func (d *daemon) renderGood(ctx context.Context, only []string) (RenderReply, error) {
	good := d.host.Ledger.Good
	facts, err := d.collectFacts(ctx)
	if err != nil {
		return RenderReply{}, err
	}
	if err := d.readTrust(); err != nil {
		return RenderReply{}, err
	}
	d.keys = d.keyring.look(d.cfg)
	reply, err := d.renderPast(ctx, seen{tip: source.Tip{Commit: good.Commit}, from: d.origins, past: true, only: only}, facts)
	var problems manifest.Problems
	if problems = reply.Problems; err == nil && len(problems) > 0 {
		err = fmt.Errorf("cannot render the good commit %.12s once more: %s", good.Commit, summary(problems))
	}
	return reply, err
}
