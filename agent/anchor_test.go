package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/apply"
)

// anchoredDaemon is a daemon on a state directory that may be tampered with.
func anchoredDaemon(t *testing.T, dir string) *daemon {
	t.Helper()
	disk, err := apply.NewDisk("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	state, err := disk.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{log: slog.New(slog.DiscardHandler), cfg: Config{StateDir: dir}}
	d.host = &Host{Disk: disk, State: state, StateDir: dir, Now: time.Now, Log: d.log}
	if err := d.host.Load(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAnchorAgainstRollbackFailsClosed(t *testing.T) {
	one, two := strings.Repeat("1", 40), strings.Repeat("2", 40)
	for _, row := range []struct {
		about string
		harm  func(t *testing.T, anchor, ledger string)
		says  string // of the hold, "" when there is none
		prior string
		after string // prior after a person's retry
	}{
		{"nothing was touched", func(*testing.T, string, string) {}, "", two, two},
		{"it is missing", func(t *testing.T, anchor, _ string) { remove(t, anchor) }, "is missing", two, two},
		{"it is cut short", func(t *testing.T, anchor, _ string) { truncate(t, anchor, 30) }, "is damaged", two, two},
		{"it is empty", func(t *testing.T, anchor, _ string) { truncate(t, anchor, 0) }, "is damaged", two, two},
		{"somebody wrote another commit into it", func(t *testing.T, anchor, _ string) { replace(t, anchor, two, one) }, "is damaged", two, two},
		{"it is from before the last good commit", func(t *testing.T, anchor, ledger string) {
			replace(t, ledger, two, strings.Repeat("3", 40))
		}, "", two, two},
		{"the ledger is lost", func(t *testing.T, _, ledger string) { remove(t, ledger) }, "", two, two},
		{"the ledger is lost, and it is damaged", func(t *testing.T, anchor, ledger string) { remove(t, ledger); truncate(t, anchor, 9) }, "is damaged", "", ""},
		{"the ledger is from before there was a anchor", func(t *testing.T, anchor, ledger string) {
			remove(t, anchor)
			replace(t, ledger, `,"anchored":true`, "")
		}, "", two, two},
	} {
		t.Run(row.about, func(t *testing.T) {
			dir := t.TempDir()
			d := anchoredDaemon(t, dir)
			for _, commit := range []string{one, two} {
				d.host.Ledger.Good = &Good{Commit: commit}
				if err := d.host.moveAnchor(commit, ""); err != nil {
					t.Fatal(err)
				}
				if err := d.host.Ledger.save(d.host.State); err != nil {
					t.Fatal(err)
				}
			}
			row.harm(t, filepath.Join(dir, anchorFile), filepath.Join(dir, ledgerFile))
			d = anchoredDaemon(t, dir)
			outcome, held := d.anchored()
			if held != (row.says != "") || !strings.Contains(outcome.Reason, row.says) {
				t.Errorf("held: %t, %q; want %q", held, outcome.Reason, row.says)
			}
			if held && !strings.Contains(outcome.Reason, "evenkeel retry") {
				t.Errorf("the reason %q does not say how to go on", outcome.Reason)
			}
			if got := d.host.prior(); got != row.prior {
				t.Errorf("a new commit must continue from %q, want %q", got, row.prior)
			}
			if err := RequestRetry(d.cfg); err != nil {
				t.Fatal(err)
			}
			if err := d.heed(); err != nil {
				t.Fatal(err)
			}
			d = anchoredDaemon(t, dir)
			if outcome, held := d.anchored(); held {
				t.Errorf("after a retry it still holds: %s", outcome.Reason)
			}
			if got := d.host.prior(); got != row.after {
				t.Errorf("after a retry a new commit must continue from %q, want %q", got, row.after)
			}
		})
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, file string, size int64) {
	t.Helper()
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, file, old, new string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), old) {
		t.Fatalf("%s does not hold %q: %s", file, old, content)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(content), old, new)), 0o600); err != nil {
		t.Fatal(err)
	}
}
