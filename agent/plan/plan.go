package plan

import (
	"fmt"
	"strings"

	"evenkeel/units"
)

// Plan is the ordered steps from one state to another: first Stop, then all of
// Paths, then one daemon-reload when Reload says why, then Waves one after the
// other.
type Plan struct {
	Stop   []UnitStep   // in order: what depends on others stops first
	Paths  []PathStep   // directories first and shallow before deep, removals last
	Reload string       // why systemd must read its unit files again; "" when it need not
	Waves  [][]UnitStep // the units of one wave do not wait for each other
}

// PathStep changes what stands at one path.
type PathStep struct {
	Path     string
	From, To Path
}

// UnitStep asks systemd for one job.
type UnitStep struct {
	Unit string
	Verb units.Verb
	Why  []string // named reasons, never empty
	// With is the unit whose own restart or stop systemd hands on to this one.
	// The step is already done when the unit is up and no longer runs as it did
	// when the plan was made.
	With string
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool {
	return len(p.Stop) == 0 && len(p.Paths) == 0 && p.Reload == "" && len(p.Waves) == 0
}

// Steps gives all unit steps in the order in which they run.
func (p Plan) Steps() []UnitStep {
	all := append([]UnitStep(nil), p.Stop...)
	for _, wave := range p.Waves {
		all = append(all, wave...)
	}
	return all
}

// String is the plan as people read it, a step a line.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Stop {
		fmt.Fprintf(&b, "stop %s: %s\n", s.Unit, strings.Join(s.Why, "; "))
	}
	for _, s := range p.Paths {
		fmt.Fprintln(&b, s)
	}
	if p.Reload != "" {
		fmt.Fprintf(&b, "daemon-reload: %s\n", p.Reload)
	}
	for _, wave := range p.Waves {
		for _, s := range wave {
			fmt.Fprintf(&b, "%s %s: %s\n", s.Verb, s.Unit, strings.Join(s.Why, "; "))
		}
	}
	return b.String()
}

// String is the step in one line, without contents.
func (s PathStep) String() string {
	switch {
	case s.From.Kind == Absent:
		return fmt.Sprintf("create %s: %s", s.Path, describe(s.To))
	case s.To.Kind == Absent:
		return fmt.Sprintf("remove %s: %s", s.Path, describe(s.From))
	case s.From.Kind == s.To.Kind && s.From.Digest == s.To.Digest && s.From.Link == s.To.Link:
		return fmt.Sprintf("set %s: %s, was %s", s.Path, describe(s.To), describe(s.From))
	}
	return fmt.Sprintf("change %s: %s", s.Path, describe(s.To))
}

func describe(p Path) string {
	switch p.Kind {
	case Link:
		return "link to " + p.Link
	case File, Directory:
		return fmt.Sprintf("%s %04o %s:%s", p.Kind, p.Mode, p.Owner, p.Group)
	}
	return string(p.Kind)
}
