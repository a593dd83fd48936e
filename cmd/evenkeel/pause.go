package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"evenkeel/agent"
)

func pauseCommand(u ui, config *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "keep new commits off this host for a time",
		Long: `Keeps new commits off this host while people work on it: until "evenkeel resume", or
for the time of --for. They are still fetched, and "evenkeel status" says what they
would do. What is open goes on: a commit on probation comes to its verdict, and one
that fails goes back. A pause outlasts restarts of the daemon and of the host, and
replaces one that is in force. What drifts is not corrected either. "evenkeel sync --now" lets a commit in all the same.
Needs root.

Exit codes:
  0  new commits are kept off from now on
  1  the same, but the daemon does not run: it starts paused
  2  the host is not paused`,
		Args: cobra.NoArgs,
	}
	handsOff(cmd, u, config, "pause", "paused", agent.RequestPause)
	return cmd
}

func freezeCommand(u ui, config *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "freeze",
		Short: "leave what drifts on this host as it is for a time",
		Long: `Corrects nothing that drifts on this host, whatever the repository says: until
"evenkeel resume", or for the time of --for. Drift is told of as ever, and new commits
come. A commit leaves a drifted place alone in which it asks for nothing new. A freeze
outlasts restarts of the daemon and of the host, and replaces one that is in force.
Needs root.

Exit codes:
  0  what drifts stays from now on
  1  the same, but the daemon does not run: it starts frozen
  2  the host is not frozen`,
		Args: cobra.NoArgs,
	}
	handsOff(cmd, u, config, "freeze", "frozen", agent.RequestFreeze)
	return cmd
}

// handsOff gives a verb what all have that keep the daemon off the host for a time.
func handsOff(cmd *cobra.Command, u ui, config *string, verb, done string, request func(agent.Config, time.Duration, string) (agent.Pause, error)) {
	var length time.Duration
	var reason string
	cmd.Flags().Var((*span)(&length), "for", "how long, such as 90m, 2h or 3d; without it until \"evenkeel resume\"")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever looks at this host next")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("for") && length < time.Second {
			return failed(fmt.Errorf("cannot %s for %s", verb, length), "say how long, such as --for 2h, or leave it out")
		}
		if reason == "" {
			return failed(fmt.Errorf("cannot %s without a reason", verb), "say --reason TEXT: who looks at this host next must know why")
		}
		cfg, err := loadConfig(*config)
		if err != nil {
			return err
		}
		p, err := request(cfg, length, reason)
		if err != nil {
			return failed(err, "")
		}
		end := "until \"evenkeel resume\""
		if !p.Until.IsZero() {
			end = "until " + clockOrNothing(p.Until)
		}
		return asked(u, done+" "+end)
	}
}

// clockOrNothing is a time to come, with its date: a pause may outlast the day.
func clockOrNothing(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02 15:04 MST")
}
