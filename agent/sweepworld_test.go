package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/apply/applytest"
	"evenkeel/agent/health"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
	"evenkeel/units/unitstest"
)

// world is a host in memory: a disk that forgets what was not synced, a systemd
// with processes, and how the commits of a scenario fare.
type world struct {
	disk *applytest.FS
	sd   *unitstest.Systemd
	boot int
	s    *scenario
	last bool          // no other commit comes any more
	log  *bytes.Buffer // what the daemon says; nil when nobody listens

	// condemned are the commits that were seen to fail here, by the daemon that
	// runs now; sentenced those of which the host saw an effect after that.
	condemned, sentenced map[string]bool
}

const stateDir = "/var/lib/evenkeel"

var rootFile = apply.Attr{Mode: 0o644}

// newWorld is a host as its vendor made it: a unit that evenkeel will manage,
// one that it never hears of but that hangs on a managed one, and some files.
func newWorld(s *scenario) *world {
	disk := applytest.New(s.disk)
	disk.PutFile("/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:100:100::/:/bin/sh\n", rootFile)
	disk.PutFile("/etc/group", "root:x:0:\napp:x:100:\n", rootFile)
	disk.PutFile("/etc/motd", "vendor\n", rootFile)
	disk.PutFile("/etc/issue", "vendor\n", apply.Attr{Mode: 0o600, UID: 100, GID: 100})
	disk.PutLink("/etc/current", "vendor")
	disk.PutDir("/etc/vendor.d", apply.Attr{Mode: 0o755})
	disk.PutFile("/etc/vendor.d/a.conf", "vendor\n", rootFile)
	disk.PutFile("/usr/lib/systemd/system/vendor.service", s.vendorUnit+"[Install]\nWantedBy=multi-user.target\n", rootFile)
	disk.PutFile("/usr/lib/systemd/system/side.service", "[Unit]\n"+s.sideUnit+"=vendor.service\nAfter=vendor.service\n[Service]\nExecStart=/usr/bin/side\n[Install]\nWantedBy=multi-user.target\n", rootFile)
	disk.PutFile("/usr/lib/systemd/system/multi-user.target", "[Unit]\nDescription=all\n", rootFile)
	disk.PutLink("/etc/systemd/system/multi-user.target.wants/vendor.service", "/usr/lib/systemd/system/vendor.service")
	disk.PutLink("/etc/systemd/system/multi-user.target.wants/side.service", "/usr/lib/systemd/system/side.service")
	disk.PutDir(stateDir, apply.Attr{Mode: 0o700})
	disk.Settle()
	w := &world{disk: disk, s: s}
	w.sd = unitstest.New(unitstest.Config{Disk: disk, Clock: disk.Clock(), Version: s.version})
	w.sd.Boot()
	return w
}

// clone is the same host in another universe.
func (w *world) clone() *world {
	disk := w.disk.Clone()
	return &world{disk: disk, sd: w.sd.Clone(disk, disk.Clock()), boot: w.boot, s: w.s, condemned: w.condemned, sentenced: w.sentenced}
}

// die ends the daemon: what it alone knew is gone.
func (w *world) die() { w.condemned = w.sentenced }

// condemn notes that a commit was seen to fail.
func (w *world) condemn(commit string) { w.condemned = with(w.condemned, commit) }

// touched notes that the host is changed: a commit that is being taken back must
// not be forgotten from here on, whatever happens.
func (w *world) touched() {
	for commit := range w.condemned {
		w.sentenced = with(w.sentenced, commit)
	}
}

// with gives a set with one more; the old one is shared by clones.
func with(set map[string]bool, name string) map[string]bool {
	if set[name] {
		return set
	}
	set = maps.Clone(set)
	if set == nil {
		set = map[string]bool{}
	}
	set[name] = true
	return set
}

// host starts the daemon.
func (w *world) host() (*Host, error) {
	dir, err := w.disk.OpenDir(stateDir)
	if err != nil {
		return nil, err
	}
	h := &Host{
		Disk: w.disk, Manager: w.sd, State: dir, StateDir: stateDir, Boot: fmt.Sprint(w.boot),
		Now: func() time.Time { return time.Unix(0, *w.disk.Clock()) },
		Log: slog.New(slog.DiscardHandler), decode: w.s.memo.decode,
	}
	if w.log != nil {
		h.Log = slog.New(slog.NewTextHandler(w.log, nil))
	}
	h.Health = &judge{w: w, h: h}
	return h, h.Load()
}

