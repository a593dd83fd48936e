package agent

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/health"
	"evenkeel/agent/manifest"
	"evenkeel/agent/source"
	"evenkeel/metrics"
	"evenkeel/units"
)

// Options are what the program gives the daemon besides its configuration.
type Options struct {
	Log      *slog.Logger
	Version  string
	Revision string        // the commit that the program was built from, "" when nobody knows
	Manager  units.Manager // systemd
}

// Bounds of the loop.
const (
	beat      = 10 * time.Second // how often the loop shows that it is alive
	stuck     = 20 * time.Minute // a pass without progress for so long is not alive
	reportAge = time.Minute      // how old the status of a host without news may be
	restAge   = 10 * time.Second // how often memory is given back that looks without a find took
	againAge  = 45 * time.Second // and how long after that once more
	garbage   = 50               // percent of what is needed may lie about besides: a daemon that waits has time
	maxDelay  = 15 * time.Minute // between two looks, however often the source failed
)

// daemon is the loop around the passes, and what it remembers between them.
type daemon struct {
	cfg     Config
	opt     Options
	log     *slog.Logger
	host    *Host
	disk    *apply.Disk
	prober  *health.Prober
	notify  *Notify
	metrics *metrics.Set
	page    http.Handler // of the metrics
	doors   doors
	origins []*origin
	trust   trusted
	lookout *lookout
	nudge   chan struct{} // a watch shall look for a newer commit now
	wake    chan struct{} // somebody asks for a look now

	refused struct { // the newest commit that is refused, and what it depends on
		key      string
		problems manifest.Problems
		until    time.Time // it is looked at again then, zero when only a change of the key matters
	}
	chosen struct { // what origins that do not agree came to
		key   string
		index int
	}
	later      deferred // the commit that is kept back
	paused     *Pause   // that the log has told of
	frozen     *Pause   // the same
	waiting    []string
	patience   patience // of commits with what others do
	calm       patience // of corrections
	told       string   // what corrections wait for, as the log has it
	locks      lockWatch
	warnings   []string
	candidate  *candidate            // newer than the attempt that is watched
	passedOver string                // key of a candidate that could not overtake it
	sysctls    []manifest.SysctlName // that the newest commit sets
	noSysctls  []string              // what is said of those that the kernel has not
	hitch      hitch                 // what keeps a correction from beginning
	failures   int                   // of the source, in a row
	unfetched  source.Tip            // what could be seen and not be fetched
	facts      manifest.Facts
	factsAt    time.Time // when they were collected
	keyring    keyring
	keys       Keys // of the last pass
	keyed      keyed
	asks       asks
	leaves     bool      // the looks to the child
	machine    string    // derived machine id; read once
	reported   time.Time // the last full report
	headMade   time.Time // by the clock of whoever made the newest commit
	owing      bool      // looks have taken memory that is not needed any more
	again      bool      // it is to be given back once more
	gaveBack   time.Time // when memory was given back last

	board    board
	unserved unserved

	misconfigured misconfigured
}

