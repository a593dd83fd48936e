package main

import (
	"errors"

	"github.com/spf13/cobra"

	"evenkeel/agent"
)

func resetStateCommand(u ui, config *string) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "reset-state --yes",
		Short: "forget everything about this host, as after cloning an image",
		Long: `Forgets what was good and what was rejected, the originals of replaced files, and
whose machine this was. No managed file is touched and no service is stopped; the
next start takes the host as it finds it. Stop the daemon first. Needs root.

Exit codes:
  0  the state is empty
  2  it is not: the daemon runs, --yes is missing, or the message says why`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(*config)
			if err != nil {
				return err
			}
			if !yes {
				return failed(errors.New("this loses the way back to the last good commit"), "to do it: evenkeel reset-state --yes")
			}
			if err := agent.ResetState(cfg); err != nil {
				return failed(err, "\"systemctl stop evenkeel\" comes first")
			}
			u.say("%s is empty; \"systemctl start evenkeel\" begins anew", cfg.StateDir)
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	return cmd
}