// powerCut is a crash of the whole host and the boot that follows, with the
// early recovery before the services.
func (w *world) powerCut(rng *rand.Rand) error {
	w.disk.Crash(rng)
	w.sd.PowerOff()
	return w.bootUp()
}

func (w *world) bootUp() error {
	w.boot++
	w.sd.BootBegin()
	if w.s.noEarly {
		w.sd.BootFinish()
		return nil
	}
	dir, err := w.disk.OpenDir(stateDir)
	if err != nil {
		return err
	}
	early := &Host{Disk: w.disk, State: dir, decode: w.s.memo.decode}
	reload, err := early.RecoverFiles()
	if err != nil {
		return fmt.Errorf("early recovery: %w", err)
	}
	if reload {
		if err := w.sd.DaemonReload(context.Background()); err != nil {
			return err
		}
	}
	w.sd.BootFinish()
	return nil
}

// hook calls f before every side effect, on the disk and on systemd.
func (w *world) hook(f func(effect string)) {
	w.disk.Before = func(op, path string) {
		f(op + " " + path)
		if !strings.HasPrefix(path, stateDir) {
			w.touched()
		}
	}
	w.sd.Before = func(effect string) { f(effect); w.touched() }
}

func (w *world) unhook() { w.disk.Before, w.sd.Before = nil, nil }

// state is all that must be right at the end: every path, what each process
// runs with, and that nothing of ours lies about.
type state struct {
	tree  map[string]string
	procs []string
}

func (w *world) state() state {
	s := state{tree: w.disk.Tree("/etc")}
	for name, p := range w.sd.Processes() {
		inputs := make([]string, 0, len(p.Inputs))
		for path, print := range p.Inputs {
			inputs = append(inputs, path+"="+print)
		}
		slices.Sort(inputs)
		s.procs = append(s.procs, name+" "+strings.Join(inputs, " "))
	}
	slices.Sort(s.procs)
	return s
}

// sameFiles compares all below /etc that a service could read, but not what only
// an attempt looks at.
func sameFiles(a, b map[string]string) bool {
	return coverFiles(a, b) && coverFiles(b, a)
}

// coverFiles reports whether each file of one tree is the same in another.
func coverFiles(a, b map[string]string) bool {
	for path, print := range a {
		if b[path] != print && !strings.HasPrefix(print, "directory") && !strings.Contains(path, ".evenkeel") {
			return false
		}
	}
	return true
}

func (s state) equal(o state) bool {
	return maps.Equal(s.tree, o.tree) && slices.Equal(s.procs, o.procs)
}

// differs tells how a state is not as it should be.
func (s state) differs(want state) string {
	var b strings.Builder
	for path := range maps.Keys(merge(s.tree, want.tree)) {
		if s.tree[path] != want.tree[path] {
			fmt.Fprintf(&b, "  %s is %q, want %q\n", path, s.tree[path], want.tree[path])
		}
	}
	if !slices.Equal(s.procs, want.procs) {
		fmt.Fprintf(&b, "  processes are\n    %s\n  want\n    %s\n", strings.Join(s.procs, "\n    "), strings.Join(want.procs, "\n    "))
	}
	return b.String()
}

