package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/health"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Outcome is how an attempt ended, for people and for the ledger.
type Outcome struct {
	Result   Result
	Reason   string
	Evidence string
}

// deploy brings the host to a wanted state in one attempt: begin, apply, watch,
// decide. When an attempt is open already, in its watch, this one overtakes it.
func (h *Host) deploy(ctx context.Context, w wanted, n now) (Outcome, error) {
	p, err := h.begin(ctx, w, &n)
	if err != nil {
		return Outcome{}, err
	}
	return h.carryThrough(ctx, p, n)
}

// carryThrough is what follows once an attempt has begun.
func (h *Host) carryThrough(ctx context.Context, p plan.Plan, n now) (Outcome, error) {
	// From the first effect on the attempt runs to its end: a shutdown waits.
	if err := h.carryOut(context.WithoutCancel(ctx), h.Open, p, n); err != nil {
		return h.judge(ctx, h.blame(context.WithoutCancel(ctx), err))
	}
	return h.watch(ctx)
}

// begin does everything that may fail without a trace: it works out the steps,
// stages the files, and records the intent, which is its last act.
func (h *Host) begin(ctx context.Context, w wanted, n *now) (plan.Plan, error) {
	if h.goesDown(ctx) {
		return plan.Plan{}, errGoesDown
	}
	h.keepUp(w.to)
	p := plan.Diff(n.state, w.to, nil)
	suspect, err := h.suspects(ctx, p, w.to, n)
	if err != nil {
		return p, err
	}
	// Once more, now that what systemd will take along is known as well.
	p = plan.Diff(n.state, w.to, nil)
	if p.Reload == "" && h.Open != nil && h.Open.phase == PhaseHeld {
		p.Reload = "the attempt that could not be taken back may have left other unit files loaded"
	}
	if err := h.observeTriggered(ctx, w.target.Services, n); err != nil {
		return p, err
	}
	return p, h.stage(ctx, w, *n, h.newAttempt(w, *n, p, suspect))
}

// stage puts all files beside their targets and then records the intent.
func (h *Host) stage(ctx context.Context, w wanted, n now, a *Attempt) (err error) {
	if err := h.lookBefore(ctx, a); err != nil {
		return err
	}
	if a.Moves, err = apply.Prepare(n.accounts, n.seen, w.to.Paths, h.standing()); err != nil {
		return err
	}
	content := func(digest string) ([]byte, error) { return h.content(w.target, digest) }
	if err := h.noteSysctl(a, w, n); err != nil {
		return err
	}
	if err := apply.Room(h.Disk, h.StateDir, a.Moves, content); err != nil {
		return err
	}
	if err := h.keepOriginals(a.Owned); err != nil {
		return err
	}
	if err := h.keepReplaced(a, n); err != nil {
		return err
	}
	h.tell(StageStaging, a.Commit)
	if err := h.makeWay(); err != nil {
		return err
	}
	err = a.note(h.State)
	if err == nil {
		err = apply.Stage(h.Disk, a.Moves, content)
	}
	if err == nil {
		err = h.commence(a)
	}
	if err != nil {
		return errors.Join(err, h.abandon(a))
	}
	h.overtake(a)
	return nil
}

// makeWay removes what is left of earlier attempts, which must not outlive the
// next one. What the ledger does not say yet must be in it before.
func (h *Host) makeWay() error {
	if len(h.leftover) == 0 {
		return nil
	}
	if err := h.Ledger.save(h.State); err != nil {
		return err
	}
	return h.clean()
}

// abandon clears what a stage that failed has left, now or before the next one.
// Where the intent cannot be taken back the attempt is open, and is undone as if
// the daemon had been killed.
func (h *Host) abandon(a *Attempt) error {
	if err := a.retract(h.State); err != nil {
		note := *a
		note.phase, note.tries = PhaseStage, 1
		h.leftover = append(h.leftover, &note)
		h.overtake(a)
		return err
	}
	return h.retire(a)
}

// commence counts the try and then records the intent. What cannot be staged is
// no try: it has touched nothing, and may go on for days.
func (h *Host) commence(a *Attempt) error {
	h.Ledger.Attempts = a.Number
	h.countTry(a.tryKey())
	if err := h.Ledger.save(h.State); err != nil {
		return err
	}
	return a.intend(h.State)
}

// overtake makes an attempt the open one. The record of the one before it has
// nothing to say any more.
func (h *Host) overtake(a *Attempt) {
	old := h.Open
	h.Open = a
	if old != nil {
		h.Ledger.Note(Entry{When: h.Now(), Commit: old.Commit, Result: ResultSuperseded, Reason: "overtaken by " + a.Commit})
		if old.phase == PhaseHeld || old.phase == PhaseStay {
			h.Ledger.Hold = nil
		}
		if old.Commit != a.Commit {
			delete(h.Ledger.Tries, old.tryKey())
		}
		if err := h.retire(old); err != nil {
			h.Log.Warn("the record of an overtaken attempt stays for now", "err", err)
		}
	}
}

