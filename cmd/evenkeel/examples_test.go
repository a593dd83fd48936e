package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The examples are what people copy: check has nothing to say against them, on any
// of their hosts, and each of the environments renders.
func TestExamplesAreClean(t *testing.T) {
	for _, row := range []struct {
		dir   string
		hosts []string
		label string
	}{
		{"small", []string{"web-1", "web-2"}, "env=prod"},
		{"fleet", []string{"web-1", "web-2", "db-1", "db-2"}, "env=prod"},
		{"fleet", []string{"web-1", "db-1"}, "env=staging"},
		{"fleet", []string{"web-1", "db-1"}, "env=none"},
	} {
		dir := filepath.Join("../../examples", row.dir)
		if said := checked(t, "check", dir); said != "" {
			t.Errorf("check %s says\n%s", row.dir, said)
		}
		for _, host := range row.hosts {
			if said := checked(t, "check", dir, "--host", host, "--label", row.label); said != "" {
				t.Errorf("check %s for %s (%s) says\n%s", row.dir, host, row.label, said)
			}
			out := filepath.Join(t.TempDir(), "out")
			if said := checked(t, "render", dir, "--host", host, "--label", row.label, "-o", out); said != "" {
				t.Errorf("render %s for %s (%s) says\n%s", row.dir, host, row.label, said)
			}
			if motd, err := os.ReadFile(filepath.Join(out, "etc/motd")); err != nil || !strings.Contains(string(motd), host) {
				t.Errorf("%s: /etc/motd of %s is %q, %v", row.dir, host, motd, err)
			}
		}
	}
}

// checked runs a verb and gives all that is no mere note: problems, warnings, and
// how it ended.
func checked(t *testing.T, args ...string) string {
	t.Helper()
	var out, err strings.Builder
	code := execute(context.Background(), args, ui{out: &out, err: &err})
	var said strings.Builder
	for line := range strings.Lines(err.String()) {
		if !strings.HasPrefix(line, "evenkeel: note: ") {
			said.WriteString(line)
		}
	}
	if code != exitFine {
		said.WriteString(out.String())
	}
	return said.String()
}
