package agent

import (
	"os"
	"path/filepath"
	"testing"
)

// A record of an attempt was damaged: the daemon did not start and said so, and
// reset-state said that the daemon has to start first.
func TestResetStateForgetsWhatTheDaemonCannotEnd(t *testing.T) {
	for _, row := range []struct {
		about, name, text string
		refuses           bool
	}{
		{"no attempt", "ledger.json", "garbage", false},
		{"one that was only staging", "attempt.000007.stage.1", `{"number":7}`, false},
		{"one that is applied", "attempt.000007.apply.1", `{"number":7}`, true},
		{"one that is watched", "attempt.000007.watch.2", `{"number":7}`, true},
		{"one that is held", "attempt.000007.held.1", `{"number":7}`, false},
		{"an empty record", "attempt.000007.watch.1", "", false},
		{"garbage", "attempt.000007.revert.1", "garbage", false},
		{"the record of another attempt", "attempt.000007.watch.1", `{"number":8}`, false},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, row.name)
		if err := os.WriteFile(file, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := ResetState(Config{StateDir: dir})
		if refuses := err != nil; refuses != row.refuses {
			t.Errorf("%s: %v", row.about, err)
		}
		if _, err := os.Stat(file); (err == nil) != row.refuses {
			t.Errorf("%s: afterwards the file is there: %v", row.about, err == nil)
		}
	}
}