func (h *Host) newAttempt(w wanted, n now, p plan.Plan, suspect plan.Suspect) *Attempt {
	a := &Attempt{
		Number: h.nextNumber(), Commit: w.target.Commit, Subject: w.subject, Signer: w.signer, Minimum: w.minimum, Digest: w.digest, Key: w.key, Roles: w.target.Roles,
		Boot: h.Boot, Since: h.Now(), After: w.to, Leaves: w.leaves, Suspect: suspect, Services: w.target.Services,
		Owned: w.owned, Found: w.found, Touched: map[string]Touch{}, Secret: w.target.Secret, Quiet: w.target.Quiet,
		Past: w.past, Guard: h.guardOf(), Probation: max(h.Probation, w.target.Probation), OnFailure: h.onFailure(w.target),
		Corrects: w.corrects, Drift: w.target.Drift, DropIns: h.knownDropIns(w),
		Made: w.target.Made, cameUp: map[string]units.Detail{},
	}
	if h.Open != nil {
		for name, reloaded := range h.Open.Suspect {
			a.Suspect[name] = a.Suspect[name] || reloaded
		}
	}
	a.Before.Units = h.unitsBefore(a.Suspect, w.to, n)
	for _, wave := range p.Waves {
		for _, step := range wave {
			d := n.details[step.Unit]
			skipped := !d.ConditionAt.IsZero() && !d.Condition && !d.IsActive()
			a.Touched[step.Unit] = Touch{Skipped: skipped || w.system[step.Unit]}
		}
	}
	a.touchTriggers(p, n)
	if a.isCorrection() && len(p.Steps()) == 0 {
		// No process reads anything else than before, so nothing has to prove itself.
		a.Guard, a.Probation = plan.Service{}, 0
	}
	if a.isCorrection() {
		a.leaveToLedger(n)
	}
	for _, step := range p.Steps() {
		a.Restarts = append(a.Restarts, fmt.Sprintf("%s %s: %s", step.Verb, step.Unit, strings.Join(step.Why, "; ")))
	}
	return a
}

// nextNumber is above that of the open attempt, also when the ledger was lost.
func (h *Host) nextNumber() int {
	if h.Open != nil {
		return max(h.Ledger.Attempts, h.Open.Number) + 1
	}
	return h.Ledger.Attempts + 1
}

// keepUp asks that units which the overtaken attempt may have taken down are up
// again, and that those are down which it was about to stop, also when the new
// target does not name them.
func (h *Host) keepUp(to plan.State) {
	if h.Open == nil {
		return
	}
	for name, was := range h.Open.Before.Units {
		_, named := to.Units[name]
		_, asked := h.Open.After.Units[name]
		_, suspected := h.Open.Suspect[name]
		switch {
		case named, !suspected:
		case was.Active:
			to.Units[name] = plan.Unit{Active: true, After: was.After, Binds: was.Binds}
		case asked:
			to.Units[name] = plan.Unit{}
		}
	}
}

// standing are the moves of the open attempt that stand on the host. Those of one
// that is held are back, see passHeld.
func (h *Host) standing() []apply.Move {
	if h.Open == nil || h.Open.phase == PhaseHeld {
		return nil
	}
	return h.Open.Moves
}

func (h *Host) countTry(key string) {
	if h.Ledger.Tries == nil {
		h.Ledger.Tries = map[string]int{}
	}
	h.Ledger.Tries[key]++
}

// carryOut does the steps of an attempt, for the first time and only once.
func (h *Host) carryOut(ctx context.Context, a *Attempt, p plan.Plan, n now) error {
	h.tell(StageApplying, a.Commit)
	h.Ledger.CameUp = map[string]string{}
	jobs := apply.Jobs{Manager: h.Manager, Log: h.Log, Was: n.state.Units, AtOnce: h.AtOnce, Done: func(ctx context.Context, wave []apply.Started) error {
		return h.waveDone(ctx, a, wave, n)
	}, Before: func(ctx context.Context, name string) { h.forgetStart(ctx, a, name) }}
	if err := jobs.Stop(ctx, p.Stop); err != nil {
		return err
	}
	if err := apply.Forward(h.Disk, a.Moves); err != nil {
		return err
	}
	if err := h.assumeRead(ctx, a, n); err != nil {
		return err
	}
	if err := h.create(ctx, a, kindAfter); err != nil {
		return err
	}
	h.resetSysctl(ctx, a)
	if p.Reload != "" {
		h.Log.Info("daemon-reload", "why", p.Reload)
		if err := h.Manager.DaemonReload(ctx); err != nil {
			return fmt.Errorf("cannot make systemd read its unit files: %w", err)
		}
	}
	h.forgetStops(ctx, p)
	h.forgetStarts(ctx, a, p)
	if err := jobs.Waves(ctx, p.Waves); err != nil {
		return err
	}
	return a.move(h.State, PhaseWatch)
}