func merge(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// judge is the Health of a scenario: time passes in the fake systemd, units are
// looked at as the real prober does, and a commit's checks pass or fail as the
// scenario says.
type judge struct {
	w *world
	h *Host
}

func (j *judge) Settle(ctx context.Context, wave []health.Watched) []health.Finding {
	j.w.sd.Tick(j.w.s.settle)
	findings := j.units(ctx, wave)
	if why, _ := faults(findings); len(why) > 0 {
		j.failed(PhaseApply)
	}
	return findings
}

// failed notes that the open attempt's commit is seen to fail in a phase.
func (j *judge) failed(phase Phase) {
	if j.h.Open != nil && j.h.Open.phase == phase {
		j.w.condemn(j.h.Open.Commit)
	}
}

func (j *judge) units(ctx context.Context, watched []health.Watched) []health.Finding {
	var findings []health.Finding
	for _, w := range watched {
		if w.ChecksOnly {
			continue
		}
		d, err := j.w.sd.Show(ctx, w.Name)
		f := health.Finding{Unit: w.Name, OK: true}
		if w.Oneshot && err == nil && d.Active == "inactive" && d.Result == "success" {
			continue
		}
		if err != nil || !d.IsActive() || d.Restarts > w.Was.Restarts || d.Invocation != w.Was.Invocation {
			f = health.Finding{Unit: w.Name, Why: "it is not well" + apply.Describe(d)}
		}
		findings = append(findings, f)
	}
	return findings
}

func (j *judge) Watch(ctx context.Context, watched []health.Watched, probation time.Duration, _ map[string]bool) health.Report {
	if j.h.Open != nil && j.h.Open.phase == PhaseWatch && !j.w.last && j.w.s.overtaken[j.h.Open.Commit] {
		j.w.sd.Tick(3)
		return health.Report{Interrupted: true}
	}
	j.w.sd.Tick(6)
	r := health.Report{Findings: j.units(ctx, watched)}
	if j.h.Open != nil && j.h.Open.phase == PhaseWatch && j.w.s.sick[j.h.Open.Commit] {
		r.Findings = append(r.Findings, health.Finding{Unit: "app.service", Why: "a check fails"})
	}
	why, _ := faults(r.Findings)
	if r.OK = len(why) == 0; !r.OK {
		j.failed(PhaseWatch)
	}
	return r
}

func (j *judge) Baseline(context.Context, map[string]plan.Service) map[string]bool {
	return map[string]bool{}
}

// deploy is what the daemon does with a new commit, without Git.
func deployTarget(h *Host, t *plan.Target) (Outcome, error) {
	ctx := context.Background()
	digest := manifest.Digest(t)
	if r, rejected := h.Ledger.IsRejected(t.Commit, digest); rejected {
		if h.isHeld() {
			return Outcome{Result: ResultHeld, Reason: h.Ledger.Hold.Reason}, nil
		}
		return Outcome{Result: ResultRejected, Reason: r.Reason}, nil
	}
	if h.isWatching() && h.Open.Digest == digest {
		return h.watch(ctx)
	}
	if h.Open == nil && h.Ledger.Good != nil && h.Ledger.Good.Digest == digest {
		return Outcome{Result: ResultUnchanged}, nil
	}
	if err := h.makeWay(); err != nil {
		return Outcome{}, err
	}
	n, err := h.observe(ctx, t)
	if err != nil {
		return Outcome{}, err
	}
	return h.deploy(ctx, h.complete(t, digest, t.Commit, n), n)
}

// recoverWorld is a start of the daemon after a crash.
func recoverWorld(w *world) (*Host, error) {
	w.last = true
	h, err := w.host()
	if err != nil {
		return nil, err
	}
	watch, err := h.Recover(context.Background())
	if err != nil {
		return h, err
	}
	if watch {
		if _, err := h.watch(context.Background()); err != nil {
			return h, err
		}
	}
	if h.Open != nil {
		return h, errors.New("the attempt is still open in phase " + string(h.Open.phase))
	}
	return h, nil
}

// scenario is a seeded random story.
type scenario struct {
	seed      uint64
	disk      applytest.Options
	version   int
	base      *plan.Target   // kept without a crash first; nil: the host is as its vendor made it
	commits   []*plan.Target // then these, each overtaking the one before it
	overtaken map[string]bool
	sick      map[string]bool // a check of theirs fails

	vendorUnit string // the vendor's unit file, but for [Install]
	sideUnit   string // how another one hangs on it
	settle     int    // ticks until a crash of a unit is seen after its job
	noEarly    bool   // the early recovery unit is not there
	memo       memo
}

// vendorDefinitions are the vendor's units as the daemon reads them.
func vendorDefinitions(w *world) map[string]units.Definition {
	defs := map[string]units.Definition{}
	for _, name := range []string{"vendor.service"} {
		path := "/usr/lib/systemd/system/" + name
		text, _ := w.disk.ReadFile(path)
		file, err := units.ParseFile(path, text)
		if err != nil {
			panic(err)
		}
		defs[name] = units.Definition{Name: name, Files: []*units.File{file}}
	}
	return defs
}
