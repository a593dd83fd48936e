package plan

import (
	"fmt"
	"time"
)

// Target is what a commit asks of this host, rendered and checked, before the
// host was looked at.
type Target struct {
	Commit   string
	Host     string
	Roles    []string
	State    State
	Content  map[string][]byte   // by digest: the bytes of every file in State
	Origin   map[string]Place    // path or unit name -> where the repository says so
	Absent   []string            // links that enable units which shall not be enabled, sorted
	Services map[string]Service  // the units that shall run, or shall not, and how their health is known
	Validate map[string][]string // path -> command that must accept the staged file before anything is touched
	Reads    map[string][]Read   // unit -> what it reads at its start, managed or not
	Made     map[string]string   // service that podman's generator makes -> the Quadlet file that it is made from
	Warnings []Warning           // sorted; for check, plan and status
	Quiet    map[string]bool     // paths with feeds: none
	Secret   map[string]bool     // the paths of files that hold secrets
	Words    []string            // what those secrets are made of, to be taken out of what programs say
	Sealed   []Place             // secrets that could not be opened where this was made: Content has stand-ins

	// How the host must fare before the commit is good, and what happens when it
	// does not. They ask for nothing on the host, so they are no part of its digest.
	Probation time.Duration // zero: what the host's own config says
	OnFailure OnFailure
	Windows   *Windows // when it may begin; nil: at any time, unless the host's own config says otherwise

	// Drift says by path or unit what becomes of drift there, and at "" what becomes
	// of it everywhere else. It is no part of the digest either.
	Drift map[string]OnDrift
}

// Place is a line of a file in the repository. Line 0 is the file as a whole.
type Place struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
}

// String is the place as a compiler names it.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Warning is what is no fault of a commit and yet not what people expect.
type Warning struct {
	Place
	Message string `json:"message"`
}

// String reads as a compiler's message does.
func (w Warning) String() string { return w.Place.String() + ": " + w.Message }

// Read is a reason why a unit must be restarted, or reloaded, when a path
// changes: an edge from config to service.
type Read struct {
	Path string // absolute; a directory means everything below it; may hold glob characters
	Why  string // the directive that says so: "EnvironmentFile=", "ExecStart=", "restart_on", ...
	Soft bool   // a reload is enough
	Must bool   // without it the unit cannot run
}
