package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"evenkeel/agent"
	"evenkeel/units/bus"
)

func retryCommand(u ui, config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "retry",
		Short: "try the newest commit again, and end a hold",
		Long: `Asks the daemon to forget that the newest commit was rejected, to end a hold,
and to look at the repository now. The request stays in the state directory until
the daemon has read it. Needs root.

Exit codes:
  0  the daemon was asked
  1  the request is written, but the daemon does not run: it reads it when it starts
  2  the request could not be written`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(*config)
			if err != nil {
				return err
			}
			if err := agent.RequestRetry(cfg); err != nil {
				return failed(err, "are you root?")
			}
			return asked(u, "asked")
		},
	}
}

// onThisHost gives a verb that looks at the host itself its configuration and systemd,
// until done is called.
func onThisHost(file string) (cfg agent.Config, manager *bus.Manager, done func(), err error) {
	if cfg, err = loadConfig(file); err != nil {
		return cfg, nil, nil, err
	}
	manager = bus.New(slog.New(slog.DiscardHandler), bus.Options{})
	return cfg, manager, func() { _ = manager.Close() }, nil
}

// loadConfig reads the host's configuration for a verb that cannot do without.
func loadConfig(file string) (agent.Config, error) {
	cfg, err := agent.LoadConfig(file)
	if err != nil {
		return agent.Config{}, failed(err, "")
	}
	return cfg, nil
}
