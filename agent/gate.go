package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// This file holds the reasons for which a pass ends before it touches anything.

// onHold ends a pass that must not act. A held attempt is taken back once more
// when a person asks for it; a newer commit overtakes it.
func (d *daemon) onHold(ctx context.Context) (Outcome, bool) {
	h := d.host
	if hold := h.Ledger.Hold; hold != nil && hold.Asks && hold.Question == nil {
		return Outcome{Result: ResultHeld, Reason: hold.Reason}, true
	}
	switch {
	case h.Open != nil && h.Open.phase == PhaseStay:
		return d.staying(ctx)
	case h.Open == nil || h.Open.phase != PhaseHeld:
		return Outcome{}, false
	}
	if h.Ledger.Hold == nil { // a question about a newer commit had taken its place
		h.Ledger.Hold = &Hold{Reason: "the revert of an attempt failed", Commit: h.Open.Commit, Since: h.Now()}
	}
	newest, err := d.follow(ctx)
	if err != nil || newest.tip.Commit == h.Open.Commit {
		return Outcome{Result: ResultHeld, Reason: h.Ledger.Hold.Reason}, true
	}
	if shut := d.shutNow(nil); shut.why != "" && d.override(newest.tip.Commit) == nil {
		// Hands off means these too: nothing would follow them.
		return Outcome{Result: ResultHeld, Reason: h.Ledger.Hold.Reason}, true
	}
	if err := h.passHeld(context.WithoutCancel(ctx)); err != nil {
		return Outcome{Result: ResultHeld, Reason: err.Error()}, true
	}
	return Outcome{}, false
}

// retryHeld takes a held attempt back once more. Its commit may be tried again.
func (d *daemon) retryHeld(ctx context.Context) {
	h := d.host
	if err := h.Open.move(h.State, PhaseUndo); err != nil {
		d.log.Error("cannot take the held attempt back", "err", err)
		return
	}
	d.settled(h.putBack(ctx, "taken back once more"))
}

// notQuiet gives a reason why this is no moment to begin an attempt, for somebody with
// some patience.
func (d *daemon) notQuiet(ctx context.Context, p *patience) string {
	system, err := d.host.Manager.System(ctx)
	starting := system.State == "initializing" || system.State == "starting"
	switch {
	case err != nil:
		return "systemd to answer: " + err.Error()
	case system.State == "stopping":
		return "the host, which is going down"
	case starting && !p.isOver("the host to finish its start", jobPatience, d.host.Now(), d.log):
		return "the host to finish its start"
	}
	if reason := d.locked(p); reason != "" {
		return reason
	}
	if _, err := os.Stat("/run/cloud-init/enabled"); err == nil {
		_, err := os.Stat("/run/cloud-init/result.json")
		if err != nil && !p.isOver("cloud-init to finish", installPatience, d.host.Now(), d.log) {
			return "cloud-init to finish"
		}
	}
	return ""
}

// missing lists what the target needs and the host does not have yet.
func (d *daemon) missing(target *plan.Target, n now) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(target.State.Units)) {
		switch detail := n.details[name]; {
		case brings(target, name), !target.State.Units[name].Active:
		case detail.Load == "masked" && d.unmasks(name, target, n):
		case detail.Load == "masked":
			list = append(list, fmt.Sprintf("unit %s to be unmasked", name))
		case detail.Load != "loaded":
			list = append(list, fmt.Sprintf("unit %s, which neither the repository nor the host has", name)+hinted(target.Origin[name], name, broughtUnits(target)))
		}
		if detail := n.details[name]; detail.Job != "" {
			reason := fmt.Sprintf("the %s job of %s to end", detail.Job, name)
			if !d.patience.isOver(reason, jobPatience, d.host.Now(), d.log) {
				list = append(list, reason)
			}
		}
	}
	list = append(list, missingAccounts(target, n.accounts)...)
	list = append(list, d.missingPrograms(target)...)
	return append(list, d.missingForChecks(target, n)...)
}

// broughtUnits lists the units that the repository has a file for.
func broughtUnits(t *plan.Target) []string {
	var names []string
	for _, p := range slices.Sorted(maps.Keys(t.State.Paths)) {
		if name := unitOf(p); name != "" && t.State.Paths[p].Kind == plan.File {
			names = append(names, name)
		}
	}
	return names
}

// unmasks reports whether what masks a unit is our own link, which the target has not.
func (d *daemon) unmasks(name string, target *plan.Target, n now) bool {
	link := maskOf(name)
	return isMask(n.state.Paths[link]) && d.host.owns(link) && !isMask(target.State.Paths[link])
}

// missingPrograms lists the programs that validators need and that are not
// there. What a unit itself runs is found by systemd-analyze.
func (d *daemon) missingPrograms(target *plan.Target) []string {
	var list []string
	for _, p := range slices.Sorted(maps.Keys(target.Validate)) {
		program := target.Validate[p][0]
		if _, comes := target.State.Paths[program]; !comes && !isProgram(program) {
			list = append(list, fmt.Sprintf("the program %q, which validates %s", program, p)+hinted(target.Origin[p], "", nil))
		}
	}
	return list
}

func isProgram(name string) bool {
	if strings.HasPrefix(name, "/") {
		_, err := os.Stat(name)
		return err == nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if _, err := os.Stat(dir + "/" + name); err == nil {
			return true
		}
	}
	return false
}

// refuse ends a pass with faults that were found before anything was touched.
// They are looked at again when the key changes; without one, at each pass.
func (d *daemon) refuse(key string, problems manifest.Problems) Outcome {
	d.refused.key, d.refused.problems, d.refused.until = key, problems, time.Time{}
	return Outcome{Result: ResultRefused, Reason: summary(problems)}
}

func summary(problems manifest.Problems) string {
	text := problems[0].String()
	if n := len(problems) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// wait ends a pass until something is there; each interval looks again.
func (d *daemon) wait(reasons ...string) Outcome {
	d.waiting = reasons
	return Outcome{Result: ResultWaiting, Reason: "waiting for " + strings.Join(reasons, "; ")}
}

// invalid reads what validation said.
func (d *daemon) invalid(c *candidate, err error) Outcome {
	var invalid *invalidError
	switch {
	case !errors.As(err, &invalid):
		return failed(err)
	case invalid.missing():
		var reasons []string
		for _, p := range invalid.problems(c.target) {
			reasons = append(reasons, p.Message+hinted(plan.Place{File: p.File, Line: p.Line}, "", nil))
		}
		return d.wait(reasons...)
	}
	return d.refuse(c.key, invalid.problems(c.target))
}

// decided answers for a key that an earlier pass has dealt with.
func (d *daemon) decided(key, commit string) (Outcome, bool) {
	l := d.host.Ledger
	switch {
	case d.refused.key == key && d.refused.key != "" && (d.refused.until.IsZero() || time.Now().Before(d.refused.until)):
		return Outcome{Result: ResultRefused, Reason: summary(d.refused.problems)}, true
	case l.Key != key || d.host.Open != nil:
		return d.stillKept(key)
	}
	if r, rejected := l.IsRejected(commit, ""); rejected {
		return Outcome{Result: ResultRejected, Reason: r.Reason, Evidence: r.Evidence}, true
	}
	if l.Good != nil && l.Good.Commit == commit {
		return Outcome{Result: ResultUnchanged}, true
	}
	return Outcome{}, false
}