// Run is the daemon: it recovers, and then follows the repository until ctx
// ends. An error means that it cannot work on this host as it is.
func Run(ctx context.Context, cfg Config, opt Options) error {
	lock, err := lockState(cfg.StateDir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := keepOutOfCores(); err != nil {
		return err
	}
	d, err := newDaemon(cfg, opt)
	if err != nil {
		return err
	}
	defer func() { _ = d.disk.Close() }()
	d.makeMetrics()
	d.openDoors()
	defer d.closeDoors()
	defer func() { closeOrigins(d.origins) }() // those of then: a reload makes others
	if err := d.host.Load(); err != nil {
		return err
	}
	d.recallMetrics()
	d.tidy()
	defer d.lookout.start(ctx)()
	// One thing after the other: waking a second thread costs an idle poll a fifth of
	// its time. What is large runs in children, which have all processors.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(garbage)
	d.log.Info("evenkeel starts", "version", opt.Version, "host", cfg.Host, "repo", cfg.Repo, "follows", cfg.followed())
	d.report(Outcome{})
	if err := d.notify.Ready(); err != nil {
		d.log.Warn("systemd does not hear us", "err", err)
	}
	return d.loop(ctx)
}

func newDaemon(cfg Config, opt Options) (*daemon, error) {
	disk, err := apply.NewDisk("/")
	if err != nil {
		return nil, err
	}
	state, err := disk.OpenDir(cfg.StateDir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the state directory: %w", err)
	}
	key, err := digestKey(state)
	if err != nil {
		return nil, err
	}
	d := &daemon{
		cfg: cfg, opt: opt, log: opt.Log, disk: disk, origins: newOrigins(cfg),
		notify: NotifyFromEnv(), lookout: newLookout(cfg.DriftInterval, opt.Manager), nudge: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		board: board{progress: time.Now(), began: time.Now()},
	}
	d.prober = &health.Prober{Manager: opt.Manager, Reach: d.reach}
	d.host = &Host{
		Disk: disk, Manager: counting{opt.Manager, d}, State: state, StateDir: cfg.StateDir, Boot: bootID(), Now: time.Now, Log: opt.Log,
		Phase: d.tell, Create: apply.CreateFiles, Sysctl: apply.Sysctl{Root: procSys}, Reverted: func(cause Cause) { d.metrics.Reverted(string(cause)) }, Corrected: func(kind DriftKind) { d.metrics.Corrected(string(kind)) }, AtOnce: jobsAtOnce, Probation: cfg.Probation, Guard: cfg.Guard.service(),
		Journal: health.Journal, index: apply.Index{Key: key},
	}
	d.host.Health = &watching{Prober: d.prober, d: d}
	return d, nil
}

// jobsAtOnce bounds how many units of one wave start side by side: a host shall not do
// all that it does at boot at once.
const jobsAtOnce = 8

// counting is systemd, with each job in the metrics.
type counting struct {
	units.Manager
	d *daemon
}

// Run is that of units.Manager.
func (c counting) Run(ctx context.Context, verb units.Verb, name string) (string, error) {
	result, err := c.Manager.Run(ctx, verb, name)
	c.d.metrics.UnitJob(string(verb), result)
	return result, err
}

// inARow bounds how many commits one pass deals with before it tells how it ended.
const inARow = 10

// onePass is a pass with what comes before and after it: what a start or a failure
// left open, what people asked for, and the watch of an attempt, which a newer
// commit may interrupt and which then goes on until there is a verdict.
func (d *daemon) onePass(ctx context.Context) Outcome {
	d.waiting = nil
	d.locks.begin(d.told != "")
	// Before anything else: the open attempt may be that of another machine.
	if outcome, stop := d.settleIdentity(); stop {
		return outcome
	}
	if err := d.mend(ctx); err != nil {
		return failed(err)
	}
	if err := d.hear(); err != nil {
		return failed(err)
	}
	if outcome, stop := d.anchored(); stop {
		return outcome
	}
	var outcome Outcome
	for looked, n := false, 0; n < inARow && ctx.Err() == nil && outcome.Result != ResultFailed; n++ {
		switch c := d.candidate; {
		case c != nil:
			d.candidate = nil
			outcome = d.act(ctx, c)
			d.passOver(c)
		case d.host.isWatching():
			outcome, looked = d.settled(d.host.watch(ctx)), true
		case looked:
			return outcome
		default:
			outcome, looked = d.pass(ctx), true
		}
	}
	return outcome
}

// mend ends an attempt that a crash, or a failure to write the record, left
// between two phases. A watch is begun anew only after a start of the daemon.
func (d *daemon) mend(ctx context.Context) error {
	open := d.host.Open
	if !d.host.recovered || open != nil && !d.host.isWatching() && open.phase != PhaseHeld && open.phase != PhaseStay {
		_, err := d.host.Recover(ctx)
		return err
	}
	return nil
}

// passOver remembers a commit that did not overtake the attempt that is watched,
// because it waits for something or has faults: it does not end that watch again.
func (d *daemon) passOver(c *candidate) {
	d.passedOver = ""
	if d.host.isWatching() {
		d.passedOver = c.key
	}
}

// finished tells people how a pass ended, and gives the time until the next.
func (d *daemon) finished(outcome Outcome) time.Duration {
	defer d.giveBackOwed()
	d.spendOverride(outcome.Result)
	delay := d.wakeFor(d.delay(), outcome.Result)
	same := false
	d.board.change(func(s *Status) {
		s.Passed = time.Now().UTC()
		s.NextLook = s.Passed.Add(delay)
		same = s.Result == outcome.Result && s.Stage == StageIdle && s.Reason == outcome.Reason
	})
	if outcome.Result.isSettled() && same && time.Since(d.reported) < reportAge {
		d.metrics.PassEnded(string(outcome.Result), time.Now())
		return delay
	}
	d.reported = time.Now()
	news := !same || d.lookout.isBlind()
	if news || len(d.lookout.faults()) > 0 {
		d.fillPackageFiles()
	}
	d.report(outcome)
	if news {
		d.followDrift()
		d.lookout.again(0)
	}
	if outcome.Result != ResultUnchanged {
		// Rendering and staging are over: a daemon that waits should be small.
		d.giveBack()
	}
	return d.locks.shorten(delay, outcome.Result, time.Now())
}

// delay is the interval with a little chance, so that a fleet never falls into
// step; longer after failures of the source, and right for this host's phase.
func (d *daemon) delay() time.Duration {
	if d.failures > 0 {
		return max(jitter(backoff(d.failures, d.cfg.Interval)), d.leftAlone(time.Now()))
	}
	return jitter(untilPhase(time.Now(), d.cfg.Interval, d.phase()))
}

// phase is the host's own place in the interval.
func (d *daemon) phase() time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(d.machine + d.cfg.Host))
	return time.Duration(h.Sum64() % uint64(d.cfg.Interval))
}

