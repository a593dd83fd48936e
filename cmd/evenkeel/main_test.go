package main

import (
	"context"
	"flag"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write what the program prints into the scripts that compare it")

// TestMain makes this test binary act as the program.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"evenkeel": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", RequireExplicitExec: true, UpdateScripts: *update})
}

func verbs() []*cobra.Command {
	var shown []*cobra.Command
	for _, verb := range command(ui{out: io.Discard, err: io.Discard}).Commands() {
		if !verb.Hidden {
			shown = append(append(shown, verb), verb.Commands()...)
		}
	}
	return shown
}

// full is the name of a verb with that of the verb that holds it.
func full(verb *cobra.Command) string { return strings.TrimPrefix(verb.CommandPath(), "evenkeel ") }

func TestEveryVerbSaysItsExitCodes(t *testing.T) {
	for _, verb := range verbs() {
		if !strings.Contains(verb.Long, "\nExit codes:") {
			t.Errorf("%s: the help does not say what its exit codes mean: scripts rely on them", full(verb))
		}
	}
}

func TestManPageMatchesTheHelp(t *testing.T) {
	content, err := os.ReadFile("../../docs/evenkeel.8.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for _, verb := range verbs() {
		start := regexp.MustCompile(`(?m)^\*\*` + regexp.QuoteMeta(full(verb)) + `\*\*`).FindStringIndex(page)
		if start == nil {
			t.Errorf("docs/evenkeel.8.md does not describe the verb %q: nobody will find it", full(verb))
			continue
		}
		verb.Flags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(page, "**--"+f.Name+"**") {
				t.Errorf("docs/evenkeel.8.md does not describe --%s of %q", f.Name, full(verb))
			}
		})
	}
}

func TestWrongUsageGetsAHint(t *testing.T) {
	testUsage(t, []usageRow{
		{"a misspelt verb", []string{"chekc"}, `evenkeel: unknown command "chekc" for "evenkeel"
evenkeel: hint: did you mean "evenkeel check"?
`},
		{"a verb that is like no other", []string{"xyzzy"}, `evenkeel: unknown command "xyzzy" for "evenkeel"
evenkeel: hint: see "evenkeel --help"
`},
		{"a verb that another one holds", []string{"freeze"}, `evenkeel: unknown command "freeze" for "evenkeel"
evenkeel: hint: did you mean "evenkeel drift freeze"?
`},
		{"a flag that is a verb", []string{"drift", "--freeze"}, `evenkeel: unknown flag: --freeze
evenkeel: hint: did you mean "evenkeel drift freeze"?
`},
		{"a time that is none", []string{"pause", "--for", "2 days"}, `evenkeel: invalid argument "2 days" for "--for" flag: say it as 90m, 2h, 1d12h or 2w
evenkeel: hint: see "evenkeel pause --help"
`},
		{"a flag that does not exist", []string{"check", "--hots"}, `evenkeel: unknown flag: --hots
evenkeel: hint: see "evenkeel check --help"
`},
		{"too many arguments", []string{"version", "1"}, `evenkeel: unknown command "1" for "evenkeel version"
evenkeel: hint: see "evenkeel version --help"
`},
		{"labels without a host", []string{"check", "--label", "a=b"}, `evenkeel: --label needs --host
evenkeel: hint: without a host, the labels that fleet.yaml asks for are tried
`},
		{"a format that does not exist", []string{"check", "--format", "xml"}, `evenkeel: there is no format "xml"
evenkeel: hint: the formats are text, json, github
`},
		{"nothing to explain", []string{"explain", "a", "--var", "b"}, `evenkeel: one thing must be named
evenkeel: hint: give a path, a unit, or --var NAME
`},
		{"nowhere to render to", []string{"render", "--host", "a"}, `evenkeel: there is no place to write to
evenkeel: hint: give -o OUT
`},
		{"a host twice over", []string{"check", "--host", "a", "--facts", "-"}, `evenkeel: --host and --facts are both given
evenkeel: hint: the facts of a host say its name and labels
`},
	})
}

// usageRow is a command line that is wrong, and what is said about it.
type usageRow struct {
	what string
	args []string
	want string
}

func testUsage(t *testing.T, rows []usageRow) {
	for _, row := range rows {
		t.Run(row.what, func(t *testing.T) {
			var out, err strings.Builder
			if code := execute(context.Background(), row.args, ui{out: &out, err: &err}); code != exitFailed {
				t.Errorf("exit code %d, want %d", code, exitFailed)
			}
			if out.String() != "" || err.String() != row.want {
				t.Errorf("stdout %q, stderr:\n%swant:\n%s", out.String(), err.String(), row.want)
			}
		})
	}
}
