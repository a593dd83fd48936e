package manifest

import (
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Explanation says where everything comes from that one host gets: which file
// brings a path, which values went into it, what sets a value, and which unit
// reads a file and why.
type Explanation struct {
	Target  *plan.Target `json:"-"`       // wired; nil when the repository has problems
	Host    string       `json:"host"`    //
	Entries []Entry      `json:"entries"` // those of fleet.yaml that are for the host, in order
	Roles   []Said       `json:"roles"`   // in order, with the line of fleet.yaml that gives each
	Layers  []Said       `json:"layers"`  // of values, lowest first; a later one wins

	// Predict says what a host does on the way between two targets, with what it knows of
	// well-known directories; nil means what the units say alone.
	Predict func(from, to *plan.Target) plan.Plan `json:"-"`

	layers []layer
	vars   map[string]any
	build  *builder
	wiring *wiring
	users  map[string][]string // value -> paths whose templates read it
}

// Entry is an entry of fleet.yaml that is for the host.
type Entry struct {
	Match string     `json:"match"` // as people read it: "web-*, labels env=prod"
	Place plan.Place `json:"place"`
}

// Said is a word and where the repository says it.
type Said struct {
	Name  string     `json:"name"`
	Place plan.Place `json:"place"`
}

// Setting is one place of the repository that sets a value, or a mapping above
// it as a whole.
type Setting struct {
	Name  string     `json:"name"`  // what it sets, such as "db.host"; "db" when it replaces all of that
	Place plan.Place `json:"place"` //
	Layer string     `json:"layer"` // whose place that is: "every host", "role web", "hosts matching web-*", "host web-1"
	Text  string     `json:"text"`  // the value as the repository has it, in one line; "<secret>" for an encrypted one
}

// VarReason says why a value is as it is.
type VarReason struct {
	Name     string    `json:"name"`     // such as "db.host"
	Settings []Setting `json:"settings"` // lowest layer first: the last one counts, it overrode those before it
	UsedBy   []string  `json:"used_by"`  // paths on the host whose templates read it, sorted
}

// Reader is a unit that reads a path.
type Reader struct {
	Unit  string   `json:"unit"`
	Edges []string `json:"edges"`          // "unit file", "drop-in", "EnvironmentFile=", "restart_on", ...
	Soft  bool     `json:"soft,omitempty"` // a reload is enough
	Later bool     `json:"later,omitempty"`
	// Later: nothing is restarted, because the unit is none that shall run. A
	// timer or a socket that shall run starts it, and then it reads the path.
}

// Effect is what a change does to a unit.
type Effect struct {
	Unit string     `json:"unit"`
	Verb units.Verb `json:"verb"`
	Why  []string   `json:"why"`
}

// PathReason says why a path stands on the host.
type PathReason struct {
	Path       string      `json:"path"`
	What       string      `json:"what"`                 // "file 0644 root:root", "link ../a", "directory 0755 root:root"
	Role       string      `json:"role"`                 //
	Place      plan.Place  `json:"place"`                // the file of the repository, or the line that declares it
	Attributes *plan.Place `json:"attributes,omitempty"` // the line of role.yaml with its mode, owner and so on
	Template   bool        `json:"template"`             //
	Partials   []string    `json:"partials,omitempty"`   // what the template includes, sorted
	Vars       []VarReason `json:"vars,omitempty"`       // the values that the template read, sorted
	Facts      []string    `json:"facts,omitempty"`      // the facts that it read, such as "os.id", sorted
	Validate   []string    `json:"validate,omitempty"`   // the command that must accept it
	Readers    []Reader    `json:"readers"`              // sorted by unit
	OnChange   []Effect    `json:"on_change"`            // what a change of it would do, in order
	Reload     string      `json:"reload,omitempty"`     // why a change makes systemd read its unit files again
	Notes      []string    `json:"notes,omitempty"`      // what a change does besides, or why nothing needs to be done
}

// ReadReason is an edge from paths to a unit.
type ReadReason struct {
	Path    string   `json:"path"`              // may be a directory or a pattern
	Edge    string   `json:"edge"`              //
	Soft    bool     `json:"soft,omitempty"`    // a reload is enough
	Managed []string `json:"managed,omitempty"` // the paths of the repository that it covers, sorted
}

// UnitReason says why a unit is on the host, and what it depends on.
type UnitReason struct {
	Unit     string       `json:"unit"`
	Listed   bool         `json:"listed"`            // a role lists it
	Stopped  bool         `json:"stopped,omitempty"` // it shall not run
	Masked   bool         `json:"masked,omitempty"`  // nor be started
	Role     string       `json:"role,omitempty"`    // the role that lists it
	Place    *plan.Place  `json:"place,omitempty"`   // the line that lists it
	Enabled  bool         `json:"enabled"`           //
	Files    []Said       `json:"files"`             // unit file and drop-ins that the repository brings; Name is the path on the host
	Links    []string     `json:"links,omitempty"`   // the paths that enable it, sorted
	Reads    []ReadReason `json:"reads"`             //
	After    []string     `json:"after,omitempty"`   // those of the units that shall run which come first
	Binds    []string     `json:"binds,omitempty"`   // units whose stop or restart systemd hands on to it
	Triggers []string     `json:"triggers,omitempty"`
	Checks   []string     `json:"checks,omitempty"`
	OnChange []Effect     `json:"on_change"`        // what a change of the unit itself would do, in order
	Reload   string       `json:"reload,omitempty"` //
}
