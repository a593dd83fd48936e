package plan

import (
	"fmt"
)

// Kind says what stands at a path.
type Kind string

// The kinds. Absent is the zero value, so a path that a State does not mention
// is a path where nothing stands.
const (
	Absent    Kind = ""
	File      Kind = "file"
	Link      Kind = "link"
	Directory Kind = "directory"
	Other     Kind = "other" // device, socket, pipe: never wanted, never touched
)

// Path is what stands, stood or shall stand at one absolute path. It holds no
// contents: two files are the same when their digests are.
type Path struct {
	Kind   Kind   `json:"kind,omitempty"`
	Mode   uint32 `json:"mode,omitempty"`   // permission bits with setuid, setgid and sticky, as chmod(2) takes them; 0 for links
	Owner  string `json:"owner,omitempty"`  // user name, or a decimal uid that has no name; "" for links
	Group  string `json:"group,omitempty"`  // group name, or a decimal gid that has no name; "" for links
	Digest string `json:"digest,omitempty"` // of a file's content, see DigestKey
	Link   string `json:"link,omitempty"`   // what a link says, not resolved
}

// Fingerprint is a short text that differs when the paths differ.
func (p Path) Fingerprint() string {
	switch p.Kind {
	case Absent:
		return "absent"
	case File:
		return fmt.Sprintf("file %04o %s:%s %s", p.Mode, p.Owner, p.Group, p.Digest)
	case Link:
		return "link " + p.Link
	default:
		return fmt.Sprintf("%s %04o %s:%s", p.Kind, p.Mode, p.Owner, p.Group)
	}
}

// Unit is how a unit is, was or shall be.
//
// Seen and wanted units use the same fields. In a wanted one, Active says what
// shall be so, Inputs is what a process must have been started with, and
// Invocation is empty. In a seen one, Inputs is what the process that runs now
// was started with; a path it maps to "" was read in a version nobody knows.
//
// A oneshot service without RemainAfterExit counts as active when it ran with
// success.
type Unit struct {
	Active     bool              `json:"active,omitempty"`
	Ran        bool              `json:"ran,omitempty"`    // Active only because it ran with success, so systemd has nothing to stop or restart; wanted: so it will be
	Moving     bool              `json:"moving,omitempty"` // seen: starting, stopping or waiting to be restarted, so neither up nor at rest
	Invocation string            `json:"invocation,omitempty"`
	Inputs     map[string]string `json:"inputs,omitempty"`   // path -> Fingerprint of what the unit reads there at its start
	Soft       map[string]bool   `json:"soft,omitempty"`     // those inputs whose change asks for a reload only
	After      []string          `json:"after,omitempty"`    // units that come first: After= and the manifest's after:
	Binds      []string          `json:"binds,omitempty"`    // units whose stop or restart systemd hands on to this one: Requires=, BindsTo=, PartOf=
	Triggers   []string          `json:"triggers,omitempty"` // what a socket, path or timer starts
}

// State is files, links, directories and units as they are, were, or shall be.
type State struct {
	Paths map[string]Path `json:"paths,omitempty"`
	Units map[string]Unit `json:"units,omitempty"`
}
