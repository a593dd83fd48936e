package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set when a package is built: -ldflags "-X main.version=1.2.3".
var version string

// revision is the commit that a package is built from, set in the same way.
var revision string

// programRevision is that commit, or what Go noted when it was built by hand.
func programRevision() string {
	if info, ok := debug.ReadBuildInfo(); revision == "" && ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value
			}
		}
	}
	return revision
}

// programVersion is the package's version, or what Go noted when it was built
// by hand.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	if commit := programRevision(); commit != "" {
		return "devel-" + short(commit)
	}
	return "devel"
}

func versionCommand(u ui) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Long:  "Prints the version of this program.\n\nExit codes: 0.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			u.say("evenkeel %s (%s %s/%s)", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
