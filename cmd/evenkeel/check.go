package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"evenkeel/agent/manifest"
)

func checkCommand(u ui) *cobra.Command {
	var host string
	var labels map[string]string
	var roots []string
	cmd := &cobra.Command{
		Use:   "check [DIR]",
		Short: "check a config repository, on any machine",
		Long: `Checks the config repository in DIR, or in the current directory: for every host
that it names, and for an example of each pattern. Needs no root and no systemd,
so it fits in a commit hook and in CI. Each problem is a line "file:line:col: what";
warnings go to standard error.

Exit codes:
  0  fine, also with warnings
  1  there are problems
  2  the repository could not be read`,
		Example: `  evenkeel check
  evenkeel check ~/src/hosts --host web-1 --label env=prod`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if host == "" && len(labels) > 0 {
				return failed(errors.New("--label needs --host"), "without a host, check tries the labels of fleet.yaml by itself")
			}
			tree, err := openTree(args)
			if err != nil {
				return err
			}
			opts := manifest.Options{}
			if len(roots) > 0 {
				opts.AllowRoots = append(manifest.DefaultRoots(), roots...)
			}
			if host != "" {
				return checkHost(u, tree, exampleFacts(host, labels), opts)
			}
			return checkAll(u, tree, opts)
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "check what this host alone would get")
	cmd.Flags().StringToStringVar(&labels, "label", nil, "a label of that host, `KEY=VALUE`; may be repeated")
	cmd.Flags().StringArrayVar(&roots, "allow-root", nil, "a `DIR` besides the default ones that the hosts' allow_roots names; may be repeated")
	return cmd
}

// openTree gives the directory that was named, or the current one.
func openTree(args []string) (fs.FS, error) {
	dir := "."
	if len(args) > 0 {
		dir = args[0]
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, failed(fmt.Errorf("cannot read the repository: %w", err), "")
	case !info.IsDir():
		return nil, failed(fmt.Errorf("cannot read the repository: %q is no directory", dir), "give the directory that holds fleet.yaml")
	}
	return os.DirFS(dir), nil
}

func checkAll(u ui, tree fs.FS, opts manifest.Options) error {
	problems, err := manifest.Check(tree, opts)
	if err != nil {
		return failed(err, "")
	}
	if len(problems) > 0 {
		return tellProblems(u, problems)
	}
	hosts, err := manifest.Hosts(tree)
	if err != nil {
		return failed(err, "")
	}
	told := map[string]bool{}
	for _, host := range hosts {
		// Labels can be what a host needs to be whole, so a problem here is none.
		if target, err := manifest.Load(tree, exampleFacts(host, nil), opts); err == nil {
			tellWarnings(u, target.Warnings, told)
		}
	}
	u.say("no problems")
	return nil
}

func checkHost(u ui, tree fs.FS, facts manifest.Facts, opts manifest.Options) error {
	target, err := manifest.Load(tree, facts, opts)
	if err == nil {
		err = manifest.Wire(target, nil)
	}
	var problems manifest.Problems
	switch {
	case errors.As(err, &problems):
		return tellProblems(u, problems)
	case err != nil:
		return failed(err, "")
	}
	tellWarnings(u, target.Warnings, map[string]bool{})
	u.say("no problems: %s gets %s and %s from %s", facts.Name, count(len(target.State.Paths), "path"),
		count(len(target.Services), "service"), count(len(target.Roles), "role"))
	return nil
}

func tellProblems(u ui, problems manifest.Problems) error {
	for _, p := range problems {
		u.say("%s", p)
	}
	return &exit{code: exitFound}
}

// tellWarnings says each warning once, also when it holds for many hosts.
func tellWarnings(u ui, warnings []string, told map[string]bool) {
	for _, warning := range warnings {
		if !told[warning] {
			u.warn("%s", warning)
		}
		told[warning] = true
	}
}

// exampleFacts is a host as it might be: what check says must not depend on the
// machine that it runs on.
func exampleFacts(name string, labels map[string]string) manifest.Facts {
	return manifest.Facts{
		Name: name, FQDN: name + ".example", Labels: labels,
		MachineID: "00112233445566778899aabbccddeeff",
		OS: map[string]string{
			"ID": "debian", "VERSION_ID": "13", "VERSION_CODENAME": "trixie", "NAME": "Debian GNU/Linux",
			"PRETTY_NAME": "Debian GNU/Linux 13 (trixie)", "VERSION": "13 (trixie)", "ID_LIKE": "debian",
		},
		Kernel: "6.12.0", Arch: "amd64", CPUs: 2, MemoryBytes: 4 << 30, Virtualization: "kvm",
		Addresses:      map[string][]string{"eth0": {"192.0.2.10", "2001:db8::10"}},
		SystemdVersion: 257,
	}
}
