package unitstest

import "slices"

// readAll reads the definitions of all loaded units anew and forgets those that
// are nowhere and do nothing.
func (s *Systemd) readAll() {
	s.unswept = true
	before := slices.Clone(s.loaded)
	s.loaded = slices.DeleteFunc(s.loaded, func(u *unit) bool {
		return !u.busy() && u.active != "failed" && u.def.load == "not-found" && u.last == nil
	})
	for i, u := range s.loaded {
		def := s.read(u.name)
		if u.def != def {
			u := *u
			u.def = def
			s.loaded[i] = &u
		}
	}
	for _, u := range slices.Clone(s.loaded) {
		s.pullIn(u.def)
	}
	if !slices.EqualFunc(before, s.loaded, func(a, b *unit) bool { return a.name == b.name && a.def == b.def }) {
		s.edges = nil
	}
}

// unreferenced stands for the definition of a unit that systemd has forgotten.
// It is read from the disk when somebody asks for the unit again.
var unreferenced = &definition{meaning: nothing, load: "not-found"}

// sweep forgets units as systemd does with those that are inactive, have no job,
// and that no unit which it keeps names in its file or its links (tried): their
// invocation, condition and start limit are gone, and the next call reads them
// from the disk anew. What failed is kept. LastRun still knows.
func (s *Systemd) sweep() {
	if !s.unswept {
		return
	}
	s.unswept = false
	kept := make([]bool, len(s.loaded))
	for i, u := range s.loaded {
		if u.busy() || u.active == "failed" || s.jobOf(u.name) != "" {
			s.keep(i, kept)
		}
	}
	forgot := false
	for i, u := range s.loaded {
		if !kept[i] && u.def != unreferenced {
			s.loaded[i] = &unit{name: u.name, def: unreferenced, active: "inactive", sub: "dead", result: "success", last: u.last}
			forgot = true
		}
	}
	if forgot {
		s.loaded = slices.DeleteFunc(s.loaded, func(u *unit) bool { return u.def == unreferenced && u.last == nil })
		s.edges = nil
	}
}

// keep keeps a unit and all that it names.
func (s *Systemd) keep(i int, kept []bool) {
	if kept[i] {
		return
	}
	kept[i] = true
	e := s.about(s.loaded[i].name)
	d := s.loaded[i].def
	for _, list := range [...][]string{e.requires, e.requisite, e.bindsTo, e.wants, e.partOf, e.conflicts, d.after, d.before, e.triggers} {
		for _, name := range list {
			if other, ok := s.index(s.ownName(name)); ok {
				s.keep(other, kept)
			}
		}
	}
}
