package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"evenkeel/agent"
	"evenkeel/agent/manifest"
)

func completionCommand(u ui) *cobra.Command {
	shells := []string{"bash", "fish", "zsh"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "print what completes command lines in bash, fish or zsh",
		Long: `Prints a script that completes verbs, flags and their values in bash, fish or zsh. The
packages have them where those shells look.

Exit codes:
  0  printed
  2  there is no such shell`,
		Example:   `  source <(evenkeel completion bash)`,
		ValidArgs: shells,
		Args:      cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			write := map[string]func() error{
				"bash": func() error { return cmd.Root().GenBashCompletionV2(u.out, true) },
				"fish": func() error { return cmd.Root().GenFishCompletion(u.out, true) },
				"zsh":  func() error { return cmd.Root().GenZshCompletion(u.out) },
			}
			hint := "the shells are " + strings.Join(shells, ", ")
			if len(args) != 1 {
				return failed(errors.New("one shell must be named"), hint)
			}
			if write[args[0]] == nil {
				return failed(fmt.Errorf("there is no completion for %q", args[0]), hint)
			}
			if err := write[args[0]](); err != nil {
				return failed(err, "")
			}
			return nil
		},
	}
}

// isCompletion reports whether a shell asks what could come next.
func isCompletion(args []string) bool {
	return len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd)
}

// forShells takes the marks off the flags' descriptions that name their values in
// the help: a shell would show them.
func forShells(cmd *cobra.Command) {
	plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	cmd.PersistentFlags().VisitAll(plain)
	cmd.Flags().VisitAll(plain)
	for _, below := range cmd.Commands() {
		forShells(below)
	}
}

// completes makes the values of a flag known to shells, when the program has them.
func completes(cmd *cobra.Command, flag string, values func(cmd *cobra.Command, args []string) []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return values(cmd, args), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic("internal error: " + err.Error())
	}
}

// hostsOf names the hosts of the repository that a verb is about.
func hostsOf(cmd *cobra.Command, args []string) []string {
	dir := "."
	if named := cmd.Flags().Lookup("directory"); named != nil {
		dir = named.Value.String()
	} else if len(args) > 0 {
		dir = args[0]
	}
	var names []string
	for _, c := range manifest.Open(treeIn(dir), manifest.Options{}).Cases() {
		if c.Tried == "" && c.Match == "" {
			names = append(names, c.Facts.Name)
		}
	}
	return names
}

// rolesOf names the roles of the checkout that a verb writes to.
func rolesOf(cmd *cobra.Command, _ []string) []string {
	entries, err := os.ReadDir(filepath.Join(cmd.Flags().Lookup("repo").Value.String(), "roles"))
	if err != nil {
		return nil // a shell has nobody to tell
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// goodCommits names the commits to which this host can go back, for root alone.
func goodCommits(config *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		cfg, err := agent.LoadConfig(*config)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		goods, err := agent.GoodCommits(cfg)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, past := range goods {
			names = append(names, cobra.CompletionWithDesc(short(past.Commit), past.When.Format("2006-01-02 15:04")+prefixed(" ", past.Subject)))
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}
