package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// StepError says which job did not do what was asked of it.
type StepError struct {
	Unit   string
	Verb   units.Verb
	Result string       // systemd's result word, "" when the outcome is not known
	Detail units.Detail // the unit afterwards
	Err    error        // why the outcome is not known, or nil
}

// Error says it as systemctl would.
func (e *StepError) Error() string {
	what := fmt.Sprintf("cannot %s %s", e.Verb, e.Unit)
	switch {
	case e.Err != nil:
		return fmt.Sprintf("%s: %v", what, e.Err)
	case e.Result == "failed":
		return fmt.Sprintf("%s: it failed%s", what, Describe(e.Detail))
	case e.Result != units.Done:
		return fmt.Sprintf("%s: the job ended with %q%s", what, e.Result, Describe(e.Detail))
	}
	return fmt.Sprintf("%s: the job is done but the unit is not up%s", what, Describe(e.Detail))
}

// Unwrap gives the reason why the outcome is not known.
func (e *StepError) Unwrap() error { return e.Err }

// Describe puts what systemd knows of a unit that is not well into a clause.
func Describe(d units.Detail) string {
	s := fmt.Sprintf(" (%s/%s", d.Active, d.Sub)
	if d.Result != "" && d.Result != "success" {
		s += fmt.Sprintf(", %s, status %d", d.Result, d.ExitStatus)
	}
	return s + ")"
}

// Started is a unit whose step has been done.
type Started struct {
	Step plan.UnitStep
	Unit units.Detail // right after its job
}

// Jobs runs the unit steps of a plan.
type Jobs struct {
	Manager units.Manager
	Log     *slog.Logger
	// Was gives each unit as it was when the plan was made.
	Was map[string]plan.Unit
	// Done is called after each wave, before the next is started: it records what
	// the units run with, and waits until they have settled. Its error ends the
	// run.
	Done func(ctx context.Context, wave []Started) error
	// Before is called before each job of a wave; nil for nothing.
	Before func(ctx context.Context, unit string)
	// Always makes a failed step no reason to leave out the next: a revert does
	// as much as it can.
	Always bool
	// AtOnce is how many jobs of a wave run side by side; one when it is zero.
	AtOnce int
}

// Stop stops units one after the other.
func (j Jobs) Stop(ctx context.Context, steps []plan.UnitStep) error {
	var errs []error
	for _, step := range steps {
		d, err := j.Manager.Show(ctx, step.Unit)
		if err == nil && d.Active == "inactive" {
			continue // a unit whose file is gone may still run
		}
		if _, err := j.run(ctx, step, units.Stop); err != nil {
			if errs = append(errs, err); !j.Always {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// Waves starts, restarts and reloads units, a wave after the other.
func (j Jobs) Waves(ctx context.Context, waves [][]plan.UnitStep) error {
	var errs []error
	for _, wave := range waves {
		started, err := j.wave(ctx, wave)
		errs = append(errs, err)
		if err == nil || j.Always {
			err = j.Done(ctx, started)
			errs = append(errs, err)
		}
		if err != nil && !j.Always {
			break
		}
	}
	return errors.Join(errs...)
}

// wave runs the steps of one wave. What systemd takes along with a unit is looked at
// once the jobs of the others are over.
func (j Jobs) wave(ctx context.Context, steps []plan.UnitStep) ([]Started, error) {
	if j.AtOnce <= 1 {
		return j.oneByOne(ctx, steps)
	}
	var own, taken []plan.UnitStep
	for _, step := range steps {
		if step.With == "" {
			own = append(own, step)
		} else {
			taken = append(taken, step)
		}
	}
	started, err := j.sideBySide(ctx, own)
	if err != nil && !j.Always {
		return started, err
	}
	more, also := j.oneByOne(ctx, taken)
	return append(started, more...), errors.Join(err, also)
}

// sideBySide runs steps at once, a bounded number of them, and waits for all. After a
// failure it begins no other, unless it is to do as much as it can.
func (j Jobs) sideBySide(ctx context.Context, steps []plan.UnitStep) ([]Started, error) {
	details, errs := make([]units.Detail, len(steps)), make([]error, len(steps))
	begun := 0
	var failed atomic.Bool
	var all sync.WaitGroup
	slots := make(chan struct{}, j.AtOnce)
	for i, step := range steps {
		slots <- struct{}{}
		if failed.Load() && !j.Always {
			break
		}
		begun++
		all.Go(func() {
			defer func() { <-slots }()
			if details[i], errs[i] = j.step(ctx, step); errs[i] != nil {
				failed.Store(true)
			}
		})
	}
	all.Wait()
	var started []Started
	for i, step := range steps[:begun] {
		if errs[i] == nil {
			started = append(started, Started{Step: step, Unit: details[i]})
		}
	}
	return started, errors.Join(errs...)
}

func (j Jobs) oneByOne(ctx context.Context, steps []plan.UnitStep) ([]Started, error) {
	var started []Started
	var errs []error
	for _, step := range steps {
		d, err := j.step(ctx, step)
		if err != nil {
			if errs = append(errs, err); !j.Always {
				break
			}
			continue
		}
		started = append(started, Started{Step: step, Unit: d})
	}
	return started, errors.Join(errs...)
}

func (j Jobs) step(ctx context.Context, step plan.UnitStep) (units.Detail, error) {
	d, err := j.Manager.Show(ctx, step.Unit)
	if err != nil {
		return d, &StepError{Unit: step.Unit, Verb: step.Verb, Err: err}
	}
	verb := step.Verb
	if step.With != "" && d.IsActive() {
		switch {
		case d.Invocation != j.Was[step.Unit].Invocation:
			j.Log.Info("restarted by systemd", "unit", step.Unit, "with", step.With, "why", strings.Join(step.Why, "; "))
			// It began at none. One that crashed since, while the other unit settled, and
			// that systemd started again, did not stay up.
			d.Restarts = 0
			return d, nil
		case verb == units.Start:
			return d, nil // systemd found no need to
		}
	}
	if verb == units.Reload && !d.CanReload {
		verb = units.Restart
	}
	if j.Before != nil {
		j.Before(ctx, step.Unit)
	}
	return j.run(ctx, step, verb)
}

func (j Jobs) run(ctx context.Context, step plan.UnitStep, verb units.Verb) (units.Detail, error) {
	j.Log.Info(string(verb), "unit", step.Unit, "why", strings.Join(step.Why, "; "))
	result, err := j.Manager.Run(ctx, verb, step.Unit)
	d, lost := j.Manager.Show(ctx, step.Unit)
	switch {
	case err != nil:
		return d, &StepError{Unit: step.Unit, Verb: verb, Detail: d, Err: err}
	case lost != nil:
		return d, &StepError{Unit: step.Unit, Verb: verb, Detail: d, Err: lost}
	case result != units.Done:
		return d, &StepError{Unit: step.Unit, Verb: verb, Result: result, Detail: d}
	}
	return d, nil
}
