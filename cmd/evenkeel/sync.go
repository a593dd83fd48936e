package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"evenkeel/agent"
)

func syncCommand(u ui, config *string) *cobra.Command {
	var wait time.Duration
	var now bool
	var reason string
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "look at the repository now",
		Long: `Makes the daemon read its configuration again and look at the repository now. With
--wait it then waits until that look, and all that follows from it, is over, and
says how the host is. With --now, which needs a --reason, the newest commit is applied
although a pause or a maintenance window keeps it back: once, within an hour, and the
log and the history say so. Needs root.

Exit codes:
  0  the daemon was asked; with --wait: the host is fine
  1  with --wait: somebody should look, see "evenkeel status"
  2  the daemon does not run, or did not come to an end in that time; or --now could
     not be asked for`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if now != (reason != "") {
				return failed(errors.New("--now and --reason go together"), "say --now --reason TEXT: who looks at the log later must know why")
			}
			if now {
				cfg, err := loadConfig(*config)
				if err != nil {
					return err
				}
				if err := agent.RequestNow(cfg, reason); err != nil {
					return failed(err, "")
				}
			}
			asked := time.Now()
			if err := wakeDaemon(agent.StatusFile); err != nil {
				return failed(err, "\"systemctl start evenkeel\" starts it; are you root?")
			}
			if wait <= 0 {
				u.say("asked; \"evenkeel status\" tells how it goes")
				return nil
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			s, err := waitForLook(ctx, agent.StatusFile, asked)
			if err != nil {
				return failed(err, "\"evenkeel status\" tells what it does")
			}
			return tell(u, s, time.Now(), false)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "apply the newest commit although a pause or a window keeps it back")
	cmd.Flags().StringVar(&reason, "reason", "", "why --now, for the log")
	cmd.Flags().Var((*span)(&wait), "wait", "how long to wait for the end, such as 10m")
	return cmd
}

// waitForLook waits until a pass has ended that began after a time.
func waitForLook(ctx context.Context, statusFile string, since time.Time) (agent.Status, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := findDaemon(statusFile)
		if err != nil {
			return s, err
		}
		// The look is written before the stages of its pass are, and the end of the
		// pass makes the daemon idle again.
		if s.Looked.After(since) && s.Written.After(s.Looked) && s.Passed.After(s.Looked) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return s, errors.New(unfinished(s, since))
			}
			return s, ctx.Err()
		case <-tick.C:
		}
	}
}

// unfinished says what a look that somebody waits for has come to.
func unfinished(s agent.Status, since time.Time) string {
	switch {
	case s.Attempt != nil:
		return fmt.Sprintf("the daemon is still %s %s%s", s.Stage, attempted(s), prefixed(", waiting for ", s.Attempt.WaitingFor))
	case s.Stage != agent.StageIdle && s.Stage != agent.StageHeld && s.Written.After(since):
		return fmt.Sprintf("the daemon is still %s %s", s.Stage, commit(s.Target))
	}
	return "the daemon has not ended a look at the repository since then" + prefixed("; the last one failed: ", s.ContactError)
}
