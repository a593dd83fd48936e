package agent

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestRejectionQuotesWhatTheProgramSaid: "the job ended with failed, exit-code,
// status 1" was all that a person learned.
func TestRejectionQuotesWhatTheProgramSaid(t *testing.T) {
	w := newWorld(plainScenario())
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	h.Journal = func(_ context.Context, unit string, since time.Time) string {
		asked = append(asked, unit)
		if since.IsZero() || since.After(h.Now()) {
			t.Errorf("the journal of %s is read since %v", unit, since)
		}
		return "bind: Address already in use\nwith the word sesame"
	}
	h.redactor.learn([]string{"sesame"})
	broken := &spec{vendorConf: 1, mark: map[string]string{"/etc/vendor.d/a.conf": "fail"}}
	outcome, err := deployTarget(h, broken.target("broken", w))
	if err != nil || outcome.Result != ResultRejected {
		t.Fatalf("it ends as %q: %s, %v", outcome.Result, outcome.Reason, err)
	}
	if len(asked) != 1 || asked[0] != "vendor.service" {
		t.Errorf("the journal was read of %q", asked)
	}
	r, _ := h.Ledger.IsRejected("broken", "")
	want := "vendor.service: bind: Address already in use\nvendor.service: with the word [redacted]"
	if !strings.HasSuffix(r.Evidence, want) {
		t.Errorf("the evidence is %q, want %q at its end", r.Evidence, want)
	}
}
