package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"evenkeel/agent/health"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// probation is a host in memory on which the real prober watches commits. The
// network and the checks are as the test says.
type probation struct {
	t       *testing.T
	w       *world
	h       *Host
	offline bool
	red     map[string]bool // programs of checks that fail

	mu    sync.Mutex // checks run side by side
	tried map[string]int
}

func newProbation(t *testing.T) *probation {
	t.Helper()
	p := &probation{t: t, w: newWorld(&scenario{version: 257}), red: map[string]bool{}, tried: map[string]int{}}
	p.start()
	return p
}

// start starts the daemon on what is on the disk.
func (p *probation) start() {
	p.t.Helper()
	h, err := p.w.host()
	if err != nil {
		p.t.Fatal(err)
	}
	h.Probation = 10 * time.Second
	h.Guard = GuardConfig{Deadline: time.Minute, Checks: []plan.Check{{Exec: []string{"/gateway"}}}}.service()
	h.Health = &health.Prober{Manager: p.w.sd, Reach: p.reach, Exec: p.exec}
	p.h = h
}

func (p *probation) reach(context.Context) error {
	if p.offline {
		return errors.New("no route to host")
	}
	return nil
}

func (p *probation) exec(_ context.Context, check plan.Check) ([]byte, error) {
	p.mu.Lock()
	p.tried[check.Exec[0]]++
	p.mu.Unlock()
	if p.red[check.Exec[0]] {
		return []byte("the database is gone\n"), errors.New("exit status 1")
	}
	return nil, nil
}

// commit is a target with a version of the application and a check of it.
func (p *probation) commit(name string, version int, checks ...string) *plan.Target {
	target := (&spec{db: version, app: version, appConf: version, motd: version}).target(name, p.w)
	service := plan.Service{Deadline: 20 * time.Second, Enabled: true}
	for _, program := range checks {
		service.Checks = append(service.Checks, plan.Check{Exec: []string{program}})
	}
	target.Services["app.service"] = service
	return target
}

// deploy brings the host to a target, as a pass does.
func (p *probation) deploy(target *plan.Target) Outcome {
	p.t.Helper()
	return p.deployUntil(p.t.Context(), target)
}

func (p *probation) deployUntil(ctx context.Context, target *plan.Target) Outcome {
	p.t.Helper()
	n, err := p.h.observe(ctx, target)
	if err != nil {
		p.t.Fatal(err)
	}
	outcome, err := p.h.deploy(ctx, p.h.complete(target, manifest.Digest(target), target.Commit, n), n)
	if err != nil {
		p.t.Fatal(err)
	}
	return outcome
}

// begin deploys a target and interrupts its watch after a while.
func (p *probation) begin(target *plan.Target, after time.Duration) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), after)
	defer cancel()
	if outcome := p.deployUntil(ctx, target); outcome.Result != ResultWatching {
		p.t.Fatalf("%s is not on probation: %+v", target.Commit, outcome)
	}
}

func (p *probation) is(outcome Outcome, want Result, why string) {
	p.t.Helper()
	if outcome.Result != want || !strings.Contains(outcome.Reason, why) {
		p.t.Fatalf("it ends as %q: %s; want %q: %s", outcome.Result, outcome.Reason, want, why)
	}
}

// at checks which version of the files the host has.
func (p *probation) at(version string) {
	p.t.Helper()
	for _, file := range []string{"/etc/motd", "/etc/app/app.conf"} {
		if text, _ := p.w.disk.ReadFile(file); !strings.HasSuffix(string(text), version+"\n") {
			p.t.Errorf("%s says %q, want version %s", file, text, version)
		}
	}
}

// inTime runs a test in which only waiting takes time.
func inTime(t *testing.T, test func(t *testing.T, p *probation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newProbation(t)) })
}

// breaking deploys a target whose services break something when they start.
func (p *probation) breaking(target *plan.Target, breaks func()) Outcome {
	p.t.Helper()
	p.breaks(breaks)
	return p.deploy(target)
}

// breaks breaks something with the next apply, and mends it with the revert of it.
func (p *probation) breaks(something func()) {
	red, done := maps.Clone(p.red), false
	p.h.Phase = func(stage Stage, _ string) {
		switch {
		case stage == StageApplying && !done:
			done = true
			something()
		case stage == StageReverting:
			p.red, p.offline = red, false
		}
	}
}

func (p *probation) reds(programs ...string) func() {
	return func() {
		for _, program := range programs {
			p.red[program] = true
		}
	}
}

func TestCommitThatCutsTheNetworkGoesBack(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		p.h.Reverted = func(cause Cause) {
			if cause != CauseGuard {
				t.Errorf("the cause is %q", cause)
			}
		}
		begin := time.Now()
		p.is(p.breaking(p.commit("two", 2, "/app"), func() { p.offline = true }), ResultRejected, "the repository does not answer any more")
		p.at("1")
		if took := time.Since(begin); took > 2*time.Minute {
			t.Errorf("the host was cut off for %s", took)
		}
	})
}

