package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel/agent"
	"evenkeel/agent/manifest"
)

// schemas are all that an editor may know, by name.
func schemas() map[string][]byte {
	all := manifest.Schemas()
	all["config"] = agent.ConfigSchema()
	return all
}

func schemaCommand(u ui) *cobra.Command {
	return &cobra.Command{
		Use:   "schema NAME",
		Short: "print the JSON Schema of a file, for editors",
		Long: `Prints the JSON Schema of a kind of file, so that an editor can complete keys,
explain them and underline mistakes while you type:

  fleet   fleet.yaml
  role    roles/*/role.yaml
  vars    hosts/*.yaml, vars.yaml, roles/*/vars.yaml
  config  /etc/evenkeel/config.yaml

The packages have them in /usr/share/evenkeel/schemas. A first line in the file tells
an editor:

  # yaml-language-server: $schema=file:///usr/share/evenkeel/schemas/fleet.json

Exit codes:
  0  printed
  2  there is no such schema`,
		Example:   `  evenkeel schema role > role.json`,
		ValidArgs: slices.Sorted(maps.Keys(schemas())),
		Args:      cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			names := "the schemas are " + strings.Join(slices.Sorted(maps.Keys(schemas())), ", ")
			if len(args) != 1 {
				return failed(errors.New("one schema must be named"), names)
			}
			schema, known := schemas()[args[0]]
			if !known {
				return failed(fmt.Errorf("there is no schema %q", args[0]), names)
			}
			u.text(string(schema))
			return nil
		},
	}
}
