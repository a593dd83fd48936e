package agent

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// kept is a daemon on a model of a host whose clock the test sets.
func kept(t *testing.T) (*asker, *time.Time) {
	t.Helper()
	a := newAsker(t, newWorld(&scenario{version: 252}))
	at := time.Date(2026, 11, 25, 7, 0, 0, 0, time.UTC)
	a.host.Now = func() time.Time { return at }
	return a, &at
}

func (a *asker) setPause(p Pause) {
	a.t.Helper()
	if err := writeJSON(a.host.State, pauseFile, p); err != nil {
		a.t.Fatal(err)
	}
}

func (a *asker) ask(file, text string) {
	a.t.Helper()
	if _, err := a.host.State.Create(file, []byte(text), apply.Attr{Mode: 0o600}, ""); err != nil {
		a.t.Fatal(err)
	}
	if err := a.heedPin(); err != nil {
		a.t.Fatal(err)
	}
}

// keeps is what a pass with a commit comes to, as far as keeping it back goes.
func (a *asker) keeps(c *candidate) (Outcome, bool) {
	a.t.Helper()
	n, err := a.host.observe(context.Background(), c.target)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.keepBack(c, a.host.complete(c.target, c.digest, c.key, n), n)
}

func TestPauseKeepsACommitBackAndSaysWhatItWouldDo(t *testing.T) {
	a, at := kept(t)
	c := a.commit("aaaa", "/etc/a")
	c.key = "k"
	if o, stop := a.keeps(c); stop {
		t.Fatalf("without a pause it is kept back: %+v", o)
	}
	a.setPause(Pause{Since: *at, Until: at.Add(time.Hour), Reason: "new disks"})
	o, stop := a.keeps(c)
	if !stop || o.Result != ResultDeferred || o.Reason != "commit aaaa would be applied, but is paused until 2026-11-25 08:00 UTC: new disks" {
		t.Fatalf("%v, %+v", stop, o)
	}
	if s := a.later.status(); s.Commit != "aaaa" || !slices.ContainsFunc(s.Steps, func(step string) bool { return strings.Contains(step, "/etc/a") }) {
		t.Errorf("status says %+v", s)
	}
	if wake := a.wakeFor(2*time.Hour, o.Result); wake != time.Hour {
		t.Errorf("it looks again in %s", wake)
	}
	if _, known := a.stillKept("k"); !known {
		t.Error("a commit that is kept back is rendered at each look")
	}
	if _, known := a.stillKept("another"); known {
		t.Error("another commit, or other facts, are not looked at")
	}
	*at = at.Add(lookAgain)
	if _, known := a.stillKept("k"); known {
		t.Error("what it would do is never worked out anew")
	}
	*at = at.Add(time.Hour - lookAgain)
	if _, stop := a.keeps(c); stop {
		t.Error("the pause does not end by itself")
	}
	if _, known := a.stillKept("k"); known {
		t.Error("the end of the pause is not noticed")
	}
}

func TestPauseThatCannotBeReadIsInForce(t *testing.T) {
	a, _ := kept(t)
	a.ask(pauseFile, "{")
	if p := a.host.pause(); p == nil || !strings.Contains(p.Reason, "cannot be read") {
		t.Errorf("got %+v", p)
	}
}

// A person's word counts for one commit, once, and for an hour.
func TestSyncNowLetsOneCommitThrough(t *testing.T) {
	a, at := kept(t)
	a.setPause(Pause{Since: *at, Reason: "new disks"})
	first, second := a.commit("aaaa", "/etc/a"), a.commit("bbbb", "/etc/b")
	word := func() { a.ask(nowFile, `{"reason":"urgent","when":"`+at.Format(time.RFC3339)+`"}`) }

	word()
	if o, stop := a.keeps(first); stop {
		t.Fatalf("it is kept back all the same: %+v", o)
	}
	l := a.host.Ledger
	if e := l.History[len(l.History)-1]; e.Result != ResultOverride || e.Commit != "aaaa" || !strings.Contains(e.Reason, "urgent") || !strings.Contains(e.Reason, "new disks") {
		t.Errorf("the history says %+v", e)
	}
	if _, stop := a.keeps(first); stop || len(l.History) != 1 {
		t.Errorf("before the apply it is kept back %v, and the history has %d entries", stop, len(l.History))
	}
	if a.overtakes(second) {
		t.Error("a second commit rides on the word for the first, and ends its watch")
	}
	for _, result := range []Result{ResultWaiting, ResultFailed, ResultUndone, ResultWatching} {
		if a.spendOverride(result); l.Override == nil {
			t.Fatalf("the word is spent by a pass that ended %s", result)
		}
	}
	a.spendOverride(ResultGood)
	for _, c := range []*candidate{first, second} {
		if _, stop := a.keeps(c); !stop {
			t.Errorf("the word counts once more, for %s", c.target.Commit)
		}
	}

	if err := a.host.State.Remove(pauseFile); err != nil {
		t.Fatal(err)
	}
	word()
	if _, stop := a.keeps(first); stop {
		t.Error("without a pause it is kept back")
	}
	a.setPause(Pause{Since: *at, Reason: "new disks"})
	if a.overtakes(second) {
		t.Error("a word that was not needed for the first commit lets in a second")
	}
	a.spendOverride(ResultGood)

	word()
	*at = at.Add(overrideLife + time.Second)
	if _, stop := a.keeps(second); !stop {
		t.Error("the word counts for ever")
	}
}

