package agent

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"evenkeel/agent/plan"
)

var (
	faultTales = flag.Uint64("sweep.faults", 80, "scenarios for TestSweepFaults")
	faultSeed  = flag.Uint64("sweep.faultseed", 0, "first seed of TestSweepFaults; 0: a fixed one")
	faultOnly  = flag.Bool("sweep.faultone", false, "run only the scenario of -sweep.faultseed, and tell its story")
)

// fault makes calls fail that change the disk or systemd. The first so many that
// it is about succeed.
type fault struct {
	name  string
	about func(op, path string) bool // disk
	units bool                       // systemd
	stays bool                       // every call from there on, until it is mended
	err   error

	after  int
	struck int
}

var errBus = errors.New("the connection to systemd is lost")

// faultKinds are the kinds of them.
func faultKinds() []fault {
	all := func(string, string) bool { return true }
	return []fault{
		{name: "one call fails", about: all, err: syscall.EIO},
		{name: "the disk is full", about: func(op, _ string) bool { return op == "create" || op == "mkdir" || op == "symlink" }, stays: true, err: syscall.ENOSPC},
		{name: "the state directory is sick", about: func(_, path string) bool { return strings.HasPrefix(path, stateDir) }, stays: true, err: syscall.EIO},
		{name: "the ledger cannot be written", about: func(_, path string) bool { return strings.HasPrefix(path, stateDir+"/"+ledgerFile) }, stays: true, err: syscall.EIO},
		{name: "the disk is read-only", about: all, stays: true, err: syscall.EROFS},
		{name: "systemd does not answer once", units: true, err: errBus},
		{name: "systemd is gone", units: true, stays: true, err: errBus},
	}
}

// strikes counts a call and decides.
func (f *fault) strikes() error {
	if f.after--; f.after >= 0 || !f.stays && f.struck > 0 {
		return nil
	}
	f.struck++
	return f.err
}

// arm makes calls in a world fail. They are told in the story.
func (f *fault) arm(w *world) {
	w.disk.Fail = func(op, path string) error {
		if f.about == nil || !f.about(op, path) {
			return nil
		}
		err := f.strikes()
		if err != nil && w.log != nil {
			fmt.Fprintln(w.log, "    FAILS", op, path)
		}
		return err
	}
	w.sd.Fail = func(effect string) error {
		if !f.units {
			return nil
		}
		err := f.strikes()
		if err != nil && w.log != nil {
			fmt.Fprintln(w.log, "    FAILS", effect)
		}
		return err
	}
}

func (w *world) mend() { w.disk.Fail, w.sd.Fail = nil, nil }

// TestSweepFaults lets calls fail instead of crashing: in the stories of
// TestSweep, and in the recovery from some of their crashes, the n-th call that
// changes the disk or systemd fails, for each n until none is left to fail; once,
// or from there on until somebody mends it. The daemon goes on with its passes
// all the while. It must never say that a commit is good, rejected or undone when
// the host is not so; an error must leave the host as it was, or an attempt open;
// and once the fault is mended, the host must come to an end that TestSweep would
// accept, at the latest when a person asks for a retry.
func TestSweepFaults(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(2000))
	first := max(*faultSeed, 1)
	var total faultTally
	if *faultOnly {
		var story bytes.Buffer
		faultScenario(t, first, &total, &story)
		t.Log(story.String())
		return
	}
	var next atomic.Uint64
	next.Store(first)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for total.wrong.Load() < 3 {
				seed := next.Add(1) - 1
				if seed >= first+*faultTales {
					return
				}
				faultScenario(t, seed, &total, nil)
			}
		})
	}
	workers.Wait()
	t.Logf("faults: %d failing calls in %d scenarios from seed %d: %d in the story, %d in a recovery, %d ends held until a retry; %d wrong",
		total.points.Load(), total.scenarios.Load(), first, total.points.Load()-total.inRecovery.Load(), total.inRecovery.Load(), total.held.Load(), total.wrong.Load())
	if total.points.Load() < 500*int64(*faultTales) {
		t.Errorf("only %d calls failed: these stories prove too little", total.points.Load())
	}
}

type faultTally struct{ points, inRecovery, held, wrong, scenarios atomic.Int64 }

// faulter runs one scenario with all its faults.
type faulter struct {
	*sweeper
	total *faultTally
}

func faultScenario(t *testing.T, seed uint64, total *faultTally, story *bytes.Buffer) {
	s := newScenario(seed)
	var crashes tally
	fr := &faulter{total: total, sweeper: &sweeper{
		t: t, s: s, story: story, total: &crashes, rng: rand.New(rand.NewPCG(seed, 4)), legal: map[string]state{},
	}}
	start, ok := fr.begin()
	for _, f := range faultKinds() {
		for n := 0; ok && !fr.failed && fr.strike(start.clone(), f, n, "the story", s.commits); n++ {
		}
	}
	if ok && !fr.failed {
		fr.inRecoveries(start)
	}
	if fr.failed {
		total.wrong.Add(1)
	}
	total.scenarios.Add(1)
}

// inRecoveries crashes the story here and there, and lets calls of the recovery
// fail.
func (fr *faulter) inRecoveries(start *world) {
	w := start.clone()
	w.hook(func(effect string) {
		if fr.failed || fr.rng.IntN(12) > 0 {
			return
		}
		dead, how, err := fr.die(w)
		if err != nil {
			fr.wrong(effect, "%v", err)
			return
		}
		all := faultKinds()
		f := all[fr.rng.IntN(len(all))]
		where := fmt.Sprintf("the recovery from a crash before %q (%s)", effect, how)
		for n := 0; !fr.failed && fr.strike(dead.clone(), f, n, where, fr.s.commits[len(fr.s.commits)-1:]); n++ {
			fr.total.inRecovery.Add(1)
		}
	})
	_ = fr.commits(w) // TestSweep has looked at how this ends
}

