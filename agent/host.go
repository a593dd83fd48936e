package agent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/health"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Health judges units and checks. The real one is Prober.
type Health interface {
	// Settle waits until each unit of a wave has been up for its settle time.
	Settle(ctx context.Context, wave []health.Watched) []health.Finding
	// Watch is the probation; see health.Prober.
	Watch(ctx context.Context, watched []health.Watched, probation time.Duration, baseline map[string]bool) health.Report
	// Baseline tries the checks of services, see health.Prober.
	Baseline(ctx context.Context, services map[string]plan.Service) map[string]bool
}

// Host is this machine as an attempt sees it: what may be changed, and the
// record of what was.
type Host struct {
	Disk     apply.FS
	Manager  units.Manager
	Health   Health
	State    apply.Dir // the state directory
	StateDir string    // its path
	Boot     string    // id of this boot
	Now      func() time.Time
	Log      *slog.Logger
	Phase    func(stage Stage, text string) // tells people what is going on

	// Journal gives the last lines that a unit has written since a time; nil when
	// there is no journal.
	Journal func(ctx context.Context, unit string, since time.Time) string

	Create func(ctx context.Context, files []string) error // has systemd-tmpfiles make what files say; nil for nothing

	Sysctl Sysctl // the kernel's values; nil when nobody minds them

	Reverted func(cause Cause) // counts the attempts that are taken back

	Corrected func(kind DriftKind) // counts what drifted and was put right

	AtOnce    int           // how many jobs of one wave run side by side; one when it is zero
	Probation time.Duration // how long a commit must prove itself at least
	Guard     plan.Service  // what must still be reached after an apply

	Ledger *Ledger
	Anchor *Anchor  // nil when no commit was good yet
	Open   *Attempt // nil when no attempt is open

	recovered bool // what an earlier process left open was dealt with

	anchorFault string // why the anchor is not to be had, "" when it is

	leftover []*Attempt // records that must go before the next attempt, the oldest first

	index    apply.Index
	redactor redactor
	decode   decoder
}

// wanted is a target with everything that only the host knows: what is to become
// of paths and units that the target no longer names, and how vendor units are
// wired.
type wanted struct {
	target *plan.Target
	digest string
	key    string
	to     plan.State
	leaves plan.State // what the commit asks for where it leaves drift alone

	subject, signer string   // of the commit, for people
	minimum         string   // minimum_commit, which it was proven to contain
	past            bool     // a person went back to it
	corrects        []string // the drifted paths and units that are to be put right
	owned           map[string]Owned
	found           map[string]bool
	system          map[string]bool // units that no role lists and that well-known directories are for
	newer           []newer         // paths that would go back to what a package has replaced since
}

// now is the host as it is.
type now struct {
	accounts apply.Accounts
	seen     apply.Seen
	state    plan.State
	details  map[string]units.Detail
	packaged packaged
}

// observe looks at every path and unit that the target or our own record names.
func (h *Host) observe(ctx context.Context, target *plan.Target) (now, error) {
	n, err := h.look(ctx, target)
	if err == nil {
		n.packaged, err = h.lookAtPackages(target)
	}
	return n, err
}

// look is observe without what package managers say, which only matters to a
// commit that comes.
func (h *Host) look(ctx context.Context, target *plan.Target) (now, error) {
	n := now{details: map[string]units.Detail{}}
	var err error
	if n.accounts, err = apply.ReadAccounts(h.Disk); err != nil {
		return n, err
	}
	n.seen, err = h.index.Look(h.Disk, n.accounts, h.paths(target))
	n.state = plan.State{Paths: n.seen.Paths, Units: map[string]plan.Unit{}}
	if err != nil {
		return n, err
	}
	for _, name := range h.units(target) {
		if err := h.observeUnit(ctx, name, target.State.Units[name], &n); err != nil {
			return n, err
		}
	}
	return n, nil
}

// paths are those that the target, the ledger or the open attempt name, changed
// by it or not, and all directories above them.
func (h *Host) paths(target *plan.Target) []string {
	set := map[string]bool{}
	add := func(p string) {
		for ; len(p) > 1 && !set[p]; p = p[:max(strings.LastIndexByte(p, '/'), 1)] {
			set[p] = true
		}
	}
	for p := range target.State.Paths {
		add(p)
	}
	for _, p := range target.Absent {
		add(p)
	}
	for p := range h.Ledger.Owned.all() {
		add(p)
	}
	if h.Open != nil {
		for _, m := range h.Open.Moves {
			add(m.Path)
		}
		for p := range h.Open.Owned {
			add(p)
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func (h *Host) units(target *plan.Target) []string {
	set := map[string]bool{}
	for name := range target.State.Units {
		set[name] = true
	}
	for name := range h.Ledger.Found {
		set[name] = true
	}
	if h.Open != nil {
		for name := range h.Open.Suspect {
			set[name] = true
		}
		for name := range h.Open.After.Units {
			set[name] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func (h *Host) observeUnit(ctx context.Context, name string, want plan.Unit, n *now) error {
	if _, done := n.details[name]; done {
		return nil
	}
	d, err := h.Manager.Show(ctx, name)
	if err != nil {
		return fmt.Errorf("cannot ask systemd for %q: %w", name, err)
	}
	n.details[name] = d
	run, ran := h.Ledger.Runs[name]
	u := plan.Unit{
		Active:     isUp(d, ran),
		Ran:        isOneshot(d) && !d.IsActive(),
		Moving:     d.Active == "activating" || d.Active == "deactivating",
		Invocation: d.Invocation,
		After:      d.After,
		Binds:      slices.Concat(d.Requires, d.BindsTo, d.PartOf),
		Triggers:   d.Triggers,
	}
	if ran && (run.Invocation == d.Invocation || isOneshot(d)) {
		u.Inputs = run.Inputs
	} else {
		u.Inputs = h.inputsOf(name, want, d, n.seen)
	}
	n.state.Units[name] = u
	return nil
}

// clockSlack covers that a file's ctime is taken from a coarser clock than the
// start of a process.
const clockSlack = 10 * time.Millisecond

// inputsOf says what a unit runs with that somebody else started: what stands
// there now, unless it changed after the start.
func (h *Host) inputsOf(name string, want plan.Unit, d units.Detail, seen apply.Seen) map[string]string {
	since := d.MainStart
	if since.IsZero() {
		since = d.ActiveAt
	}
	inputs := map[string]string{}
	names := slices.Collect(maps.Keys(want.Inputs))
	if h.Ledger.Good != nil {
		names = slices.AppendSeq(names, maps.Keys(h.Ledger.Good.State.Units[name].Inputs))
	}
	if h.Open != nil {
		names = slices.AppendSeq(names, maps.Keys(h.Open.After.Units[name].Inputs))
	}
	for _, p := range names {
		inputs[p] = seen.Paths[p].Fingerprint()
		if seen.Changed[p].After(since.Add(-clockSlack)) {
			inputs[p] = ""
		}
	}
	return inputs
}

func isOneshot(d units.Detail) bool { return d.Type == "oneshot" && !d.RemainAfterExit }

// isUp counts a oneshot that ran with success as up, whether in this boot or,
// by our own record, before it.
func isUp(d units.Detail, ran bool) bool {
	if isOneshot(d) && d.Active != "failed" {
		return ran && d.Invocation == "" || d.Invocation != "" && d.Result == "success" && d.Condition
	}
	return d.IsActive()
}
