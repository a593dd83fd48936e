package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// DriftReport is how this host differs from its good commit.
type DriftReport struct {
	Commit  string        `json:"commit,omitempty"` // the good one, "" when there is none yet
	Drifted []DriftedHere `json:"drifted"`
	Diffs   []FileDiff    `json:"-"`
	NoDiffs string        `json:"no_diffs,omitempty"` // why contents cannot be compared
}

// DriftedHere is one path or unit of a DriftReport.
type DriftedHere struct {
	DriftStatus
	Policy plan.OnDrift `json:"policy"`
	Secret bool         `json:"secret,omitempty"`
}

// DriftHere compares this host with its good commit. It changes nothing. Since when
// something differs is the daemon's word where it is running.
func DriftHere(ctx context.Context, cfg Config, manager units.Manager) (DriftReport, error) {
	d, closeAll, err := previewer(cfg, manager)
	if err != nil {
		return DriftReport{}, err
	}
	defer closeAll()
	h := d.host
	if h.Open != nil {
		return DriftReport{}, fmt.Errorf("an attempt is open: the host is on its way to commit %.12s", h.Open.Commit)
	}
	good := h.Ledger.Good
	if good == nil {
		return DriftReport{}, nil
	}
	found, err := h.findDrift(ctx)
	if err != nil {
		return DriftReport{}, err
	}
	report := DriftReport{Commit: good.Commit}
	status, _ := ReadStatus(StatusFile) // without it some times are unknown
	for _, x := range found.list {
		s := DriftStatus{Name: x.Name, Kind: x.Kind, How: x.How, Does: x.Does(), Since: x.Since}
		if i := slices.IndexFunc(status.Drift, func(known DriftStatus) bool { return known.Name == x.Name }); i >= 0 && s.Since.IsZero() {
			s.Since = status.Drift[i].Since
		}
		report.Drifted = append(report.Drifted, DriftedHere{DriftStatus: s, Policy: x.Policy, Secret: x.Secret})
	}
	d.diffsOf(ctx, cfg, found, &report)
	return report, nil
}

// diffsOf compares the contents with those of the good commit, rendered once more from
// the daemon's clone.
func (d *daemon) diffsOf(ctx context.Context, cfg Config, found drift, report *DriftReport) {
	differs := slices.DeleteFunc(slices.Clone(found.list), func(x Deviation) bool {
		return x.step.To.Kind != plan.File || x.step.From.Digest == x.step.To.Digest
	})
	if len(differs) == 0 {
		return
	}
	closeOrigins(d.origins)
	d.origins = newOrigins(cfg)
	reply, err := d.renderGood(ctx, nil)
	if err != nil {
		report.NoDiffs = err.Error()
		return
	}
	for _, x := range differs {
		diff := FileDiff{Path: x.Name, Secret: x.Secret || d.host.isSecret(x.Name, reply.Target)}
		content, known := reply.Target.Content[x.step.To.Digest]
		switch {
		case diff.Secret:
		case !known:
			report.NoDiffs = "the good commit gives something else now, because a label or fact of this host changed"
			continue
		default:
			diff.Old = content
			if x.step.From.Kind == plan.File {
				diff.New, _ = d.host.readOriginal(x.Name)
			}
		}
		report.Diffs = append(report.Diffs, diff)
	}
}

// AdoptDrift copies what a person wrote at a managed path into a checkout, as Adopt
// does: what stands there now, if that is drift, else what was kept when it was
// corrected last. Without a role it is the one that brings the path in the checkout.
func AdoptDrift(ctx context.Context, cfg Config, manager units.Manager, p string, request AdoptRequest) (Adoption, error) {
	d, closeAll, err := previewer(cfg, manager)
	if err != nil {
		return Adoption{}, err
	}
	defer closeAll()
	request.Names, request.Force = []string{p}, true
	if request.Role == "" {
		if request.Role, err = roleOf(request.Repo, p); err != nil {
			return Adoption{}, err
		}
	}
	good := d.host.Ledger.Good
	if good == nil || d.host.State == nil {
		return Adoption{}, errors.New("no commit has proved itself on this host yet, so nothing drifted from it")
	}
	if good.Secret[p] {
		return Adoption{}, fmt.Errorf("%q is a secret: encrypt it yourself, with \"evenkeel secret encrypt\"", p)
	}
	accounts, err := apply.ReadAccounts(d.host.Disk)
	if err != nil {
		return Adoption{}, err
	}
	seen, err := d.host.index.Look(d.host.Disk, accounts, []string{p})
	if at, there := seen.Paths[p]; err == nil && there && at != good.State.Paths.all()[p] {
		return d.adoptInto(ctx, request)
	}
	list, err := readAllKept(d.host.State)
	if err != nil {
		return Adoption{}, err
	}
	i := slices.IndexFunc(list, func(k Kept) bool { return k.Path == p })
	if i < 0 {
		return Adoption{}, fmt.Errorf("nothing is kept of %q, and it is as the good commit left it", p)
	}
	adoption, err := d.adoptKept(ctx, request, list[i])
	adoption.Notes = append(adoption.Notes, fmt.Sprintf("this is what stood there until %s", list[i].When.Local().Format(time.DateTime)))
	return adoption, err
}

// adoptKept is adoptInto for what does not stand on the host any more.
func (d *daemon) adoptKept(ctx context.Context, request AdoptRequest, k Kept) (Adoption, error) {
	a, err := d.newAdopter(ctx, request)
	if err != nil {
		return Adoption{}, err
	}
	a.paths[k.Path], a.content[k.Path] = k.At, k.Content
	files, result, err := a.agree(request)
	if err != nil {
		return Adoption{}, err
	}
	result.Wrote, err = files.write()
	return result, err
}

// roleOf finds the role of a checkout that brings a path.
func roleOf(repo, p string) (string, error) {
	entries, err := os.ReadDir(filepath.Join(repo, "roles"))
	if err != nil {
		return "", fmt.Errorf("cannot read the checkout: %w", err)
	}
	for _, e := range entries {
		name, fault := manifest.FileFor(e.Name(), p)
		if fault != "" {
			return "", errors.New(fault)
		}
		for _, file := range append(manifest.MadeInstead(name), name) {
			if _, err := os.Lstat(filepath.Join(repo, filepath.FromSlash(path.Clean(file)))); err == nil {
				return e.Name(), nil
			}
		}
	}
	return "", fmt.Errorf("no role of the checkout brings %q: name one with --role", p)
}
