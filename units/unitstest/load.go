package unitstest

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"evenkeel/units"
)

// nothing is the meaning of what is masked.
var nothing = &meaning{}

// places are the directories of unit files, the strongest first.
var places = [...]string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// builtin are units that are there on every host, also when the disk of a test
// has no file for them.
const builtin = " basic.target default.target graphical.target local-fs.target multi-user.target network-online.target network-pre.target network.target paths.target shutdown.target slices.target sockets.target sysinit.target timers.target "

// definition is a unit as systemd has read it. It is immutable.
type definition struct {
	*meaning
	load     string
	fragment string
	prints   map[string]string // of the fragment and the drop-ins as they were read
	dirs     []string          // the directories for drop-ins that were there
	wants    []string          // Wants=, and links in NAME.wants
	requires []string          // Requires=, and links in NAME.requires

	fragmentTime, dropInTime int64 // of the last change, 0 on a disk that knows no times
}

// meaning is what the text of a fragment and its drop-ins says.
type meaning struct {
	text          string
	marks         []string
	dropIns       []string
	kind          string // Type= of a service
	remain        bool
	restart       string
	restartAfter  int64
	startTimeout  int64
	limit         int
	limitInterval int64
	conditions    []string
	canReload     bool
	commands      bool     // a service that can be started
	needed        []string // EnvironmentFile= that must be there
	reads         []units.Read

	wants, requires, requisite, bindsTo, partOf []string
	conflicts, after, before, triggers          []string
}

// timed is a Disk that knows when a file's content was last changed, in
// nanoseconds since 1970.
type timed interface {
	MTime(path string) (int64, bool)
}

// readTimes notes how old the definition's files are.
func (s *Systemd) readTimes(def *definition) {
	disk, ok := s.disk.(timed)
	if !ok {
		return
	}
	for at := range def.prints {
		when, _ := disk.MTime(at)
		if at == def.fragment {
			def.fragmentTime = when
		} else {
			def.dropInTime = max(def.dropInTime, when)
		}
	}
}

// get gives a unit by any of its names. A unit that is not loaded, or that was
// not found before, is looked for on the disk.
func (s *Systemd) get(name string) *unit {
	own := s.ownName(name)
	u := s.find(own)
	if u != nil && u.def.load != "not-found" {
		return u
	}
	def := s.read(own)
	if u == nil {
		u = &unit{name: own, def: def, active: "inactive", sub: "dead", result: "success"}
		i, _ := s.index(own)
		s.loaded = slices.Insert(s.loaded, i, u)
		s.edges, s.unswept = nil, true
	} else if def.load != "not-found" {
		s.edit(own, func(u *unit) { u.def = def })
		s.edges, s.unswept = nil, true
	}
	if s.edges == nil {
		s.pullIn(def)
	}
	return s.find(own)
}

// pullIn loads all units that a definition names.
func (s *Systemd) pullIn(def *definition) {
	for _, list := range [...][]string{def.requires, def.requisite, def.bindsTo, def.wants, def.partOf, def.conflicts, def.after, def.before, def.triggers} {
		for _, name := range list {
			if s.find(name) == nil {
				s.get(name)
			}
		}
	}
}

func (d *definition) same(o *definition) bool {
	return d.fragmentTime == o.fragmentTime && d.dropInTime == o.dropInTime && slices.Equal(d.dirs, o.dirs) &&
		d.meaning == o.meaning && d.load == o.load && d.fragment == o.fragment && len(d.prints) == len(o.prints) &&
		slices.Equal(d.wants, o.wants) && slices.Equal(d.requires, o.requires) && d.samePrints(o)
}

func (d *definition) samePrints(o *definition) bool {
	for p, print := range d.prints {
		if o.prints[p] != print {
			return false
		}
	}
	return true
}

// resolve follows the links that make aliases.
func (s *Systemd) resolve(name string) string {
	for range 8 { // as far as a chain of aliases is followed
		says, _, ok := s.linkOf(name)
		if !ok || says == "/dev/null" || path.Base(says) == name {
			return name
		}
		if units.TypeOf(path.Base(says)) != units.TypeOf(name) {
			return name
		}
		if own, instance, ok := units.Template(path.Base(says)); ok && instance == "" && own != "" {
			return name // an instance of a template
		}
		name = path.Base(says)
	}
	return name
}

