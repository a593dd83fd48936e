package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

func renderCommand(u ui) *cobra.Command {
	var s subject
	var out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "render [DIR] --host NAME -o OUT",
		Short: "write the files that a host would get",
		Long: `Renders the config repository in DIR, or in the current directory, for one host,
and writes what it would get below OUT: files with their modes, directories, and
links, those that enable units included. OUT must be empty or not there yet; nothing
is written outside of it. Owners are printed, not set, so no root is needed.

Exit codes:
  0  written
  1  the repository has problems, and nothing was written
  2  it could not be written`,
		Example: `  evenkeel render --host web-1 --label env=prod -o /tmp/web-1
  ssh web-1 evenkeel facts --json | evenkeel render --facts - -o /tmp/web-1`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.wrong(); err != nil {
				return err
			}
			if out == "" {
				return failed(errors.New("there is no place to write to"), "give -o OUT")
			}
			target, err := renderOne(args, s, cmd.InOrStdin())
			if problems, is := errors.AsType[manifest.Problems](err); is {
				return tellProblems(u, problems)
			}
			if err != nil {
				return err
			}
			if err := writeTree(out, target); err != nil {
				return failed(fmt.Errorf("cannot write the files of %s: %w", target.Host, err), "")
			}
			if s.host != "" {
				u.note("of %s only the name and the labels are known; other facts are examples, and --facts has the real ones", s.host)
			}
			if note := sealedNote(target.Sealed); note != "" {
				u.note("%s; stand-ins are written in their place", note)
			}
			return tellWritten(u, target, out, asJSON)
		},
	}
	s.flags(cmd.Flags(), "render")
	completes(cmd, "host", hostsOf)
	cmd.Flags().StringVarP(&out, "output", "o", "", "the `DIR` to write to")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was written for scripts")
	return cmd
}

// renderOne gives what one host gets. Problems of the repository are an error of
// that type.
func renderOne(args []string, s subject, stdin io.Reader) (*plan.Target, error) {
	dir, err := directory(args)
	if err != nil {
		return nil, err
	}
	repository := manifest.Open(treeIn(dir), s.options())
	facts, err := s.oneHost(repository, stdin)
	if err != nil {
		return nil, err
	}
	target, err := repository.Load(facts)
	if err == nil {
		err = manifest.Wire(target, nil)
	}
	if _, is := errors.AsType[manifest.Problems](err); err != nil && !is {
		return nil, failed(err, "")
	}
	return target, err
}

func tellProblems(u ui, problems manifest.Problems) error {
	for _, p := range problems {
		u.say("%s", p)
	}
	return &exit{code: exitFound}
}

// written is one path below OUT.
type written struct {
	Path   string    `json:"path"` // on the host
	Kind   plan.Kind `json:"kind"`
	Mode   string    `json:"mode,omitempty"` // octal
	Owner  string    `json:"owner,omitempty"`
	Group  string    `json:"group,omitempty"`
	Link   string    `json:"link,omitempty"`
	Origin string    `json:"origin"` // file and line of the repository
}

func tellWritten(u ui, target *plan.Target, out string, asJSON bool) error {
	var all []written
	for _, p := range slices.Sorted(maps.Keys(target.State.Paths)) {
		at := target.State.Paths[p]
		w := written{Path: p, Kind: at.Kind, Owner: at.Owner, Group: at.Group, Link: at.Link, Origin: target.Origin[p].String()}
		if at.Kind != plan.Link {
			w.Mode = fmt.Sprintf("%04o", at.Mode)
		}
		all = append(all, w)
	}
	if asJSON {
		if err := u.json(all); err != nil {
			return failed(err, "")
		}
		return nil
	}
	for _, w := range all {
		if w.Kind == plan.Link {
			u.say("link %s -> %s", w.Path, w.Link)
		} else {
			u.say("%s %s:%s %s", w.Mode, w.Owner, w.Group, w.Path)
		}
	}
	u.note("%s of %s below %s; owners are as printed, not set", count(len(all), "path"), target.Host, out)
	return nil
}

// writeTree writes a target below out, which os.Root does not let it leave,
// whatever links are in it.
func writeTree(out string, target *plan.Target) error {
	if err := emptyDir(out); err != nil {
		return err
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	paths := slices.Sorted(maps.Keys(target.State.Paths))
	for _, p := range paths {
		if err := writePath(root, strings.TrimPrefix(p, "/"), target.State.Paths[p], target.Content); err != nil {
			return err
		}
	}
	// Last, and from below: a directory may be closed to its own owner.
	for _, p := range slices.Backward(paths) {
		if at := target.State.Paths[p]; at.Kind != plan.Link {
			if err := root.Chmod(strings.TrimPrefix(p, "/"), fs.FileMode(at.Mode)&fs.ModePerm); err != nil {
				return err
			}
		}
	}
	return nil
}

// emptyDir makes sure of a directory that is empty, but for what may be there.
func emptyDir(dir string, but ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !slices.Contains(but, e.Name()) }) {
		return fmt.Errorf("%q is not empty", dir)
	}
	return err
}

func writePath(root *os.Root, name string, at plan.Path, content map[string][]byte) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch at.Kind {
	case plan.Directory:
		return root.MkdirAll(name, 0o755)
	case plan.Link:
		return root.Symlink(at.Link, name)
	}
	// 0600 first: a mode that lets others read comes when all is there.
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content[at.Digest])
	return errors.Join(err, f.Close())
}