// untilPhase is the time to a place in the interval, at least half of one away.
func untilPhase(now time.Time, interval, phase time.Duration) time.Duration {
	next := (phase - time.Duration(now.UnixNano()%int64(interval)) + interval) % interval
	if next < interval/2 {
		next += interval
	}
	return next
}

func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.1*float64(d))
}

// reload reads the host's configuration again; a faulty one leaves the old in
// force.
func (d *daemon) reload() {
	_ = d.notify.Reloading()
	defer func() { _ = d.notify.Ready() }()
	d.lookSelf()
	if d.cfg.File == "" {
		return
	}
	cfg, err := LoadConfig(d.cfg.File)
	d.configRead(err)
	if err != nil {
		return
	}
	if keys := keepUntilRestart(&cfg, d.cfg); len(keys) > 0 {
		d.log.Warn("a change in the configuration waits for a restart of the daemon", "keys", strings.Join(keys, ", "))
	}
	closeOrigins(d.origins)
	before := d.cfg
	d.cfg, d.origins, d.trust, d.chosen.key = cfg, newOrigins(cfg), trusted{}, ""
	d.moveDoors(before)
	d.later.key = "" // the windows may be others
	d.locks.hurry()
	d.host.Probation, d.host.Guard = cfg.Probation, cfg.Guard.service()
	d.metrics.Origins()
	d.tidy()
	d.failures, d.factsAt = 0, time.Time{}
}

// keepUntilRestart leaves in a new configuration what cannot be changed under a
// running daemon as it was, and names the keys that would have changed.
func keepUntilRestart(cfg *Config, was Config) (keys []string) {
	for _, k := range []struct {
		name     string
		new, was *string
	}{{"state_dir", &cfg.StateDir, &was.StateDir}, {"log_format", &cfg.LogFormat, &was.LogFormat}} {
		if *k.new != *k.was {
			keys = append(keys, k.name)
			*k.new = *k.was
		}
	}
	if cfg.DriftInterval != was.DriftInterval {
		keys, cfg.DriftInterval = append(keys, "drift_interval"), was.DriftInterval
	}
	return keys
}

// bootID names this boot. The kernel's id alone is that of the machine in some
// containers, so the start of process 1 is a part of it.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id)) + startOfInit()
}

// startOfInit is when process 1 was started, in the kernel's ticks; "" when nobody can
// tell.
func startOfInit() string {
	stat, err := os.ReadFile("/proc/1/stat")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // behind its name, which may be anything
	if fields := strings.Fields(rest); len(fields) > 19 {
		return "." + fields[19]
	}
	return ""
}
