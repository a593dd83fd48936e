package agent

import (
	"os"
	"strings"
	"testing"
)

// The program goes on after its code was let go, and is smaller.
func TestGiveBackMakesTheProcessSmallerAndNothingElse(t *testing.T) {
	before := fileBacked(t)
	giveBack()
	after := fileBacked(t)
	if after >= before {
		t.Errorf("%d kB of files are resident, and %d kB after giving back", before, after)
	}
}

// TestAttemptThatIsOverIsForgotten: with 10,000 files it was 7 MB, until the next one.
func TestAttemptThatIsOverIsForgotten(t *testing.T) {
	w, target := keptWorld(t, nil)
	w.disk.Overwrite("/etc/motd", "by hand\n")
	h := mustHost(t, w)
	if _, outcome := putRight(t, h, target); outcome.Result != ResultCorrected {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	for _, a := range h.leftover[:cap(h.leftover)] {
		if a != nil {
			t.Errorf("attempt %d stays in memory", a.Number)
		}
	}
}

// fileBacked is the resident memory that is a file's, in kB.
func fileBacked(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			n := 0
			for _, digit := range strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")) {
				n = 10*n + int(digit-'0')
			}
			return n
		}
	}
	t.Fatal("no RssFile")
	return 0
}
