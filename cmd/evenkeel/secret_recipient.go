package main

import (
	"errors"

	"github.com/spf13/cobra"

	"evenkeel/agent"
)

func secretRecipientCommand(u ui, config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "recipient",
		Short: "print what secrets for this host are encrypted to",
		Long: `Prints the recipient of each identity of this host, one a line. Needs root, who
alone can read identities.

Exit codes:
  0  printed
  1  this host has no identity that can be used
  2  the configuration could not be read`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(*config)
			if err != nil {
				return err
			}
			keys := agent.HostKeys(cfg)
			for _, fault := range keys.Faults {
				u.warn("%s", fault)
			}
			for _, recipient := range keys.Recipients {
				u.say("%s", recipient)
			}
			if len(keys.Recipients) == 0 {
				return &exit{code: exitFound, err: errors.New("this host has no identity"), hint: `"evenkeel secret keygen" makes one`}
			}
			return nil
		},
	}
}
