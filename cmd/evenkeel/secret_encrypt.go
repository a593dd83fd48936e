package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel/agent"
)

const (
	defaultRecipients = "recipients.txt"
	maxSecret         = 8 << 20 // as long as a managed file may be
)

func secretEncryptCommand(u ui) *cobra.Command {
	var recipients, files []string
	var name string
	cmd := &cobra.Command{
		Use:   "encrypt [FILE]",
		Short: "encrypt a file or standard input for hosts",
		Long: `Encrypts FILE, or standard input, so that each of the recipients can open it, and
prints age's armoured text. Save it as NAME.age below a role's files/, or, with
--var, put it into a file with vars.

A recipient is what "evenkeel secret recipient" prints on a host: age1..., or the
public ssh key of the host. Without -r and -R they are read from recipients.txt in
the current directory, if it is there: a recipient a line, # begins a comment.

Exit codes:
  0  encrypted
  2  not encrypted: the message says why`,
		Example: `  evenkeel secret encrypt -r age1... key.pem > roles/app/files/etc/app/key.age
  printf %s "$PASSWORD" | evenkeel secret encrypt --var db_password >> vars.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name != "" && !plainKey.MatchString(name) {
				return failed(fmt.Errorf("cannot write the key %q: a template could not ask for it as .vars.NAME: use letters, digits and _", name), "")
			}
			to, err := collectRecipients(recipients, files)
			if err != nil {
				return err
			}
			text, err := readSecret(cmd.InOrStdin(), args)
			if err != nil {
				return failed(err, "")
			}
			if name != "" {
				text = bytes.TrimSuffix(text, []byte("\n"))
			}
			sealed, err := agent.Encrypt(to, text)
			if err != nil {
				return failed(err, "")
			}
			u.text(asVar(name, string(sealed)))
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&recipients, "recipient", "r", nil, "who can open it: `age1...` or a public ssh key; may be repeated")
	cmd.Flags().StringArrayVarP(&files, "recipients-file", "R", nil, "a `FILE` of recipients, one a line; may be repeated")
	cmd.Flags().StringVar(&name, "var", "", "print it as the value of the key `NAME` for a vars file; one line end at its end is dropped")
	return cmd
}

// collectRecipients puts those of the command line and of the files together.
func collectRecipients(recipients, files []string) ([]string, error) {
	if len(recipients) == 0 && len(files) == 0 {
		if _, err := os.Stat(defaultRecipients); errors.Is(err, fs.ErrNotExist) {
			return nil, failed(errors.New("nobody could open it: no recipient is given"),
				`give -r with what "evenkeel secret recipient" prints on the host, or list recipients in `+defaultRecipients)
		}
		files = []string{defaultRecipients}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, failed(fmt.Errorf("cannot read the recipients: %w", err), "")
		}
		count := len(recipients)
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				recipients = append(recipients, line)
			}
		}
		if len(recipients) == count {
			return nil, failed(fmt.Errorf("cannot use the recipients: %q names none", file), "")
		}
	}
	return recipients, nil
}

// readSecret reads the file that is named, or standard input.
func readSecret(stdin io.Reader, args []string) ([]byte, error) {
	in, what := stdin, "standard input"
	if len(args) > 0 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return nil, fmt.Errorf("cannot read the secret: %w", err)
		}
		defer f.Close()
		in, what = f, args[0]
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSecret+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the secret: %w", err)
	case len(text) == 0:
		return nil, fmt.Errorf("cannot encrypt %s: it is empty", what)
	case len(text) > maxSecret:
		return nil, fmt.Errorf("cannot encrypt %s: it is longer than %d bytes", what, maxSecret)
	}
	return text, nil
}

// asVar writes an armoured text as the value of a key in YAML; without a key it
// is the text itself.
func asVar(name, sealed string) string {
	if name == "" {
		return sealed
	}
	return name + ": |\n  " + strings.ReplaceAll(strings.TrimSpace(sealed), "\n", "\n  ") + "\n"
}
