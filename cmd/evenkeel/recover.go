package main

import (
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"evenkeel/agent"
	"evenkeel/units/bus"
)

// recoverCommand is for evenkeel-recover.service alone.
func recoverCommand(u ui) *cobra.Command {
	var early bool
	var stateDir string
	cmd := &cobra.Command{
		Use:    "recover --early",
		Short:  "put back the files of an interrupted attempt, early in the boot",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !early {
				return failed(errors.New("recover is a step of the boot"), "the daemon recovers by itself when it starts")
			}
			// The configuration is not read: a mistake in it must not keep a
			// host from coming up, and the unit's condition names this directory.
			manager := bus.New(slog.New(slog.DiscardHandler), bus.Options{})
			defer func() { _ = manager.Close() }()
			if err := agent.RecoverEarly(cmd.Context(), agent.Config{StateDir: stateDir}, manager); err != nil {
				return failed(err, "the daemon tries again after the boot")
			}
			u.say("the host's files are as they were before the attempt")
			return nil
		},
	}
	cmd.Flags().BoolVar(&early, "early", false, "files only, services come later")
	cmd.Flags().StringVar(&stateDir, "state-dir", "/var/lib/evenkeel", "where the attempt is recorded")
	return cmd
}