// linkOf gives the link that stands for a unit where its fragment is looked for.
func (s *Systemd) linkOf(name string) (says, at string, ok bool) {
	for i, place := range places {
		if !s.stands(i, name) {
			continue
		}
		at := place + "/" + name
		if says, ok := s.disk.Link(at); ok {
			if !path.IsAbs(says) {
				says = path.Join(place, says)
			}
			return says, at, true
		}
		if _, ok := s.disk.ReadFile(at); ok {
			return "", "", false
		}
	}
	return "", "", false
}

// define reads the definition of a unit from the disk.
func (s *Systemd) define(name string) *definition {
	def := &definition{prints: map[string]string{}}
	text, found := s.fragment(name, def)
	switch {
	case !found && strings.Contains(builtin, " "+name+" "):
		def.load = "loaded"
	case !found:
		def.load = "not-found"
	case len(strings.TrimSpace(text)) == 0:
		def.load = "masked"
	default:
		def.load = "loaded"
	}
	if def.load == "masked" {
		def.meaning = nothing
		return def
	}
	def.meaning = s.understand(name, text, def)
	s.readTimes(def)
	def.wants = s.linked(name, ".wants", def.meaning.wants)
	def.requires = s.linked(name, ".requires", def.meaning.requires)
	if def.load == "loaded" && units.TypeOf(name) == "service" && !def.commands {
		def.load = "bad-setting"
	}
	return def
}

// fragment finds the unit's own file, or that of its template.
func (s *Systemd) fragment(name string, def *definition) (text string, found bool) {
	names := []string{name}
	if template, instance, ok := units.Template(name); ok && instance != "" {
		names = append(names, template)
	}
	for _, n := range names {
		for i, place := range places {
			if !s.stands(i, n) {
				continue
			}
			at := place + "/" + n
			if says, ok := s.disk.Link(at); ok {
				if says == "/dev/null" {
					def.fragment = at
					def.prints[at] = s.disk.Print(at)
					return "", true
				}
				if !path.IsAbs(says) {
					says = path.Join(place, says)
				}
				at = says
			}
			if data, ok := s.disk.ReadFile(at); ok {
				def.fragment = at
				def.prints[at] = s.disk.Print(at)
				return string(data), true
			}
		}
	}
	return "", false
}

