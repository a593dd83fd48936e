package agent

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// This file tells people how the services are that the good commit wants up.

// fillUnits asks systemd for them, and reports whether that is news. It asks for little of
// those that are up, and for all of the others.
func (d *daemon) fillUnits() bool {
	wave := map[string]int{}
	for i, names := range d.wavesOf() {
		for _, name := range names {
			wave[name] = i + 1
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var list []UnitStatus
	if len(wave) > 0 {
		all, err := d.host.Manager.List(ctx, slices.Sorted(maps.Keys(wave)))
		if err != nil {
			return false
		}
		for _, u := range all {
			wanted := d.host.Ledger.Good.State.Units[u.Name]
			problem, err := d.host.problemOf(ctx, u)
			if err != nil {
				return false
			}
			list = append(list, UnitStatus{Name: u.Name, Active: u.Active, Problem: problem, Wave: wave[u.Name], After: only(wanted.After, wave), With: only(wanted.Binds, wave)})
		}
	}
	same := false
	d.board.change(func(s *Status) {
		same = reflect.DeepEqual(s.Units, list)
		s.Units = list
	})
	d.metrics.ServicesDown(down(list))
	return !same
}

// down counts the services that shall run and do not.
func down(list []UnitStatus) int {
	n := 0
	for _, u := range list {
		if u.IsDown() {
			n++
		}
	}
	return n
}

// IsDown reports whether a service that shall run does not.
func (u UnitStatus) IsDown() bool { return u.Problem != "" || u.Active == "failed" }

// only keeps the names that are listed themselves.
func only(names []string, listed map[string]int) []string {
	var out []string
	for _, name := range names {
		if listed[name] > 0 {
			out = append(out, name)
		}
	}
	return out
}

// problemOf says why a service that shall run does not, "" when it is up, or rests until
// something starts it.
func (h *Host) problemOf(ctx context.Context, u units.Status) (string, error) {
	if u.IsActive() {
		return "", nil
	}
	detail, err := h.Manager.Show(ctx, u.Name)
	if err != nil {
		return "", err
	}
	_, ran := h.Ledger.Runs[u.Name]
	x, isDown := h.unitDown(u.Name, detail)
	switch moving := detail.Active == "activating" || detail.Active == "deactivating" || detail.Job != ""; {
	case isUp(detail, ran), moving && isOneshot(detail), !isDown:
		return "", nil
	case strings.HasPrefix(detail.Sub, "auto-restart"):
		return "it ended by itself, and systemd is about to restart it", nil
	case moving:
		return "it is on its way, and not up yet", nil
	case detail.Active == "failed":
		return lastRun(detail), nil
	case x.Policy == plan.Ignore:
		return "", nil // nobody wants to know
	}
	return x.How, nil
}
