package agent

import "testing"

func TestDecide(t *testing.T) {
	for _, row := range []struct {
		about string
		e     Evidence
		want  Verdict
		stays Verdict // the same for a commit that says on_failure: hold
	}{
		{"everything was done and all is well", Evidence{Applied: true, Healthy: true}, Keep, Keep},
		{"also on the last try", Evidence{Applied: true, Healthy: true, Tries: maxTries}, Keep, Keep},
		{"a check fails, or a unit does not stay up", Evidence{Applied: true}, Revert, Stay},
		{"the watch was interrupted", Evidence{Applied: true, Interrupted: true}, Wait, Wait},
		{"a job failed", Evidence{Blame: true, Tries: 1}, Revert, Stay},
		{"a crash, or a file that somebody else changed", Evidence{Tries: 1}, Undo, Again},
		{"and again", Evidence{Tries: maxTries - 1}, Undo, Again},
		{"for the last time", Evidence{Tries: maxTries}, Revert, Stay},
	} {
		if got := Decide(row.e); got != row.want {
			t.Errorf("%s: %q, want %q", row.about, got, row.want)
		}
		row.e.Stays = true
		if got := Decide(row.e); got != row.stays {
			t.Errorf("%s, and there is no way back: %q, want %q", row.about, got, row.stays)
		}
	}
}
