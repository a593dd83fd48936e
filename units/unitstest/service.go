package unitstest

import (
	"fmt"
	"slices"
	"strings"

	"evenkeel/units"
)

// start does a start job and gives its result word. A restart that systemd does
// by itself keeps the count of restarts.
func (s *Systemd) start(name string, automatic bool) string {
	u := s.find(name)
	switch {
	case u.up():
		return units.Done
	case u.def.load != "loaded":
		return "failed" // its file vanished after the job was queued
	case s.limited(u):
		s.edit(name, func(u *unit) {
			u.active, u.sub, u.restartAt = "failed", "failed", 0
			if u.result == "success" {
				u.result = "start-limit-hit" // a fault before it keeps its name (tried)
			}
		})
		return "failed"
	}
	holds := s.holds(u.def.conditions)
	s.edit(name, func(u *unit) { u.condition, u.conditionAt = holds, s.now() })
	if !holds {
		s.unswept = true
		s.edit(name, func(u *unit) {
			if u.active == "activating" {
				u.active, u.sub, u.restartAt = "inactive", "dead", 0
			}
		})
		return units.Done
	}
	if !s.bound(u) {
		return "dependency"
	}
	s.serial++
	s.edit(name, func(u *unit) {
		u.invocation = fmt.Sprintf("%032x", s.serial)
		u.restartAt, u.diesIn, u.doomed = 0, 0, false
		if !automatic {
			u.restarts = 0
		}
	})
	if units.TypeOf(name) == "service" {
		return s.startService(name)
	}
	return s.startOther(name)
}

// limited counts a start and reports whether it is one too many. Only services
// and what they hang on have a limit.
func (s *Systemd) limited(u *unit) bool {
	if units.TypeOf(u.name) != "service" || u.def.limit == 0 || u.def.limitInterval == 0 {
		return false
	}
	hit := false
	s.edit(u.name, func(u *unit) {
		if u.window == 0 || *s.clock-u.window > u.def.limitInterval {
			u.window, u.starts = *s.clock, 0
		}
		if hit = u.starts >= u.def.limit; !hit {
			u.starts++
		}
	})
	return hit
}

// holds tests ConditionPathExists=: all plain ones, and one of those with "|".
func (s *Systemd) holds(conditions []string) bool {
	triggers, triggered := false, false
	for _, c := range conditions {
		trigger := strings.HasPrefix(c, "|")
		c = strings.TrimPrefix(c, "|")
		not := strings.HasPrefix(c, "!")
		c = strings.TrimSpace(strings.TrimPrefix(c, "!"))
		ok := (s.disk.Print(c) != absent) != not
		switch {
		case trigger:
			triggers, triggered = true, triggered || ok
		case !ok:
			return false
		}
	}
	return !triggers || triggered
}

// bound reports whether all that the unit is bound to, and comes after, is up.
func (s *Systemd) bound(u *unit) bool {
	e := s.about(u.name)
	for _, list := range [...][]string{e.bindsTo, e.requisite} {
		for _, dep := range list {
			if slices.Contains(e.after, dep) && !s.find(dep).busy() {
				return false
			}
		}
	}
	return true
}

func (s *Systemd) startService(name string) string {
	u := s.find(name)
	for _, p := range u.def.needed {
		if _, ok := s.disk.ReadFile(p); !ok {
			s.die(name, 0, "resources")
			return "failed"
		}
	}
	p := s.spawn(u)
	o := s.behave(*p)
	s.serial++
	s.edit(name, func(u *unit) {
		u.process, u.last = p, p
		u.pid, u.exit, u.result = uint32(s.serial), 0, "success"
		u.mainStart = s.now()
		u.diesIn, u.dieCode = o.DiesIn, o.Code
	})
	quick := slices.Contains([]string{"simple", "exec", "idle"}, u.def.kind)
	switch {
	case o.Hangs && !quick:
		*s.clock += u.def.startTimeout
		s.die(name, 0, "timeout")
		return "failed"
	case o.Fails && !quick:
		s.die(name, o.Code, "exit-code")
		return "failed"
	case u.def.kind == "oneshot":
		s.finish(name)
		return units.Done
	}
	s.edit(name, func(u *unit) {
		u.active, u.sub, u.activeAt = "active", "running", s.now()
		u.doomed = o.Fails // systemd calls a simple service started before it can fail
		u.dieCode = o.Code
	})
	return units.Done
}

// finish is the good end of a oneshot.
func (s *Systemd) finish(name string) {
	s.unswept = true
	s.edit(name, func(u *unit) {
		u.pid, u.diesIn = 0, 0
		if u.def.remain {
			u.active, u.sub, u.activeAt = "active", "exited", s.now()
			return
		}
		u.active, u.sub, u.process = "inactive", "dead", nil
	})
}

