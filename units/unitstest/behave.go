package unitstest

import (
	"strconv"
	"strings"

	"evenkeel/units"
)

// Process is what a unit runs, or has run, and what it was started with.
type Process struct {
	Unit       string
	Invocation string
	Restarts   uint32 // how often systemd had restarted the unit by itself
	Text       string // fragment and drop-ins as they were loaded

	// Inputs maps each path that was read to the print of what stood there: the
	// unit's own files as they were loaded, all others as they were on the disk
	// at the start (or, after a reload, at the reload).
	Inputs map[string]string

	// Marks are the words after "behave:" in the unit's files and its inputs, one
	// for each line that has them. A "fail-without:" that does not apply is left
	// out, one that does reads "fail".
	Marks []string
}

// Outcome is how a process turns out. The zero value runs for ever.
type Outcome struct {
	Fails  bool  // ends before it is ready, with Code
	Hangs  bool  // is never ready
	DiesIn int   // ticks after which it ends with Code; 0 is never
	Code   int32 // exit status
}

// Behave is the default for Config.Behave: the first mark decides that says that
// something goes wrong.
//
//	fail [CODE]         ends at its start
//	hang                is never ready
//	loop                ends one tick after each start
//	crash N             ends N ticks after each start
//	crash-once N        does so until systemd has restarted it
//	exit N              ends N ticks after each start with status 0
//	fail-without:WHAT   fail, unless a file is there or a unit is active
func Behave(p Process) Outcome {
	for _, mark := range p.Marks {
		word, rest, _ := strings.Cut(mark, " ")
		n, err := strconv.Atoi(strings.TrimSpace(rest))
		if err != nil {
			n = 1
		}
		switch word {
		case "fail":
			return Outcome{Fails: true, Code: int32(n)}
		case "hang":
			return Outcome{Hangs: true}
		case "loop":
			return Outcome{DiesIn: 1, Code: 1}
		case "crash":
			return Outcome{DiesIn: n, Code: 1}
		case "crash-once":
			if p.Restarts == 0 {
				return Outcome{DiesIn: n, Code: 1}
			}
		case "exit":
			return Outcome{DiesIn: n}
		}
	}
	return Outcome{}
}

const marker = "behave:"

// marksIn gives what follows the marker, line by line.
func marksIn(text string) []string {
	var marks []string
	for {
		_, after, found := strings.Cut(text, marker)
		if !found {
			return marks
		}
		line, rest, _ := strings.Cut(after, "\n")
		marks = append(marks, strings.TrimSpace(line))
		text = rest
	}
}

// spawn makes the process that a unit would start now.
func (s *Systemd) spawn(u *unit) *Process {
	p := &Process{
		Unit: u.name, Invocation: u.invocation, Restarts: u.restarts, Text: u.def.text,
		Inputs: make(map[string]string, len(u.def.prints)+len(u.def.reads)),
	}
	for at, print := range u.def.prints {
		p.Inputs[at] = print
	}
	p.mark(s, u.def.marks)
	for _, r := range u.def.reads {
		if _, own := p.Inputs[r.Path]; own {
			continue
		}
		p.Inputs[r.Path] = s.disk.Print(r.Path)
		if data, ok := s.disk.ReadFile(r.Path); ok {
			p.mark(s, marksIn(string(data)))
		}
	}
	return p
}

// mark adds marks and decides those that ask about the rest of the host.
func (p *Process) mark(s *Systemd, marks []string) {
	for _, mark := range marks {
		if what, ok := strings.CutPrefix(mark, "fail-without:"); ok {
			what = strings.TrimSpace(what)
			if s.there(what) {
				continue
			}
			mark = "fail"
		}
		p.Marks = append(p.Marks, mark)
	}
}

func (s *Systemd) there(what string) bool {
	if strings.HasPrefix(what, "/") {
		return s.disk.Print(what) != absent
	}
	u := s.find(what)
	return units.Valid(what) == nil && u != nil && u.up()
}

// Processes gives what each active unit was started with, by unit. A oneshot
// that remains active counts.
func (s *Systemd) Processes() map[string]Process {
	running := map[string]Process{}
	for _, u := range s.loaded {
		if u.process != nil {
			running[u.name] = *u.process
		}
	}
	return running
}

// LastRun gives what a unit was last started with in this boot, also when that
// is over.
func (s *Systemd) LastRun(name string) (Process, bool) {
	u := s.find(s.ownName(name))
	if u == nil || u.last == nil {
		return Process{}, false
	}
	return *u.last, true
}
