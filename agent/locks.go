package agent

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// A package manager replaces files and restarts services of its own. While one holds
// its lock no attempt begins: the commit and the package would each see half of what
// the other does. A revert does not wait, see DESIGN.md.

// packageLock is a file that a package manager locks while it changes the host.
type packageLock struct{ path, holder string }

// packageLocks are those of dpkg, the one that apt holds all the time first, and of
// rpm, whose database has moved.
func packageLocks() []packageLock {
	return []packageLock{
		{"/var/lib/dpkg/lock-frontend", "dpkg"},
		{"/var/lib/dpkg/lock", "dpkg"},
		{"/usr/lib/sysimage/rpm/.rpm.lock", "rpm"},
		{"/var/lib/rpm/.rpm.lock", "rpm"},
	}
}

// heldLock is a lock of a package manager that somebody holds.
type heldLock struct {
	packageLock
	pid     int       // 0: nobody can tell
	process string    // its name, "" when nobody can tell
	since   time.Time // it was first seen then
}

// String says who is waited for.
func (l *heldLock) String() string {
	who := "a process"
	switch {
	case l.pid > 0 && l.process != "":
		who = fmt.Sprintf("process %d (%s)", l.pid, l.process)
	case l.pid > 0:
		who = fmt.Sprintf("process %d", l.pid)
	}
	return fmt.Sprintf("%s to finish: %s holds %s", l.holder, who, l.path)
}

// findLock gives the first of the locks that is held, nil when none is.
func findLock(locks []packageLock) *heldLock {
	for _, lock := range locks {
		if held, pid := isLocked(lock.path); held {
			return &heldLock{packageLock: lock, pid: pid, process: nameOf(pid)}
		}
	}
	return nil
}

func (l *heldLock) status() *LockStatus {
	if l == nil {
		return nil
	}
	return &LockStatus{Path: l.path, Holder: l.holder, PID: l.pid, Process: l.process, Since: l.since.UTC()}
}

// isLocked asks the kernel whether another process holds a record lock on a
// file, as dpkg and rpm do, without taking it. The process is 0 where the kernel
// does not say: the lock belongs to an open file, or to another namespace.
func isLocked(path string) (held bool, pid int) {
	f, err := os.Open(path)
	if err != nil {
		return false, 0
	}
	defer func() { _ = f.Close() }()
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: 0}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return false, 0
	}
	return lock.Type != unix.F_UNLCK, max(int(lock.Pid), 0)
}

// nameOf is a process as ps names it. Anybody can give himself a name, so only what
// prints counts.
func nameOf(pid int) string {
	if pid <= 0 {
		return ""
	}
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(string(name)))
}

// lockWatch is what the daemon knows of the locks. The zero value is that of one that
// has not looked yet.
type lockWatch struct {
	files []packageLock // nil: packageLocks
	was   *heldLock     // by the pass before
	held  *heldLock     // by this one; nil when none is, or nobody asked
	until time.Time     // the next pass is due then, when only a lock is waited for
}

// begin starts another pass. What a correction waits for, which has looks of its own, stays
// known in a pass that does not ask.
func (w *lockWatch) begin(correctionWaits bool) {
	if w.until = (time.Time{}); !correctionWaits {
		w.was, w.held = w.held, nil
	}
}

func (w *lockWatch) find() *heldLock {
	if w.files != nil {
		return findLock(w.files)
	}
	return findLock(packageLocks())
}

// look finds the lock that keeps attempts from beginning, and since when it is held,
// whoever of a package manager's processes holds it.
func (w *lockWatch) look(now time.Time) *heldLock {
	held := w.find()
	if held != nil {
		held.since = now
		for _, was := range []*heldLock{w.held, w.was} {
			if was != nil && was.holder == held.holder {
				held.since = was.since
				break
			}
		}
	}
	w.held = held
	return held
}

// locked gives who is waited for before an attempt may begin, "" for nobody.
func (d *daemon) locked(p *patience) string {
	held := d.locks.look(d.host.Now())
	if held == nil || p.isOver(held.holder+" to finish", installPatience, d.host.Now(), d.log) {
		return ""
	}
	return held.String()
}

// recheck is how often a lock is looked at while a commit waits for it.
const recheck = time.Second

// shorten gives the time to the next look at the lock, when that is what a pass ended
// with.
func (w *lockWatch) shorten(delay time.Duration, result Result, now time.Time) time.Duration {
	if result != ResultWaiting || w.held == nil || delay <= recheck {
		return delay
	}
	w.until = now.Add(delay)
	return recheck
}

// putsOff reports whether the next pass is only due once a lock is free, and it is
// not. Such a look is a dozen system calls; a pass would fetch and render.
func (w *lockWatch) putsOff(now time.Time) bool { return now.Before(w.until) && w.find() != nil }

// hurry forgets that a pass is put off: somebody asks for one.
func (w *lockWatch) hurry() { w.until = time.Time{} }
