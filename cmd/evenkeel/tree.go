package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"evenkeel/agent"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

func treeCommand(u ui) *cobra.Command {
	var s subject
	cmd := &cobra.Command{
		Use:   "tree [DIR]",
		Short: "draw the order in which units start, and how they are",
		Long: `Draws the units that shall run in the order in which they start: a wave begins when
all of the one before it are up. Says of each what it comes after, whose stop or
restart systemd hands on to it, and how it is.

Without DIR it draws this host at its last good commit, from what the daemon
wrote, and needs no root. With DIR, the directory of a config repository, it draws
the host that is named; what units of packages say is known on the host only.

Exit codes:
  0  drawn
  1  drawn, and a service is down; or the repository has problems
  2  the daemon does not run, or the repository could not be read`,
		Example: `  evenkeel tree
  evenkeel tree . --host web-1`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return treeHere(u, cmd)
			}
			if err := s.wrong(); err != nil {
				return err
			}
			return treeOf(u, s, args, cmd.InOrStdin())
		},
	}
	s.flags(cmd.Flags(), "draw")
	return cmd
}

// treeHere draws this host.
func treeHere(u ui, cmd *cobra.Command) error {
	for _, flag := range []string{"host", "label", "facts", "allow-root", "allow-denied"} {
		if cmd.Flags().Changed(flag) {
			return failed(fmt.Errorf("--%s needs a repository", flag), "name its directory: \"evenkeel tree .\"")
		}
	}
	s, err := findDaemon(agent.StatusFile)
	if err != nil {
		return failed(err, "\"evenkeel tree DIR --host NAME\" draws a host of a repository")
	}
	u.text(treePage(s, time.Now()))
	if len(servicesDown(s)) > 0 {
		return &exit{code: exitFound}
	}
	return nil
}

// treePage is the drawing of a host for people.
func treePage(s agent.Status, now time.Time) string {
	head := s.Host + " has no good commit yet"
	if s.Good != nil {
		head = fmt.Sprintf("%s at %s", s.Host, commit(s.Good))
	}
	var rows []treeRow
	for _, unit := range s.Units {
		how := unit.Active + prefixed(", ", unit.Problem) + prefixed(" for ", durationOrNothing(now, unit.Since))
		rows = append(rows, treeRow{unit.Wave, unit.Name, how, unit.After, unit.With})
	}
	return head + "\n" + drawTree(rows)
}

// treeOf draws a host of a repository.
func treeOf(u ui, s subject, args []string, stdin io.Reader) error {
	target, err := renderOne(args, s, stdin)
	if problems, is := errors.AsType[manifest.Problems](err); is {
		return tellProblems(u, problems)
	}
	if err != nil {
		return err
	}
	u.text(target.Host + "\n" + drawTree(targetRows(target)))
	return nil
}

func targetRows(t *plan.Target) []treeRow {
	var rows []treeRow
	for i, names := range plan.Waves(*t) {
		for _, name := range names {
			unit := t.State.Units[name]
			rows = append(rows, treeRow{i + 1, name, "", running(unit.After, t), running(unit.Binds, t)})
		}
	}
	return rows
}

// running keeps the units that the target starts.
func running(names []string, t *plan.Target) []string {
	var out []string
	for _, name := range names {
		if t.State.Units[name].Active {
			out = append(out, name)
		}
	}
	return out
}

// treeRow is one unit of a drawing.
type treeRow struct {
	wave        int
	name, how   string
	after, with []string
}

// drawTree draws units by their waves, in the order of their names.
func drawTree(rows []treeRow) string {
	if len(rows) == 0 {
		return "no unit shall run\n"
	}
	last := 0
	for _, row := range rows {
		last = max(last, row.wave)
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for wave := 1; wave <= last; wave++ {
		mark := fmt.Sprintf("%d", wave)
		for _, row := range rows {
			if row.wave != wave {
				continue
			}
			why := prefixed("after ", strings.Join(row.after, ", "))
			if len(row.with) > 0 {
				why = strings.TrimPrefix(why+"; restarts with "+strings.Join(row.with, ", "), "; ")
			}
			cells := []string{mark, row.name, row.how, why}
			if row.how == "" { // of a host that is not looked at
				cells = slices.Delete(cells, 2, 3)
			}
			fmt.Fprintf(table, "  %s\n", strings.Join(cells, "\t"))
			mark = ""
		}
	}
	table.Flush()
	return trimLines(b.String())
}
