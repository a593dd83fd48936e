package agent

import (
	"cmp"
	"maps"
	"path"
	"slices"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// units are the services of a good commit, and the units of the system that read files
// of it, sorted. Those may be down as they like; see manifest.WellKnownFiles.
func (g *Good) units() []string {
	names := slices.Collect(maps.Keys(g.Services))
	for name := range g.State.Units {
		if _, listed := g.Services[name]; !listed && g.has(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// has reports whether a unit is one of those.
func (g *Good) has(name string) bool {
	_, listed := g.Services[name]
	u := g.State.Units[name]
	return listed || u.Active && len(u.Inputs) > 0
}

// driftOfUnits lists the services that drifted, and gives those that a correction may
// start or restart. A unit that is left alone is not among them.
func (h *Host) driftOfUnits(good *Good, d *drift) map[string]plan.Unit {
	to := map[string]plan.Unit{}
	corrected := map[string]bool{}
	for _, x := range d.list {
		corrected[x.Name] = x.Corrected()
	}
	for _, name := range good.units() {
		_, listed := good.Services[name]
		want, detail := good.State.Units[name], d.now.details[name]
		is := d.now.state.Units[name]
		switch {
		case is.Moving || detail.Job != "":
			// On its way: the next look tells.
		case !want.Active:
			if x, drifted := h.unitUp(name, detail); drifted && d.takes(x) {
				to[name] = plan.Unit{}
			}
		case is.Active && h.isMasked(name, detail):
			d.note(h.maskedUnit(name))
		case is.Active && isMask(d.to.Paths[maskOf(name)]):
			// Its own file is a mask now and stays one: that is told of. It cannot be restarted.
		case is.Active:
			stale, stays := h.readOtherwise(want, is, d, corrected)
			x, drifted := h.runsWithOthers(name, stale, stays)
			if !drifted || !listed && len(stale) == 0 || !d.takes(x) {
				stale = nil
			}
			to[name] = readsWhatIsCorrected(want, is, corrected, stale)
		case listed:
			if x, drifted := h.unitDown(name, detail); drifted && d.takes(x) {
				to[name] = want
			}
		}
	}
	return h.readAfterwards(to, d)
}

// takes notes what a unit drifted, and reports whether it is to be put right.
func (d *drift) takes(x Deviation) bool {
	if x.Corrected() {
		x.Alone = d.handsOff
	}
	d.note(x)
	return x.Corrected()
}

// note lists a deviation, unless nobody wants to know.
func (d *drift) note(x Deviation) {
	if x.Policy != plan.Ignore {
		d.list = append(d.list, x)
	}
}

// isMasked reports whether somebody masked a unit, whether systemd knows it by now or not.
// Where the good commit has a file of its own at the place of the link, that is the drift.
// The paths of the good commit come last: they may be many, and have to be taken off the shelf.
func (h *Host) isMasked(name string, detail units.Detail) bool {
	if detail.Load != "masked" && !h.leadsToNull(maskOf(name)) {
		return false
	}
	_, ours := h.Ledger.Good.State.Paths.all()[maskOf(name)]
	return !ours
}

func (h *Host) leadsToNull(link string) bool {
	dir, err := h.Disk.OpenDir(path.Dir(link))
	if err != nil {
		return false
	}
	defer func() { _ = dir.Close() }()
	leads, err := dir.Readlink(path.Base(link))
	return err == nil && leads == "/dev/null"
}

// maskedUnit is told of, also while the unit still runs: it will not come up again.
func (h *Host) maskedUnit(name string) Deviation {
	return Deviation{
		Name: name, Kind: DriftUnit, Policy: h.onDrift(name), How: "it is masked",
		Alone: "somebody masked it, and that link is not evenkeel's; \"systemctl unmask " + name + "\" takes it away",
	}
}

// readOtherwise lists the paths of which a service that runs has read something else than
// the good commit's: those where that stands now, and those that nobody puts back.
func (h *Host) readOtherwise(want, is plan.Unit, d *drift, corrected map[string]bool) (stale, stays []string) {
	for _, p := range slices.Sorted(maps.Keys(want.Inputs)) {
		was, known := is.Inputs[p]
		switch {
		case !known || was == "" || was == want.Inputs[p] || corrected[p] || h.onDrift(p) == plan.Ignore:
		case h.onDrift(p) == plan.Correct && d.now.state.Paths[p].Fingerprint() == want.Inputs[p]:
			stale = append(stale, p)
		default:
			stays = append(stays, p)
		}
	}
	return stale, stays
}

// runsWithOthers judges a service that runs and has read other bytes than the good commit's.
// It is restarted where it would read the right ones then; where it would read the same
// again that helps nobody.
func (h *Host) runsWithOthers(name string, stale, stays []string) (Deviation, bool) {
	x := Deviation{Name: name, Kind: DriftUnit, Policy: plan.Report}
	switch {
	case len(stale)+len(stays) == 0 || h.onDrift(name) == plan.Ignore:
		return x, false
	case len(stale) > 0:
		x.Policy, x.Alone = h.onDrift(name), h.gaveUp(name)
	}
	x.How = "it runs with another " + someOf(slices.Concat(stale, stays)) + " than the good commit's"
	return x, true
}

// readsWhatIsCorrected is a service that runs: only what a correction changes, or has
// changed, is a reason to restart it, and only when it has read something else.
func readsWhatIsCorrected(want, is plan.Unit, corrected map[string]bool, stale []string) plan.Unit {
	want.Inputs = maps.Clone(want.Inputs)
	for p := range want.Inputs {
		if corrected[p] || slices.Contains(stale, p) {
			continue
		}
		if read, known := is.Inputs[p]; known {
			want.Inputs[p] = read
		} else {
			delete(want.Inputs, p)
		}
	}
	for p, read := range is.Inputs {
		if _, asked := want.Inputs[p]; !asked {
			if want.Inputs == nil {
				want.Inputs = map[string]string{}
			}
			want.Inputs[p] = read
		}
	}
	return want
}

// readAfterwards lets what is started or restarted read what will stand on the disk
// then: where drift stays, that is the drift.
func (h *Host) readAfterwards(to map[string]plan.Unit, d *drift) map[string]plan.Unit {
	for _, step := range plan.Diff(d.now.state, plan.State{Paths: d.to.Paths, Units: to}, nil).Steps() {
		u, ours := to[step.Unit]
		if !ours {
			continue
		}
		u.Inputs = maps.Clone(u.Inputs)
		for p := range u.Inputs {
			if readsAnew(step, u, p, d.now) {
				u.Inputs[p] = d.to.Paths[p].Fingerprint()
			}
		}
		to[step.Unit] = u
	}
	return to
}

// readsAnew reports whether a step has a unit read one of its inputs once more. A reload
// has it read all for which a reload is enough, not only the one that changed; a unit that
// knows no reload is restarted.
func readsAnew(step plan.UnitStep, u plan.Unit, p string, n now) bool {
	return step.Verb == units.Start || step.Verb == units.Restart ||
		step.Verb == units.Reload && (u.Soft[p] || !n.details[step.Unit].CanReload)
}

// unitUp judges a service that shall not run. What its socket, path or timer woke is as
// the host is made.
func (h *Host) unitUp(name string, detail units.Detail) (Deviation, bool) {
	x := Deviation{Name: name, Kind: DriftUnit, How: "somebody started it"}
	x.Policy = cmp.Or(h.Ledger.Good.Drift[name], h.Ledger.Good.Drift[""], plan.Report)
	if x.Policy == plan.Correct {
		x.Alone = h.gaveUp(name)
	}
	return x, detail.IsActive() && !h.isTriggered(detail)
}

// unitDown judges a service that does not run and should. systemd tells one that was
// stopped from one that crashed: the first is inactive, and its last run a success.
func (h *Host) unitDown(name string, detail units.Detail) (Deviation, bool) {
	x := Deviation{Name: name, Kind: DriftUnit, Policy: h.onDrift(name)}
	said := cmp.Or(h.Ledger.Good.Drift[name], h.Ledger.Good.Drift[""])
	switch {
	case h.isTriggered(detail):
		return x, false // it rests until its socket, path or timer wakes it
	case detail.Load == "masked" || h.isMasked(name, detail):
		x = h.maskedUnit(name)
	case skipped(detail):
		return x, false // systemd did not start it because of its own conditions
	case isOneshot(detail):
		x.How, x.Alone = "its last run failed", "a task that ran and failed is not run again by itself"
	case detail.Active == "inactive" && (detail.Result == "success" || detail.Result == ""):
		x.How, x.Policy = "somebody stopped it", cmp.Or(said, plan.Report)
		if detail.Invocation == "" { // systemd forgets what nobody holds once it has stopped
			x.How = "somebody stopped it, or nothing started it at boot"
		}
	default:
		x.How = "it is " + detail.Active + ", " + lastRun(detail)
	}
	if x.Policy == plan.Correct && x.Alone == "" {
		x.Alone = h.gaveUp(name)
	}
	return x, true
}

func lastRun(detail units.Detail) string {
	return "its last run ended with " + cmp.Or(detail.Result, "nothing known")
}

// isTriggered reports whether a unit is one that something else starts when needed.
func (h *Host) isTriggered(detail units.Detail) bool {
	return slices.ContainsFunc(detail.TriggeredBy, func(by string) bool {
		return h.Ledger.Good.has(by) || detail.Result == "success"
	})
}

func skipped(detail units.Detail) bool {
	return !detail.ConditionAt.IsZero() && !detail.Condition && detail.Active == "inactive"
}
