package main

import "github.com/spf13/cobra"

// secretCommand holds what people need to put secrets into a repository. Opening
// them is for the hosts.
func secretCommand(u ui, config *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "encrypt secrets for the hosts of a repository",
		Long: `Secrets stand in the repository encrypted with age, and only the hosts that they
are encrypted to can open them:

  on each host            evenkeel secret keygen       prints age1...
  where the repository is evenkeel secret encrypt -r age1... < key > roles/app/files/etc/app/key.age

Exit codes: see each verb.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(secretEncryptCommand(u), secretKeygenCommand(u), secretRecipientCommand(u, config))
	return cmd
}
