// Command evenkeel keeps a host at the newest healthy commit of its Git
// repository, and tells people what it does there.
//
// One verb is one file, and wires packages together: no decision about a host
// is made here. All printing is in ui.go. Start
// reading at command, below.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"evenkeel/agent"
)

func main() {
	// Fetching and rendering run in this same program, started again with limits.
	if isChild, code := agent.ChildMain(os.Args[1:], os.Stdin, os.Stdout); isChild {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := execute(ctx, os.Args[1:], ui{out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// Exit codes that all verbs share. What 1 means is in the help of each.
const (
	exitFine   = 0
	exitFound  = 1 // the answer is bad news
	exitFailed = 2 // there is no answer
)

// exit is an error that says how the program ends.
type exit struct {
	code int
	err  error  // nil when everything has been said already
	hint string // what to do about it, "" when nobody knows
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// failed is the end of a verb that could not do its work.
func failed(err error, hint string) error { return &exit{code: exitFailed, err: err, hint: hint} }

func execute(ctx context.Context, args []string, u ui) int {
	root := command(u)
	root.SetArgs(args)
	if isCompletion(args) {
		forShells(root)
	}
	root.SetOut(u.out)
	root.SetErr(u.err)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitFine
	}
	var e *exit
	if !errors.As(err, &e) { // cobra's own errors: wrong verbs, flags, arguments
		e = &exit{code: exitFailed, err: err, hint: usageHint(root, ran, args)}
	}
	if e.err != nil {
		u.fail(e.err, e.hint)
	}
	return e.code
}

// usageHint helps with a wrong command line: with the verb that was meant, or
// with where to read on.
func usageHint(root, ran *cobra.Command, args []string) string {
	if ran == root && len(args) > 0 {
		if meant := root.SuggestionsFor(args[0]); len(meant) > 0 {
			return fmt.Sprintf("did you mean \"evenkeel %s\"?", meant[0])
		}
	}
	for _, arg := range args {
		if verb := nested(ran, strings.TrimPrefix(arg, "--")); verb != nil {
			return fmt.Sprintf("did you mean \"%s\"?", verb.CommandPath())
		}
	}
	return fmt.Sprintf("see \"%s --help\"", ran.CommandPath())
}

// nested finds a verb of that name in those that hold others.
func nested(cmd *cobra.Command, name string) *cobra.Command {
	for _, verb := range cmd.Commands() {
		if verb.Name() == name && !verb.Hidden {
			return verb
		}
		if found := nested(verb, name); found != nil {
			return found
		}
	}
	return nil
}

// command is the program's table of contents.
func command(u ui) *cobra.Command {
	root := &cobra.Command{
		Use:   "evenkeel",
		Short: "keep this host at the newest healthy commit of its Git repository",
		Long: `evenkeel follows a Git repository, renders unit and config files, restarts
services in order, checks their health, and puts the last good commit back by
itself when the new one fails.`,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:                       cobra.NoArgs,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	config := root.PersistentFlags().String("config", agent.DefaultConfigFile, "the host's own configuration")
	root.AddCommand(
		runCommand(u, config),
		statusCommand(u),
		treeCommand(u),
		planCommand(u, config),
		initCommand(u),
		checkCommand(u),
		explainCommand(u),
		renderCommand(u),
		factsCommand(u, config),
		secretCommand(u, config),
		schemaCommand(u),
		syncCommand(u, config),
		pauseCommand(u, config),
		retryCommand(u, config),
		rollbackCommand(u, config),
		resumeCommand(u, config),
		approveCommand(u, config),
		adoptCommand(u, config),
		driftCommand(u, config),
		resetStateCommand(u, config),
		completionCommand(u),
		recoverCommand(u),
		versionCommand(u),
	)
	return root
}
