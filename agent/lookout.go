package agent

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"evenkeel/agent/apply"
	"evenkeel/units"
)

// Bounds of the lookout: it waits for the end of a burst, but not for ever.
const (
	burstEnds = 100 * time.Millisecond
	burstMost = 400 * time.Millisecond
)

// unitWatcher tells of changes of units; see bus.Manager.
type unitWatcher interface {
	Changes(ctx context.Context, names []string, changed func()) error
}

// listenAgain is how long the lookout waits when systemd could not be listened to.
const listenAgain = 30 * time.Second

// lookout says when there may be drift: when something happened in a directory that
// holds a path of the good commit, and every now and then without a sign, because signs
// get lost. It watches directories only, and decides nothing: who hears it compares the
// host with the good commit, so that evenkeel's own writes are no drift. Without any
// sign, because the kernel gives no watches, the looks by the clock remain.
type lookout struct {
	due      chan struct{} // a look is due
	interval time.Duration
	retry    chan time.Duration
	systemd  unitWatcher   // nil: units are looked at by the clock only
	said     chan struct{} // systemd said something of a unit
	others   chan struct{} // other units are to be listened to

	mu      sync.Mutex
	units   []string          // sorted
	watcher *fsnotify.Watcher // nil: the kernel gives none
	seed    maphash.Seed
	paths   map[uint64]struct{} // hashes of what matters: a path that only looks like one costs one look
	wanted  map[uint64]struct{} // hashes of the directories that shall be watched
	watched map[string]struct{} // directories
	stale   bool                // a directory may be another one than the one that is watched
	fault   string              // why changes may be seen late, "" when they are not
	beside  bool                // a package manager left something beside a path
}

func newLookout(interval time.Duration, manager units.Manager) *lookout {
	l := &lookout{
		due: make(chan struct{}, 1), retry: make(chan time.Duration, 1), interval: interval,
		said: make(chan struct{}, 1), others: make(chan struct{}, 1),
		seed: maphash.MakeSeed(), watched: map[string]struct{}{},
	}
	l.systemd, _ = manager.(unitWatcher)
	var err error
	if l.watcher, err = fsnotify.NewWatcher(); err != nil {
		l.watcher = nil
		l.fault = fmt.Sprintf("changes by hand are seen every %s only: cannot watch directories: %v", interval, err)
	}
	return l
}

// start begins to listen; the answer ends it.
func (l *lookout) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var both sync.WaitGroup
	both.Go(func() { l.listen(ctx) })
	if l.systemd != nil {
		both.Go(func() { l.listenToSystemd(ctx) })
	}
	return func() {
		cancel()
		both.Wait()
		if l.watcher != nil {
			_ = l.watcher.Close()
		}
	}
}

func (l *lookout) listen(ctx context.Context) {
	clock := time.NewTicker(l.interval)
	defer clock.Stop()
	burst := time.NewTimer(time.Hour)
	burst.Stop()
	defer burst.Stop()
	later := time.NewTimer(time.Hour)
	later.Stop()
	defer later.Stop()
	var began time.Time // of the burst, zero when there is none
	var events chan fsnotify.Event
	var faults chan error
	if l.watcher != nil {
		events, faults = l.watcher.Events, l.watcher.Errors
	}
	sign := func() {
		if began.IsZero() {
			began = time.Now()
		}
		if time.Since(began) < burstMost-burstEnds {
			burst.Reset(burstEnds)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e, open := <-events:
			if !open {
				events = nil
			} else if l.matters(e) {
				sign()
			}
		case err, open := <-faults:
			if !open {
				faults = nil
			} else if errors.Is(err, fsnotify.ErrEventOverflow) {
				l.outdated() // of that too it may have been told
				sign()
			}
		case <-l.said:
			sign()
		case wait := <-l.retry:
			later.Reset(wait)
		case <-later.C:
			l.ring()
		case <-clock.C:
			l.outdated() // by mounts nobody tells of
			l.ring()
		case <-burst.C:
			began = time.Time{}
			l.ring()
		}
	}
}

// listenToSystemd waits for what systemd says of the units, and begins anew when there
// are others. What was said while nobody listened is seen by a look.
func (l *lookout) listenToSystemd(ctx context.Context) {
	changed := func() { tell(l.said) }
	for ctx.Err() == nil {
		l.mu.Lock()
		names := l.units
		l.mu.Unlock()
		inner, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if len(names) > 0 {
				_ = l.systemd.Changes(inner, names, changed) // the clock remains
			}
		}()
		select {
		case <-ctx.Done():
		case <-l.others:
		case <-ended(done, len(names) > 0):
			select {
			case <-ctx.Done():
			case <-time.After(listenAgain):
			}
		}
		cancel()
		<-done
		changed()
	}
}