// Also on a host where no commit was good yet: it goes back to how it was found.
func TestFirstCommitThatCutsTheNetworkGoesBack(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		before := p.w.state()
		p.is(p.breaking(p.commit("one", 1), func() { p.offline = true }), ResultRejected, "the repository does not answer any more")
		if got := p.w.state(); !got.equal(before) {
			t.Errorf("the host is not as it was found:\n%s", got.differs(before))
		}
	})
}

func TestRepositoryThatWasDownBeforeIsNoEvidence(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.offline = true
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "guard repository")
		p.is(p.deploy(p.commit("two", 2, "/app")), ResultGood, "except for what failed before as well: guard repository")
		p.at("2")
	})
}

func TestCheckOfTheGuardCounts(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		p.is(p.breaking(p.commit("two", 2, "/app"), p.reds("/gateway")), ResultRejected, `check "guard exec /gateway"`)
		p.at("1")
	})
}

// The guard of an interrupted watch is in the record: a daemon that was started
// again asks the same.
func TestGuardSurvivesARestartOfTheDaemon(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		p.begin(p.commit("two", 2, "/app"), 5*time.Second)
		p.start()
		p.offline = true
		watch, err := p.h.Recover(t.Context())
		if err != nil || !watch {
			t.Fatalf("the watch is not begun anew: %v, %v", watch, err)
		}
		outcome, err := p.h.watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.is(outcome, ResultRejected, "the repository does not answer any more")
		p.at("1")
	})
}

func TestCheckThatWasRedBeforeIsAnException(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app", "/cache")), ResultGood, "")
		p.red["/cache"] = true
		p.is(p.deploy(p.commit("two", 2, "/app", "/cache")), ResultGood, "except for what failed before as well: app.service exec /cache")
		p.at("2")
		if want := []string{"app.service exec /cache"}; !slices.Equal(p.h.Ledger.Good.Except, want) {
			t.Errorf("the record says good except %q, want %q", p.h.Ledger.Good.Except, want)
		}
		p.is(p.breaking(p.commit("three", 3, "/app", "/cache"), p.reds("/app")), ResultRejected, "/app")
		p.at("2")
	})
}

// The service that a new check asks about was not there before the commit, so of
// course the check failed. It must pass all the same.
func TestNewCheckMustPass(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		p.red["/new"] = true
		p.is(p.deploy(p.commit("two", 2, "/app", "/new")), ResultRejected, `check "app.service exec /new" did not pass`)
		p.at("1")
	})
}

// A commit broke a check and the next one came while it was on probation: what the
// first broke must not excuse the second.
func TestOvertakingCommitIsNotExcusedByTheOneBeforeIt(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		p.breaks(p.reds("/app"))
		p.begin(p.commit("two", 2, "/app"), 5*time.Second)
		p.is(p.deploy(p.commit("three", 3, "/app")), ResultRejected, `check "app.service exec /app" did not pass`)
		p.at("1")
	})
}

// Two bad commits, one after the other and one overtaking the other: the host is
// at the good one both times.
func TestTwoBadCommitsInARowGoBackToTheGoodOne(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		good := p.w.state()
		p.red["/bad"] = true
		p.is(p.deploy(p.commit("two", 2, "/app", "/bad")), ResultRejected, "/bad")
		p.is(p.deploy(p.commit("three", 3, "/app", "/bad")), ResultRejected, "/bad")
		p.begin(p.commit("four", 2, "/bad"), 3*time.Second)
		p.is(p.deploy(p.commit("five", 3, "/bad")), ResultRejected, "/bad")
		if got := p.w.state(); !maps.Equal(got.tree, good.tree) {
			t.Errorf("the host is not as it was:\n%s", got.differs(good))
		}
		if p.h.Ledger.Good.Commit != "one" {
			t.Errorf("good is %s", p.h.Ledger.Good.Commit)
		}
	})
}

// The repository may ask for a longer probation than the host, not for a shorter
// one.
func TestProbationIsTheLongerOfWhatHostAndRepositorySay(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{0: 10 * time.Second, time.Second: 10 * time.Second, time.Minute: time.Minute} {
		inTime(t, func(t *testing.T, p *probation) {
			target := p.commit("one", 1)
			target.Probation = asked
			begin := time.Now()
			p.is(p.deploy(target), ResultGood, "")
			if took := time.Since(begin); took < want || took > want+5*time.Second {
				t.Errorf("asked for %s, probation took %s, want %s", asked, took, want)
			}
		})
	}
}

// What a failing check says is in the rejection and in the history.
func TestFirstLinesOfAFailingCheckAreKept(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		p.is(p.breaking(p.commit("two", 2, "/app"), p.reds("/app")), ResultRejected, "/app")
		const said = "the database is gone"
		if r, _ := p.h.Ledger.IsRejected("two", ""); !strings.Contains(r.Evidence, said) {
			t.Errorf("the rejection keeps %q", r.Evidence)
		}
		history := p.h.Ledger.History
		if e := history[len(history)-1]; !strings.Contains(e.Evidence, said) {
			t.Errorf("the history keeps %q", e.Evidence)
		}
	})
}
