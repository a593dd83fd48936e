package main

import (
	"fmt"
	"strings"
	"testing"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// group is a change of so many hosts and files, with diffs of so many lines.
func group(hosts, files, lines int) *change {
	g := &change{Hosts: []string{}, Steps: []string{}, Files: []fileChange{}}
	for i := range hosts {
		g.Hosts = append(g.Hosts, fmt.Sprintf("host-%d-%d", hosts, i))
	}
	for i := range files {
		p := fmt.Sprintf("/etc/app/%d.conf", i)
		g.Steps = append(g.Steps, "change "+p)
		g.Files = append(g.Files, fileChange{Path: p, Origin: "roles/app/files" + p, Diff: strings.Repeat("+a line of a file\n", lines)})
	}
	return g
}

func page1(groups ...*change) *changes {
	return &changes{Base: "main", Commit: "0123456789abcdef", Subject: "Subject", Groups: groups, hosts: map[string]bool{"a": true}, changed: map[string]bool{"a": true}}
}

func TestPageFitsIntoAComment(t *testing.T) {
	var many []*change
	for i := range 3000 {
		many = append(many, group(30, 3, i%50))
	}
	var problems manifest.Problems
	var warnings []plan.Warning
	for i := range 1000 {
		problems = append(problems, manifest.Problem{File: "fleet.yaml", Line: i, Message: strings.Repeat("wrong ", 100)})
		warnings = append(warnings, plan.Warning{Place: plan.Place{File: "a"}, Message: strings.Repeat("odd ", 200)})
	}
	for _, row := range []struct {
		what  string
		page  string
		wants []string
	}{
		{"one small change", page1(group(1, 1, 3)).markdown(nil, nil), []string{"### `host-1-0`\n", "1. `change /etc/app/0.conf`\n", "1 changed file<"}},
		{"a file that is too long for a comment", page1(group(2, 2, 5000)).markdown(nil, nil),
			[]string{"2. `change /etc/app/1.conf`\n", "**Not shown**, because a comment may not be longer: 2 diffs."}},
		{"one long file leaves room for the short ones", page1(group(1, 1, 5000), group(1, 1, 2)).markdown(nil, nil),
			[]string{": 1 diff.", "+a line of a file"}},
		{"more steps than anybody reads", page1(group(1, 500, 1)).markdown(nil, nil), []string{"40. `change", "and 460 more steps.", "more"}},
		{"more hosts than anybody reads", page1(group(500, 1, 1)).markdown(nil, nil), []string{"and 480 more\n"}},
		{"more groups than there is room for", page1(many...).markdown(nil, nil), []string{"**Not shown**, because a comment may not be longer: ", " more hosts in ", " other groups. `--format json` has them all."}},
		{"everything at once", page1(many...).markdown(problems, warnings), []string{"**1000 problems**", "and 980 more", "**New warnings:**", "other groups"}},
	} {
		if n := len(row.page); n > maxPage {
			t.Errorf("%s: the page has %d bytes", row.what, n)
		}
		for _, want := range row.wants {
			if !strings.Contains(row.page, want) {
				t.Errorf("%s: no %q in:\n%.3000s", row.what, want, row.page)
			}
		}
		if strings.Count(row.page, "<details>") != strings.Count(row.page, "</details>") || strings.Count(row.page, "```")%2 != 0 {
			t.Errorf("%s: something is opened and not closed", row.what)
		}
	}
}

func TestFileCannotBreakOutOfThePage(t *testing.T) {
	evil := "+```\n+</details><script>\n+\x1b[2J\u202Etxt\n"
	g := &change{Hosts: []string{"web`-1"}, Steps: []string{"change /etc/a`b\n# heading"}, Files: []fileChange{{Path: "/etc/a", Diff: evil}}}
	page := page1(g).markdown(nil, nil)
	for _, want := range []string{"### `web'-1`\n", "1. `change /etc/a'b # heading`\n", "````diff\n+```\n", "\n````\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in:\n%s", want, page)
		}
	}
	if strings.ContainsAny(page, "\x1b\u202E") {
		t.Errorf("the page holds characters that a terminal acts on: %q", page)
	}
}
