package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"evenkeel/agent/plan"
)

var (
	sweepPoints = flag.Int64("sweep.points", 250_000, "crash points for TestSweep")
	sweepSeed   = flag.Uint64("sweep.seed", 0, "first seed of TestSweep; 0: a fixed one")
	sweepOnly   = flag.Bool("sweep.one", false, "run only the scenario of -sweep.seed, and tell its story")
)

// tally counts crashes by when they fell.
type tally struct{ before, during, after, wrong, scenarios atomic.Int64 }

func (t *tally) points() int64 { return t.before.Load() + t.during.Load() + t.after.Load() }

// TestSweep tells random stories: a commit, sometimes overtaken by others, that
// proves itself or fails. Before every side effect (every rename, sync, unlink,
// write of the ledger, and call to systemd) the daemon dies or the whole host
// loses power; then again before every side effect of the recovery; then the
// recovery runs to its end. The host must then be exactly at the start or exactly
// at a commit that is healthy: bytes, modes, owners, links, which units run, and
// what each process was started with.
func TestSweep(t *testing.T) {
	first := *sweepSeed
	if first == 0 {
		first = 1
	}
	// Almost all that a universe allocates dies with it: rare collections pay.
	defer debug.SetGCPercent(debug.SetGCPercent(2000))
	var total tally
	if *sweepOnly {
		var story bytes.Buffer
		sweepScenario(t, first, &total, &story)
		t.Log(story.String())
		return
	}
	var next atomic.Uint64
	next.Store(first)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for total.points() < *sweepPoints && total.wrong.Load() < 3 {
				sweepScenario(t, next.Add(1)-1, &total, nil)
			}
		})
	}
	workers.Wait()
	points := total.points()
	share := func(n int64) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(max(points, 1))) }
	t.Logf("sweep: %d crash points in %d scenarios from seed %d: %s before the first effect, %s during, %s after; %d wrong ends",
		points, total.scenarios.Load(), first, share(total.before.Load()), share(total.during.Load()), share(total.after.Load()), total.wrong.Load())
	if points < *sweepPoints {
		t.Errorf("only %d of %d crash points", points, *sweepPoints)
	}
	if 2*total.during.Load() < points {
		t.Errorf("less than half of the crashes fell while an attempt was open: the sweep proves too little")
	}
}

// sweeper runs one scenario with all its crashes.
type sweeper struct {
	t      *testing.T
	s      *scenario
	total  *tally
	rng    *rand.Rand
	legal  map[string]state
	failed bool
	step   int
	story  *bytes.Buffer // what the recovery that went wrong logged; nil when nobody asks
}

func sweepScenario(t *testing.T, seed uint64, total *tally, story *bytes.Buffer) {
	s := newScenario(seed)
	sw := &sweeper{t: t, s: s, story: story, total: total, rng: rand.New(rand.NewPCG(seed, 2)), legal: map[string]state{}}
	total.scenarios.Add(1)
	start, ok := sw.begin()
	if !ok {
		return
	}
	w := start.clone()
	w.hook(func(effect string) { sw.crash(w, effect) })
	if err := sw.commits(w); err != nil {
		sw.wrong("no crash", "the story: %v", err)
	}
	w.unhook()
	sw.check(w, "no crash")
	if err := s.memo.audit(); err != nil {
		sw.wrong("all crashes", "%v", err)
	}
}

// begin brings the host to where the story starts, and finds out how it may end.
func (sw *sweeper) begin() (start *world, ok bool) {
	start = newWorld(sw.s)
	if sw.s.base != nil {
		if _, err := sw.deploy(start, sw.s.base); err != nil {
			sw.wrong("base", "the base commit: %v", err)
			return nil, false
		}
	}
	sw.legal["the start"] = start.state()
	for _, c := range sw.s.commits {
		sw.learn(start, c)
	}
	return start, !sw.failed
}

