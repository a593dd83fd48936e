package health

import (
	"fmt"
	"strings"
	"testing"
)

// A check that was killed for its memory is not one that failed: systemd-run exits with 1
// for both, and says the difference at the end of what the check printed.
func TestHowACheckEnded(t *testing.T) {
	const began = "Running as unit: evenkeel-check-7-1.service; invocation ID: 0f\n"
	const killed = "Finished with result: oom-kill\nMain processes terminated with: code=killed, status=9/KILL\nService runtime: 4ms\n"
	for about, row := range map[string]struct{ said, output, result, how string }{
		"killed":                  {began + "a\nb\n" + killed, "a\nb\n", "oom-kill", "code=killed, status=9/KILL"},
		"indented by 257":         {"          " + began + "a\n          Finished with result: oom-kill\n", "          a\n", "oom-kill", ""},
		"in the middle of a line": {began + "a" + killed, "a", "oom-kill", "code=killed, status=9/KILL"},
		"the line comes late":     {"a\n" + began + "b\n" + killed, "a\nb\n", "oom-kill", "code=killed, status=9/KILL"},
		"nothing":                 {"", "", "", ""},
		"no unit at all":          {"Failed to start transient service unit: no\n", "Failed to start transient service unit: no\n", "", ""},
		"much":                    {began + strings.Repeat("y\n", 50_000) + killed, strings.Repeat("y\n", (outputLimit-len(began))/2), "oom-kill", "code=killed, status=9/KILL"},
	} {
		var b bothEnds
		for part := range strings.Lines(row.said) {
			fmt.Fprint(&b, part)
		}
		output, result, how := b.apart()
		if string(output) != row.output && !strings.HasPrefix(string(output), row.output) || result != row.result || how != row.how {
			t.Errorf("%s: %q, %q, %q", about, output, result, how)
		}
	}
}
