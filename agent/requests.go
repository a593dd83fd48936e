package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"evenkeel/agent/apply"
	"evenkeel/agent/health"
	"evenkeel/units"
)

// Files in the state directory by which people ask the daemon for something.
const (
	retryFile   = "retry"   // to try again what it gave up
	approveFile = "approve" // to go on with what it asks about; holds the Approval
	nowFile     = "now"     // to apply what is kept back; holds the Override
)

// maxRequest bounds the size of such a file.
const maxRequest = 64 << 10

// RequestRetry asks the daemon to forget what it rejected and to take back once
// more what it holds. The daemon sees it at its next look.
func RequestRetry(cfg Config) error {
	if err := os.WriteFile(filepath.Join(cfg.StateDir, retryFile), nil, 0o600); err != nil {
		return fmt.Errorf("cannot ask for a retry: %w", err)
	}
	return nil
}

// asks remembers the state directory as it was when nobody asked for anything. A request,
// a pause and a freeze are files there, so that as long as no name comes or goes there is
// no new one: one look in place of ten.
type asks struct {
	nothing bool       // by the pass that is under way
	at      stateStamp // zero when somebody asks for something
	dir     *os.File   // the state directory, nil as long as nobody looked
}

type stateStamp struct {
	device, inode uint64
	mtime, ctime  unix.Timespec
}

// stampAge is how old the last change of a directory must be for the next one to show: file
// systems count time in steps, the coarsest in steps of two seconds.
const stampAge = 3 * time.Second

