package agent

import "testing"

// TestUnitThatCrashedWhileAnotherSettledIsNotGood: systemd restarted app.service
// together with db.service, app.service crashed while db.service settled, systemd
// started it again, and nobody had seen anything.
func TestUnitThatCrashedWhileAnotherSettledIsNotGood(t *testing.T) {
	s := plainScenario()
	s.settle = 9
	w := newWorld(s)
	if outcome := deployed(t, w, (&spec{db: 1, app: 1}).target("good", w)); outcome.Result != ResultGood {
		t.Fatalf("the first commit ends as %q: %s", outcome.Result, outcome.Reason)
	}
	before := w.state()
	crashes := &spec{db: 3, app: 3, mark: map[string]string{"app.service": "crash-once 3"}}
	if outcome := deployed(t, w, crashes.target("crashes", w)); outcome.Result != ResultRejected {
		t.Errorf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if end := w.state(); !end.equal(before) {
		t.Errorf("the host is not as before:\n%s", end.differs(before))
	}
}
