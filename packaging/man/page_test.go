package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What a reader sees when a page is damaged: marks of Markdown, or of troff.
var damage = map[string]*regexp.Regexp{
	"a definition that is none":   regexp.MustCompile(`(?m)^ *: `),
	"marks of Markdown":           regexp.MustCompile("(?m)\\*\\*[A-Za-z-]|```|^ *\\|"),
	"a link":                      regexp.MustCompile(`[⟨⟩]|\]\(`),
	"a font that is not switched": regexp.MustCompile(`\\f|\\\(`),
	"a header without a section":  regexp.MustCompile(`\(\)`),
}

func TestPagesAreNotDamaged(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.[58].md")
	if err != nil || len(pages) < 2 {
		t.Fatalf("found the pages %q, %v", pages, err)
	}
	for _, path := range pages {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		made, err := page(string(content))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		name, section, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".md"), ".5")
		if section == "" {
			name = strings.TrimSuffix(name, ".8")
		}
		if want := regexp.MustCompile(`^\.TH ` + regexp.QuoteMeta(strings.ToUpper(name)) + ` [58] `); !want.MatchString(made) {
			t.Errorf("%s: the page begins with %q, want its name and section", path, strings.SplitN(made, "\n", 2)[0])
		}
		if !strings.Contains(made, "\n.SH NAME\n.PP\n"+name+` \- `) {
			t.Errorf("%s: whatis(1) finds no description", path)
		}
		for _, columns := range []string{"80", "120"} {
			printed := groff(t, path, made, columns)
			for what, mark := range damage {
				if found := mark.FindString(printed); found != "" {
					t.Errorf("%s: at %s columns there is %s: %q", path, columns, what, found)
				}
			}
		}
	}
}

// groff prints a page as man(1) does on a terminal of that width, without fonts.
func groff(t *testing.T, path, made, columns string) string {
	t.Helper()
	cmd := exec.Command("groff", "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL="+columns+"n")
	cmd.Stdin = strings.NewReader(made)
	var printed, warnings bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &warnings
	if err := cmd.Run(); err != nil {
		t.Fatalf("cannot print %s: %v (groff is in Debian's groff-base)\n%s", path, err, warnings.String())
	}
	if warnings.Len() > 0 {
		t.Errorf("%s: at %s columns groff warns:\n%s", path, columns, warnings.String())
	}
	return printed.String()
}

func TestPage(t *testing.T) {
	for _, row := range []struct{ what, markdown, want string }{
		{"a choice in brackets is no link", "**run** [*DIR*] (*A* | *B*)",
			".PP\n\\fBrun\\fR [\\fIDIR\\fR] (\\fIA\\fR | \\fIB\\fR)\n"},
		{"a definition in a definition", "`match:`\n: Which hosts:\n\n  `name:`\n  : a pattern\n    for names.\n\nNext.",
			".TP\n\\fBmatch:\\fR\nWhich hosts:\n.RS 7\n.TP\n\\fBname:\\fR\na pattern\nfor names.\n.RE\n.PP\nNext.\n"},
		{"a row is an entry", "| file | does | judge |\n|---|---|---|\n| `/a` | one | |\n| `/b` | two | `x --y` |",
			".TP 7\n\\fB/a\\fR\none\n.PD 0\n.TP 7\n\\fB/b\\fR\ntwo\n.br\njudge: \\fBx \\-\\-y\\fR\n.PD\n"},
		{"lists, and a block in an item", "- one:\n\n  ```\n  .x 'y'\n  ```\n\n1. two",
			".IP \\(bu 2\none:\n.RS 2\n.PP\n.EX\n\\&.x \\(aqy\\(aq\n.EE\n.RE\n.IP 1. 4\ntwo\n"},
	} {
		made, err := page("# x(8)\n" + row.markdown)
		if _, got, _ := strings.Cut(made, ".ss 12 0\n"); err != nil || got != row.want {
			t.Errorf("%s: got %q, %v\nwant %q", row.what, got, err, row.want)
		}
	}
}

func TestPageRefusesWhatItWouldDamage(t *testing.T) {
	for _, row := range []struct{ markdown, want string }{
		{"# evenkeel", "line 1: cannot make a man page of this: the first line must be a title such as \"# evenkeel(8)\""},
		{"# x(8)\n# Y", "line 2: cannot make a man page of this: a heading is ## or ###"},
		{"# x(8)\nsee [a](b.md)", "line 2: cannot make a man page of this: it has a link, \"[a](\""},
		{"# x(8)\nall of *.yaml", "line 2: cannot make a man page of this: a * has no other one after it in \"all of *.yaml\""},
		{"# x(8)\n\n: alone", "line 3: cannot make a man page of this: what it defines must be one line above it"},
		{"# x(8)\n\n  text", "line 3: cannot make a man page of this: it is indented and belongs to nothing"},
		{"# x(8)\n```\na", "line 2: cannot make a man page of this: the block has no end"},
		{"# x(8)\n```\n" + strings.Repeat("a", 74) + "\n```", "line 3: cannot make a man page of this: it has 74 columns, and 73 fit on a terminal"},
		{"# x(8)\n| a | b |\n|---|---|\n| c |", "line 4: cannot make a man page of this: the row has 1 cells, and there are 2 names"},
	} {
		if _, err := page(row.markdown); err == nil || err.Error() != row.want {
			t.Errorf("%q: got %v\nwant %s", row.markdown, err, row.want)
		}
	}
}