// learn finds out how the host ends when nothing but this commit comes and
// nothing crashes. A commit that fails must end at the start.
func (sw *sweeper) learn(start *world, c *plan.Target) {
	w := start.clone()
	w.last = true
	outcome, err := sw.deploy(w, c)
	switch end := w.state(); {
	case err != nil:
		sw.wrong("no crash", "%s alone: %v", c.Commit, err)
	case outcome.Result == ResultGood || outcome.Result == ResultUnchanged:
		sw.legal[c.Commit] = end
		sw.clean(w, c.Commit+" alone")
	case outcome.Result != ResultRejected:
		sw.wrong("no crash", "%s alone ends as %q: %s", c.Commit, outcome.Result, outcome.Reason)
	case !end.equal(sw.legal["the start"]):
		sw.wrong("no crash", "%s alone fails and does not end at the start:\n%s", c.Commit, end.differs(sw.legal["the start"]))
	}
}

func (sw *sweeper) deploy(w *world, c *plan.Target) (Outcome, error) {
	h, err := w.host()
	if err != nil {
		return Outcome{}, err
	}
	return deployTarget(h, c)
}

// commits come, one overtaking the other.
func (sw *sweeper) commits(w *world) error {
	h, err := w.host()
	if err != nil {
		return err
	}
	for _, c := range sw.s.commits {
		if _, err := deployTarget(h, c); err != nil {
			return fmt.Errorf("%s: %w", c.Commit, err)
		}
	}
	if h.isWatching() { // the last commit asks for the same as the one that it should have overtaken
		w.last = true
		_, err = h.watch(context.Background())
	}
	return err
}

// crash is the first death, and for each effect of the recovery the second.
func (sw *sweeper) crash(w *world, effect string) {
	if sw.failed {
		return
	}
	sw.step++
	where := fmt.Sprintf("step %d, before %q", sw.step, effect)
	first, kind, err := sw.die(w)
	if err != nil {
		sw.wrong(where, "%s: %v", kind, err)
		return
	}
	where += ", " + kind
	sw.count(first)
	again := 0
	first.hook(func(effect string) {
		if sw.failed {
			return
		}
		again++
		second, kind, err := sw.die(first)
		where := fmt.Sprintf("%s, then recovery step %d, before %q, %s", where, again, effect, kind)
		if err != nil {
			sw.wrong(where, "%v", err)
			return
		}
		sw.count(second)
		sw.recovers(second, where)
	})
	sw.recovers(first, where)
}

// die kills the daemon, or the host, at this very moment in another universe.
func (sw *sweeper) die(w *world) (*world, string, error) {
	dead := w.clone()
	dead.die()
	if sw.rng.IntN(2) == 0 {
		down := max(0, sw.rng.IntN(8)-4)
		dead.sd.Tick(down)
		return dead, fmt.Sprintf("the daemon is killed and down for %d s", down), nil
	}
	seed := sw.rng.Uint64()
	err := dead.powerCut(rand.New(rand.NewPCG(seed, 3)))
	if err == nil {
		err = sw.booted(dead)
	}
	return dead, fmt.Sprintf("the power goes (luck %d)", seed), err
}

// booted makes sure that the services of a boot started from the files of one
// commit, not from a mixed set: those of the early recovery come before them.
func (sw *sweeper) booted(w *world) error {
	if w.s.noEarly {
		return nil
	}
	for name, p := range w.sd.Processes() {
		for path, print := range p.Inputs {
			if now := w.disk.Print(path); now != print {
				return fmt.Errorf("%s of the boot has read %s as %q, and it is %q", name, path, print, now)
			}
		}
	}
	tree := w.disk.Tree("/etc")
	for _, legal := range sw.legal {
		if sameFiles(tree, legal.tree) {
			return nil
		}
	}
	return fmt.Errorf("the services of the boot saw files that are neither those of the start nor those of a healthy commit:\n%s",
		state{tree: tree}.differs(state{tree: sw.legal["the start"].tree}))
}

func (sw *sweeper) recovers(w *world, where string) {
	if sw.failed {
		return
	}
	names := w.disk.Names(stateDir)
	if sw.story != nil {
		w.log = new(bytes.Buffer)
		if w.disk.Before == nil {
			w.hook(func(effect string) { fmt.Fprintln(w.log, "   ", effect) })
		}
	}
	_, err := recoverWorld(w)
	w.unhook()
	if err != nil {
		sw.wrong(where, "recovery: %v\n%s", err, w.state().differs(sw.legal["the start"]))
	}
	if sw.check(w, where); sw.failed && sw.story != nil {
		fmt.Fprintf(sw.story, "state directory: %v\n%s\n", names, w.log)
	}
}

