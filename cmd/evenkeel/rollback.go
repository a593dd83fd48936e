package main

import (
	"errors"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"evenkeel/agent"
	"evenkeel/units/bus"
)

func rollbackCommand(u ui, config *string) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "rollback [COMMIT]",
		Short: "go back to a commit that was good on this host",
		Long: `Asks the daemon to go back to COMMIT, which must have been good on this host once;
its first letters do. Without COMMIT: to the good commit while an attempt is open or
held, else to the newest one before it that asked for something else. The commit is
applied as any other, from the clone on this host, and has to prove itself again.
The host stays there until the branch moves, or until "evenkeel resume". Needs root.

Exit codes:
  0  the daemon was asked; with --dry-run: the commit can be applied
  1  the request is written, but the daemon does not run: it reads it when it starts;
     with --dry-run: the commit has faults now, or waits for something
  2  there is no such commit, or the request could not be written`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: goodCommits(config),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(*config)
			if err != nil {
				return err
			}
			commit := ""
			if len(args) > 0 {
				commit = args[0]
			}
			if dryRun {
				manager := bus.New(slog.New(slog.DiscardHandler), bus.Options{})
				defer func() { _ = manager.Close() }()
				p, err := agent.PlanRollback(cmd.Context(), cfg, manager, commit)
				if err != nil {
					return failed(err, "")
				}
				return tellPlan(u, p)
			}
			to, err := agent.RequestRollback(cfg, commit)
			if err != nil {
				return failed(err, "")
			}
			return asked(u, "asked to go back to "+short(to))
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what it would do, as \"evenkeel plan\" does, and do nothing")
	return cmd
}

func resumeCommand(u ui, config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "resume",
		Short: "end a pause or a freeze, and follow the branch again after a rollback",
		Long: `Ends a pause, a freeze and a rollback, and says which of them it ended: the newest
commit of the branch is applied, unless it failed here before, and what drifted is
corrected. Needs root.

Exit codes:
  0  the daemon was asked
  1  there is no pause, freeze or rollback to end; or the daemon does not run: it
     reads the request when it starts
  2  the request could not be written`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(*config)
			if err != nil {
				return err
			}
			ended, err := agent.RequestResume(cfg)
			if errors.Is(err, agent.ErrNothingToResume) {
				return &exit{code: exitFound, err: err}
			}
			if err != nil {
				return failed(err, "")
			}
			if p := ended.Pause; p != nil {
				u.say("ended the pause of %s: %s", ago(time.Now(), p.Since), p.Reason)
			}
			if p := ended.Freeze; p != nil {
				u.say("ended the freeze of %s: %s", ago(time.Now(), p.Since), p.Reason)
			}
			if ended.Rollback {
				return asked(u, "asked to end the rollback and to follow the branch again")
			}
			return asked(u, "asked to look at the repository")
		},
	}
}

// asked wakes the daemon for a request that is written.
func asked(u ui, what string) error {
	if err := wakeDaemon(agent.StatusFile); err != nil {
		return &exit{code: exitFound, err: err, hint: "the request is written; \"systemctl start evenkeel\" acts on it"}
	}
	u.say("%s; \"evenkeel status\" tells how it goes", what)
	return nil
}