// ended is a channel, or one that never says anything.
func ended(done chan struct{}, counts bool) chan struct{} {
	if !counts {
		return nil
	}
	return done
}

// tell leaves a word that need be heard only once.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ring says that a look is due; one that is due already does for both.
func (l *lookout) ring() { tell(l.due) }

// again asks for a look after a while.
func (l *lookout) again(after time.Duration) {
	select {
	case l.retry <- after:
	default:
	}
}

func (l *lookout) hash(p string) uint64 { return maphash.String(l.seed, p) }

// isBlind reports whether nobody has said yet what matters.
func (l *lookout) isBlind() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paths == nil
}

// matters reports whether an event is about a path of the good commit, a directory on the
// way to one, or what a package manager left beside one.
func (l *lookout) matters(e fsnotify.Event) bool {
	name := path.Clean(e.Name) // what is in the root has two slashes
	hash := l.hash(name)
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, dir := l.wanted[hash]; dir && e.Has(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) {
		l.stale = true
	}
	of := apply.BesideOf(name)
	if _, ours := l.paths[l.hash(of)]; ours && of != "" {
		l.beside = true
		return true
	}
	if _, ours := l.paths[hash]; ours {
		return true
	}
	_, ours := l.paths[l.hash(path.Dir(name)+"/*")]
	return ours
}

// sawPackages reports whether a package manager has left something beside a path since
// it was asked last.
func (l *lookout) sawPackages() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	saw := l.beside
	l.beside = false
	return saw
}

// outdated says that directories may have been replaced without a word, and that a package
// manager may have left something.
func (l *lookout) outdated() {
	l.mu.Lock()
	l.stale, l.beside = true, true
	l.mu.Unlock()
}

// isStale reports whether follow must be called once more, and a look follow that: what
// happened in a new directory before it was watched, nobody has seen.
func (l *lookout) isStale() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stale
}

// follow watches the directories of paths, and of all above them: a directory that is
// moved away takes its watch along. Of the paths in whole all that stands in them
// matters. Names are the units to be listened to. It may be called again at any time,
// and must be after each change.
func (l *lookout) follow(paths, whole, names []string) {
	wanted, hashes := map[string]struct{}{}, make(map[uint64]struct{}, len(paths))
	add := func(p string) {
		hashes[l.hash(p)] = struct{}{}
		for dir := path.Dir(p); ; dir = path.Dir(dir) {
			if _, known := wanted[dir]; known {
				return
			}
			wanted[dir] = struct{}{}
			hashes[l.hash(dir)] = struct{}{}
			if dir == "/" {
				return
			}
		}
	}
	for _, p := range paths {
		add(p)
	}
	for _, dir := range whole {
		add(dir + "/*")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paths, l.stale = hashes, false
	l.wanted = make(map[uint64]struct{}, len(wanted))
	for dir := range wanted {
		l.wanted[l.hash(dir)] = struct{}{}
	}
	if !slices.Equal(l.units, names) {
		l.units = names
		tell(l.others)
	}
	if l.watcher != nil {
		l.fault = l.watch(wanted)
	}
}

// watch makes the watches those that are wanted. Each is asked for anew, because a
// directory may be another one than before under the same name.
func (l *lookout) watch(wanted map[string]struct{}) (fault string) {
	for dir := range l.watched {
		if _, still := wanted[dir]; !still {
			_ = l.watcher.Remove(dir) // it may be gone
			delete(l.watched, dir)
		}
	}
	missing, asked := 0, 0
	var first error
	for dir := range wanted {
		asked++
		switch err := l.watcher.Add(dir); {
		case err == nil:
			l.watched[dir] = struct{}{}
		case errors.Is(err, fs.ErrNotExist):
			delete(l.watched, dir) // the watch of the directory above says when it comes
		default:
			missing++
			first = cmpErr(first, err)
		}
	}
	if missing == 0 {
		return ""
	}
	return fmt.Sprintf("changes by hand in %d of %d directories are seen every %s only: cannot watch them: %v (see fs.inotify.max_user_watches)",
		missing, asked, l.interval, first)
}

// faults is what people should know.
func (l *lookout) faults() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == "" {
		return nil
	}
	return []string{l.fault}
}
