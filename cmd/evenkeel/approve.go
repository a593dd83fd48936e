package main

import (
	"errors"

	"github.com/spf13/cobra"

	"evenkeel/agent"
)

func approveCommand(u ui, config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "approve [COMMIT]",
		Short: "let through the commit that evenkeel asks about",
		Long: `Answers what "evenkeel status" says that evenkeel asks: whether a commit that takes
away many paths, or that changes what a renamed host is, is meant. COMMIT, the
beginning of its hash, makes sure that it is the one you looked at. The answer is
for exactly what that commit asks of this host, and is used once: another commit is
asked about again. It stays in the state directory until the daemon has read it.
Needs root.

Exit codes:
  0  the daemon was told
  1  the answer is written, but the daemon does not run: it reads it when it starts
  2  nothing is asked, or not about that commit, or the answer could not be written`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := loadConfig(*config)
			if err != nil {
				return err
			}
			commit := ""
			if len(args) > 0 {
				commit = args[0]
			}
			q, err := agent.RequestApproval(cfg, commit)
			var nothing *agent.NothingAsked
			switch {
			case errors.As(err, &nothing):
				return failed(err, "\"evenkeel status\" says what is asked")
			case err != nil:
				return failed(err, "are you root?")
			}
			return asked(u, "approved "+short(q.Commit))
		},
	}
}
