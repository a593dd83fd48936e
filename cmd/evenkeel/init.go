package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/spf13/cobra"
)

// starter is the repository that init makes.
//
//go:embed all:starter
var starter embed.FS

func initCommand(u ui) *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "make a small config repository to begin with",
		Long: `Writes a small config repository that works into DIR: two roles, values, a timer with
a check, all with comments, and what GitHub and GitLab need to check each change. DIR
must not be there yet, or be empty but for .git. Nothing is committed.

Exit codes:
  0  made
  2  not made`,
		Example: `  evenkeel init ~/src/hosts`,
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return failed(errors.New("one directory must be named"), "give the directory to make, such as: evenkeel init hosts")
			}
			names, err := writeStarter(args[0])
			if err != nil {
				return failed(fmt.Errorf("cannot make the repository: %w", err), "")
			}
			for _, name := range names {
				u.say("%s", path.Join(args[0], name))
			}
			u.note("begin with README.md; \"evenkeel check %s\" says whether it is right, and git brings it to a server", args[0])
			return nil
		},
	}
}

// writeStarter gives the names of the files that it wrote, in order.
func writeStarter(dir string) ([]string, error) {
	if err := emptyDir(dir, ".git"); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	tree, err := fs.Sub(starter, "starter")
	if err != nil {
		panic("internal error: the starter is not in the program: " + err.Error())
	}
	var names []string
	err = fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		names = append(names, name)
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		return root.WriteFile(name, text, 0o644)
	})
	return names, err
}
