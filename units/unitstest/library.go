package unitstest

import (
	"slices"
	"strings"
	"sync"
)

// library is what the places of unit files hold, as far as somebody asked. What
// it says is never changed: other content of the places is another library.
type library struct {
	shelf [len(places)][]string // most names that are looked for stand nowhere

	mu      sync.Mutex
	defs    map[string]*definition
	dropIns map[string][]string
	own     map[string]string // alias -> the unit's own name
	enabled map[string]bool
	graphs  []*graph
}

// stamped is a Disk that tells states of directories apart: two numbers are the
// same when all that stands below is, with contents and times.
type stamped interface {
	Stamp(dirs []string) uint64
}

// parsed is what clones have read. The same few contents of the places, and the
// same texts, are met very often in a sweep.
type parsed struct {
	meanings sync.Map // of fragment and drop-ins by their texts

	mu        sync.Mutex
	libraries map[uint64]*library
	defs      map[string][]*definition // the different ones of each unit
}

// library gives the one of the disk as it is now, which a call asks for once.
func (s *Systemd) library() *library {
	if s.lib != nil {
		return s.lib
	}
	disk, ok := s.disk.(stamped)
	if !ok {
		s.lib = s.newLibrary()
		return s.lib
	}
	stamp := disk.Stamp(places[:])
	s.parsed.mu.Lock()
	defer s.parsed.mu.Unlock()
	if s.lib = s.parsed.libraries[stamp]; s.lib != nil {
		return s.lib
	}
	s.lib = s.newLibrary()
	if s.parsed.libraries == nil {
		s.parsed.libraries = map[uint64]*library{}
	}
	s.parsed.libraries[stamp] = s.lib
	return s.lib
}

func (s *Systemd) newLibrary() *library {
	l := &library{defs: map[string]*definition{}, dropIns: map[string][]string{}, own: map[string]string{}, enabled: map[string]bool{}}
	for i, at := range places {
		l.shelf[i] = s.disk.Names(at)
	}
	return l
}

// stands reports whether a place has an entry of that name.
func (s *Systemd) stands(place int, name string) bool {
	names := s.library().shelf[place]
	if len(names) == 0 {
		return false
	}
	_, ok := slices.BinarySearch(names, name)
	return ok
}

// recall gives an answer of the library, which is found once.
func recall[V any](s *Systemd, answers func(*library) map[string]V, name string, find func(name string) V) V {
	l := s.library()
	l.mu.Lock()
	answer, known := answers(l)[name]
	l.mu.Unlock()
	if known {
		return answer
	}
	answer = find(name)
	l.mu.Lock()
	answers(l)[name] = answer
	l.mu.Unlock()
	return answer
}

// read gives the definition of a unit as it stands on the disk. Equal ones are
// the same one.
func (s *Systemd) read(name string) *definition {
	l := s.library()
	l.mu.Lock()
	def := l.defs[name]
	l.mu.Unlock()
	if def != nil {
		return def
	}
	def = s.parsed.intern(name, s.define(name))
	if !def.elsewhere() {
		l.mu.Lock()
		l.defs[name] = def
		l.mu.Unlock()
	}
	return def
}

// elsewhere reports whether a file of the unit stands in none of the places, so
// that a library does not know when it changes.
func (d *definition) elsewhere() bool {
	for at := range d.prints {
		if !slices.ContainsFunc(places[:], func(place string) bool { return strings.HasPrefix(at, place+"/") }) {
			return true
		}
	}
	return false
}

func (p *parsed) intern(name string, def *definition) *definition {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.defs[name] {
		if other.same(def) {
			return other
		}
	}
	if p.defs == nil {
		p.defs = map[string][]*definition{}
	}
	p.defs[name] = append(p.defs[name], def)
	return def
}

// dropIns lists the paths of a unit's drop-ins in the order in which they are
// read.
func (s *Systemd) dropIns(name string) []string {
	return recall(s, func(l *library) map[string][]string { return l.dropIns }, name, s.findDropIns)
}

// ownName resolves an alias: a link in a place of unit files to a file of
// another name. A unit that is loaded is its own.
func (s *Systemd) ownName(name string) string {
	if s.find(name) != nil {
		return name
	}
	return recall(s, func(l *library) map[string]string { return l.own }, name, s.resolve)
}

// enabled looks for a link to the unit where enabling makes one.
func (s *Systemd) enabled(u *unit) bool {
	return recall(s, func(l *library) map[string]bool { return l.enabled }, u.name, s.findEnablement)
}
