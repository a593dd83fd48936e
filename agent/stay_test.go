package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// holding is a commit that says on_failure: hold.
func (p *probation) holding(name string, version int, checks ...string) *plan.Target {
	target := p.commit(name, version, checks...)
	target.OnFailure = plan.Hold
	return target
}

// held checks that the host stays at an attempt that failed.
func (p *probation) held(outcome Outcome, commit, why string) {
	p.t.Helper()
	p.is(outcome, ResultHeld, why)
	switch hold := p.h.Ledger.Hold; {
	case p.h.Open == nil || p.h.Open.phase != PhaseStay || p.h.Open.Commit != commit:
		p.t.Fatalf("the host does not stay at %s: %+v", commit, p.h.Open)
	case hold == nil || hold.Asks || hold.Commit != commit || !strings.Contains(hold.Reason, why):
		p.t.Fatalf("the record does not say why: %+v", hold)
	}
}

func TestCommitWithoutAWayBackStaysAndHolds(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		p.held(p.breaking(p.holding("two", 2, "/app"), p.reds("/app")), "two", "on_failure: hold")
		p.at("2")
		if good := p.h.Ledger.Good.Commit; good != "one" {
			t.Errorf("good is %s", good)
		}

		p.start()
		if watch, err := p.h.Recover(t.Context()); watch || err != nil {
			t.Fatalf("a start of the daemon changes something: %v, %v", watch, err)
		}
		p.at("2")
		if p.h.Ledger.Hold == nil {
			t.Error("a start of the daemon forgets the hold")
		}
	})
}

// What a person says, and what another commit does: both go on from where the
// host is.
func TestHoldEndsWithARetryOrAnotherCommit(t *testing.T) {
	for about, next := range map[string]func(p *probation) *plan.Target{
		"the same commit, whose migration only was slow": func(p *probation) *plan.Target { return p.holding("two", 2, "/app") },
		"a fix": func(p *probation) *plan.Target { return p.commit("three", 3, "/app") },
		"a commit that asks for the good one again": func(p *probation) *plan.Target { return p.commit("three", 1, "/app") },
	} {
		t.Run(about, func(t *testing.T) {
			inTime(t, func(t *testing.T, p *probation) {
				p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
				p.held(p.breaking(p.holding("two", 2, "/app"), p.reds("/app")), "two", "/app")
				p.h.Phase, p.red = nil, map[string]bool{}
				target := next(p)
				p.is(p.deploy(target), ResultGood, "")
				if p.h.Ledger.Hold != nil || p.h.Open != nil || p.h.Ledger.Good.Commit != target.Commit {
					t.Errorf("hold %+v, open %+v, good %s", p.h.Ledger.Hold, p.h.Open, p.h.Ledger.Good.Commit)
				}
			})
		})
	}
}

// The fix of a migration is no better: there is still no way back, although the
// fix does not say so itself.
func TestCommitAfterOneWithoutAWayBackHoldsAsWell(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		p.held(p.breaking(p.holding("two", 2, "/app"), p.reds("/app")), "two", "/app")
		p.h.Phase = nil
		p.held(p.deploy(p.commit("three", 3, "/app")), "three", "/app")
		p.at("3")

		p.red = map[string]bool{}
		p.is(p.deploy(p.commit("four", 1, "/app")), ResultGood, "")
		p.is(p.breaking(p.commit("five", 2, "/app"), p.reds("/app")), ResultRejected, "")
		p.at("1")
	})
}

// follower is a daemon on the host, as far as people's words and rejections need it.
func (p *probation) follower() *daemon {
	return &daemon{host: p.h, cfg: Config{Host: "host"}, log: slog.New(slog.DiscardHandler)}
}

func candidateOf(target *plan.Target) *candidate {
	return &candidate{target: target, digest: manifest.Digest(target)}
}

// TestHeldCommitIsNotTriedAgainAfterARollback: a commit failed and was held, a person
// went back from it, and "resume" had it applied, and fail, once more.
func TestHeldCommitIsNotTriedAgainAfterARollback(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		one, two := p.commit("one", 1, "/app"), p.holding("two", 2, "/app")
		p.is(p.deploy(one), ResultGood, "")
		p.held(p.breaking(two, p.reds("/app")), "two", "/app")
		p.h.Phase, p.red = nil, map[string]bool{}
		p.start()
		d := p.follower()
		d.heedRollback([]byte("one"))
		if outcome, stop := d.notThis(candidateOf(one)); stop {
			t.Fatalf("nobody goes back: %+v", outcome)
		}
		p.is(p.deploy(one), ResultGood, "")
		d.heedResume(nil)
		for about, target := range map[string]*plan.Target{
			"the commit itself":              two,
			"another one that asks the same": p.holding("three", 2, "/app"),
			"the same without the trailer":   p.commit("four", 2, "/app"),
		} {
			outcome, stop := d.notThis(candidateOf(target))
			if !stop || outcome.Result != ResultRejected || !strings.Contains(outcome.Reason, "/app") {
				t.Errorf("%s: %+v, %v", about, outcome, stop)
			}
		}

		d.heedRetry(nil)
		if outcome, stop := d.notThis(candidateOf(two)); stop {
			t.Fatalf("a person's retry counts for nothing: %+v", outcome)
		}
		p.is(p.deploy(two), ResultGood, "")
	})
}

