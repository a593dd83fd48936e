package agent

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// invalidError is what systemd and the validators said against a commit.
type invalidError struct{ list []apply.Invalid }

func (e *invalidError) Error() string { return e.list[0].String() }

// missing reports whether all faults may go without another commit.
func (e *invalidError) missing() bool {
	return !slices.ContainsFunc(e.list, func(i apply.Invalid) bool { return !i.Missing })
}

// problems gives the faults with the lines of the repository that they come from.
func (e *invalidError) problems(t *plan.Target) manifest.Problems {
	var problems manifest.Problems
	for _, i := range e.list {
		p := manifest.Problem{Message: i.String()}
		at, known := t.Origin[i.Path]
		if i.Path == "" {
			at, known = t.Origin[i.Unit]
		}
		if known {
			p.File, p.Line = at.File, at.Line
			if i.Line > 0 && !strings.HasSuffix(at.File, ".tmpl") && !strings.HasSuffix(at.File, ".yaml") {
				p.Line = i.Line
			}
		}
		problems = append(problems, p)
	}
	return problems
}

// validate lets systemd and the files' own programs judge what would change,
// with the host untouched.
func (d *daemon) validate(ctx context.Context, w wanted, n now) error {
	c := apply.Candidate{Files: map[string]apply.Staged{}, Validators: map[string][]string{}}
	var files []string
	for _, step := range plan.Diff(plan.State{Paths: n.state.Paths}, plan.State{Paths: w.to.Paths}, nil).Paths {
		if step.To.Kind == plan.Absent {
			if step.From.Kind != plan.Directory {
				c.Removed = append(c.Removed, step.Path)
			}
			continue
		}
		staged, err := d.staged(w, n, step.To)
		if err != nil {
			return err
		}
		c.Files[step.Path] = staged
		if step.To.Kind == plan.File {
			files = append(files, step.Path)
		}
		if argv := w.target.Validate[step.Path]; len(argv) > 0 {
			c.Validators[step.Path] = argv
		} else if step.To.Kind == plan.File && apply.IsSysusers(step.Path) {
			c.Validators[step.Path] = []string{"systemd-sysusers", "--dry-run", step.Path}
		}
		if name := unitOf(step.Path); name != "" && step.To.Kind == plan.File && !slices.Contains(c.Units, name) {
			c.Units = append(c.Units, name)
		}
	}
	slices.Sort(c.Units)
	maps.Copy(c.Validators, w.validators(files))
	withoutNeedlessSecrets(c, w.target)
	invalid, err := apply.Validate(ctx, c)
	if err != nil {
		return err
	}
	for i := range invalid {
		invalid[i].Said = d.host.redactor.said(invalid[i].Said, invalid[i].Path, w.target.Secret)
	}
	if len(invalid) > 0 {
		return &invalidError{invalid}
	}
	return nil
}

// withoutNeedlessSecrets leaves secrets out of a candidate that no validator looks
// at: systemd reads only units, which hold none.
func withoutNeedlessSecrets(c apply.Candidate, t *plan.Target) {
	if len(c.Validators) > 0 {
		return
	}
	for p, staged := range c.Files {
		if t.Secret[p] {
			staged.Content = nil
			c.Files[p] = staged
		}
	}
}

func (d *daemon) staged(w wanted, n now, to plan.Path) (apply.Staged, error) {
	s := apply.Staged{Link: to.Link, Dir: to.Kind == plan.Directory, Mode: to.Mode}
	if to.Kind == plan.Link {
		return s, nil
	}
	s.UID, _ = n.accounts.UID(to.Owner)
	s.GID, _ = n.accounts.GID(to.Group)
	if to.Kind != plan.File {
		return s, nil
	}
	var err error
	s.Content, err = d.host.content(w.target, to.Digest)
	return s, err
}

// unitOf names the unit whose file or drop-in stands at a path, "" for others.
func unitOf(p string) string {
	if !strings.HasPrefix(p, "/etc/systemd/system/") {
		return ""
	}
	name := path.Base(p)
	if dir := path.Base(path.Dir(p)); strings.HasSuffix(dir, ".d") {
		name = strings.TrimSuffix(dir, ".d")
	}
	if units.Valid(name) != nil {
		return ""
	}
	return name
}

// settleIdentity remembers whose state this is. A state directory of another
// machine, as a cloned image has, is not acted upon.
func (d *daemon) settleIdentity() (Outcome, bool) {
	if d.machine == "" {
		id, err := MachineID()
		if err != nil {
			return failed(err), true
		}
		d.machine = id
	}
	l, id := d.host.Ledger, d.machine
	switch {
	case l.Machine == "":
		l.Machine, l.Host = id, d.cfg.Host
		if err := l.save(d.host.State); err != nil {
			return failed(err), true
		}
	case l.Machine != id:
		return d.holdAsking(Hold{Reason: "the state directory is that of another machine, perhaps this is a cloned image; \"evenkeel reset-state\" starts a new one", Do: "stop evenkeel, then run \"evenkeel reset-state --yes\""}), true
	}
	return Outcome{}, false
}

// wavesOf orders the units of the good commit that shall run.
func (d *daemon) wavesOf() [][]string {
	if good := d.host.Ledger.Good; good != nil {
		return plan.Waves(plan.Target{State: plan.State{Units: good.State.Units}, Services: good.Services})
	}
	return nil
}
