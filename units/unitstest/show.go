package unitstest

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"evenkeel/units"
)

// System is part of units.Manager.
func (s *Systemd) System(ctx context.Context) (units.System, error) {
	if err := s.usable(ctx); err != nil {
		return units.System{}, fmt.Errorf("cannot ask systemd for its state: %w", err)
	}
	state := "running"
	if slices.ContainsFunc(s.loaded, func(u *unit) bool { return u.active == "failed" }) {
		state = "degraded"
	}
	if s.booting {
		state = "starting"
	}
	if s.down {
		state = "stopping"
	}
	return units.System{State: state, Version: s.version}, nil
}

// List is part of units.Manager.
func (s *Systemd) List(ctx context.Context, names []string) ([]units.Status, error) {
	if err := s.usable(ctx); err != nil {
		return nil, fmt.Errorf("cannot list units: %w", err)
	}
	list := make([]units.Status, len(names))
	for i, name := range names {
		list[i] = s.status(name)
	}
	return list, nil
}

// status is of a name that need not be a unit's; aliases keep the asked name.
func (s *Systemd) status(name string) units.Status {
	if template, instance, ok := units.Template(name); units.Valid(name) != nil || ok && instance == "" && template != "" {
		return units.Status{Name: name, Load: "not-found", Active: "inactive", Sub: "dead"}
	}
	u := s.get(name)
	return units.Status{Name: name, Load: u.def.load, Active: u.active, Sub: u.sub, Job: s.jobOf(u.name)}
}

// jobOf names the kind of a job that waits; only a boot leaves any to be seen.
func (s *Systemd) jobOf(name string) string {
	for _, j := range s.queued {
		if j.unit == name {
			return string(j.verb)
		}
	}
	return ""
}

// Show is part of units.Manager.
func (s *Systemd) Show(ctx context.Context, name string) (units.Detail, error) {
	if err := s.usable(ctx); err != nil {
		return units.Detail{}, fmt.Errorf("cannot show unit %q: %w", name, err)
	}
	d := units.Detail{Status: s.status(name)}
	u := s.find(s.ownName(name))
	if u == nil {
		return d, nil
	}
	def, e := u.def, s.about(u.name)
	d.Type, d.RemainAfterExit, d.CanReload = def.kind, def.remain, def.canReload
	d.Invocation, d.Restarts, d.Result = u.invocation, u.restarts, u.result
	d.Condition, d.ConditionAt = u.condition, instant(u.conditionAt)
	d.MainStart, d.MainPID, d.ExitStatus, d.ActiveAt = instant(u.mainStart), u.pid, u.exit, instant(u.activeAt)
	d.UnitFileState = s.fileState(u)
	d.Fragment, d.DropIns = def.fragment, slices.Clone(def.dropIns)
	d.NeedReload = s.stale(u)
	d.Requires, d.BindsTo, d.Wants, d.PartOf = copied(e.requires), copied(e.bindsTo), copied(e.wants), copied(e.partOf)
	d.RequiredBy, d.BoundBy, d.ConsistsOf = copied(e.requiredBy), copied(e.boundBy), copied(e.consistsOf)
	d.Conflicts, d.ConflictedBy = copied(e.conflicts), copied(e.conflictedBy)
	d.After, d.Before = copied(e.after), copied(e.before)
	d.Triggers, d.TriggeredBy = copied(e.triggers), copied(e.triggeredBy)
	return d, nil
}

func copied(list []string) []string { return slices.Clone(list) }

// instant is zero for never.
func instant(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

// stale is NeedDaemonReload. It sees less than one would think (tried): a file
// that is older than the one that was read, such as a former version that was
// moved back, is no reason, and neither is a mask. systemd 252 also overlooks a
// drop-in in a directory that was not there before.
func (s *Systemd) stale(u *unit) bool {
	if u.def == s.read(u.name) {
		return false
	}
	for at := range u.def.prints {
		if s.newer(u.def, at) {
			return true
		}
	}
	if u.def.load != "loaded" || u.def.fragment == "" && len(u.def.prints) == 0 {
		return false
	}
	now := s.dropIns(u.name)
	if s.version < 257 {
		now = slices.DeleteFunc(slices.Clone(now), func(at string) bool { return !slices.Contains(u.def.dirs, path.Dir(at)) })
	}
	return !slices.Equal(now, u.def.dropIns)
}

// newer reports whether a file of the definition is gone, or younger than what
// was read. On a disk that knows no times any other content counts as younger.
func (s *Systemd) newer(def *definition, at string) bool {
	print := s.disk.Print(at)
	if print == absent {
		return true
	}
	if says, ok := s.disk.Link(at); ok && says == "/dev/null" {
		return false
	}
	if disk, ok := s.disk.(timed); ok {
		now, _ := disk.MTime(at)
		if at == def.fragment {
			return now > def.fragmentTime
		}
		return now > def.dropInTime
	}
	return print != def.prints[at]
}

// fileState is what "systemctl is-enabled" says.
func (s *Systemd) fileState(u *unit) string {
	switch {
	case u.def.load == "masked":
		return "masked"
	case u.def.fragment == "":
		return ""
	case s.enabled(u):
		return "enabled"
	case !strings.Contains(u.def.text, "[Install]"):
		return "static"
	}
	return "disabled"
}

func (s *Systemd) findEnablement(unit string) bool {
	const place = "/etc/systemd/system"
	for _, name := range s.disk.Names(place) {
		says, ok := s.disk.Link(place + "/" + name)
		if ok && name != unit && strings.HasSuffix(says, "/"+unit) {
			return true
		}
		if strings.HasSuffix(name, ".wants") || strings.HasSuffix(name, ".requires") {
			if slices.Contains(s.disk.Names(place+"/"+name), unit) {
				return true
			}
		}
	}
	return false
}
