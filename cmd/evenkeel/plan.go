package main

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"evenkeel/agent"
)

func planCommand(u ui, config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "plan",
		Short: "show what the newest commit would do here, and why",
		Long: `Fetches the newest commit into a cache of its own and shows what it would do on
this host as it is now: each step with its reason, then the files that would
change. systemd and the validators of files judge it, as before an apply. Changes
nothing. Needs root.

Exit codes:
  0  the commit can be applied, or there is nothing to do
  1  it is refused, waits for something or for your word, was rejected, is kept off
     by a rollback, or could not be validated
  2  no plan could be made`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, manager, done, err := onThisHost(*config)
			if err != nil {
				return err
			}
			defer done()
			p, err := agent.PlanHere(cmd.Context(), cfg, manager)
			if err != nil {
				return failed(err, "")
			}
			return tellPlan(u, p)
		},
	}
}

func tellPlan(u ui, p agent.Preview) error {
	newest := commit(&agent.CommitStatus{Commit: p.Commit, Subject: p.Subject})
	if len(p.Problems) > 0 {
		u.say("%s is refused on %s:", newest, p.Host)
		for _, problem := range p.Problems {
			u.say("  %s", problem)
		}
		return &exit{code: exitFound}
	}
	if p.Signer != "" {
		u.say("signed by %s", p.Signer)
	}
	for _, warning := range p.Warnings {
		u.warn("%s", warning)
	}
	switch {
	case p.Drifted:
		u.say("%s is what %s is at; somebody changed something since, see \"evenkeel drift\"", newest, p.Host)
	case len(p.Steps) == 0:
		u.say("%s asks for nothing new on %s", newest, p.Host)
	default:
		u.say("%s would do on %s:", newest, p.Host)
	}
	for i, step := range p.Steps {
		u.say("%3d. %s", i+1, step)
	}
	for _, d := range p.Diffs {
		u.text("\n" + diffText(d))
	}
	return tellObstacles(u, p)
}

// tellObstacles says what keeps a commit from being applied now.
func tellObstacles(u ui, p agent.Preview) error {
	if back := p.RolledBack; back != nil {
		u.say("\nNot now: at %s a person took this host back to %s; it stays there until the branch moves, or \"evenkeel resume\"",
			back.Since.Local().Format("2006-01-02 15:04"), short(back.Commit))
	}
	if p.Rejected != "" {
		u.say("\nIt failed here before and is not tried again: %s", p.Rejected)
		return &exit{code: exitFound}
	}
	if p.Later != "" && len(p.Steps) > 0 {
		u.say("\nNot now, because it is %s", p.Later)
	}
	for _, reason := range p.Waiting {
		u.say("\nIt waits for %s", reason)
	}
	for _, question := range p.Asks {
		u.say("\nIt would wait for \"evenkeel approve\": %s", question)
	}
	if p.Unvalidated != "" {
		u.say("\nIt was not validated: %s", p.Unvalidated)
	}
	if len(p.Waiting)+len(p.Asks) > 0 || p.RolledBack != nil || p.Unvalidated != "" {
		return &exit{code: exitFound}
	}
	return nil
}

// contextLines is how much of a file is shown around a change.
const contextLines = 3

// diffText shows one file as it is and as it would be. Of secret and of binary
// files it says only that they change.
func diffText(d agent.FileDiff) string {
	switch {
	case d.Secret:
		return fmt.Sprintf("%s: <secret changed>\n", d.Path)
	case !isText(d.Old) || !isText(d.New):
		return fmt.Sprintf("%s: changes; not text, %d bytes now, %d then\n", d.Path, len(d.Old), len(d.New))
	}
	from, to := d.Path, d.Path
	if d.Old == nil {
		from = "/dev/null"
	}
	if d.New == nil {
		to = "/dev/null"
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(d.Old), B: lines(d.New), FromFile: from, ToFile: to, Context: contextLines,
	})
	if err != nil { // it writes to memory
		panic("internal error: " + err.Error())
	}
	return text
}

func isText(content []byte) bool {
	return utf8.Valid(content) && !bytes.ContainsRune(content, 0)
}

// lines splits a file for a diff, and says where the last line has no end.
func lines(content []byte) []string {
	var out []string
	for line := range bytes.Lines(content) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			line = append(bytes.Clone(line), "\n\\ No newline at end of file\n"...)
		}
		out = append(out, string(line))
	}
	return out
}
