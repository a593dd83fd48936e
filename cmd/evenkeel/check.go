package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel/agent"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

func checkCommand(u ui) *cobra.Command {
	var s subject
	var format, base string
	cmd := &cobra.Command{
		Use:   "check [DIR]",
		Short: "check a config repository, on any machine",
		Long: `Checks the config repository in DIR, or in the current directory: for every host
that it names, and for an example of each pattern, without labels and with those that
fleet.yaml asks for. Needs no root, no network and no
running systemd, so it fits in a commit hook and in CI. Unit files are verified by
systemd-analyze where this machine has it. Each problem is a line
"file:line:col: what (how to mend it)"; warnings go to standard error.

With --diff BASE the answer is a comment for a pull request: what this repository, as
it stands in DIR, does on hosts that are at the commit BASE; steps with their reasons
and the diffs of files. Hosts on which the same happens stand together.

Exit codes:
  0  fine, also with warnings
  1  there are problems, or with --diff hosts that refuse the repository and did not before
  2  the repository could not be checked`,
		Example: `  evenkeel check
  evenkeel check --format github
  evenkeel check --diff origin/main > comment.md
  evenkeel check ~/src/hosts --host web-1 --label env=prod`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.wrong(); err != nil {
				return err
			}
			if !slices.Contains(formats(), format) {
				return failed(fmt.Errorf("there is no format %q", format), "the formats are "+strings.Join(formats(), ", "))
			}
			dir, err := directory(args)
			if err != nil {
				return err
			}
			if base != "" && format == "github" {
				return failed(errors.New("--diff cannot answer in annotations"), "make it two steps: check --format github, and check --diff "+base)
			}
			r, err := check(cmd.Context(), dir, baseline{base, format == "json"}, s, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if _, err := os.Stat(filepath.Join(dir, "fleet.yaml")); errors.Is(err, fs.ErrNotExist) {
				u.note("there is no fleet.yaml in %q; \"evenkeel init DIR\" makes a repository to begin with", dir)
			}
			return r.tell(u, format, dir)
		},
	}
	s.flags(cmd.Flags(), "check")
	completes(cmd, "host", hostsOf)
	cmd.Flags().StringVar(&format, "format", "text", "text, json, or github for annotations on a pull request")
	completes(cmd, "format", func(*cobra.Command, []string) []string { return []string{"text", "json", "github"} })
	cmd.Flags().StringVar(&base, "diff", "", "say, in Markdown, what changes on which hosts after the revision `BASE` of this repository")
	return cmd
}

// baseline is what a repository is compared with; nothing when revision is empty.
type baseline struct {
	revision string
	exact    bool // tell hosts apart that differ in a byte
}

// check looks at a repository for all its hosts, or for those that were named,
// and at what has changed since a commit.
func check(ctx context.Context, dir string, base baseline, s subject, stdin io.Reader) (*report, error) {
	repository := manifest.Open(treeIn(dir), s.options())
	hosts, err := s.hosts(repository, stdin)
	if err != nil {
		return nil, err
	}
	var c *comparer
	if base.revision != "" {
		commit, tree, info, err := openBase(dir, base.revision)
		if err != nil {
			return nil, err
		}
		defer func() { _ = commit.Close() }()
		c = newComparer(manifest.Open(tree, s.options()), repository, base.exact, base.revision, info)
	}
	r := &report{Hosts: []string{}, Warnings: []plan.Warning{}, Sealed: []plan.Place{}}
	v := &verifier{ctx: ctx}
	each := func(of manifest.Case, t *plan.Target) {
		r.take(of.Facts.Name, t)
		v.look(t)
		if c != nil {
			c.compare(of, t)
		}
	}
	if len(hosts) == 0 {
		r.Problems, err = repository.Check(each)
		r.Warnings = append(r.Warnings, repository.Unplayed()...)
	} else {
		r.Problems, err = checkSome(repository, hosts, each)
	}
	if err == nil {
		err = v.err
	}
	if err == nil && c != nil {
		r.Changes, err = c.done(len(hosts) == 0, r.Problems)
	}
	if err != nil {
		return nil, failed(err, "")
	}
	r.Problems = manifest.Sorted(slices.Concat(r.Problems, v.problems, committedFaults(dir)))
	r.Units, r.Note = v.outcome()
	r.sort()
	return r, nil
}

// checkSome looks at the hosts that were named.
func checkSome(repository *manifest.Repository, hosts []manifest.Facts, each func(manifest.Case, *plan.Target)) (manifest.Problems, error) {
	var all manifest.Problems
	for _, facts := range hosts {
		target, err := repository.Load(facts)
		if err == nil {
			err = manifest.Wire(target, nil)
		}
		var problems manifest.Problems
		switch {
		case errors.As(err, &problems):
			all = append(all, problems...)
		case err != nil:
			return nil, err
		default:
			each(manifest.Case{Facts: facts}, target)
		}
	}
	return all, nil
}

// verifier asks systemd-analyze about each target, where there is one.
type verifier struct {
	ctx      context.Context
	units    *agent.UnitCheck
	absent   error // why there is none
	looked   bool  // some target has units
	problems manifest.Problems
	err      error
}

func (v *verifier) look(t *plan.Target) {
	if v.err != nil || v.absent != nil || !agent.BringsUnits(t) {
		return
	}
	if v.looked = true; v.units == nil {
		if v.units, v.absent = agent.NewUnitCheck(v.ctx); v.absent != nil {
			return
		}
	}
	var problems manifest.Problems
	problems, v.err = v.units.Look(v.ctx, t)
	v.problems = append(v.problems, problems...)
}

// outcome says whether all units were verified, and if not, why.
func (v *verifier) outcome() (verified bool, note string) {
	switch {
	case v.absent != nil:
		return false, fmt.Sprintf("units were read but not verified by systemd: %v", v.absent)
	case v.units != nil && v.units.LeftOut > 0:
		return false, fmt.Sprintf("the units of %s were not verified by systemd: there are too many different ones", count(v.units.LeftOut, "host"))
	}
	return v.looked, ""
}
