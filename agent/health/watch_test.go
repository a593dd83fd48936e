package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"evenkeel/agent/plan"
)

// answers is a host on which the program of a check passes at some times.
type answers struct {
	begin time.Time
	pass  map[string]func(since time.Duration) bool

	mu     sync.Mutex
	now    int // tries at this moment
	most   int
	hangs  time.Duration
	hang   []string // those that hang; none: all, when any does
	misses int      // the first tries of all, which fail whatever pass says
}

func (a *answers) exec(ctx context.Context, check plan.Check) ([]byte, error) {
	a.mu.Lock()
	a.now++
	a.most = max(a.most, a.now)
	missed := a.misses > 0
	a.misses--
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.now--
		a.mu.Unlock()
	}()
	if a.hangs > 0 && (len(a.hang) == 0 || slices.Contains(a.hang, check.Exec[0])) {
		select {
		case <-time.After(a.hangs):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if pass := a.pass[check.Exec[0]]; !missed && (pass == nil || pass(time.Since(a.begin))) {
		return nil, nil
	}
	return []byte("not ready\n"), errors.New("exit status 1")
}

func from(at time.Duration) func(time.Duration) bool {
	return func(since time.Duration) bool { return since >= at }
}

func until(end time.Duration) func(time.Duration) bool {
	return func(since time.Duration) bool { return since < end }
}

func never(time.Duration) bool { return false }

// service is one whose checks are programs.
func service(deadline time.Duration, programs ...string) plan.Service {
	s := plan.Service{Settle: sec, Deadline: deadline}
	for _, program := range programs {
		s.Checks = append(s.Checks, plan.Check{Exec: []string{program}})
	}
	return s
}

func TestWatch(t *testing.T) {
	const probation = 30 * sec
	up := []state{{0, running("a")}}
	for _, row := range []struct {
		about      string
		db, app    []state
		pass       map[string]func(time.Duration) bool // of /db and /app; a missing one passes
		deadline   time.Duration                       // 20 s
		baseline   map[string]bool
		checksOnly bool
		interrupt  time.Duration

		ok, interrupted bool
		why             []string // in the findings that are not OK, in order
		regressed, red  string
		took            time.Duration // at most this, and at least two seconds less
	}{
		{
			about: "all stays up and answers until probation is over",
			db:    up, app: up, ok: true, took: probation + sec,
		},
		{
			about: "a service that dies 5 s after it was active ends the watch",
			db:    up, app: []state{{0, running("a")}, {5 * sec, unit("failed", "failed", "a", result("exit-code", 1))}},
			why: []string{"it failed"}, took: 6 * sec,
		},
		{
			about: "a service that dies late in probation is caught",
			db:    up, app: []state{{0, running("a")}, {28 * sec, unit("failed", "failed", "a", result("exit-code", 1))}},
			why: []string{"it failed"}, took: 29 * sec,
		},
		{
			about: "a database that takes its dependents down shows as two findings",
			db:    []state{{0, running("a")}, {5 * sec, unit("failed", "failed", "a", result("exit-code", 1))}},
			app:   []state{{0, running("a")}, {5 * sec, unit("inactive", "dead", "a")}},
			why:   []string{"it failed", "it stopped"}, took: 6 * sec,
		},
		{
			about: "a check has its service's deadline to pass",
			db:    up, app: up, pass: map[string]func(time.Duration) bool{"/app": from(18 * sec)},
			ok: true, took: probation + sec,
		},
		{
			about: "a deadline beyond probation makes the watch longer",
			db:    up, app: up, pass: map[string]func(time.Duration) bool{"/app": from(50 * sec)}, deadline: time.Minute,
			ok: true, took: 52 * sec,
		},
		{
			about: "a check that is late is a failure then",
			db:    up, app: up, pass: map[string]func(time.Duration) bool{"/app": from(25 * sec)},
			why: []string{`"app.service exec /app" did not pass within 20s`}, took: 21 * sec,
		},
		{
			about: "a check that passed must go on passing",
			db:    up, app: up, pass: map[string]func(time.Duration) bool{"/app": until(14500 * time.Millisecond)},
			why: []string{`"app.service exec /app" passed and does not pass any more`}, took: 17 * sec,
		},
		{
			about: "a check that fails at the very end is tried until that is certain",
			db:    up, app: up, pass: map[string]func(time.Duration) bool{"/app": until(29500 * time.Millisecond)},
			why: []string{`"app.service exec /app" passed and does not pass any more`}, took: 32 * sec,
		},
		{
			about: "a check that passes and fails by turns is a failed one",
			db:    up, app: up, pass: map[string]func(time.Duration) bool{"/app": func(since time.Duration) bool { return int(since/sec)%2 == 0 }},
			why: []string{`"app.service exec /app" passes and fails by turns: 3 of the last 5 tries failed`}, took: 5 * sec,
		},
		{
			about: "a check that passed before the commit has regressed",
			db:    up, app: up, pass: map[string]func(time.Duration) bool{"/app": never},
			baseline: map[string]bool{"db.service exec /db": true, "app.service exec /app": true},
			why:      []string{"did not pass"}, regressed: "app.service exec /app", took: 21 * sec,
		},
		{
			about: "a check that failed before the commit may fail, and nobody waits for it",
			db:    up, app: up, pass: map[string]func(time.Duration) bool{"/app": never}, deadline: time.Minute,
			baseline: map[string]bool{"db.service exec /db": true, "app.service exec /app": false},
			ok:       true, red: "app.service exec /app", took: probation + 2*sec,
		},
		{
			about: "a check that is new must pass",
			db:    up, app: up, pass: map[string]func(time.Duration) bool{"/app": never},
			baseline: map[string]bool{"db.service exec /db": true},
			why:      []string{"did not pass"}, took: 21 * sec,
		},
		{
			about: "an operator's restart in the middle is no failure",
			db:    up, app: []state{{0, running("a")}, {12 * sec, running("b")}},
			ok: true, took: probation + sec,
		},
		{
			about: "a unit that the commit does not touch counts by its checks only",
			db:    up, app: []state{{0, unit("failed", "failed", "a", result("exit-code", 1))}}, checksOnly: true,
			ok: true, took: probation + sec,
		},
		{
			about: "a newer commit ends the watch at once and says nothing about this one",
			db:    up, app: up, pass: map[string]func(time.Duration) bool{"/app": never},
			interrupt: 7 * sec, interrupted: true, took: 7 * sec,
		},
		{
			about: "a failure that was certain before the interruption stays one",
			db:    up, app: []state{{0, unit("failed", "failed", "a")}},
			interrupt: 7 * sec, why: []string{"it failed"}, took: 0,
		},
	} {
		t.Run(row.about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				host := &answers{begin: begin, pass: row.pass}
				systemd := &story{begin: begin, units: map[string][]state{"db.service": row.db, "app.service": row.app}}
				p := &Prober{Manager: systemd, Exec: host.exec}
				deadline := row.deadline
				if deadline == 0 {
					deadline = 20 * sec
				}
				ctx := t.Context()
				if row.interrupt > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, row.interrupt)
					defer cancel()
				}
				got := p.Watch(ctx, []Watched{
					{Name: "db.service", Was: running("a"), Service: service(deadline, "/db")},
					{Name: "app.service", Was: running("a"), Service: service(deadline, "/app"), ChecksOnly: row.checksOnly},
				}, probation, row.baseline)
				took := time.Since(begin)

				if got.OK != row.ok || got.Interrupted != row.interrupted {
					t.Errorf("OK %v, interrupted %v, want %v, %v", got.OK, got.Interrupted, row.ok, row.interrupted)
				}
				var why []string
				for _, f := range got.Findings {
					if f.Why != "" {
						why = append(why, f.Why)
					}
				}
				if !slices.EqualFunc(why, row.why, strings.Contains) {
					t.Errorf("findings %q, want %q", why, row.why)
				}
				if regressed := strings.Join(got.Regressed, " "); regressed != row.regressed {
					t.Errorf("regressed %q, want %q", regressed, row.regressed)
				}
				if red := strings.Join(got.StillRed, " "); red != row.red {
					t.Errorf("still red %q, want %q", red, row.red)
				}
				if took > row.took || took < row.took-2*sec {
					t.Errorf("took %s, want %s", took, row.took)
				}
			})
		})
	}
}

func TestWatchForgivesALostAnswerAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		host := &answers{begin: begin, pass: map[string]func(time.Duration) bool{
			"/app": func(since time.Duration) bool { return since < 9500*time.Millisecond || since > 10500*time.Millisecond },
		}}
		systemd := &story{begin: begin, units: map[string][]state{"app.service": {{0, running("a")}}}}
		p := &Prober{Manager: systemd, Exec: host.exec}
		w := Watched{Name: "app.service", Was: running("a"), Service: service(5*sec, "/app")}
		if got := p.Watch(t.Context(), []Watched{w}, 10*sec, nil); !got.OK {
			t.Errorf("report %+v", got)
		}
	})
}

// Fifty checks that hang must neither run all at once nor for ever.
func TestWatchBoundsItsChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		host := &answers{begin: begin, hangs: time.Hour}
		systemd := &story{begin: begin, units: map[string][]state{"app.service": {{0, running("a")}}}}
		p := &Prober{Manager: systemd, Exec: host.exec}
		var programs []string
		for i := range 50 {
			programs = append(programs, fmt.Sprintf("/check-%d", i))
		}
		w := Watched{Name: "app.service", Was: running("a"), Service: service(10*sec, programs...)}
		got := p.Watch(t.Context(), []Watched{w}, 10*sec, nil)
		if got.OK || host.most > atOnce {
			t.Errorf("OK %v, %d tries at once, want at most %d", got.OK, host.most, atOnce)
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

func TestBaseline(t *testing.T) {
	services := map[string]plan.Service{
		"db.service":  service(20*sec, "/db"),
		"app.service": service(20*sec, "/app", "/app", "/broken"),
	}
	synctest.Test(t, func(t *testing.T) {
		host := &answers{pass: map[string]func(time.Duration) bool{"/broken": never}, misses: 2}
		p := &Prober{Exec: host.exec}
		got := p.Baseline(t.Context(), services)
		want := map[string]bool{
			"db.service exec /db":       true,
			"app.service exec /app":     true,
			"app.service exec /app (2)": true,
			"app.service exec /broken":  false,
		}
		if !maps.Equal(got, want) {
			t.Errorf("baseline %v, want %v", got, want)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if got := p.Baseline(ended, services); got != nil {
			t.Errorf("baseline %v of a context that ended; a check that was not tried would be excused", got)
		}
	})
}
