package units

import (
	"context"
	"time"
)

// Verb is a job that systemd can be asked for.
type Verb string

// The verbs, under systemctl's names.
const (
	Start   Verb = "start"
	Stop    Verb = "stop"
	Restart Verb = "restart"
	Reload  Verb = "reload"
)

// Done is the result word of a job that did what it was asked for; see
// JobRemoved in org.freedesktop.systemd1(5). All other words are failures.
const Done = "done"

// System is the state of the manager itself.
type System struct {
	State   string // the word of "systemctl is-system-running": running, degraded, starting, ...
	Version int    // systemd's major version, 0 when unknown
}

// Status is the cheap part of a unit's state: what one ListUnitsByNames call
// answers for any number of units.
type Status struct {
	Name   string
	Load   string // loaded, not-found, bad-setting, error, masked
	Active string // active, reloading, inactive, failed, activating, deactivating
	Sub    string // running, exited, dead, auto-restart, ...
	Job    string // kind of the job that is queued or running on the unit: "", start, stop, ...
}

// IsActive reports whether the unit counts as up, as systemctl is-active does.
func (s Status) IsActive() bool { return s.Active == "active" || s.Active == "reloading" }

// Detail is all that evenkeel asks about one unit. Names of units in the lists
// are those that systemd has loaded, inverse dependencies included.
type Detail struct {
	Status

	Type            string // Type= of a service, "" for other units
	RemainAfterExit bool
	Invocation      string // InvocationID in hex, "" when the unit was never started in this boot
	Restarts        uint32 // NRestarts: automatic restarts since the last explicit start
	Result          string // Result= of the last run: success, exit-code, signal, start-limit-hit, ...
	Condition       bool   // ConditionResult of the last start attempt
	ConditionAt     time.Time
	MainStart       time.Time // ExecMainStartTimestamp, zero when there is none
	MainPID         uint32
	ExitStatus      int32 // ExecMainStatus
	ActiveAt        time.Time
	UnitFileState   string // enabled, disabled, static, masked, ...
	Fragment        string // FragmentPath
	DropIns         []string
	NeedReload      bool // NeedDaemonReload
	CanReload       bool

	Requires, BindsTo, Wants, PartOf       []string
	RequiredBy, BoundBy, ConsistsOf        []string
	Conflicts, ConflictedBy, After, Before []string
	Triggers, TriggeredBy                  []string
}

// Manager is systemd as the agent sees it. The real one is units/bus, the one
// for tests units/unitstest; neither exposes more than this.
type Manager interface {
	// System asks for the state of the manager itself.
	System(ctx context.Context) (System, error)
	// List gives the status of each unit, in the order of names; a unit that
	// systemd cannot find has Load "not-found". One round trip.
	List(ctx context.Context, names []string) ([]Status, error)
	// Show gives everything about one unit.
	Show(ctx context.Context, name string) (Detail, error)
	// Run queues a job with mode "replace", waits for its end, and gives
	// systemd's result word (Done or a failure such as "failed", "dependency",
	// "timeout", "canceled"). An error means that the outcome is not known, or
	// that systemd refused to queue the job.
	Run(ctx context.Context, verb Verb, name string) (result string, err error)
	// DaemonReload makes systemd read its unit files again.
	DaemonReload(ctx context.Context) error
	// ResetFailed clears the failed state and the start limit of a unit. A unit
	// that is not loaded is not an error.
	ResetFailed(ctx context.Context, name string) error
}
