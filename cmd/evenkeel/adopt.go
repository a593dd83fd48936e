package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"evenkeel/agent"
	"evenkeel/agent/apply"
	"evenkeel/units/bus"
)

func adoptCommand(u ui, config *string) *cobra.Command {
	request := agent.AdoptRequest{Repo: "."}
	cmd := &cobra.Command{
		Use:   "adopt [PATH|UNIT]... --role ROLE",
		Short: "copy files and units of this host into a checkout of the repository",
		Long: `Copies live files, directories and links, and what this host has of its own for
units, into ROLE of a checkout, with what role.yaml must say of modes, owners, links
and services. Comments and order in role.yaml stay. Then shows what the checkout, as
it stands, would do on this host: nothing, when all of it was adopted. The host is
only read; nothing is committed.

What no repository may manage, and private keys in clear, are refused; then nothing
is written. Nor is anything that the checkout has otherwise already, without --force.

Without a path or unit it lists the configuration files of this host that differ from
what their packages ship. Needs root.

Exit codes:
  0  adopted, and the plan on this host is empty; or the list is printed
  1  adopted, and the plan is not empty, or cannot be made of this repository
  2  nothing was adopted: the message says why`,
		Example: `  evenkeel adopt
  evenkeel adopt nginx.service /etc/nginx/nginx.conf --role web --repo ~/src/hosts`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listEdited(cmd.Context(), u)
			}
			if request.Role == "" {
				return failed(errors.New("no role is named"), "--role ROLE says where in the repository it goes")
			}
			request.Names = args
			return adopt(cmd.Context(), u, *config, request)
		},
	}
	cmd.Flags().StringVar(&request.Role, "role", "", "the `ROLE` that shall bring it; made when it is not there")
	cmd.Flags().StringVar(&request.Repo, "repo", ".", "a checkout, the `DIR` that holds fleet.yaml")
	completes(cmd, "role", rolesOf)
	cmd.Flags().BoolVar(&request.Force, "force", false, "replace what the checkout has and that differs")
	return cmd
}

func adopt(ctx context.Context, u ui, config string, request agent.AdoptRequest) error {
	cfg, err := agent.LoadLocalConfig(config)
	if err != nil {
		return failed(err, "")
	}
	manager := bus.New(slog.New(slog.DiscardHandler), bus.Options{})
	defer func() { _ = manager.Close() }()
	adoption, err := agent.Adopt(ctx, cfg, manager, request)
	for _, file := range adoption.Wrote {
		u.say("%s: %s", file.File, file.How)
	}
	if err != nil {
		return failed(err, "")
	}
	for _, note := range adoption.Notes {
		u.note("%s", note)
	}
	if len(adoption.Edited) > 0 {
		u.say("\nLocal edits of what packages ship:")
	}
	for _, edit := range adoption.Edited {
		how := "not adopted"
		if slices.Contains(adoption.Paths, edit.Path) {
			how = "adopted"
		}
		u.say("  %s%s: %s", edit.Path, ofPackage(edit), how)
	}
	p, err := agent.PlanTree(ctx, cfg, manager, request.Repo)
	if err != nil {
		return &exit{code: exitFound, err: err, hint: "it is adopted, but no plan can be made"}
	}
	u.say("")
	return tellTree(u, p, request)
}

// tellTree says what the checkout would do here.
func tellTree(u ui, p agent.Preview, request agent.AdoptRequest) error {
	switch {
	case len(p.Problems) > 0:
		u.say("No plan can be made on %s while the repository has problems:", p.Host)
		for _, problem := range p.Problems {
			u.say("  %s", problem)
		}
		return &exit{code: exitFound}
	case !slices.Contains(p.Roles, request.Role):
		u.say("fleet.yaml does not give the role %s to %s, so the plan is without it; add it to the roles: of an entry that matches", request.Role, p.Host)
		return &exit{code: exitFound}
	case len(p.Steps)+len(p.Waiting)+len(p.Asks) == 0:
		u.say("The plan on %s is empty: the checkout asks for just what is here.", p.Host)
		return nil
	case len(p.Steps) > 0:
		u.say("The plan on %s is not empty:", p.Host)
	}
	for i, step := range p.Steps {
		u.say("%3d. %s", i+1, step)
	}
	for _, d := range p.Diffs {
		u.text("\n" + diffText(d))
	}
	for _, reason := range p.Waiting {
		u.say("\nIt would wait for %s", reason)
	}
	for _, question := range p.Asks {
		u.say("\nIt would wait for \"evenkeel approve\": %s", question)
	}
	return &exit{code: exitFound}
}

// listEdited is where to begin.
func listEdited(ctx context.Context, u ui) error {
	edits, err := agent.EditedHere(ctx)
	if err != nil {
		return failed(err, "")
	}
	for _, edit := range edits {
		u.say("%s%s", edit.Path, ofPackage(edit))
	}
	if len(edits) == 0 {
		u.note("no configuration file differs from what its package ships")
	}
	return nil
}

func ofPackage(edit apply.Edit) string {
	if edit.Package == "" {
		return ""
	}
	return " (" + edit.Package + ")"
}
