package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/agent/source"
	"evenkeel/units"
)

// Preview is what the newest commit would do on this host.
type Preview struct {
	Commit, Subject, Host string
	Signer                string // "" when the host asks for no signature
	Roles                 []string
	Rejected              string // why it will not be tried, "" when it would be
	Steps                 []string
	Problems              []string
	Waiting               []string
	Asks                  []string // what a person would have to approve first
	Later                 string   // what keeps it back for now, "" when nothing does
	Unvalidated           string   // why nobody knows whether its files are right, "" when they are
	Drifted               bool     // it is what the host is at already, which somebody changed since
	Warnings              []string
	Diffs                 []FileDiff

	RolledBack *RollbackStatus // a person took the host back, and the branch has not moved since

	validates bool // systemd and the files' own programs are asked
}

// FileDiff is one file before and after; nil means that there is none.
type FileDiff struct {
	Path     string
	Old, New []byte
	Secret   bool // show only that it changes: Old and New are nil
}

// PlanHere fetches and renders the newest commit and compares it with the host.
// It changes nothing, and has a cache of its own.
func PlanHere(ctx context.Context, cfg Config, manager units.Manager) (Preview, error) {
	p := Preview{Host: cfg.Host}
	err := p.compare(ctx, cfg, manager, func(d *daemon, facts manifest.Facts) (RenderReply, error) {
		if err := d.readTrust(); err != nil {
			return RenderReply{}, err
		}
		newest, err := d.newest(ctx)
		if err != nil {
			return RenderReply{}, err
		}
		reply, err := d.render(ctx, newest, facts)
		p.Commit, p.Subject, p.Signer = newest.tip.Commit, reply.Info.Subject, reply.Signer
		p.RolledBack = d.host.Ledger.rolledBack(p.Commit)
		return reply, err
	})
	return p, err
}

// PlanRollback is PlanHere for a commit that was good on this host, given as to
// RequestRollback. It reads the daemon's own clones.
func PlanRollback(ctx context.Context, cfg Config, manager units.Manager, commit string) (Preview, error) {
	p := Preview{Host: cfg.Host}
	err := p.compare(ctx, cfg, manager, func(d *daemon, facts manifest.Facts) (RenderReply, error) {
		to, err := d.host.Ledger.pastGood(commit, d.host.Open)
		if err != nil {
			return RenderReply{}, err
		}
		if err := d.readTrust(); err != nil {
			return RenderReply{}, err
		}
		clones := newOrigins(cfg)
		defer closeOrigins(clones)
		reply, err := d.renderFromClones(ctx, seen{tip: source.Tip{Commit: to.Commit}, from: clones, past: true}, facts)
		p.Commit, p.Subject = to.Commit, reply.Info.Subject
		return reply, err
	})
	p.Later, p.Rejected = "", "" // whoever goes back means now, whatever it failed for since
	return p, err
}

// PlanTree is PlanHere for a directory as it stands, such as a checkout with
// changes that are not committed yet.
func PlanTree(ctx context.Context, cfg Config, manager units.Manager, dir string) (Preview, error) {
	p := Preview{Host: cfg.Host, Subject: dir}
	err := p.compare(ctx, cfg, manager, func(d *daemon, facts manifest.Facts) (RenderReply, error) {
		request := d.renderRequest(facts)
		var err error
		if request.Tree, err = filepath.Abs(dir); err != nil {
			return RenderReply{}, fmt.Errorf("cannot tell where %q is: %w", dir, err)
		}
		identities := openIdentities(d.cfg)
		defer closeFiles(identities)
		return RenderChild(ctx, request, identities...)
	})
	return p, err
}

// compare fills a preview with what is rendered for this host now.
func (p *Preview) compare(ctx context.Context, cfg Config, manager units.Manager, render func(*daemon, manifest.Facts) (RenderReply, error)) error {
	d, closeAll, err := previewer(cfg, manager)
	if err != nil {
		return err
	}
	defer closeAll()
	facts, err := d.collectFacts(ctx)
	if err != nil {
		return err
	}
	d.keys, p.validates = d.keyring.look(d.cfg), true
	reply, err := render(d, facts)
	if err != nil {
		return err
	}
	return d.previewOf(ctx, reply, p)
}

// previewOf is the preview of what was rendered, or of what is wrong with it.
func (d *daemon) previewOf(ctx context.Context, reply RenderReply, p *Preview) error {
	problems := reply.Problems
	if len(problems) == 0 {
		err := d.wire(ctx, reply.Target)
		if err != nil && !errors.As(err, &problems) {
			return err
		}
	}
	if len(problems) > 0 {
		for _, problem := range problems {
			p.Problems = append(p.Problems, problem.String())
		}
		return nil
	}
	return d.preview(ctx, &candidate{info: reply.Info, target: reply.Target, digest: manifest.Digest(reply.Target)}, p)
}

