package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel/agent"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

func explainCommand(u ui) *cobra.Command {
	var s subject
	var dir, name string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain PATH|UNIT | --var NAME",
		Short: "say where a file, a unit or a value of a host comes from",
		Long: `Says of a path on a host, or of a file of the repository, which role brings it, which
values and facts went into it and where they are set, which units read it and by
what, and what a change of it would restart; of a unit, what it reads and waits for;
of a value, which line sets it and what that overrode.

Looks at the config repository in the current directory, for the host that is named,
or for the first one that has what is asked for. What units of packages read is known
on the host only.

Exit codes:
  0  explained
  1  no host has it
  2  the repository could not be read`,
		Example: `  evenkeel explain /etc/app/app.conf
  evenkeel explain app.service --host web-1
  evenkeel explain --var db.host --host web-1 --label env=prod`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.wrong(); err != nil {
				return err
			}
			if (name == "") == (len(args) != 1) {
				return failed(errors.New("one thing must be named"), "give a path, a unit, or --var NAME")
			}
			dir, err := directory([]string{dir})
			if err != nil {
				return err
			}
			q := question{value: name, subject: s, dir: dir}
			if name == "" {
				q.thing = args[0]
			}
			answer, err := q.ask(cmd.InOrStdin())
			if err != nil {
				return err
			}
			if asJSON {
				if err := u.json(answer); err != nil {
					return failed(err, "")
				}
				return nil
			}
			u.text(answer.page())
			return nil
		},
	}
	s.flags(cmd.Flags(), "explain")
	completes(cmd, "host", hostsOf)
	cmd.Flags().StringVarP(&dir, "directory", "C", ".", "the `DIR` of the repository")
	cmd.Flags().StringVar(&name, "var", "", "explain a value, by its `NAME` below .vars")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it for scripts")
	return cmd
}

// question is what explain was asked.
type question struct {
	thing string // path, unit or file of the repository
	value string // name of a value
	subject
	dir string
}

// answer is one of three explanations, for one host.
type answer struct {
	*manifest.Explanation
	Tried string               `json:"tried,omitempty"`   // labels and facts that were made up for the host
	Also  []string             `json:"also_on,omitempty"` // other hosts that have it
	Path  *manifest.PathReason `json:"path,omitempty"`
	Unit  *manifest.UnitReason `json:"unit,omitempty"`
	Vars  []manifest.VarReason `json:"vars,omitempty"`
}

func (q question) ask(stdin io.Reader) (answer, error) {
	repository := manifest.Open(treeIn(q.dir), q.options())
	hosts, err := q.hosts(repository, stdin)
	if err != nil {
		return answer{}, err
	}
	var cases []manifest.Case
	for _, facts := range hosts {
		cases = append(cases, manifest.Case{Facts: facts})
	}
	if len(hosts) == 0 {
		cases = repository.Cases()
	}
	var found answer
	var known []string
	var problems manifest.Problems
	for _, of := range cases {
		if found.Explanation != nil {
			if of.Facts.Name != found.Host && !slices.Contains(found.Also, of.Facts.Name) && q.isIn(repository, of.Facts) {
				found.Also = append(found.Also, of.Facts.Name)
			}
			continue
		}
		e, err := manifest.Explain(treeIn(q.dir), of.Facts, q.options(), nil)
		more, isProblem := errors.AsType[manifest.Problems](err)
		if err != nil && !isProblem {
			return answer{}, failed(err, "")
		}
		problems = append(problems, more...)
		e.Predict = func(from, to *plan.Target) plan.Plan { return agent.Predict(from, to).Plan }
		if a, ok := q.in(e); ok {
			a.Tried = strings.Trim(of.Match+", "+of.Tried, ", ")
			found = a
		} else {
			known = append(known, q.names(e)...)
		}
	}
	if found.Explanation == nil {
		return answer{}, q.nowhere(known, problems)
	}
	return found, nil
}

// in looks for the thing on one host.
func (q question) in(e *manifest.Explanation) (answer, bool) {
	a := answer{Explanation: e}
	if q.value != "" {
		a.Vars = e.Vars(strings.TrimPrefix(q.value, ".vars."))
		return a, len(a.Vars) > 0
	}
	if r, ok := e.Path(onHost(q.thing, e.Target)); ok {
		a.Path = &r
		return a, true
	}
	if r, ok := e.Unit(q.thing); ok {
		a.Unit = &r
		return a, true
	}
	return a, false
}

// isIn is in for the other hosts, of which only the names are told.
func (q question) isIn(repository *manifest.Repository, facts manifest.Facts) bool {
	t, err := repository.Load(facts)
	if err != nil || q.value != "" {
		return false
	}
	_, isPath := t.State.Paths[onHost(q.thing, t)]
	_, isUnit := t.State.Units[q.thing]
	return isPath || isUnit
}

// onHost gives the path that is meant: as it is, or the one to which a file of the
// repository goes.
func onHost(thing string, t *plan.Target) string {
	if path.IsAbs(thing) || t == nil {
		return path.Clean(thing)
	}
	for p, origin := range t.Origin {
		if _, isPath := t.State.Paths[p]; isPath && origin.File == path.Clean(thing) && origin.Line == 0 {
			return p
		}
	}
	return thing
}

// names are those that could have been meant on a host.
func (q question) names(e *manifest.Explanation) []string {
	if q.value != "" {
		return e.VarNames()
	}
	if path.IsAbs(q.thing) {
		return e.Paths()
	}
	return e.Units()
}

// nowhere says that no host has it, and what may have been meant.
func (q question) nowhere(known []string, problems manifest.Problems) error {
	what := q.thing
	if q.value != "" {
		what = "the value " + q.value
	}
	missing := fmt.Errorf("no host of the repository has %s", what)
	if q.host != "" || len(q.facts) > 0 {
		missing = fmt.Errorf("the host that was named does not have %s", what)
	}
	hint := manifest.DidYouMean(strings.TrimPrefix(cmp.Or(q.value, q.thing), ".vars."), known)
	if units.IsQuadlet(q.thing) {
		hint = fmt.Sprintf("what runs is the service that podman makes of it, such as %s; the file has its path", (&units.Definition{Name: path.Base(q.thing)}).QuadletService())
	}
	if len(problems) > 0 {
		hint = fmt.Sprintf("a host with problems gets nothing, and \"evenkeel check\" shows some: %s", problems[0])
	}
	return &exit{code: exitFound, err: missing, hint: hint}
}
