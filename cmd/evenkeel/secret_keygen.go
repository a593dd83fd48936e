package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"evenkeel/agent"
)

func secretKeygenCommand(u ui) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen [FILE]",
		Short: "make an identity for this host, and print what to encrypt to",
		Long: `Makes an identity in FILE, or in ` + agent.DefaultIdentityFile + `, where the daemon
looks for it by itself, and prints its recipient: what secrets for this host are
encrypted to. A file that is there is never overwritten.

To rotate: make a second file, name both in identities: of the configuration,
encrypt the secrets anew, and drop the old file when the host runs with them.

Exit codes:
  0  made
  2  not made: the message says why`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file := agent.DefaultIdentityFile
			if len(args) > 0 {
				file = args[0]
			}
			text, recipient, err := agent.NewIdentity()
			if err != nil {
				return failed(err, "")
			}
			if err := writeNew(file, text); err != nil {
				hint := ""
				if errors.Is(err, fs.ErrExist) {
					hint = "a host needs one; \"evenkeel secret recipient\" prints what to encrypt to"
				}
				return failed(fmt.Errorf("cannot make an identity: %w", err), hint)
			}
			u.say("%s", recipient)
			return nil
		},
	}
}

// writeNew writes a file for its owner alone, whole or not at all.
func writeNew(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}
