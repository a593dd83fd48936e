package main

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"evenkeel/agent"
)

func driftCommand(u ui, config *string) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "show what on this host is not as the good commit left it",
		Long: `Compares this host with the last good commit: files, links, directories and services
that somebody changed although no commit asked for it. Says since when each differs,
how, and what is done about it. Changes nothing. Needs root.

Exit codes:
  0  nothing differs
  1  something does
  2  nobody could look: the message says why`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, manager, done, err := onThisHost(*config)
			if err != nil {
				return err
			}
			defer done()
			report, err := agent.DriftHere(cmd.Context(), cfg, manager)
			if err != nil {
				return failed(err, "")
			}
			return tellDrift(u, report, asJSON, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it for scripts, without contents")
	cmd.AddCommand(driftShowCommand(u, config), driftAdoptCommand(u, config), freezeCommand(u, config))
	return cmd
}

func tellDrift(u ui, report agent.DriftReport, asJSON bool, now time.Time) error {
	if asJSON {
		if report.Drifted == nil {
			report.Drifted = []agent.DriftedHere{}
		}
		if err := u.json(report); err != nil {
			return failed(err, "")
		}
	} else {
		tellDriftPage(u, report, now)
	}
	if len(report.Drifted) > 0 {
		return &exit{code: exitFound}
	}
	return nil
}

func tellDriftPage(u ui, report agent.DriftReport, now time.Time) {
	switch {
	case report.Commit == "":
		u.say("No commit has proved itself here yet, so nothing can differ from it.")
	case len(report.Drifted) == 0:
		u.say("The host is as %s left it.", short(report.Commit))
	default:
		u.say("Not as %s left it:", short(report.Commit))
	}
	for _, x := range report.Drifted {
		u.say("  %s: %s%s; %s", x.Name, x.How, prefixed(", since ", sinceOrNothing(now, x.Since)), x.Does)
	}
	for _, d := range report.Diffs {
		u.text("\n" + diffText(d))
	}
	if report.NoDiffs != "" {
		u.warn("some contents cannot be compared: %s", report.NoDiffs)
	}
}

func driftShowCommand(u ui, config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show [PATH]",
		Short: "print what somebody had written at a path before it was corrected",
		Long: `Prints what stood at PATH before the last correction of it, or before a commit took
its place. Without PATH it lists all that is kept: the last ten of each path, at most
500 and 4 MiB. Of secret files nothing is kept. Needs root.

Exit codes:
  0  printed
  1  nothing is kept of PATH
  2  it could not be read`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := loadConfig(*config)
			if err != nil {
				return err
			}
			list, err := agent.KeptHere(cfg)
			if err != nil {
				return failed(err, "")
			}
			if len(args) == 0 {
				for _, k := range list {
					u.say("%s  %s  %04o %s:%s  %d bytes", k.When.Local().Format(time.DateTime), k.Path, k.At.Mode, k.At.Owner, k.At.Group, len(k.Content))
				}
				return nil
			}
			i := slices.IndexFunc(list, func(k agent.Kept) bool { return k.Path == args[0] })
			if i < 0 {
				u.note("nothing is kept of %s", args[0])
				return &exit{code: exitFound}
			}
			if k := list[i]; k.At.Link != "" {
				u.say("a link to %s", k.At.Link)
			} else {
				u.text(string(k.Content))
			}
			return nil
		},
	}
}

func driftAdoptCommand(u ui, config *string) *cobra.Command {
	request := agent.AdoptRequest{Repo: "."}
	cmd := &cobra.Command{
		Use:   "adopt PATH",
		Short: "copy what somebody wrote at a path into a checkout of the repository",
		Long: `Copies what somebody wrote at PATH into a checkout: what stands there now, if that
differs from the good commit, else what was kept when it was corrected last. It goes
into the role that brings PATH already. A file that a template makes is refused: put
the change into the template. Nothing is committed. Needs root.

Exit codes:
  0  adopted
  2  nothing was adopted: the message says why`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, manager, done, err := onThisHost(*config)
			if err != nil {
				return err
			}
			defer done()
			adoption, err := agent.AdoptDrift(cmd.Context(), cfg, manager, args[0], request)
			for _, file := range adoption.Wrote {
				u.say("%s: %s", file.File, file.How)
			}
			if err != nil {
				return failed(err, "")
			}
			for _, note := range adoption.Notes {
				u.note("%s", note)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&request.Role, "role", "", "the `ROLE` that shall bring it; default: the one that does")
	cmd.Flags().StringVar(&request.Repo, "repo", ".", "a checkout, the `DIR` that holds fleet.yaml")
	completes(cmd, "role", rolesOf)
	return cmd
}