// startOther starts what is no service.
func (s *Systemd) startOther(name string) string {
	sub := map[string]string{"socket": "listening", "timer": "waiting", "path": "waiting", "mount": "mounted"}[units.TypeOf(name)]
	if sub == "" {
		sub = "active"
	}
	if units.TypeOf(name) == "socket" {
		for _, service := range s.about(name).triggers {
			if s.find(service).busy() {
				return "failed" // "Socket service already active, refusing."
			}
		}
	}
	s.edit(name, func(u *unit) {
		u.active, u.sub, u.result, u.activeAt = "active", sub, "success", s.now()
	})
	return units.Done
}

// stop does a stop job, or the first half of a restart. What failed stays so.
func (s *Systemd) stop(name string) {
	if !s.find(name).busy() {
		return
	}
	s.now()
	s.unswept = true
	s.edit(name, func(u *unit) {
		u.active, u.sub, u.process, u.pid = "inactive", "dead", nil, 0
		u.diesIn, u.doomed, u.restartAt = 0, false, 0
	})
}

// die is the end of a process that nobody asked for. What is bound to the unit
// is stopped, also when systemd is going to restart it.
func (s *Systemd) die(name string, code int32, result string) {
	if result == "exit-code" && code == 0 {
		result = "success"
	}
	now := s.now()
	s.unswept = true
	s.edit(name, func(u *unit) {
		u.process, u.pid, u.exit, u.result = nil, 0, code, result
		u.diesIn, u.doomed, u.restartAt = 0, false, 0
		switch {
		case restarts(u.def.restart, result):
			u.active, u.sub, u.restartAt = "activating", "auto-restart", now+u.def.restartAfter
		case result == "success" && u.def.remain:
			u.active, u.sub = "active", "exited"
			u.process = u.last
		case result == "success":
			u.active, u.sub = "inactive", "dead"
		default:
			u.active, u.sub = "failed", "failed"
		}
	})
	if s.find(name).up() {
		return
	}
	for _, dep := range s.about(name).boundBy {
		if s.find(dep).busy() {
			t := transaction{s: s}
			if t.add(units.Stop, dep) == nil {
				s.execute(t.jobs)
			}
		}
	}
}

// restarts is the table of Restart= in systemd.service(5).
func restarts(setting, result string) bool {
	switch setting {
	case "always":
		return true
	case "on-success":
		return result == "success"
	case "on-failure":
		return result != "success"
	case "on-abnormal":
		return result == "timeout" || result == "signal"
	}
	return false
}

// reap lets those die that could not even begin.
func (s *Systemd) reap() {
	for _, u := range slices.Clone(s.loaded) {
		if now := s.find(u.name); now != nil && now.doomed {
			s.die(u.name, now.dieCode, "exit-code")
		}
	}
}

// age brings each process one tick nearer to its end.
func (s *Systemd) age() {
	for _, u := range slices.Clone(s.loaded) {
		now := s.find(u.name)
		if now == nil || now.diesIn == 0 {
			continue
		}
		s.edit(u.name, func(u *unit) { u.diesIn-- })
		if now.diesIn == 1 {
			s.die(u.name, now.dieCode, "exit-code")
		}
	}
}

// restartDue does the automatic restarts whose time has come. They are handed on
// to dependents that are up, like any restart.
func (s *Systemd) restartDue() {
	for _, u := range slices.Clone(s.loaded) {
		now := s.find(u.name)
		if now == nil || now.restartAt == 0 || now.restartAt > *s.clock {
			continue
		}
		t := transaction{s: s}
		if t.add(units.Restart, u.name) != nil {
			s.stop(u.name)
			continue
		}
		t.find(u.name).automatic = true
		s.edit(u.name, func(u *unit) { u.restarts++ })
		s.execute(t.jobs)
	}
}

// reload does a reload job: the process reads its arguments' files again, but
// neither its unit nor its environment.
func (s *Systemd) reload(u *unit) (string, error) {
	if !u.def.canReload {
		return "", fmt.Errorf("Job type reload is not applicable for unit %s.", u.name) //nolint:staticcheck // systemd's own words
	}
	if !u.up() {
		return "invalid", nil
	}
	if u.process == nil {
		return units.Done, nil
	}
	p := s.spawn(u)
	for _, r := range u.def.reads {
		if !strings.HasPrefix(r.Why, "Exec") {
			p.Inputs[r.Path] = u.process.Inputs[r.Path]
		}
	}
	for at := range u.def.prints {
		p.Inputs[at] = u.process.Inputs[at]
	}
	o := s.behave(*p)
	if o.Fails {
		return "failed", nil
	}
	s.edit(u.name, func(u *unit) {
		u.process, u.last = p, p
		u.diesIn, u.dieCode = o.DiesIn, o.Code
	})
	return units.Done, nil
}
