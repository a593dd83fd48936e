package agent

import (
	"strings"
	"testing"

	"evenkeel/agent/apply"
)

// TestDamagedRecordsStopTheDaemon: a record that cannot be read is never taken
// for none, which would forget what failed here or leave a host between two
// commits.
func TestDamagedRecordsStopTheDaemon(t *testing.T) {
	private := apply.Attr{Mode: 0o600}
	for _, c := range []struct {
		name, file, text, want string
	}{
		{"an empty ledger", ledgerFile, "", "cannot read the ledger"},
		{"half a ledger", ledgerFile, `{"version":1,"rejected":[{"commit":"ab`, "reset-state"},
		{"the ledger of a later program", ledgerFile, `{"version":99}`, "its version is 99"},
		{"an empty attempt", "attempt.000007.apply.1", "", "it is damaged"},
		{"the attempt of another number", "attempt.000007.revert.1", `{"number":6}`, "it is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(plainScenario())
			w.disk.PutFile(stateDir+"/"+c.file, c.text, private)
			_, err := w.host()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the start says %v, want %q", err, c.want)
			}
			if text, _ := w.disk.ReadFile(stateDir + "/" + c.file); string(text) != c.text {
				t.Errorf("the record was changed to %q", text)
			}
		})
	}
}