// findDropIns sorts by file name, the strongest place winning, the unit's own
// directory before its template's and its type's.
func (s *Systemd) findDropIns(name string) []string {
	dirs := dropInDirs(name)
	var found []string
	for i, place := range places {
		for _, dir := range dirs {
			if !s.stands(i, dir) {
				continue
			}
			for _, file := range s.disk.Names(place + "/" + dir) {
				taken := func(p string) bool { return path.Base(p) == file }
				if strings.HasSuffix(file, ".conf") && !slices.ContainsFunc(found, taken) {
					found = append(found, place+"/"+dir+"/"+file)
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return slices.DeleteFunc(found, func(p string) bool {
		says, ok := s.disk.Link(p)
		return ok && says == "/dev/null"
	})
}

// dropInDirs names the directories of a unit's drop-ins below a place.
func dropInDirs(name string) []string {
	dirs := []string{name + ".d"}
	if template, instance, ok := units.Template(name); ok && instance != "" {
		dirs = append(dirs, template+".d")
	}
	return append(dirs, units.TypeOf(name)+".d")
}

// linked adds the units that have a link in a directory such as NAME.wants.
func (s *Systemd) linked(name, suffix string, said []string) []string {
	all := said
	for i, place := range places {
		if !s.stands(i, name+suffix) {
			continue
		}
		for _, other := range s.disk.Names(place + "/" + name + suffix) {
			if units.Valid(other) == nil && !slices.Contains(all, other) {
				all = append(all[:len(all):len(all)], other)
			}
		}
	}
	return all
}

// understand reads fragment and drop-ins, or remembers having done so.
func (s *Systemd) understand(name, text string, def *definition) *meaning {
	key := name + "\x00" + def.fragment + "\x00" + text
	dropIns := s.dropIns(name)
	for i, place := range places {
		for _, dir := range dropInDirs(name) {
			if s.stands(i, dir) {
				def.dirs = append(def.dirs, place+"/"+dir)
			}
		}
	}
	texts := make([]string, len(dropIns))
	for i, p := range dropIns {
		data, _ := s.disk.ReadFile(p)
		texts[i] = string(data)
		def.prints[p] = s.disk.Print(p)
		key += "\x00" + p + "\x00" + texts[i]
	}
	if known, ok := s.parsed.meanings.Load(key); ok {
		return known.(*meaning)
	}
	d := &units.Definition{Name: name, Files: []*units.File{parse(def.fragment, text)}}
	for i, p := range dropIns {
		d.Files = append(d.Files, parse(p, texts[i]))
	}
	m := meaningOf(d)
	if def.fragment == "" {
		m.kind = "" // the type of a service comes with its file, also the default one
	}
	m.text = strings.Join(append([]string{text}, texts...), "\n")
	m.marks = marksIn(m.text)
	m.dropIns = dropIns
	known, _ := s.parsed.meanings.LoadOrStore(key, m)
	return known.(*meaning)
}

// parse takes of a faulty file what systemd would use.
func parse(at, text string) *units.File {
	file, err := units.ParseFile(at, []byte(text))
	if err != nil && file == nil {
		return &units.File{Path: at}
	}
	return file
}

func meaningOf(d *units.Definition) *meaning {
	m := &meaning{
		wants: d.Wants(), requires: d.UnitNames("Unit", "Requires"), requisite: d.UnitNames("Unit", "Requisite"),
		bindsTo: d.UnitNames("Unit", "BindsTo"), partOf: d.UnitNames("Unit", "PartOf"), conflicts: d.UnitNames("Unit", "Conflicts"),
		after: d.After(), before: d.Before(), triggers: d.Triggers(),
		kind: d.Value("Service", "Type"), restart: d.Value("Service", "Restart"),
		conditions: d.Values("Unit", "ConditionPathExists"),
		canReload:  len(d.Values("Service", "ExecReload")) > 0,
		remain:     yes(d.Value("Service", "RemainAfterExit")),
	}
	starts := len(d.Values("Service", "ExecStart")) > 0
	m.commands = starts || m.remain || len(d.Values("Service", "ExecStop")) > 0
	if m.kind == "" && units.TypeOf(d.Name) == "service" {
		m.kind = "simple"
		if !starts {
			m.kind = "oneshot"
		}
	}
	m.restartAfter = span(d.Value("Service", "RestartSec"), second/10)
	m.startTimeout = span(d.Value("Service", "TimeoutStartSec"), 90*second)
	m.limitInterval = span(d.Value("Unit", "StartLimitIntervalSec"), 10*second)
	m.limit = 5
	if n, err := strconv.Atoi(d.Value("Unit", "StartLimitBurst")); err == nil {
		m.limit = n
	}
	for _, value := range d.Values("Service", "EnvironmentFile") {
		if !strings.HasPrefix(value, "-") && !strings.ContainsAny(value, "%*?[") {
			m.needed = append(m.needed, value)
		}
	}
	for _, r := range d.Reads() {
		if r.Why != "ExecReload=" && !strings.HasPrefix(r.Why, "ExecStop") {
			m.reads = append(m.reads, r)
		}
	}
	return m
}

func yes(value string) bool {
	return slices.Contains([]string{"1", "yes", "y", "true", "t", "on"}, value)
}

// span reads a time as systemd writes it, in the forms that tests use.
func span(value string, otherwise int64) int64 {
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		return int64(n * float64(second))
	}
	value = strings.NewReplacer("min", "m", " ", "").Replace(value)
	if d, err := time.ParseDuration(value); err == nil {
		return int64(d)
	}
	return otherwise
}