// stamp is zero for a directory that cannot be looked at, or has just changed. It stays open,
// so that a look need not find the way to it: the daemon ends when another one takes its place.
func (a *asks) stamp(dir string, now time.Time) stateStamp {
	var err error
	if a.dir == nil {
		if a.dir, err = os.Open(dir); err != nil {
			a.dir = nil
			return stateStamp{}
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(a.dir.Fd()), &st); err != nil {
		return stateStamp{}
	}
	if age := now.Sub(time.Unix(st.Mtim.Unix())); age < stampAge {
		return stateStamp{}
	}
	return stateStamp{st.Dev, st.Ino, st.Mtim, st.Ctim}
}

// hear does what people asked for since the last pass, and sees whether they want hands
// off.
func (d *daemon) hear() error {
	stamp := d.asks.stamp(d.cfg.StateDir, time.Now())
	d.asks.nothing = stamp != stateStamp{} && stamp == d.asks.at
	if d.asks.nothing {
		return nil
	}
	d.asks.at = stateStamp{}
	if err := d.heed(); err != nil {
		return err
	}
	d.tellPause()
	if d.paused == nil && d.frozen == nil {
		d.asks.at = stamp
	}
	return nil
}

// heed does what people asked for since the last pass.
func (d *daemon) heed() error {
	return errors.Join(d.heedPin(), d.heedRequest(approveFile, d.heedApproval), d.heedRequest(retryFile, d.heedRetry))
}

// heedRequest does what the request in a file of the state directory asks for,
// and removes it. A crash in between makes it happen twice.
func (d *daemon) heedRequest(file string, do func(request []byte)) error {
	h := d.host
	request, err := h.State.Read(file, maxRequest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("cannot look for requests: %w", err)
	}
	do(request)
	if err := h.Ledger.save(h.State); err != nil {
		return err
	}
	if err := h.State.Remove(file); err != nil {
		return fmt.Errorf("cannot remove the request: %w", err)
	}
	return nil
}

func (d *daemon) heedRetry([]byte) {
	h := d.host
	d.log.Info("a person asks for a retry")
	d.refused.key, d.refused.problems = "", nil
	h.Ledger.Retry()
	h.Ledger.Tries, h.Ledger.Key = nil, ""
	h.Ledger.Corrections = nil
	h.Ledger.Hold = nil
	h.Ledger.Host = d.cfg.Host
	if err := h.renewAnchor(); err != nil {
		d.log.Warn("the hold stays", "err", err)
	}
	if h.Open != nil && h.Open.phase == PhaseHeld {
		d.retryHeld(context.Background())
	}
}

// heedApproval takes the answer to what is asked now; one to anything else is
// worth nothing.
func (d *daemon) heedApproval(request []byte) {
	l := d.host.Ledger
	var approval Approval
	if err := json.Unmarshal(request, &approval); err != nil {
		d.log.Warn("an approval cannot be read and counts for nothing", "err", err)
		return
	}
	hold := l.Hold
	switch {
	case l.Approved != nil && l.Approved.Digest == approval.Digest:
		// it was taken before a crash
	case hold == nil || hold.Question == nil || hold.Question.Digest != approval.Digest:
		d.log.Warn("an approval is for what is no longer asked, and counts for nothing", "commit", approval.Commit)
	default:
		d.log.Info("a person approves", "commit", approval.Commit)
		l.Approved, l.Hold, l.Host = &approval, nil, d.cfg.Host
	}
}

// ResetState starts a new record for this host: what stands there now counts as
// found, and what failed here is forgotten. It refuses while the daemon runs or
// an attempt is open that it would end.
func ResetState(cfg Config) error {
	lock, err := lockState(cfg.StateDir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	entries, err := os.ReadDir(cfg.StateDir)
	if err != nil {
		return fmt.Errorf("cannot reset the state: %w", err)
	}
	for _, e := range entries {
		if canEnd(cfg, e.Name()) && sameMachine(cfg) == nil {
			return fmt.Errorf("cannot reset the state: attempt %s is open; start the daemon, which ends it", e.Name())
		}
	}
	for _, e := range entries {
		if e.Name() == ledgerFile || e.Name() == anchorFile || e.Name() == digestKeyFile || strings.HasPrefix(e.Name(), originalPrefix) || strings.HasPrefix(e.Name(), keptPrefix) || strings.HasPrefix(e.Name(), attemptPrefix) || slices.Contains([]string{retryFile, approveFile, rollbackFile, resumeFile, nowFile}, e.Name()) {
			if err := os.Remove(filepath.Join(cfg.StateDir, e.Name())); err != nil {
				return fmt.Errorf("cannot reset the state: %w", err)
			}
		}
	}
	return nil
}

// canEnd reports whether a file of the state directory is the record of an attempt
// that the daemon would end by itself: not one that is held, or damaged.
func canEnd(cfg Config, name string) bool {
	number, phase, _, ok := parseAttemptName(name)
	if !ok || phase == PhaseStage || phase == PhaseHeld || phase == PhaseStay {
		return false
	}
	data, err := os.ReadFile(filepath.Join(cfg.StateDir, name))
	a := new(Attempt)
	return err == nil && json.Unmarshal(data, a) == nil && a.Number == number
}

// sameMachine fails when the state directory is that of another machine: its
// attempts say nothing about this one.
func sameMachine(cfg Config) error {
	disk, err := apply.NewDisk("/")
	if err != nil {
		return nil
	}
	defer func() { _ = disk.Close() }()
	dir, err := disk.OpenDir(cfg.StateDir)
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	l, err := loadLedger(dir, nil)
	id, idErr := MachineID()
	if err == nil && idErr == nil && l.Machine != "" && l.Machine != id {
		return errors.New("another machine")
	}
	return nil
}

// RecoverEarly runs early in the boot, before the services: it puts the files
// of an open attempt back and makes systemd read its unit files again.
func RecoverEarly(ctx context.Context, cfg Config, manager units.Manager) error {
	disk, err := apply.NewDisk("/")
	if err != nil {
		return err
	}
	defer func() { _ = disk.Close() }()
	dir, err := disk.OpenDir(cfg.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("cannot open the state directory: %w", err)
	}
	defer func() { _ = dir.Close() }()
	if err := sameMachine(cfg); err != nil {
		return fmt.Errorf("cannot take back an attempt of %w", err)
	}
	h := &Host{Disk: disk, State: dir}
	again, err := h.RecoverFiles()
	if again {
		err = errors.Join(err, manager.DaemonReload(ctx))
	}
	return err
}

// EndOpen ends the open attempt of a host whose configuration cannot be read: a
// mistake there must not leave the host between two commits. It does nothing
// when no attempt is open. The default state directory is the one meant.
func EndOpen(ctx context.Context, opt Options) error {
	cfg := defaultConfig()
	open, err := filepath.Glob(filepath.Join(cfg.StateDir, attemptPrefix+"*"))
	if err != nil || len(open) == 0 {
		return err
	}
	lock, err := lockState(cfg.StateDir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := sameMachine(cfg); err != nil {
		return fmt.Errorf("cannot end an attempt of %w", err)
	}
	disk, err := apply.NewDisk("/")
	if err != nil {
		return err
	}
	defer func() { _ = disk.Close() }()
	state, err := disk.OpenDir(cfg.StateDir)
	if err != nil {
		return fmt.Errorf("cannot open the state directory: %w", err)
	}
	defer func() { _ = state.Close() }()
	h := &Host{
		Disk: disk, Manager: opt.Manager, Health: &health.Prober{Manager: opt.Manager}, State: state, StateDir: cfg.StateDir,
		Boot: bootID(), Now: time.Now, Log: opt.Log, Probation: cfg.Probation,
	}
	if err := h.Load(); err != nil {
		return err
	}
	if watch, err := h.Recover(ctx); err != nil || !watch {
		return err
	}
	// However long the probation was to be, a person waits for the daemon to say
	// what is wrong with its configuration.
	h.Open.Probation = min(h.Open.Probation, cfg.Probation)
	_, err = h.watch(ctx)
	return err
}

// lockState makes this process the only one that acts on the host.
func lockState(stateDir string) (*os.File, error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the state directory: %w", err)
	}
	name := filepath.Join(stateDir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the state directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(name)
		_ = f.Close()
		return nil, fmt.Errorf("cannot lock the state directory %q: process %s of evenkeel holds it", stateDir, strings.TrimSpace(string(holder)))
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}
