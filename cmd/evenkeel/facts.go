package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"evenkeel/agent"
	"evenkeel/agent/manifest"
	"evenkeel/units/bus"
)

func factsCommand(u ui, config *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "facts",
		Short: "say what this host is, as templates see it",
		Long: `Prints the facts of this host under the names that templates use. Its name and
labels come from its configuration. Needs no root where that can be read.

With --json, what is printed can be given to --facts of check, render and explain
on any other machine.

Exit codes:
  0  the facts are printed
  2  they could not be collected`,
		Example: `  evenkeel facts
  ssh web-1 evenkeel facts --json | evenkeel check --facts -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			facts, err := factsHere(cmd.Context(), u, *config)
			if err != nil {
				return err
			}
			if !asJSON {
				u.text(factsTable(facts))
				return nil
			}
			if err := u.json(facts); err != nil {
				return failed(err, "")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it for scripts, and for --facts")
	return cmd
}

// factsHere collects the facts as the daemon does. A machine that is no host of a
// fleet yet has no configuration; then it goes by its own name.
func factsHere(ctx context.Context, u ui, config string) (manifest.Facts, error) {
	cfg, err := agent.LoadConfig(config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		name, err := os.Hostname()
		if err != nil {
			return manifest.Facts{}, failed(fmt.Errorf("cannot ask for the host's name: %w", err), "")
		}
		cfg = agent.Config{Host: name}
		u.warn("there is no %s: the name is the hostname, and there are no labels", config)
	case errors.Is(err, fs.ErrPermission):
		return manifest.Facts{}, failed(err, "are you root?")
	case err != nil:
		return manifest.Facts{}, failed(err, "")
	}
	version, err := systemdVersion(ctx)
	if err != nil {
		u.warn("systemd_version is 0: %v", err)
	}
	facts, err := agent.CollectFacts(cfg, version)
	if err != nil {
		return manifest.Facts{}, failed(err, "")
	}
	return facts, nil
}

// booted is there when systemd is PID 1, see sd_booted(3).
const booted = "/run/systemd/system"

func systemdVersion(ctx context.Context) (int, error) {
	if _, err := os.Stat(booted); err != nil {
		return 0, errors.New("systemd does not run on this machine")
	}
	manager := bus.New(slog.New(slog.DiscardHandler), bus.Options{})
	defer func() { _ = manager.Close() }()
	system, err := manager.System(ctx)
	return system.Version, err
}

// factsTable names each fact as a template does.
func factsTable(facts manifest.Facts) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	values := facts.Values()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		factRows(table, ".facts."+name, values[name])
	}
	table.Flush()
	return trimLines(b.String())
}

func factRows(table *tabwriter.Writer, name string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			factRows(table, below(name, key), v[key])
		}
		if len(v) == 0 {
			fmt.Fprintf(table, "%s\t(none)\n", name)
		}
	case []any:
		words := make([]string, 0, len(v))
		for _, item := range v {
			words = append(words, fmt.Sprint(item))
		}
		fmt.Fprintf(table, "%s\t%s\n", name, strings.Join(words, " "))
	default:
		fmt.Fprintf(table, "%s\t%s\n", name, cmp.Or(fmt.Sprint(v), "(not known)"))
	}
}

// plainKey is a key that can follow a dot in a template.
var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// below names a key as a template asks for it.
func below(name, key string) string {
	if plainKey.MatchString(key) {
		return name + "." + key
	}
	return fmt.Sprintf("(index %s %q)", name, key)
}