// strike lives through commits while the calls from the n-th on fail, and then
// through the time after. It is false when no call failed.
func (fr *faulter) strike(w *world, f fault, n int, when string, commits []*plan.Target) bool {
	f.after = n
	if fr.story != nil {
		w.log = new(bytes.Buffer)
	}
	w.hook(func(effect string) {
		if w.log != nil {
			fmt.Fprintln(w.log, "   ", effect)
		}
	})
	f.arm(w)
	l := &life{faulter: fr, w: w, where: fmt.Sprintf("%s, %s after %d calls", when, f.name, n)}
	for i, c := range commits {
		w.last = i == len(commits)-1
		l.passes(c)
	}
	if f.struck == 0 {
		return false
	}
	fr.total.points.Add(1)
	if f.err == syscall.ENOSPC {
		l.mustBeWhole("although only space is missing")
	}
	l.afterwards(commits[len(commits)-1])
	if fr.failed && fr.story != nil {
		fmt.Fprintf(fr.story, "%s\n", w.log)
	}
	return true
}

// life is a daemon that makes passes as the real one does.
type life struct {
	*faulter
	w     *world
	h     *Host // nil: it does not run
	where string
}

// somePasses is how often a commit is looked at before the world goes on.
const somePasses = 4

func (l *life) passes(c *plan.Target) (last Outcome) {
	for range somePasses {
		outcome, err := l.pass(c)
		l.isTrue(c, outcome, err)
		if last = outcome; err == nil && outcome.Result != ResultUndone {
			break
		}
	}
	return last
}

// pass starts the daemon where it does not run, mends what is open, and looks at
// the commit.
func (l *life) pass(c *plan.Target) (Outcome, error) {
	ctx := context.Background()
	if l.h == nil {
		h, err := l.w.host()
		if err != nil {
			return Outcome{}, err
		}
		l.h = h
	}
	if open := l.h.Open; !l.h.recovered || open != nil && open.phase != PhaseWatch && open.phase != PhaseHeld {
		if _, err := l.h.Recover(ctx); err != nil {
			return Outcome{}, err
		}
	}
	switch {
	case l.h.isWatching() && (l.w.last || !l.w.s.overtaken[l.h.Open.Commit]):
		return l.h.watch(ctx)
	case l.h.Open == nil || l.h.Open.phase != PhaseHeld:
	case l.h.Open.Commit == c.Commit || l.h.passHeld(ctx) != nil:
		return Outcome{Result: ResultHeld}, nil
	}
	return deployTarget(l.h, c)
}

// isTrue compares what a pass says with the host.
func (l *life) isTrue(c *plan.Target, o Outcome, err error) {
	if err != nil {
		l.w.die() // a verdict that could not be recorded may be forgotten
	}
	switch {
	case err == nil && (o.Result == ResultWatching || o.Result == ResultHeld):
		if l.h.Open == nil {
			l.wrong(l.where, "%s is %q and no attempt is open", c.Commit, o.Result)
		}
	case l.h == nil || l.h.Open != nil: // it is not said to be over
		if err == nil {
			l.wrong(l.where, "%s is %q and an attempt is open in phase %s", c.Commit, o.Result, l.h.Open.phase)
		}
	default:
		l.mustBeWhole(fmt.Sprintf("although it is said that %s is %q, error %v", c.Commit, o.Result, err))
	}
}

// mustBeWhole makes sure that services read the files of one commit.
func (l *life) mustBeWhole(although string) {
	end := l.w.state()
	for _, legal := range l.legal {
		if sameFiles(end.tree, legal.tree) && slices.Equal(end.procs, legal.procs) {
			return
		}
	}
	l.wrong(l.where, "the host is neither at the start nor at a healthy commit, %s:\n%s", although, l.differs(end))
}

// afterwards mends the fault and lets time go on, with the same daemon, another
// one, or another boot.
func (l *life) afterwards(last *plan.Target) {
	l.w.mend()
	l.w.last = true
	switch l.rng.IntN(3) {
	case 0:
		l.where += ", it is mended"
	case 1:
		l.where += ", it is mended, the daemon is killed"
		l.w.die()
		l.h = nil
	case 2:
		l.where += ", it is mended, the power goes"
		l.w.die()
		l.h = nil
		if err := l.w.powerCut(l.rng); err != nil {
			l.wrong(l.where, "%v", err)
			return
		}
	}
	if outcome := l.passes(last); outcome.Result == ResultHeld {
		l.total.held.Add(1)
		l.where += ", a person asks for a retry"
		err := l.h.Open.move(l.h.State, PhaseUndo)
		if err == nil {
			_, err = l.h.putBack(context.Background(), "taken back once more")
		}
		if err != nil || l.h.Open != nil {
			l.wrong(l.where, "the host cannot be put back: %v", err)
			return
		}
	}
	l.mustBeWhole("in the end")
	l.where += ", and the daemon is started once more"
	l.w.die()
	l.w.unhook()
	if _, err := recoverWorld(l.w); err != nil {
		l.wrong(l.where, "%v", err)
	}
	l.check(l.w, l.where)
}