// A commit that asks for just what is held here is no fix: it is rejected, and the host
// is held as before, until a person says retry.
func TestCommitThatAsksForWhatIsHeldIsRejected(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		p.held(p.breaking(p.holding("two", 2, "/app"), p.reds("/app")), "two", "/app")
		p.h.Phase, p.red = nil, map[string]bool{}
		d, same := p.follower(), p.commit("three", 2, "/app")
		outcome, _ := d.notThis(candidateOf(same))
		p.held(outcome, "two", "/app")
		if r, _ := p.h.Ledger.IsRejected("three", ""); !strings.Contains(r.Reason, "the same as commit two") {
			t.Errorf("it is not remembered as rejected: %+v", r)
		}
		d.heedRetry(nil)
		if outcome, stop := d.notThis(candidateOf(same)); stop {
			t.Fatalf("a person's retry counts for nothing: %+v", outcome)
		}
		p.is(p.deploy(same), ResultGood, "")
	})
}

// A question about a newer commit took the place of the hold. When that commit is gone
// the host still stays at what failed.
func TestHoldComesBackAfterAQuestionAboutAnotherCommit(t *testing.T) {
	inTime(t, func(t *testing.T, p *probation) {
		p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
		p.held(p.breaking(p.holding("two", 2, "/app"), p.reds("/app")), "two", "/app")
		p.follower().holdAsking(Hold{Reason: "it takes much away", Question: &Question{Commit: "three"}})
		p.h.forgetQuestion("two")
		p.start()
		hold := p.h.holdHere()
		if hold == nil || hold.Asks || !strings.Contains(hold.Reason, "/app") {
			t.Errorf("the hold is %+v", hold)
		}
	})
}

