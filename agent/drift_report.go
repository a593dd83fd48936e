package agent

import (
	"maps"
	"path"
	"slices"
	"time"

	"evenkeel/agent/plan"
)

// This file tells people of drift: log, status and metrics.

// maxShownDrift bounds Status.Drift.
const maxShownDrift = 100

// DriftStatus is one path or unit that is not as the good commit left it.
type DriftStatus struct {
	Name  string    `json:"name"`
	Kind  DriftKind `json:"kind"`
	How   string    `json:"how"`
	Does  string    `json:"does"` // what is done about it
	Since time.Time `json:"since,omitzero"`
}

// tellDrift brings log, status and metrics up to date with a look. What is new to the
// log is said once.
func (d *daemon) tellDrift(list []Deviation) {
	var shown []DriftStatus
	counts := map[string]int{}
	for _, x := range list {
		counts[string(x.Kind)]++
		s := DriftStatus{Name: x.Name, Kind: x.Kind, How: x.How, Does: x.Does(), Since: x.Since}
		was, known := d.knownDrift(x.Name)
		if s.Since.IsZero() {
			if s.Since = time.Now().UTC(); known {
				s.Since = was.Since
			}
		}
		if x.Policy != plan.Correct || x.Alone != "" {
			if !known || was.How != s.How || was.Does != s.Does {
				d.log.Warn("drift", "name", x.Name, "how", x.How, "does", s.Does)
			}
		}
		shown = append(shown, s)
	}
	for _, kind := range []DriftKind{DriftFile, DriftLink, DriftDirectory, DriftUnit} {
		d.metrics.Drift(string(kind), counts[string(kind)])
	}
	beside := d.lookout.sawPackages() && d.fillPackageFiles()
	more := max(len(shown)-maxShownDrift, 0)
	shown = shown[:len(shown)-more]
	same := false
	d.board.change(func(s *Status) {
		same = slices.Equal(s.Drift, shown) && s.DriftMore == more && s.DriftFault == d.hitch.fault && !beside
		s.Drift, s.DriftMore, s.DriftFault = shown, more, d.hitch.fault
	})
	if !same {
		d.writeStatus()
	}
}

func (d *daemon) knownDrift(name string) (DriftStatus, bool) {
	known := d.board.read().Drift
	i := slices.IndexFunc(known, func(s DriftStatus) bool { return s.Name == name })
	if i < 0 {
		return DriftStatus{}, false
	}
	return known[i], true
}

// driftUnknown says that the look, or the correction, was not possible.
func (d *daemon) driftUnknown(err error) {
	same := false
	d.board.change(func(s *Status) {
		same = s.DriftFault == err.Error()
		s.DriftFault = err.Error()
	})
	if !same {
		d.log.Warn("drift cannot be dealt with", "err", err)
		d.writeStatus()
	}
}

// checked ends a look for drift. A pass follows at once only when a newer commit
// interrupted a watch: that goes on there.
func (d *daemon) checked(outcome Outcome) time.Duration {
	stage := d.board.read().Stage
	resting := stage == StageIdle || stage == StageHeld
	switch outcome.Result {
	case "":
		if d.lookout.isStale() {
			d.followDrift()
			d.lookout.again(0)
		}
		if resting {
			d.owing = true
			return asPlanned
		}
		d.rest()
	case ResultCorrected:
		d.log.Info("corrected", "what", outcome.Reason)
		d.fillUnits()
		d.rest()
	default: // it failed, or stopped half way: that is what a person must hear of
		d.reported = time.Time{}
		d.report(outcome)
	}
	d.followDrift()
	d.giveBack()
	if d.candidate != nil || d.host.isWatching() {
		return 0
	}
	return asPlanned
}

// rest goes back to doing nothing. How the last pass ended is as it was.
func (d *daemon) rest() {
	stage := StageIdle
	if d.host.Ledger.Hold != nil {
		stage = StageHeld
	}
	d.tell(stage, "")
}

// followDrift lets the lookout watch what the good commit asks for now.
func (d *daemon) followDrift() {
	good := d.host.Ledger.Good
	if good == nil {
		return
	}
	var dropIns []string
	names := slices.Sorted(maps.Keys(good.Services))
	for _, name := range names {
		dropIns = append(dropIns, path.Join("/etc/systemd/system", name+".d"))
	}
	d.lookout.follow(d.host.watchedPaths(), dropIns, names)
}
