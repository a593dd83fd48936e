package health

import (
	"context"
	"errors"
	"time"

	"evenkeel/units"
)

// story is a systemd in which each unit goes through states at set times after
// the story begins.
type story struct {
	begin time.Time
	units map[string][]state
	mute  func(since time.Duration) bool // does not answer now
}

// state is how a unit is from a moment on.
type state struct {
	from time.Duration
	units.Detail
}

func (s *story) Show(ctx context.Context, name string) (units.Detail, error) {
	if ctx.Err() != nil {
		return units.Detail{}, ctx.Err()
	}
	since := time.Since(s.begin)
	if s.mute != nil && s.mute(since) {
		return units.Detail{}, errors.New("the bus is gone")
	}
	now := units.Detail{Status: units.Status{Load: "not-found", Active: "inactive", Sub: "dead"}}
	for _, state := range s.units[name] {
		if since >= state.from {
			now = state.Detail
		}
	}
	now.Name = name
	return now, nil
}

func (s *story) List(ctx context.Context, names []string) ([]units.Status, error) {
	var all []units.Status
	for _, name := range names {
		now, err := s.Show(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, now.Status)
	}
	return all, nil
}

func (s *story) System(context.Context) (units.System, error) {
	return units.System{}, errors.New("nobody asks that here")
}

func (s *story) Run(context.Context, units.Verb, string) (string, error) {
	return "", errors.New("a watch changes nothing")
}

func (s *story) DaemonReload(context.Context) error { return errors.New("a watch changes nothing") }

func (s *story) ResetFailed(context.Context, string) error {
	return errors.New("a watch changes nothing")
}

// unit is a loaded service in a state, such as "active/running".
func unit(active, sub, invocation string, more ...func(*units.Detail)) units.Detail {
	d := units.Detail{
		Status: units.Status{Load: "loaded", Active: active, Sub: sub},
		Type:   "simple", Invocation: invocation, Result: "success", Condition: true,
	}
	for _, change := range more {
		change(&d)
	}
	return d
}

func running(invocation string, more ...func(*units.Detail)) units.Detail {
	return unit("active", "running", invocation, more...)
}

func restarts(n uint32) func(*units.Detail) { return func(d *units.Detail) { d.Restarts = n } }

func result(word string, status int32) func(*units.Detail) {
	return func(d *units.Detail) { d.Result, d.ExitStatus = word, status }
}

func oneshot(d *units.Detail) { d.Type = "oneshot" }

func remains(d *units.Detail) { d.Type, d.RemainAfterExit = "oneshot", true }

func skipped(d *units.Detail) {
	d.Condition, d.ConditionAt = false, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
}

func job(kind string) func(*units.Detail) { return func(d *units.Detail) { d.Job = kind } }

func triggeredBy(name string) func(*units.Detail) {
	return func(d *units.Detail) { d.TriggeredBy = []string{name} }
}
