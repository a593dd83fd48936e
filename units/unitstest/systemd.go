package unitstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"evenkeel/units"
)

// Disk is where units and their inputs stand. Paths are absolute.
type Disk interface {
	// ReadFile gives the content of a regular file, following no link.
	ReadFile(path string) ([]byte, bool)
	// Names lists a directory, sorted; nothing when it is none.
	Names(dir string) []string
	// Print is a short text that differs when what stands at the path does, and
	// "absent" when nothing stands there.
	Print(path string) string
	// Link gives what a symbolic link says.
	Link(path string) (string, bool)
}

// absent is what Disk.Print says of a path where nothing stands.
const absent = "absent"

// Config is what a Systemd is made of. Only Disk is needed.
type Config struct {
	Disk    Disk
	Behave  func(Process) Outcome // how a process turns out; nil is the function Behave
	Before  func(effect string)   // called before each Run ("start app.service"), DaemonReload ("daemon-reload") and ResetFailed ("reset-failed app.service")
	Clock   *int64                // nanoseconds since 1970; nil makes an own one
	Version int                   // 0 is 257; 252 forgets start limits at a daemon-reload
	Target  string                // what a boot starts; "" is multi-user.target
}

// Systemd is a host's service manager. It is not safe for use by several
// goroutines, but clones share nothing that changes.
type Systemd struct {
	// Before is Config.Before; it may be set at any time.
	Before func(effect string)
	// Fail is asked after Before: its error is the answer to the call, which has
	// no effect. It may be set at any time.
	Fail func(effect string) error

	disk    Disk
	behave  func(Process) Outcome
	clock   *int64
	version int
	target  string
	parsed  *parsed // shared by clones, safe for them

	lib     *library // of this call; nil when it must be found anew
	off     bool
	down    bool // on the way to off
	booting bool
	queued  []*job // the boot's transaction, between BootBegin and BootFinish
	serial  uint64 // of invocations and processes, never used twice
	loaded  []*unit
	edges   *graph // of loaded; nil when it must be made anew
	unswept bool   // units were loaded, started or stopped since the last sweep
}

var _ units.Manager = (*Systemd)(nil)

// unit is the state of one unit. What the Systemd points to is immutable, which
// lets clones share it; edit replaces it.
type unit struct {
	name string // the unit's own name, not an alias
	def  *definition

	active, sub string
	invocation  string
	restarts    uint32
	result      string
	condition   bool
	conditionAt int64
	mainStart   int64
	activeAt    int64
	pid         uint32
	exit        int32
	process     *Process // what runs, or what left the unit active
	last        *Process // what ran last, also when it is over
	doomed      bool     // dies when the transaction is over
	diesIn      int      // ticks until the process dies; 0 is never
	dieCode     int32
	restartAt   int64 // when an automatic restart is due; 0 is never
	window      int64 // begin of the start limit's interval
	starts      int   // starts in that interval
}

// up reports whether the unit counts as active.
func (u *unit) up() bool { return u.active == "active" || u.active == "reloading" }

// busy reports whether the unit is neither down nor failed.
func (u *unit) busy() bool { return u.active != "inactive" && u.active != "failed" }

const (
	millisecond = int64(time.Millisecond)
	second      = int64(time.Second)
	epoch       = 1_700_000_000 * second
)

// New makes a systemd that is up and runs nothing, as after a boot of a host
// without units.
func New(c Config) *Systemd {
	s := &Systemd{
		Before: c.Before, disk: c.Disk, behave: c.Behave, clock: c.Clock,
		version: cmp.Or(c.Version, 257), target: cmp.Or(c.Target, "multi-user.target"), parsed: &parsed{},
	}
	if s.behave == nil {
		s.behave = Behave
	}
	if s.clock == nil {
		s.clock = new(int64)
		*s.clock = epoch
	}
	return s
}

// Clone gives an independent systemd in the same state, over another disk and
// clock (nil: a clock of its own that goes on from here), without the hook.
func (s *Systemd) Clone(disk Disk, clock *int64) *Systemd {
	c := *s
	c.Before, c.Fail = nil, nil
	c.disk = disk
	c.lib = nil
	c.clock = clock
	if clock == nil {
		c.clock = new(int64)
		*c.clock = *s.clock
	}
	c.loaded = make([]*unit, len(s.loaded), len(s.loaded)+8)
	copy(c.loaded, s.loaded)
	c.queued = make([]*job, len(s.queued))
	for i, j := range s.queued {
		twin := *j
		c.queued[i] = &twin
	}
	return &c
}