func (h *Host) observeSuspects(ctx context.Context, a *Attempt, target *plan.Target, n *now) error {
	for _, name := range slices.Sorted(maps.Keys(a.Suspect)) {
		if err := h.observeUnit(ctx, name, target.State.Units[name], n); err != nil {
			return err
		}
	}
	return nil
}

// waveDone records what the units of a wave run with, and lets them settle.
func (h *Host) waveDone(ctx context.Context, a *Attempt, wave []apply.Started, n now) error {
	var watched []health.Watched
	for _, s := range wave {
		a.cameUp[s.Step.Unit] = s.Unit
		h.Ledger.CameUp[s.Step.Unit] = s.Unit.Invocation
		if want, ours := a.After.Units[s.Step.Unit]; ours {
			inputs := a.readAtStart(want, n.state.Units[s.Step.Unit])
			h.record(s.Step.Unit, Started{Invocation: s.Unit.Invocation, Inputs: inputs})
		}
		watched = append(watched, a.watched(s.Step.Unit, s.Unit))
	}
	if err := h.Ledger.save(h.State); err != nil {
		return err
	}
	for _, f := range h.Health.Settle(ctx, watched) {
		if !f.OK {
			return &unsettled{f}
		}
	}
	return nil
}

// readAtStart is what a unit that this attempt started has read. What it read
// before counts too where the commit does not ask for it any more: until the
// commit is good, another one may have to undo just that.
func (a *Attempt) readAtStart(want, was plan.Unit) map[string]string {
	inputs := map[string]string{}
	for p := range was.Inputs {
		inputs[p] = a.After.Paths[p].Fingerprint()
	}
	maps.Copy(inputs, want.Inputs)
	return inputs
}

func (h *Host) record(unit string, run Started) {
	if h.Ledger.Runs == nil {
		h.Ledger.Runs = map[string]Started{}
	}
	h.Ledger.Runs[unit] = run
}

func (a *Attempt) watched(name string, d units.Detail) health.Watched {
	return health.Watched{
		Name: name, Was: d, Oneshot: d.Type == "oneshot",
		SkippedBefore: a.Touched[name].Skipped, Service: a.Services[name],
		Since: a.Since, FailedBefore: a.Touched[name].FailedBefore,
	}
}

// watch is the probation of the open attempt, and its verdict. A watch that is
// interrupted leaves the attempt open.
func (h *Host) watch(ctx context.Context) (Outcome, error) {
	a := h.Open
	h.tell(StageWatching, a.Commit)
	watched := append(a.watchedGuard(), checksOnly(a.Services, a.Touched)...)
	for _, name := range slices.Sorted(maps.Keys(a.Touched)) {
		d, err := h.cameUp(ctx, a, name)
		if err != nil {
			e := a.evidence(h.Ledger)
			e.Cause, e.Reason = CauseStep, err.Error()
			return h.judge(ctx, e)
		}
		watched = append(watched, a.watched(name, d))
	}
	report := h.Health.Watch(ctx, watched, a.Probation, a.Baseline)
	return h.judge(ctx, h.evidence(ctx, report))
}

// cameUp is a unit right after its job, so that a crash since then counts. For a
// daemon that was started since, asRecorded has made sure that the present will
// do.
func (h *Host) cameUp(ctx context.Context, a *Attempt, name string) (units.Detail, error) {
	if d, known := a.cameUp[name]; known {
		return d, nil
	}
	return h.Manager.Show(ctx, name)
}

// checksOnly are the services that were not touched: their checks count, but a
// unit of theirs that fails by itself is not the commit's fault.
func checksOnly(services map[string]plan.Service, touched map[string]Touch) []health.Watched {
	var watched []health.Watched
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if _, done := touched[name]; !done && len(services[name].Checks) > 0 {
			watched = append(watched, health.Watched{Name: name, Service: services[name], ChecksOnly: true})
		}
	}
	return watched
}

// judge carries out the verdict.
func (h *Host) judge(ctx context.Context, e Evidence) (Outcome, error) {
	if h.Open == nil {
		return Outcome{}, errors.New("internal error: no attempt to judge")
	}
	e.Details = h.redactor.redact(e.Details, h.Open.Secret)
	verdict := Decide(e)
	if verdict != Keep && verdict != Wait && h.goesDown(context.WithoutCancel(ctx)) {
		return Outcome{}, h.leave(e.Reason)
	}
	h.Log.Info("verdict", "commit", h.Open.Commit, "attempt", h.Open.Number, "verdict", verdict, "reason", e.Reason, "evidence", e.Details)
	switch verdict {
	case Keep:
		return h.keep(e)
	case Wait:
		return Outcome{Result: ResultWatching, Reason: "the watch was interrupted"}, nil
	case Stay, Again:
		return h.stay(context.WithoutCancel(ctx), verdict, e)
	}
	return h.takeBack(context.WithoutCancel(ctx), verdict, e)
}

func (h *Host) tell(stage Stage, text string) {
	if h.Phase != nil {
		h.Phase(stage, text)
	}
}