// Whoever goes back in the middle of an incident does not have to end the pause.
func TestRollbackGoesThroughAPause(t *testing.T) {
	a, at := kept(t)
	a.setPause(Pause{Since: *at, Reason: "incident"})
	a.host.Ledger.Goods = []PastGood{{Commit: "aaaa", Digest: "1"}}
	a.ask(rollbackFile, "aaaa")
	if o, stop := a.keeps(a.commit("aaaa", "/etc/a")); stop {
		t.Errorf("it is kept back: %+v", o)
	}
	if _, stop := a.keeps(a.commit("bbbb", "/etc/b")); !stop {
		t.Error("the commit that it went back from may come in again")
	}
}

// What an attempt left open goes on: half of a commit is no state to stop at.
func TestPauseDoesNotKeepBackWhatIsOpen(t *testing.T) {
	a, at := kept(t)
	a.setPause(Pause{Since: *at, Reason: "new disks"})
	a.host.Open = &Attempt{Commit: "aaaa", phase: PhaseStay, OnFailure: plan.Hold}
	if _, stop := a.keeps(a.commit("aaaa", "/etc/a")); stop {
		t.Error("the commit that is open is kept back")
	}
	if _, stop := a.keeps(a.commit("bbbb", "/etc/b")); !stop {
		t.Error("another one is not")
	}
}

// night is from 22 to 4 o'clock.
func night() *plan.Windows {
	return &plan.Windows{Allow: []plan.Window{{From: 22 * 60, To: 4 * 60}}}
}

func TestCommitWaitsForItsWindow(t *testing.T) {
	a, at := kept(t) // at seven in the morning
	c := a.commit("aaaa", "/etc/a")
	c.key, c.target.Windows = "k", night()
	o, stop := a.keeps(c)
	if !stop || o.Result != ResultDeferred || o.Reason != "commit aaaa would be applied, but is outside of its maintenance windows until Wed 2026-11-25 22:00 UTC" {
		t.Fatalf("%v, %+v", stop, o)
	}
	if wake := a.wakeFor(24*time.Hour, o.Result); wake != 15*time.Hour {
		t.Errorf("it looks again in %s", wake)
	}
	if wake := a.wakeFor(time.Minute, o.Result); wake != time.Minute {
		t.Errorf("it looks again in %s, and not at the interval", wake)
	}
	if _, known := a.stillKept("k"); !known {
		t.Error("a commit that waits for its window is rendered at each look")
	}
	a.setPause(Pause{Since: *at, Reason: "new disks"})
	if _, known := a.stillKept("k"); known {
		t.Error("a pause does not show")
	}
	if err := a.host.State.Remove(pauseFile); err != nil {
		t.Fatal(err)
	}
	*at = at.Add(15*time.Hour - 50*time.Millisecond)
	if wake := a.wakeFor(24*time.Hour, o.Result); wake != soonest {
		t.Errorf("right before the opening it looks again in %s", wake)
	}
	*at = at.Add(50 * time.Millisecond)
	if _, known := a.stillKept("k"); known {
		t.Error("the opening is not noticed")
	}
	if o, stop := a.keeps(c); stop {
		t.Errorf("in its window it is kept back: %+v", o)
	}
}

func TestWindowsOfTheHostWin(t *testing.T) {
	for _, row := range []struct {
		about      string
		host, repo *plan.Windows
		kept       bool
	}{
		{"nobody says anything", nil, nil, false},
		{"the repository says at night", nil, night(), true},
		{"the host says at night", night(), nil, true},
		{"the host says always", &plan.Windows{}, night(), false},
		{"the repository says always", night(), &plan.Windows{}, true},
	} {
		a, _ := kept(t)
		a.cfg.Windows = row.host
		c := a.commit("aaaa", "/etc/a")
		c.target.Windows = row.repo
		if o, stop := a.keeps(c); stop != row.kept {
			t.Errorf("%s: kept back %v, %+v", row.about, stop, o)
		}
	}
}

// A commit that waits for its window leaves the watch of another alone, and one that
// asks for nothing new needs no window.
func TestWindowKeepsANewerCommitFromEndingAWatch(t *testing.T) {
	a, at := kept(t)
	c := a.commit("aaaa", "/etc/a")
	c.target.Windows = night()
	if a.overtakes(c) {
		t.Error("it ends the watch")
	}
	*at = at.Add(16 * time.Hour)
	if !a.overtakes(c) {
		t.Error("in its window it does not end the watch")
	}
}

// The whole pass: nothing on the host changes while a commit is kept back, and it goes
// in afterwards.
func TestNothingIsTouchedWhileACommitIsKeptBack(t *testing.T) {
	a, at := kept(t)
	a.locks.files = lockFiles(t)
	c := a.commit("aaaa", "/etc/a")
	there := func() bool {
		n, err := a.host.observe(context.Background(), c.target)
		if err != nil {
			t.Fatal(err)
		}
		return n.state.Paths["/etc/a"].Kind != plan.Absent
	}
	a.setPause(Pause{Since: *at, Reason: "new disks"})
	if o := a.act(context.Background(), c); o.Result != ResultDeferred || there() {
		t.Errorf("in a pause: %+v, the file is there: %v", o, there())
	}
	_, end := lockBy(t, a.locks.files[0].path)
	if o := a.act(context.Background(), c); o.Result != ResultWaiting || there() {
		t.Errorf("while dpkg is at work: %+v, the file is there: %v", o, there())
	}
	end()
	*at = at.Add(time.Minute)
	a.setPause(Pause{Since: *at, Until: *at, Reason: "over"})
	if o := a.act(context.Background(), c); o.Result != ResultGood || !there() {
		t.Errorf("afterwards: %+v, the file is there: %v", o, there())
	}
}
