package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// tries is a host on which one check passes or fails as a function of the time,
// and which remembers when it was tried.
type tries struct {
	begin time.Time
	pass  func(since time.Duration) bool
	at    []time.Duration
}

func (t *tries) exec(context.Context, plan.Check) ([]byte, error) {
	since := time.Since(t.begin)
	t.at = append(t.at, since)
	if t.pass(since) {
		return nil, nil
	}
	return []byte("no\n"), errors.New("exit status 1")
}

func always(time.Duration) bool { return true }

// during fails between two moments only.
func during(begin, end time.Duration) func(time.Duration) bool {
	return func(since time.Duration) bool { return since < begin || since >= end }
}

func TestTrial(t *testing.T) {
	const probation, deadline = 30 * sec, 20 * sec
	for _, row := range []struct {
		about     string
		check     plan.Check
		pass      func(time.Duration) bool
		untouched bool

		why     string // "" when it passes
		first   time.Duration
		tries   int // at least, and at most two more
		tookMax time.Duration
	}{
		{
			about: "tries are a second apart, through probation and once at its end",
			pass:  always, tries: 31, tookMax: probation,
		},
		{
			about: "an interval parts them",
			check: plan.Check{Interval: 10 * sec},
			pass:  always, tries: 4, tookMax: probation,
		},
		{
			about: "an interval longer than probation leaves the last try",
			check: plan.Check{Interval: time.Hour},
			pass:  always, tries: 2, tookMax: probation,
		},
		{
			about: "the start delay comes before the first try",
			check: plan.Check{StartDelay: 7 * sec},
			pass:  always, first: 7 * sec, tries: 24, tookMax: probation,
		},
		{
			about: "there is no start to wait for when the commit does not touch the service",
			check: plan.Check{StartDelay: 7 * sec}, untouched: true,
			pass: always, tries: 31, tookMax: probation,
		},
		{
			about: "the start delay is part of the deadline",
			check: plan.Check{StartDelay: 7 * sec},
			pass:  never, first: 7 * sec, why: "did not pass within 20s", tries: 14, tookMax: deadline,
		},
		{
			about: "one try is not enough where three in a row are asked for",
			check: plan.Check{Successes: 3},
			pass:  func(since time.Duration) bool { return int(since/sec)%3 != 2 },
			why:   "did not pass 3 times in a row within 20s", tries: 20, tookMax: deadline,
		},
		{
			about: "three in a row are",
			check: plan.Check{Successes: 3, Failures: 100},
			pass:  during(2*sec, 3*sec), tries: 31, tookMax: probation,
		},
		{
			about: "two lost tries are put up with",
			pass:  during(10*sec, 12*sec), tries: 31, tookMax: probation,
		},
		{
			about: "three are not",
			pass:  during(10*sec, 13*sec), why: "does not pass any more", tries: 13, tookMax: 13 * sec,
		},
		{
			about: "one is not where one failure is asked for",
			check: plan.Check{Failures: 1},
			pass:  during(10*sec, 11*sec), why: "does not pass any more", tries: 11, tookMax: 11 * sec,
		},
		{
			about: "failures far from each other are put up with",
			pass:  func(since time.Duration) bool { return int(since/sec)%5 != 4 }, tries: 31, tookMax: probation,
		},
		{
			about: "failures before it has passed do not count",
			pass:  from(19 * sec), tries: 31, tookMax: probation,
		},
	} {
		t.Run(row.about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := &tries{begin: time.Now(), pass: row.pass}
				p := &Prober{Manager: &story{begin: host.begin, units: map[string][]state{"app.service": {{0, running("a")}}}}, Exec: host.exec}
				row.check.Exec = []string{"/check"}
				w := Watched{Name: "app.service", Was: running("a"), ChecksOnly: row.untouched,
					Service: plan.Service{Deadline: deadline, Checks: []plan.Check{row.check}}}
				got := p.Watch(t.Context(), []Watched{w}, probation, nil)
				why := ""
				for _, f := range got.Findings {
					why += f.Why
				}
				if got.OK != (row.why == "") || !strings.Contains(why, row.why) {
					t.Errorf("OK %v, %q; want %q", got.OK, why, row.why)
				}
				if host.at[0] != row.first {
					t.Errorf("the first try is after %s, want %s", host.at[0], row.first)
				}
				if n := len(host.at); n < row.tries || n > row.tries+2 {
					t.Errorf("%d tries at %v, want %d", n, host.at, row.tries)
				}
				if took := time.Since(host.begin); took > row.tookMax+sec || took < row.tookMax-2*sec {
					t.Errorf("took %s, want %s", took, row.tookMax)
				}
			})
		})
	}
}

// Twenty programs that never answer, in front of a service that is slow and well:
// its time does not run while it stands in line for a try.
func TestChecksThatHangDoNotEatTheTimeOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var hanging []string
		baseline := map[string]bool{}
		for i := range 20 {
			program := fmt.Sprintf("/hangs-%d", i)
			hanging = append(hanging, program)
			baseline["bad.service exec "+program] = false // known to be bad, so they do not end the watch
		}
		host := &answers{begin: begin, hangs: time.Hour, hang: hanging, pass: map[string]func(time.Duration) bool{"/app": from(14 * sec)}}
		p := &Prober{Manager: &story{begin: begin, units: map[string][]state{"app.service": {{0, running("a")}}}}, Exec: host.exec}
		bad := service(40*sec, hanging...)
		for i := range bad.Checks {
			bad.Checks[i].Timeout = 10 * sec
		}
		got := p.Watch(t.Context(), []Watched{
			{Name: "bad.service", Service: bad, ChecksOnly: true},
			{Name: "app.service", Was: running("a"), Service: service(15*sec, "/app")},
		}, 30*sec, baseline)
		if !got.OK || len(got.StillRed) != len(hanging) || host.most > atOnce {
			t.Errorf("OK %v, %d still red, %d tries at once; findings %+v", got.OK, len(got.StillRed), host.most, got.Findings)
		}
		if took := time.Since(begin); took > 2*time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

