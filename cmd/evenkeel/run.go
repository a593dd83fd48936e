package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"evenkeel/agent"
	"evenkeel/units/bus"
)

// exitConfig is EX_CONFIG of sysexits.h; evenkeel.service does not try again on it.
const exitConfig = 78

func runCommand(u ui, config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "follow the repository; the daemon that evenkeel.service starts",
		Long: `Follows the repository until it is told to stop. SIGHUP makes it read the
configuration again and look at the repository now; a configuration with
problems leaves the old one in force.

Exit codes:
  0   it was told to stop
  2   it cannot work: the message says why
  78  the configuration has problems`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := agent.LoadConfig(*config)
			log := slog.New(logTo(u, cfg.LogFormat))
			manager := bus.New(log, bus.Options{})
			defer func() { _ = manager.Close() }()
			if err != nil {
				err = errors.Join(err, agent.EndOpen(cmd.Context(), agent.Options{Log: log, Manager: manager}))
				return &exit{code: exitConfig, err: err, hint: "mend it, then \"systemctl restart evenkeel\""}
			}
			if err := agent.Run(cmd.Context(), cfg, agent.Options{Log: log, Version: programVersion(), Revision: programRevision(), Manager: manager}); err != nil {
				return failed(err, "")
			}
			return nil
		},
	}
}

// logTo makes the daemon's log. The journal has its own clock, and one time a
// line is enough.
func logTo(u ui, format string) slog.Handler {
	options := &slog.HandlerOptions{}
	if os.Getenv("JOURNAL_STREAM") != "" {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	if format == "json" {
		return slog.NewJSONHandler(u.err, options)
	}
	return slog.NewTextHandler(u.err, options)
}