// A reboot, or a crash of the daemon, while such a commit is watched: nobody goes
// back, and it is watched again.
func TestWatchOfACommitWithoutAWayBackGoesOnAfterAReboot(t *testing.T) {
	for _, ill := range []bool{false, true} {
		t.Run(fmt.Sprint(ill), func(t *testing.T) {
			inTime(t, func(t *testing.T, p *probation) {
				p.is(p.deploy(p.commit("one", 1, "/app")), ResultGood, "")
				p.begin(p.holding("two", 2, "/app"), 5*time.Second)
				if err := p.w.powerCut(rand.New(rand.NewPCG(1, 1))); err != nil {
					t.Fatal(err)
				}
				p.start()
				p.red["/app"] = ill
				watch, err := p.h.Recover(t.Context())
				if err != nil || !watch {
					t.Fatalf("it is not watched again: %v, %v", watch, err)
				}
				outcome, err := p.h.watch(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if ill {
					p.held(outcome, "two", "/app")
				} else {
					p.is(outcome, ResultGood, "")
				}
				p.at("2")
			})
		})
	}
}

// A crash before every effect of a commit without a way back, of the daemon or of
// the whole host: afterwards the files are all old or all new, and never go back
// once the first service may have seen them.
func TestCrashOfACommitWithoutAWayBackLeavesItWhole(t *testing.T) {
	s := &scenario{version: 257}
	start := newWorld(s)
	start.last = true
	base := (&spec{db: 1, app: 1, appConf: 1, motd: 1}).target("one", start)
	deployed(t, start, base)
	target := (&spec{db: 2, app: 2, appConf: 2, motd: 2}).target("two", start)
	target.OnFailure = plan.Hold

	old := start.sd.Processes()["app.service"].Inputs["/etc/app/app.conf"]
	rng := rand.New(rand.NewPCG(1, 2))
	w := start.clone()
	ends := map[string]int{}
	w.hook(func(effect string) {
		for _, power := range []bool{false, true} {
			dead := w.clone()
			where := fmt.Sprintf("killed before %q", effect)
			if power {
				where = fmt.Sprintf("power cut before %q", effect)
				if err := dead.powerCut(rng); err != nil {
					t.Fatalf("%s: %v", where, err)
				}
			}
			ends[wholeAfter(t, dead, where, old)]++
		}
	})
	deployed(t, w, target)
	t.Logf("ends: %v", ends)
	if ends["one"] == 0 || ends["two"] == 0 {
		t.Errorf("the crashes prove too little: %v", ends)
	}
}

// wholeAfter starts the daemon after a crash and tells at which commit the files
// are.
func wholeAfter(t *testing.T, w *world, where, old string) string {
	t.Helper()
	started := w.sd.Processes()["app.service"].Inputs["/etc/app/app.conf"]
	h, err := w.host()
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	watch, err := h.Recover(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	at := map[string]bool{}
	for _, file := range []string{"/etc/motd", "/etc/app/app.conf", "/etc/systemd/system/app.service", "/etc/systemd/system/db.service"} {
		text, _ := w.disk.ReadFile(file)
		at[map[bool]string{true: "one", false: "two"}[strings.Contains(string(text), "1\n")]] = true
	}
	if len(at) != 1 {
		t.Fatalf("%s: the files are of both commits", where)
	}
	switch {
	case h.Open == nil && at["two"] && h.Ledger.Good.Commit != "two":
		t.Fatalf("%s: the host is at two, which is neither open nor good", where)
	case h.Open != nil && at["one"]:
		t.Fatalf("%s: the host went back while the attempt is open in phase %s", where, h.Open.phase)
	case h.Open != nil && !watch && h.Open.phase != PhaseStay:
		t.Fatalf("%s: the attempt is left in phase %s", where, h.Open.phase)
	case at["one"] && started != old && started != "":
		t.Fatalf("%s: app.service ran with the new files, and they are gone", where)
	}
	if at["one"] {
		return "one"
	}
	return "two"
}

// TestEditOnAHostThatStaysAtAFailedCommit: each later commit ended with "cannot replace
// it: changed by somebody else", and a retry with "cannot find the staged file". The host
// never left the commit that had failed.
func TestEditOnAHostThatStaysAtAFailedCommit(t *testing.T) {
	base := spec{db: 1, app: 1, dbConf: 1, appConf: 1, vendorConf: 1, motd: 1, deep: 1, link: 1, dir: 1}
	failed := base
	failed.motd, failed.issue, failed.deep = 2, 1, 0
	edits := map[string]struct {
		do   func(w *world)
		kept string // what a person wrote
	}{
		"a file is written over in place": {func(w *world) { w.disk.Overwrite("/etc/motd", "precious\n") }, "precious\n"},
		"a file is replaced":              {func(w *world) { w.disk.PutFile("/etc/motd", "precious\n", rootFile) }, "precious\n"},
		"a file is removed":               {func(w *world) { w.disk.Delete("/etc/motd") }, ""},
		"a new file is written over":      {func(w *world) { w.disk.Overwrite("/etc/issue", "precious\n") }, "precious\n"},
		"a new file is removed":           {func(w *world) { w.disk.Delete("/etc/issue") }, ""},
		"a removed file is there again":   {func(w *world) { w.disk.PutFile("/etc/app/deep/er/x", "precious\n", rootFile) }, "precious\n"},
	}
	for about, edit := range edits {
		for what, next := range map[string]func(s *spec) string{
			"a fix":         func(s *spec) string { s.motd, s.issue = 3, 3; return "fix" },
			"the good one":  func(s *spec) string { *s = base; return "back" },
			"another retry": func(*spec) string { return "next" },
		} {
			t.Run(about+", then "+what, func(t *testing.T) {
				w, _ := keptWorld(t, nil)
				w.s.sick["next"] = true
				target := failed.target("next", w)
				target.OnFailure = plan.Hold
				if outcome, err := deployTarget(mustHost(t, w), target); err != nil || outcome.Result != ResultHeld {
					t.Fatalf("it ends as %q: %s %v", outcome.Result, outcome.Reason, err)
				}
				edit.do(w)
				w.s.sick["next"] = false
				if what == "another retry" {
					retried(t, w)
				}
				s := failed
				commit := next(&s)
				target = s.target(commit, w)
				ends := func(w *world, where string) {
					h, err := goOn(w, target)
					if err != nil {
						t.Fatalf("%s: %v", where, err)
					}
					mustDrift(t, mustHost(t, w))
					list, err := readAllKept(h.State)
					if err != nil || edit.kept != "" && (len(list) != 1 || string(list[0].Content) != edit.kept) {
						t.Errorf("%s: kept is %+v, %v", where, list, err)
					}
				}
				rng := rand.New(rand.NewPCG(1, 2))
				live := w.clone()
				live.hook(func(effect string) {
					ends(live.clone(), "killed before "+effect)
					cut := live.clone()
					if err := cut.powerCut(rng); err != nil {
						t.Fatal(err)
					}
					ends(cut, "power cut before "+effect)
				})
				ends(live, "undisturbed")
			})
		}
	}
}

// retried is a host whose daemon heard a person say retry.
func retried(t *testing.T, w *world) {
	t.Helper()
	d := &daemon{host: mustHost(t, w), cfg: Config{Host: "host"}, log: slog.New(slog.DiscardHandler)}
	d.heedRetry(nil)
	if err := d.host.Ledger.save(d.host.State); err != nil {
		t.Fatal(err)
	}
}

// goOn is a daemon that starts on a host and follows a commit until it is good.
func goOn(w *world, target *plan.Target) (*Host, error) {
	h, err := w.host()
	if err != nil {
		return nil, err
	}
	if watch, err := h.Recover(context.Background()); err != nil {
		return nil, err
	} else if watch {
		_, err = h.watch(context.Background())
		return h, err
	}
	if h.Open == nil && h.Ledger.Good.Commit == target.Commit {
		return h, nil
	}
	outcome, err := deployTarget(h, target)
	if err == nil && outcome.Result != ResultGood {
		err = fmt.Errorf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	return h, err
}
