package agent

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"evenkeel/agent/plan"
)

// fails lets the calls fail that change something and are named by a part of
// "op path"; only the first one where times is 1.
func (w *world) fails(times int, parts ...string) {
	w.disk.Fail = func(op, path string) error {
		for _, part := range parts {
			if times != 0 && strings.Contains(op+" "+path, part) {
				times--
				return syscall.EIO
			}
		}
		return nil
	}
}

// tryDeploy is deployTarget by a daemon that is started for it.
func (w *world) tryDeploy(t *testing.T, target *plan.Target) (*Host, Outcome, error) {
	t.Helper()
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := deployTarget(h, target)
	return h, outcome, err
}

// mustBe compares the host with a state that it was in, or another one was.
func (w *world) mustBe(t *testing.T, when string, want state) {
	t.Helper()
	if is := w.state(); !is.equal(want) {
		t.Errorf("%s the host is not as it should be:\n%s", when, is.differs(want))
	}
}

// endsAt is the state of a host that only this commit came to.
func endsAt(t *testing.T, target *plan.Target) state {
	t.Helper()
	w := newWorld(plainScenario())
	if outcome := deployed(t, w, target); outcome.Result != ResultGood {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	return w.state()
}

// TestIntentThatCouldNotBeSyncedIsForgotten: the record of the intent was there,
// its directory could not be synced, and the attempt was given up. The next
// attempt was kept; then a start of the daemon found the older record and took
// back what had come after it.
func TestIntentThatCouldNotBeSyncedIsForgotten(t *testing.T) {
	w := newWorld(plainScenario())
	target := (&spec{motd: 1, vendorConf: 1}).target("commit", w)
	start, good := w.state(), endsAt(t, target)
	intended := false
	w.disk.Before = func(op, path string) { intended = intended || op == "replace" && strings.Contains(path, ".apply.1") }
	w.disk.Fail = func(op, path string) error {
		if intended && op == "sync" && path == stateDir {
			intended = false
			return syscall.EIO
		}
		return nil
	}
	if _, _, err := w.tryDeploy(t, target); err == nil {
		t.Fatal("nothing failed")
	}
	w.mustBe(t, "after the error", start)
	w.unhook()
	w.mend()
	deployed(t, w, target)
	w.mustBe(t, "after another try", good)
	w.recover(t)
	w.mustBe(t, "after a start of the daemon", good)
}

// TestOldFilesStayUntilTheVerdictIsLasting: the verdict was renamed into the
// record, the directory could not be synced, and the next pass removed the old
// files all the same. The power went, the record said "watch", and the old files
// could not be put back.
func TestOldFilesStayUntilTheVerdictIsLasting(t *testing.T) {
	w := newWorld(plainScenario())
	target := (&spec{motd: 1, vendorConf: 1}).target("commit", w)
	start, good := w.state(), endsAt(t, target)
	sick := false
	w.disk.Before = func(op, path string) { sick = sick || op == "rename" && strings.Contains(path, ".keep.1") }
	w.disk.Fail = func(op, path string) error {
		if sick && strings.HasPrefix(path, stateDir) {
			return syscall.EIO
		}
		return nil
	}
	h, _, err := w.tryDeploy(t, target)
	if err == nil || h.Open == nil || h.Open.phase != PhaseKeep {
		t.Fatalf("it ends with %v and %+v", err, h.Open)
	}
	if _, err := h.Recover(t.Context()); err == nil {
		t.Error("the next pass goes on")
	}
	w.unhook()
	w.mend()
	for seed := range uint64(50) {
		dead := w.clone()
		if err := dead.powerCut(rand.New(rand.NewPCG(seed, 3))); err != nil {
			t.Fatal(err)
		}
		dead.recover(t)
		if end := dead.state(); !end.equal(start) && !end.equal(good) {
			t.Fatalf("luck %d: the host is mixed:\n%s", seed, end.differs(start))
		}
	}
}

// TestRevertStopsWhatRunsWithoutAFile: systemd did not answer to the stop of a
// commit's unit; when the revert went on, the file was gone, and the unit was
// left running because it was "not found".
func TestRevertStopsWhatRunsWithoutAFile(t *testing.T) {
	s := plainScenario()
	s.sick["sick"] = true
	w := newWorld(s)
	start, lost := w.state(), false
	w.sd.Fail = func(effect string) error {
		if effect == "stop db.service" && !lost {
			lost = true
			return errBus
		}
		return nil
	}
	_, outcome, err := w.tryDeploy(t, (&spec{db: 1}).target("sick", w))
	if err != nil || outcome.Result != ResultRejected || !lost {
		t.Errorf("it ends as %q, %v; an answer was lost: %v", outcome.Result, err, lost)
	}
	w.mustBe(t, "after the revert", start)
}

// TestNoteThatStaysTakesNoDirectoryAway: the note of an attempt could not be
// removed. After a later one was kept, a start of the daemon cleaned up after the
// first, and an empty directory of the kept commit went.
func TestNoteThatStaysTakesNoDirectoryAway(t *testing.T) {
	w := newWorld(plainScenario())
	target := (&spec{dir: 1, motd: 1}).target("commit", w)
	good := endsAt(t, target)
	w.fails(-1, "replace "+stateDir+"/attempt.000001.apply", "unlink "+stateDir+"/attempt.000001.stage")
	if _, _, err := w.tryDeploy(t, target); err == nil {
		t.Fatal("nothing failed")
	}
	h, err := w.host()
	if err == nil {
		_, err = deployTarget(h, target)
	}
	if err == nil {
		t.Error("an attempt begins while an older one is not cleaned up")
	}
	w.mend()
	deployed(t, w, target)
	w.mustBe(t, "after another try", good)
	w.recover(t)
	w.mustBe(t, "after a start of the daemon", good)
}

// TestHoldWaitsForTheRejectionToBeWritten: a commit was rejected and could not be
// taken back, on a disk where the ledger could not be written. The record said
// "held" then, and nothing said "rejected" after a start of the daemon.
func TestHoldWaitsForTheRejectionToBeWritten(t *testing.T) {
	s := plainScenario()
	s.sick["sick"] = true
	w := newWorld(s)
	reverting := false
	w.disk.Before = func(op, path string) { reverting = reverting || strings.Contains(path, ".revert.1") }
	w.disk.Fail = func(_, path string) error {
		if reverting && strings.HasPrefix(path, stateDir+"/"+ledgerFile) {
			return syscall.EIO
		}
		return nil
	}
	w.sd.Fail = func(string) error {
		if reverting {
			return errBus
		}
		return nil
	}
	if _, outcome, err := w.tryDeploy(t, (&spec{vendorConf: 1}).target("sick", w)); err == nil {
		t.Errorf("it ends as %q", outcome.Result)
	}
	w.unhook()
	w.mend()
	if h := w.recover(t); len(h.Ledger.Rejected) != 1 {
		t.Errorf("a start of the daemon finds the rejections %+v", h.Ledger.Rejected)
	}
}

// TestStageThatFailsIsNoTry: a commit could not be staged for want of space, three
// times; then it was interrupted once, and rejected.
func TestStageThatFailsIsNoTry(t *testing.T) {
	w := newWorld(plainScenario())
	target := (&spec{vendorConf: 1, motd: 1}).target("commit", w)
	start := w.state()
	w.fails(-1, "create /etc/")
	for range maxTries {
		if _, _, err := w.tryDeploy(t, target); err == nil {
			t.Fatal("nothing failed")
		}
		w.mustBe(t, "after a stage that failed", start)
	}
	w.mend()
	w.cutShort(target)
	h := w.recover(t)
	if r, rejected := h.Ledger.IsRejected("commit", ""); rejected {
		t.Errorf("it is rejected: %s", r.Reason)
	}
}

// TestLedgerThatCannotBeWrittenStartsNothing: it fails closed. Neither a file nor
// a unit is touched, and a commit that fails later is still remembered.
func TestLedgerThatCannotBeWrittenStartsNothing(t *testing.T) {
	s := plainScenario()
	s.sick["sick"] = true
	w := newWorld(s)
	target := (&spec{vendorConf: 1}).target("sick", w)
	start := w.state()
	w.fails(-1, ledgerFile)
	if _, _, err := w.tryDeploy(t, target); err == nil {
		t.Error("the attempt begins")
	}
	w.mustBe(t, "with a sick ledger", start)

	w.mend()
	reverting := false
	w.disk.Before = func(op, path string) { reverting = reverting || strings.Contains(path, ".revert.1") }
	w.disk.Fail = func(_, path string) error {
		if reverting && strings.HasPrefix(path, stateDir+"/"+ledgerFile) {
			return syscall.EIO
		}
		return nil
	}
	if _, outcome, err := w.tryDeploy(t, target); err != nil || outcome.Result != ResultRejected {
		t.Errorf("it ends as %q, %v", outcome.Result, err)
	}
	w.unhook()
	w.mend()
	w.mustBe(t, "after the revert", start)
	if h := w.recover(t); len(h.Ledger.Rejected) != 1 || h.Ledger.Rejected[0].Commit != "sick" {
		t.Errorf("a start of the daemon finds the rejections %+v", h.Ledger.Rejected)
	}
}

// TestRevertDoesNotAskPackageManagers: dpkg's list could not be read for a moment,
// and a revert, which has no use for it, was held.
func TestRevertDoesNotAskPackageManagers(t *testing.T) {
	s := plainScenario()
	s.sick["sick"] = true
	w := newWorld(s)
	start := w.state()
	w.disk.Before = func(_, path string) {
		if strings.Contains(path, ".revert.1") {
			w.disk.PutOther("/var/lib/dpkg/status")
		}
	}
	if _, outcome, err := w.tryDeploy(t, (&spec{vendorConf: 1}).target("sick", w)); err != nil || outcome.Result != ResultRejected {
		t.Errorf("it ends as %q, %v: %s", outcome.Result, err, outcome.Reason)
	}
	w.unhook()
	w.mustBe(t, "after the revert", start)
}