// now lets a little time pass, so that no two events have the same.
func (s *Systemd) now() int64 {
	*s.clock += millisecond
	return *s.clock
}

// find gives the state of a unit by its own name, nil when it is not loaded.
func (s *Systemd) find(name string) *unit {
	if i, ok := s.index(name); ok {
		return s.loaded[i]
	}
	return nil
}

func (s *Systemd) index(name string) (int, bool) {
	return slices.BinarySearchFunc(s.loaded, name, func(u *unit, name string) int { return cmp.Compare(u.name, name) })
}

// edit replaces a unit's state by a changed copy.
func (s *Systemd) edit(name string, change func(*unit)) {
	i, ok := s.index(name)
	if !ok {
		panic("internal error: unit " + name + " is not loaded")
	}
	u := *s.loaded[i]
	change(&u)
	s.loaded[i] = &u
}

var errOff = errors.New("the host is off")

// usable is what every call asks first.
func (s *Systemd) usable(ctx context.Context) error {
	s.lib = nil
	if s.off {
		return errOff
	}
	s.sweep()
	return ctx.Err()
}

func (s *Systemd) announce(effect string) error {
	if s.Before != nil {
		s.Before(effect)
	}
	s.lib = nil // the hook may have changed the disk
	if s.Fail != nil {
		return s.Fail(effect)
	}
	return nil
}

// Run is part of units.Manager.
func (s *Systemd) Run(ctx context.Context, verb units.Verb, name string) (string, error) {
	if err := s.usable(ctx); err != nil {
		return "", fmt.Errorf("cannot %s unit %q: %w", verb, name, err)
	}
	err := s.announce(string(verb) + " " + name)
	var result string
	if err == nil {
		result, err = s.run(verb, name)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("cannot %s unit %q: %w", verb, name, err)
	}
	return result, nil
}

func (s *Systemd) run(verb units.Verb, name string) (string, error) {
	u := s.get(name)
	if s.down && verb != units.Stop {
		return "", errors.New("the transaction is destructive: poweroff.target has a start job queued")
	}
	if verb == units.Reload {
		return s.reload(u)
	}
	t := transaction{s: s}
	if err := t.add(verb, u.name); err != nil {
		return "", err
	}
	anchor := t.find(u.name)
	s.execute(t.jobs)
	return anchor.result, nil
}

// DaemonReload is part of units.Manager.
func (s *Systemd) DaemonReload(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return fmt.Errorf("cannot reload the unit files: %w", err)
	}
	if err := s.announce("daemon-reload"); err != nil {
		return fmt.Errorf("cannot reload the unit files: %w", err)
	}
	s.now()
	s.readAll()
	if s.version < 257 {
		for _, u := range s.loaded {
			if u.starts > 0 {
				s.edit(u.name, func(u *unit) { u.starts, u.window = 0, 0 })
			}
		}
	}
	return nil
}

// ResetFailed is part of units.Manager.
func (s *Systemd) ResetFailed(ctx context.Context, name string) error {
	if err := s.usable(ctx); err != nil {
		return fmt.Errorf("cannot reset unit %q: %w", name, err)
	}
	if err := s.announce("reset-failed " + name); err != nil {
		return fmt.Errorf("cannot reset unit %q: %w", name, err)
	}
	s.now()
	u := s.find(s.ownName(name))
	if u == nil {
		return nil
	}
	s.unswept = true
	s.edit(u.name, func(u *unit) {
		u.starts, u.window, u.restarts = 0, 0, 0
		if u.active == "failed" {
			u.active, u.sub, u.result = "inactive", "dead", "success"
		}
	})
	return nil
}

// Tick lets n seconds pass: processes die, and automatic restarts happen.
func (s *Systemd) Tick(n int) {
	s.lib = nil
	for range n {
		*s.clock += second / 2
		s.age()
		*s.clock += second / 2
		s.restartDue()
	}
}
