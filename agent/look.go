package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/agent/source"
	"evenkeel/units"
)

// sourceFailed ends a pass that got nothing from the repository, or nothing that
// counts. The host stays as it is. A commit that is not proven is refused as one
// with faults is: asking again soon would not help.
func (d *daemon) sourceFailed(key string, err error) Outcome {
	reason := source.Unreachable
	var own *source.Error
	if errors.As(err, &own) {
		reason = own.Reason
	}
	d.metrics.SourceFailed(string(reason))
	switch reason {
	case source.BadSignature, source.Rewritten, source.TooOld:
		outcome := d.refuse(key, manifest.Problems{{Message: err.Error()}})
		d.refused.until = time.Now().Add(maxDelay)
		return outcome
	}
	d.failures++
	d.board.change(func(s *Status) { s.ContactError = err.Error() })
	return failed(err)
}

// factsAge is how old facts may be: a host does not become another one between
// two polls that come in quick succession. A reload forgets them.
const factsAge = time.Minute

func (d *daemon) collectFacts(ctx context.Context) (manifest.Facts, error) {
	if time.Since(d.factsAt) < factsAge {
		return d.facts, nil
	}
	system, err := d.host.Manager.System(ctx)
	if err != nil {
		return manifest.Facts{}, fmt.Errorf("cannot ask systemd for its version: %w", err)
	}
	facts, err := CollectFacts(d.cfg, system.Version)
	if err == nil {
		d.facts, d.factsAt = facts, time.Now()
	}
	return facts, err
}

// keyed is the key of a pass, and what it was made from besides the configuration, whose
// change makes the facts new ones.
type keyed struct {
	tip     source.Tip
	factsAt time.Time
	trust   string
	keys    Keys
	key     string // "" when there was none yet
}

// keyOf is passKey with the facts that are at hand. To write them down costs more than all
// else that a look does which finds nothing new.
func (d *daemon) keyOf(tip source.Tip) string {
	k := &d.keyed
	if k.key == "" || k.tip != tip || !k.factsAt.Equal(d.factsAt) || k.trust != d.trust.sum || !k.keys.equal(d.keys) {
		*k = keyed{tip, d.factsAt, d.trust.sum, d.keys, d.passKey(tip, d.facts)}
	}
	return k.key
}