// check is the oracle.
func (sw *sweeper) check(w *world, where string) {
	if sw.failed {
		return
	}
	end := w.state()
	for _, legal := range sw.legal {
		if end.equal(legal) {
			sw.clean(w, where)
			sw.remembers(w, where)
			if sw.rng.IntN(goesOn) == 0 {
				sw.goesOn(w, where)
			}
			return
		}
	}
	sw.wrong(where, "the end is neither the start nor a healthy commit:\n%s", sw.differs(end))
}

// differs tells how an end is none of the legal ones.
func (sw *sweeper) differs(end state) string {
	var b strings.Builder
	for name, legal := range sw.legal {
		fmt.Fprintf(&b, " not %s:\n%s", name, end.differs(legal))
	}
	return b.String()
}

// goesOn is one in how many ends that are looked at further.
const goesOn = 64

// goesOn lets the last commit come once more: one that is rejected changes
// nothing, any other ends as it does on a host that never crashed.
func (sw *sweeper) goesOn(w *world, where string) {
	before, again := w.state(), w.clone()
	again.last = true
	commit := sw.s.commits[len(sw.s.commits)-1]
	outcome, err := sw.deploy(again, commit)
	end, good := again.state(), sw.legal[commit.Commit]
	where += ", then the commit comes again"
	switch {
	case err != nil:
		sw.wrong(where, "%v", err)
	case outcome.Result == ResultRejected && end.equal(before):
	case outcome.Result == ResultUnchanged && end.equal(before) && sw.s.sick[commit.Commit]: // it asks for what is good already
	case (outcome.Result == ResultGood || outcome.Result == ResultUnchanged) && good.tree != nil && end.equal(good):
	case good.tree != nil:
		sw.wrong(where, "it ends as %q: %s\n%s", outcome.Result, outcome.Reason, end.differs(good))
	default:
		sw.wrong(where, "it is bad and ends as %q: %s\n%s", outcome.Result, outcome.Reason, end.differs(before))
	}
}

// clean makes sure that nothing of an attempt lies about.
func (sw *sweeper) clean(w *world, where string) {
	for _, name := range w.disk.Names(stateDir) {
		if strings.HasPrefix(name, attemptPrefix) || strings.HasSuffix(name, "+") {
			sw.wrong(where, "%s stays in the state directory", name)
		}
	}
}

// remembers makes sure that the ledger on the disk knows each commit that was
// seen to fail and then taken back, and blames none that is good.
func (sw *sweeper) remembers(w *world, where string) {
	data, _ := w.disk.ReadFile(stateDir + "/" + ledgerFile)
	var l Ledger
	if _, list, some := bytes.Cut(data, []byte(`"rejected":`)); some { // the rest is long and not asked for
		if err := json.NewDecoder(bytes.NewReader(list)).Decode(&l.Rejected); err != nil {
			sw.wrong(where, "the ledger: %v", err)
			return
		}
	}
	for commit := range w.condemned {
		if _, known := l.IsRejected(commit, ""); !known {
			sw.wrong(where, "%s failed here, was taken back, and is not remembered as rejected", commit)
		}
	}
	for _, r := range l.Rejected {
		if _, good := sw.legal[r.Commit]; good && !sw.s.sick[r.Commit] {
			sw.wrong(where, "%s is good and rejected: %s", r.Commit, r.Reason)
		}
	}
}

func (sw *sweeper) count(w *world) {
	switch names := strings.Join(w.disk.Names(stateDir), " "); {
	case strings.Contains(names, ".stage.") || !strings.Contains(names, attemptPrefix) && sw.step < 20:
		sw.total.before.Add(1)
	case strings.Contains(names, attemptPrefix):
		sw.total.during.Add(1)
	default:
		sw.total.after.Add(1)
	}
}

func (sw *sweeper) wrong(where, format string, args ...any) {
	if sw.failed {
		return
	}
	sw.failed = true
	sw.total.wrong.Add(1)
	sw.t.Errorf("seed %d, %s: %s", sw.s.seed, where, fmt.Sprintf(format, args...))
}