// previewer is a daemon that only looks: it reads a copy of the ledger.
func previewer(cfg Config, manager units.Manager) (*daemon, func(), error) {
	disk, err := apply.NewDisk("/")
	if err != nil {
		return nil, nil, err
	}
	temp, err := os.MkdirTemp("", "evenkeel-plan-")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a place for the plan's own clone: %w", err)
	}
	cfg.CacheDir = filepath.Join(temp, "git")
	// The accounts that fetch and render pass through it, and see nothing else.
	if err := os.Chmod(temp, 0o711); err != nil {
		return nil, nil, fmt.Errorf("cannot make a place for the plan's own clone: %w", err)
	}
	d := &daemon{cfg: cfg, opt: Options{Manager: manager}, log: slog.New(slog.DiscardHandler), disk: disk, origins: newOrigins(cfg)}
	d.host = &Host{Disk: disk, Manager: manager, Now: time.Now, Log: d.log, Ledger: &Ledger{Version: ledgerVersion}}
	closeAll := func() { closeOrigins(d.origins); _ = os.RemoveAll(temp); _ = disk.Close() }
	state, err := disk.OpenDir(cfg.StateDir)
	if err == nil {
		d.host.State = state
		if d.host.Ledger, err = loadLedger(state, nil); err == nil {
			d.host.readAnchor()
			d.host.Open, _, err = loadAttempts(state, nil)
		}
		if err == nil {
			d.host.index.Key, err = readDigestKey(state)
		}
		if err != nil {
			closeAll()
			return nil, nil, err
		}
	}
	return d, closeAll, nil
}

func (d *daemon) preview(ctx context.Context, c *candidate, p *Preview) error {
	h, t := d.host, c.target
	if r, rejected := h.Ledger.IsRejected(t.Commit, c.digest); rejected {
		p.Rejected = r.Reason
	}
	p.Roles, p.Warnings = t.Roles, slices.Concat(asText(t.Warnings), missingSysctls(apply.Sysctl{Root: procSys}, manifest.SysctlNames(t)))
	n, err := h.observe(ctx, t)
	problems := h.clashes(t, n)
	if err != nil {
		problems = h.unfit(t, n, err)
	}
	for _, problem := range problems {
		p.Problems = append(p.Problems, problem.String())
	}
	if len(problems) > 0 {
		return nil
	}
	p.Waiting = d.missing(t, n)
	if held := d.locks.find(); held != nil {
		p.Waiting = append(p.Waiting, held.String())
	}
	w := h.complete(t, c.digest, "", n)
	if err := h.addUnlisted(ctx, &w, &n); err != nil {
		return err
	}
	if d.isGood(w, n) { // then what drifted is no matter of a commit
		p.Drifted = !plan.Diff(n.state, w.to, nil).Empty()
		return nil
	}
	p.Waiting = append(p.Waiting, h.hindered(w, n)...)
	slices.Sort(p.Waiting)
	if l := h.Ledger; l.Approved == nil || l.Approved.Digest != c.digest {
		for _, doubt := range d.doubts(c, w) {
			p.Asks = append(p.Asks, doubt.reason)
		}
	}
	h.keepUp(w.to)
	steps := plan.Diff(n.state, w.to, nil)
	if _, err := h.suspects(ctx, steps, w.to, &n); err != nil {
		return err
	}
	steps = plan.Diff(n.state, w.to, nil)
	p.Steps = stepsOf(steps)
	p.Later = d.shut(t).why
	if p.validates {
		d.tryOut(ctx, w, n, p)
	}
	return h.compareFiles(steps.Paths, t, p)
}

// tryOut lets systemd and the files' own programs judge, as before an apply.
func (d *daemon) tryOut(ctx context.Context, w wanted, n now, p *Preview) {
	if os.Geteuid() != 0 {
		p.Unvalidated = "that needs root"
		return
	}
	d.host.redactor.learn(w.target.Words)
	err := d.validate(ctx, w, n)
	var invalid *invalidError
	switch {
	case err == nil:
	case !errors.As(err, &invalid):
		p.Unvalidated = err.Error()
	case invalid.missing():
		for _, i := range invalid.list {
			p.Waiting = append(p.Waiting, i.String())
		}
	default:
		for _, problem := range invalid.problems(w.target) {
			p.Problems = append(p.Problems, problem.String())
		}
	}
}

// compareFiles adds each file that changes, before and after.
func (h *Host) compareFiles(steps []plan.PathStep, t *plan.Target, p *Preview) error {
	for _, step := range steps {
		if h.isSecret(step.Path, t) {
			if step.From.Digest != step.To.Digest {
				p.Diffs = append(p.Diffs, FileDiff{Path: step.Path, Secret: true})
			}
			continue
		}
		diff := FileDiff{Path: step.Path}
		if step.From.Kind == plan.File {
			diff.Old, _ = h.readOriginal(step.Path)
		}
		switch {
		case step.To.Kind != plan.File:
		case step.To.Digest == step.From.Digest:
			diff.New = diff.Old
		default:
			var err error
			if diff.New, err = h.content(t, step.To.Digest); err != nil {
				return fmt.Errorf("cannot tell what %q becomes: %w", step.Path, err)
			}
		}
		if diff.Old != nil || diff.New != nil {
			p.Diffs = append(p.Diffs, diff)
		}
	}
	return nil
}

// isSecret reports whether what stands at a path, or shall, holds a secret.
func (h *Host) isSecret(p string, t *plan.Target) bool {
	good, open := h.Ledger.Good, h.Open
	return t.Secret[p] || good != nil && good.Secret[p] || open != nil && open.Secret[p]
}