// A check that hung before the commit is asked once: its timeout is long enough
// to wait.
func TestBaselineAsksWhatHangsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		host := &answers{begin: begin, hangs: time.Hour}
		p := &Prober{Exec: host.exec}
		slow := service(time.Hour, "/slow")
		slow.Checks[0].Timeout = time.Minute
		got := p.Baseline(t.Context(), map[string]plan.Service{"a.service": slow})
		if green, known := got["a.service exec /slow"]; green || !known {
			t.Errorf("baseline %v", got)
		}
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("took %s, want one try of a minute", took)
		}
	})
}

// The repository is asked until it answers, and then not before the end: hosts
// on probation must not be a flood.
func TestRepositoryIsAskedAtBothEndsOfAWatch(t *testing.T) {
	ask := plan.Check{Repository: true, Interval: 2 * sec, Failures: 2}
	for _, row := range []struct {
		about    string
		answers  func(since time.Duration) bool
		baseline map[string]bool
		why      string
		at       []time.Duration
	}{
		{about: "it answers", answers: always, at: []time.Duration{0, 60 * sec}},
		{about: "it comes back within the deadline", answers: from(3 * sec), at: []time.Duration{0, 2 * sec, 4 * sec, 60 * sec}},
		{about: "it is gone for good", answers: never, why: "does not answer any more, not even within 10s", at: []time.Duration{0, 2 * sec, 4 * sec, 6 * sec, 8 * sec, 10 * sec}},
		{about: "it goes while the commit is watched", answers: until(30 * sec), why: "does not answer any more", at: []time.Duration{0, 60 * sec, 62 * sec}},
		{about: "it was gone before", answers: never, baseline: map[string]bool{"guard repository": false},
			at: []time.Duration{0, 2 * sec, 4 * sec, 6 * sec, 8 * sec, 10 * sec}},
	} {
		t.Run(row.about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var at []time.Duration
				p := &Prober{Manager: &story{begin: begin}, Reach: func(context.Context) error {
					at = append(at, time.Since(begin))
					if row.answers(time.Since(begin)) {
						return nil
					}
					return errors.New("no route to host")
				}}
				guard := Watched{Name: "guard", ChecksOnly: true, Service: plan.Service{Deadline: 10 * sec, Checks: []plan.Check{ask}}}
				got := p.Watch(t.Context(), []Watched{guard}, 60*sec, row.baseline)
				why := ""
				for _, f := range got.Findings {
					why += f.Why
				}
				if got.OK != (row.why == "") || !strings.Contains(why, row.why) {
					t.Errorf("OK %v, %q; want %q", got.OK, why, row.why)
				}
				if !slices.Equal(at, row.at) {
					t.Errorf("asked at %v, want %v", at, row.at)
				}
			})
		})
	}
	if got := (&Prober{}).Try(t.Context(), ask); !got.OK {
		t.Errorf("where nobody knows the repository, nothing can be said against a commit: %+v", got)
	}
}

// What a timer, path or socket starts counts when it ran during the attempt, and
// only then.
func TestWhatATriggerStartsCountsWhenItRan(t *testing.T) {
	timer := func(d *units.Detail) { d.Type, d.Triggers = "", []string{"backup.service"} }
	ran := func(at time.Duration) func(*units.Detail) {
		return func(d *units.Detail) { d.MainStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(at) } // as synctest begins
	}
	for _, row := range []struct {
		about  string
		job    []state
		before []string
		why    string
	}{
		{about: "a job that has not run yet says nothing", job: nil},
		{about: "a job that failed before the attempt says nothing", job: []state{{0, unit("failed", "failed", "a", oneshot, result("exit-code", 1), ran(-time.Hour))}}},
		{about: "a job that runs now says nothing", job: []state{{5 * sec, unit("activating", "start", "b", oneshot, ran(5*sec))}}},
		{about: "a job that ran well is well", job: []state{{5 * sec, unit("inactive", "dead", "b", oneshot, ran(5*sec))}}},
		{about: "a job that ran and failed is the commit's failure", job: []state{{5 * sec, unit("failed", "failed", "b", oneshot, result("exit-code", 1), ran(5*sec))}},
			why: "it started backup.service, which failed"},
		{about: "a job whose last run had failed as well is not", job: []state{{5 * sec, unit("failed", "failed", "b", oneshot, result("exit-code", 1), ran(5*sec))}},
			before: []string{"backup.service"}},
	} {
		t.Run(row.about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				waiting := unit("active", "waiting", "t", timer)
				p := &Prober{Manager: &story{begin: begin, units: map[string][]state{"backup.timer": {{0, waiting}}, "backup.service": row.job}}}
				w := Watched{Name: "backup.timer", Was: waiting, Since: begin, FailedBefore: row.before}
				got := p.Watch(t.Context(), []Watched{w}, 30*sec, nil)
				if got.OK != (row.why == "") || got.Findings[0].Why != row.why {
					t.Errorf("report %+v, want %q", got, row.why)
				}
			})
		})
	}
}
