package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"evenkeel/agent"
)

func statusCommand(u ui) *cobra.Command {
	var asJSON bool
	var file string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "say how this host is, and why",
		Long: `Says how this host is, the verdict first, then what it is made of. Needs no root.

Exit codes:
  0  fine: the host is at the newest commit, or on its way there
  1  somebody should look: the newest commit was refused, waits or was rejected,
     a service that shall run does not, this host's configuration has problems, or
     evenkeel holds, is paused or frozen
  2  the daemon does not run, or its status cannot be read`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if file != "" {
				return tellFile(u, file, asJSON)
			}
			return tellHere(u, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it for scripts")
	cmd.Flags().StringVar(&file, "file", "", "tell the story of a status.json that came from a host, as of when it was written")
	return cmd
}

// tellFile tells about some host, at the time the file is from.
func tellFile(u ui, file string, asJSON bool) error {
	s, err := agent.ReadStatus(file)
	if err != nil {
		return failed(err, "")
	}
	return tell(u, s, s.Written, asJSON)
}

// tellHere tells about this host, now.
func tellHere(u ui, asJSON bool) error {
	s, err := findDaemon(agent.StatusFile)
	if err == nil {
		return tell(u, s, time.Now(), asJSON)
	}
	hint := ""
	if errors.Is(err, errNoDaemon) {
		hint = "\"systemctl status evenkeel\" says why; \"systemctl start evenkeel\" starts it"
		if !s.Written.IsZero() { // its last words are worth a lot at that moment
			if err := tellLastWords(u, s, time.Now(), asJSON); err != nil {
				return err
			}
		}
	}
	return failed(err, hint)
}

func tell(u ui, s agent.Status, now time.Time, asJSON bool) error {
	v := verdictOf(s, now)
	if err := show(u, s, v, now, asJSON); err != nil {
		return err
	}
	if v.code != exitFine {
		return &exit{code: v.code}
	}
	return nil
}

// tellLastWords tells what a daemon that is gone had said.
func tellLastWords(u ui, s agent.Status, now time.Time, asJSON bool) error {
	return show(u, s, lastWords(s, now), now, asJSON)
}

func show(u ui, s agent.Status, v verdict, now time.Time, asJSON bool) error {
	if !asJSON {
		u.text(renderStatus(s, v, now))
		return nil
	}
	if err := u.json(s); err != nil {
		return failed(err, "")
	}
	return nil
}
