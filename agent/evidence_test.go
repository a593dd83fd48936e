package agent

import (
	"slices"
	"testing"

	"evenkeel/agent/health"
)

// TestReasonNamesAUnitOnce: "nginx.service: check "nginx.service http ..." did not pass".
func TestReasonNamesAUnitOnce(t *testing.T) {
	why, _ := faults([]health.Finding{
		{Unit: "nginx.service", Check: "nginx.service http http://127.0.0.1/", Why: `check "nginx.service http http://127.0.0.1/" did not pass within 1m0s`},
		{Unit: "app.service", Why: "it failed (failed/failed, exit-code, status 1)"},
		{Unit: "db.service", OK: true},
		{Unit: guardName, Check: "repository", Why: "the repository did not answer"},
	})
	want := []string{
		`check "nginx.service http http://127.0.0.1/" did not pass within 1m0s`,
		"app.service: it failed (failed/failed, exit-code, status 1)",
		guardName + ": the repository did not answer",
	}
	if !slices.Equal(why, want) {
		t.Errorf("got %q\nwant %q", why, want)
	}
}
