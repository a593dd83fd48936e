package agent

import (
	"context"
	"errors"
	"testing"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// held is a host whose last commit failed, and could not be put back either.
func held(t *testing.T, w *world, h *Host) {
	t.Helper()
	if h.Open == nil || h.Open.phase != PhaseHeld || h.Ledger.Hold == nil {
		t.Fatalf("the host is not held: %+v", h.Open)
	}
}

// overtakeHeld is what the daemon does with a newer commit on a held host.
func overtakeHeld(t *testing.T, h *Host, target *plan.Target) Outcome {
	t.Helper()
	if err := h.passHeld(context.Background()); err != nil {
		t.Fatal(err)
	}
	outcome, err := deployTarget(h, target)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

// A good commit's service needs something that went away; the next commit failed
// for that, its revert failed for that, and the commit that mends it was never
// tried: each look restarted the old service instead.
func TestCommitThatMendsAHeldHostGoesIn(t *testing.T) {
	s := &scenario{sick: map[string]bool{}, version: 257}
	w := newWorld(s)
	w.last = true
	w.disk.PutFile("/etc/licence", "valid\n", rootFile)
	needs := map[string]string{"app.service": "fail-without:/etc/licence"}
	deployed(t, w, (&spec{db: 1, app: 1, proxy: 1, appConf: 1, mark: needs}).target("good", w))

	w.disk.Delete("/etc/licence")
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := deployTarget(h, (&spec{db: 1, app: 1, proxy: 1, appConf: 2, motd: 1, mark: needs}).target("bad", w)); err != nil {
		t.Fatal(err)
	}
	held(t, w, h)
	still, err := deployTarget(h, (&spec{db: 1, app: 1, proxy: 1, appConf: 3, issue: 1, mark: needs}).target("worse", w))
	if err != nil || still.Result != ResultHeld {
		t.Fatalf("a commit that does not mend it ends as %q: %v", still.Result, err)
	}
	held(t, w, h)

	outcome := overtakeHeld(t, h, (&spec{db: 1, app: 2, proxy: 1, appConf: 3}).target("mends", w))
	if outcome.Result != ResultGood || h.Open != nil || h.Ledger.Hold != nil {
		t.Fatalf("the commit that mends it ends as %q: %s; hold %+v", outcome.Result, outcome.Reason, h.Ledger.Hold)
	}
	for _, unit := range []string{"db.service", "app.service", "proxy.service"} {
		if _, runs := w.sd.Processes()[unit]; !runs {
			t.Errorf("%s does not run", unit)
		}
	}
	if motd, _ := w.disk.ReadFile("/etc/motd"); string(motd) != "vendor\n" {
		t.Errorf("/etc/motd is %q", motd)
	}
	for _, commit := range []string{"bad", "worse"} {
		if _, rejected := h.Ledger.IsRejected(commit, ""); !rejected {
			t.Errorf("%q is not remembered as rejected", commit)
		}
	}
}

// Somebody removed the old files that wait beside the managed ones. The revert
// could not bring them back, and no later commit got a chance.
func TestHostWhoseOldFilesAreGoneTakesTheNextCommit(t *testing.T) {
	s := &scenario{sick: map[string]bool{"bad": true}, overtaken: map[string]bool{"bad": true}, version: 252}
	w := newWorld(s)
	deployed(t, w, (&spec{db: 1, dbConf: 1, motd: 1}).target("good", w))
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := deployTarget(h, (&spec{db: 1, dbConf: 2, motd: 2, issue: 2}).target("bad", w)); err != nil {
		t.Fatal(err)
	}
	w.disk.Delete("/etc/.db.conf.evenkeel~")
	w.last = true
	if _, err := h.watch(context.Background()); err != nil {
		t.Fatal(err)
	}
	held(t, w, h)
	if issue, _ := w.disk.ReadFile("/etc/issue"); string(issue) != "vendor\n" {
		t.Errorf("the revert stopped at the file that is gone: /etc/issue is %q", issue)
	}

	outcome := overtakeHeld(t, h, (&spec{db: 1, dbConf: 3, motd: 1}).target("next", w))
	if outcome.Result != ResultGood || h.Open != nil || h.Ledger.Hold != nil {
		t.Fatalf("the next commit ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if conf, _ := w.disk.ReadFile("/etc/db.conf"); string(conf) != "db 3\n" {
		t.Errorf("/etc/db.conf is %q", conf)
	}
}

// A held host whose files cannot be put back yet stays held: what waits beside
// them is the only copy.
func TestHeldHostKeepsTheOnlyCopyOfAFile(t *testing.T) {
	s := &scenario{sick: map[string]bool{"bad": true}, version: 252}
	w := newWorld(s)
	w.last = true
	deployed(t, w, (&spec{db: 1, dbConf: 1}).target("good", w))
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	reverting := false
	disk := &stubborn{FS: w.disk, fails: func() bool { return reverting }}
	h.Disk = disk
	h.Reverted = func(Cause) { reverting = true }
	if _, err := deployTarget(h, (&spec{db: 1, dbConf: 2}).target("bad", w)); err != nil {
		t.Fatal(err)
	}
	held(t, w, h)
	if err := h.passHeld(context.Background()); err == nil {
		t.Fatal("a newer commit may overtake an attempt whose files are not back")
	}
	reverting = false
	if err := h.passHeld(context.Background()); err != nil {
		t.Fatal(err)
	}
	if conf, _ := w.disk.ReadFile("/etc/db.conf"); string(conf) != "db 1\n" {
		t.Errorf("/etc/db.conf is %q", conf)
	}
}

// stubborn is a disk on which nothing can be exchanged or renamed now and then.
type stubborn struct {
	apply.FS
	fails func() bool
}

func (s *stubborn) OpenDir(path string) (apply.Dir, error) {
	dir, err := s.FS.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &stubbornDir{dir, s}, nil
}

// Swaps looks through to the disk itself.
func (s *stubborn) Swaps(dir apply.Dir) bool { return s.FS.Swaps(dir.(*stubbornDir).Dir) }

// Free looks through to the disk itself.
func (s *stubborn) Free(dir apply.Dir) (apply.Space, error) {
	return s.FS.Free(dir.(*stubbornDir).Dir)
}

type stubbornDir struct {
	apply.Dir
	s *stubborn
}

var errStubborn = errors.New("read-only file system")

func (d *stubbornDir) Exchange(a, b string) error {
	if d.s.fails() {
		return errStubborn
	}
	return d.Dir.Exchange(a, b)
}
