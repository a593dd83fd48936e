package apply

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// slowSystemd takes a second for each job, and counts how many run at once.
type slowSystemd struct {
	units.Manager
	mu            sync.Mutex
	running, most int
	ran           []string
	fails         map[string]bool
}

func (s *slowSystemd) Show(_ context.Context, name string) (units.Detail, error) {
	return units.Detail{Status: units.Status{Name: name, Load: "loaded", Active: "active"}}, nil
}

func (s *slowSystemd) Run(_ context.Context, _ units.Verb, name string) (string, error) {
	s.mu.Lock()
	s.running++
	s.most = max(s.most, s.running)
	s.ran = append(s.ran, name)
	s.mu.Unlock()
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.fails[name] {
		return "failed", nil
	}
	return units.Done, nil
}

func stepsOf(n int) []plan.UnitStep {
	var steps []plan.UnitStep
	for i := range n {
		steps = append(steps, plan.UnitStep{Unit: fmt.Sprintf("app@%d.service", i), Verb: units.Restart})
	}
	return steps
}

func runWave(s *slowSystemd, always bool, steps []plan.UnitStep) (started int, err error) {
	jobs := Jobs{Manager: s, Log: slog.New(slog.DiscardHandler), AtOnce: 3, Always: always, Done: func(_ context.Context, wave []Started) error {
		started = len(wave)
		return nil
	}}
	err = jobs.Waves(context.Background(), [][]plan.UnitStep{steps})
	return started, err
}

// Ten units that need a second each are up after four.
func TestUnitsOfAWaveStartSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, begin := &slowSystemd{}, time.Now()
		started, err := runWave(s, false, stepsOf(10))
		if err != nil || started != 10 {
			t.Fatalf("%d started: %v", started, err)
		}
		if s.most != 3 || time.Since(begin) != 4*time.Second {
			t.Errorf("at most %d at once, in %v", s.most, time.Since(begin))
		}
	})
}

// A unit that fails keeps those from starting that have not begun; a revert goes on.
func TestAFailureEndsAWave(t *testing.T) {
	for _, always := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &slowSystemd{fails: map[string]bool{"app@1.service": true}}
			started, err := runWave(s, always, stepsOf(10))
			if err == nil {
				t.Error("no error")
			}
			if always && (len(s.ran) != 10 || started != 9) {
				t.Errorf("%d ran and %d are up, want 10 and 9", len(s.ran), started)
			}
			if !always && len(s.ran) > 6 {
				t.Errorf("%d ran", len(s.ran))
			}
		})
	}
}

// What systemd restarts by itself is looked at when its cause is over.
func TestWhatSystemdTakesAlongComesLastInAWave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowSystemd{}
		steps := stepsOf(3)
		steps[0].With, steps[0].Verb = "app@1.service", units.Restart
		if _, err := runWave(s, false, steps); err != nil {
			t.Fatal(err)
		}
		if last := s.ran[len(s.ran)-1]; last != "app@0.service" || len(s.ran) != 3 {
			t.Errorf("%q ran", s.ran)
		}
	})
}