// passKey names all that a pass depends on: an unchanged key has an unchanged
// answer.
func (d *daemon) passKey(tip source.Tip, facts manifest.Facts) string {
	text, err := json.Marshal(struct {
		Tip    source.Tip
		Facts  manifest.Facts
		Path   string
		Policy manifest.Options
		Force  bool
		Trust  string
		Keys   Keys
	}{tip, facts, d.cfg.Path, d.cfg.policy(), d.cfg.AllowRewritten, d.trust.sum, d.keys})
	if err != nil {
		panic("internal error: facts cannot be written as JSON: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// render fetches the commit and renders it for this host, each in a child.
func (d *daemon) render(ctx context.Context, newest seen, facts manifest.Facts) (RenderReply, error) {
	if newest.past {
		return d.renderPast(ctx, newest, facts)
	}
	proof, err := d.proof()
	if err != nil {
		return RenderReply{}, err
	}
	d.host.tell(StageFetching, newest.tip.Commit)
	offer, err := d.fetch(ctx, newest, proof.question())
	if err != nil {
		d.unfetched = newest.tip
		return RenderReply{}, err
	}
	if d.unfetched == newest.tip {
		d.sourceAnswered(time.Now())
	}
	d.host.tell(StageRendering, offer.Tip.Commit)
	reply, err := d.renderOffer(ctx, offer, proof, facts, nil)
	if d.isDamaged(newest, offer.Dir, err) {
		if offer, err = d.fetch(ctx, newest, proof.question()); err != nil {
			d.unfetched = newest.tip
			return RenderReply{}, err
		}
		reply, err = d.renderOffer(ctx, offer, proof, facts, nil)
	}
	return reply, err
}

// isDamaged reports whether the clone in which a commit could not be read is to be made anew.
func (d *daemon) isDamaged(s seen, dir string, err error) bool {
	for _, o := range s.from {
		if o.dir == dir && o.isDamaged(s.tip, err) {
			d.log.Warn("the clone is damaged, and is made anew", "err", err)
			return true
		}
	}
	return false
}

// renderOffer renders a commit that is in a clone, with the identities that open
// its secrets: all of it, or only what stands at some paths.
func (d *daemon) renderOffer(ctx context.Context, offer Offer, proof Proof, facts manifest.Facts, only []string) (RenderReply, error) {
	identities := openIdentities(d.cfg)
	defer closeFiles(identities)
	request := d.renderRequest(facts)
	request.Offer, request.Trust, request.Path, request.Only = offer, proof, d.cfg.Path, only
	return RenderChild(ctx, request, identities...)
}

// renderRequest is what rendering depends on besides the repository.
func (d *daemon) renderRequest(facts manifest.Facts) RenderRequest {
	options := d.cfg.policy()
	options.DigestKey, options.Recipients = d.host.index.Key, d.keys.Recipients
	return RenderRequest{Facts: facts, Options: options, Faults: d.keys.Faults}
}

// proof is what a commit must prove here now.
func (d *daemon) proof() (Proof, error) {
	if err := d.readTrust(); err != nil {
		return Proof{}, &source.Error{Reason: source.BadSignature, Text: err.Error()}
	}
	p := Proof{Policy: d.trust.policy, Prior: d.host.prior(), AllowRewrite: d.cfg.AllowRewritten}
	if anchor := d.host.Anchor; anchor != nil {
		p.Contains = anchor.Minimum == p.Policy.Minimum
	}
	return p, nil
}

// readTrust reads the files again that say whom to trust, when they changed.
func (d *daemon) readTrust() error {
	t := d.cfg.Trust
	var stamps [3]string
	for i, file := range []string{t.KeyringFile, t.AllowedSignersFile, t.RevokedKeysFile} {
		if file == "" {
			continue
		}
		if info, err := os.Stat(file); err == nil {
			stamps[i] = fmt.Sprint(info.ModTime().UnixNano(), info.Size())
		}
	}
	if d.trust.sum != "" && d.trust.stamps == stamps {
		return nil
	}
	policy, err := t.policy()
	if err != nil {
		return err
	}
	text, err := json.Marshal(policy)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	d.trust = trusted{policy, stamps, hex.EncodeToString(sum[:])}
	return nil
}

// trusted is the policy as it was last read.
type trusted struct {
	policy source.Policy
	stamps [3]string // of the files, in the order in which readTrust looks
	sum    string    // "" when nothing was read yet
}

// wire completes the target with what the host's own units say.
func (d *daemon) wire(ctx context.Context, t *plan.Target) error {
	vendor := map[string]units.Definition{}
	for _, name := range slices.Sorted(maps.Keys(t.State.Units)) {
		detail, err := d.host.Manager.Show(ctx, name)
		if err != nil {
			return err
		}
		if def, ok := d.vendor(name, detail); ok {
			vendor[name] = def
		}
	}
	return manifest.Wire(t, vendor)
}

// vendor reads a unit's files as systemd has loaded them, without those that we
// brought ourselves: the target says what becomes of those.
func (d *daemon) vendor(name string, detail units.Detail) (units.Definition, bool) {
	def := units.Definition{Name: name}
	if detail.Load == "masked" {
		detail.Fragment = behindMask(name)
	}
	for _, file := range append([]string{detail.Fragment}, detail.DropIns...) {
		if file == "" || d.host.owns(file) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		parsed, _ := units.ParseFile(file, text) // systemd itself has the last word on vendor units
		if parsed != nil {
			def.Files = append(def.Files, parsed)
		}
	}
	return def, len(def.Files) > 0
}

// behindMask finds the file of a unit that a link in /etc masks, where systemd would.
func behindMask(name string) string {
	for _, dir := range []string{"/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		if info, err := os.Lstat(path.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			return path.Join(dir, name)
		}
	}
	return ""
}

// brings reports whether the target has a unit's own file, or a file from which
// it is generated.
func brings(t *plan.Target, name string) bool {
	names := []string{name}
	if template, _, ok := units.Template(name); ok {
		names = append(names, template)
	}
	if slices.ContainsFunc(names, func(name string) bool { return t.Made[name] != "" }) {
		return true
	}
	for p, at := range t.State.Paths {
		if at.Kind != plan.File || !units.IsUnitPath(p) {
			continue
		}
		base := path.Base(p)
		if slices.Contains(names, base) && !strings.HasSuffix(path.Dir(p), ".d") {
			return true
		}
	}
	return false
}
