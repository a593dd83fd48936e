package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"evenkeel/agent/apply"
	"evenkeel/units/unitstest"
)

// watchfulLookout listens to the directory of a few paths.
func watchfulLookout(t *testing.T, paths, whole []string) *lookout {
	t.Helper()
	l := newLookout(time.Hour, nil)
	t.Cleanup(l.start(t.Context()))
	l.follow(paths, whole, nil)
	if faults := l.faults(); len(faults) > 0 {
		t.Fatal(faults)
	}
	return l
}

// rings waits until a look is due.
func rings(t *testing.T, l *lookout, what string) {
	t.Helper()
	select {
	case <-l.due:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: no look is due", what)
	}
}

func TestLookoutSeesWhatHappensToAPath(t *testing.T) {
	dir := t.TempDir()
	file, deep := filepath.Join(dir, "a.conf"), filepath.Join(dir, "sub", "b.conf")
	l := watchfulLookout(t, []string{file, deep}, nil)
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"a file comes", func() error { return os.WriteFile(file, []byte("1"), 0o600) }},
		{"it is written to", func() error { return os.WriteFile(file, []byte("2"), 0o600) }},
		{"its mode changes", func() error { return os.Chmod(file, 0o644) }},
		{"it is replaced", func() error {
			if err := os.WriteFile(file+".new", nil, 0o600); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		}},
		{"it goes", func() error { return os.Remove(file) }},
		{"a directory comes", func() error { return os.Mkdir(filepath.Dir(deep), 0o755) }},
		{"a file comes into it", func() error { return os.WriteFile(deep, nil, 0o600) }},
		{"the directory is moved away", func() error { return os.Rename(filepath.Dir(deep), filepath.Join(dir, "old")) }},
		{"another one takes its place", func() error { return os.Mkdir(filepath.Dir(deep), 0o755) }},
		{"a file comes into that", func() error { return os.WriteFile(deep, nil, 0o600) }},
		{"that directory goes with all in it", func() error { return os.RemoveAll(filepath.Dir(deep)) }},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		rings(t, l, step.what)
		l.follow([]string{file, deep}, nil, nil) // as the daemon does after each look
	}
}

// What has nothing to do with a path costs no look, also beside it; in a directory that
// matters as a whole everything does.
func TestLookoutPassesOverWhatIsNotManaged(t *testing.T) {
	dir := t.TempDir()
	l := newLookout(time.Hour, nil)
	l.follow([]string{filepath.Join(dir, "a.conf")}, []string{filepath.Join(dir, "x.d")}, nil)
	for name, want := range map[string]bool{
		"a.conf": true, "": true, "x.d": true, "x.d/any": true,
		"a.conf.dpkg-dist": true, "a.conf.rpmnew": true, "b.conf.dpkg-dist": false,
		"b.conf": false, ".a.conf.swp": false, ".a.conf.evenkeel+": false, "x.d/any/deeper": false,
	} {
		if got := l.matters(fsnotify.Event{Name: filepath.Join(dir, name)}); got != want {
			t.Errorf("%q matters: %t, want %t", name, got, want)
		}
	}
	if !l.matters(fsnotify.Event{Name: "//" + strings.SplitN(dir, "/", 3)[1]}) {
		t.Error("a directory in the root does not matter as fsnotify names it")
	}
}

// TestLookoutFollowsAReplacedDirectory: a directory is moved away and its copy put in its
// place. No file drifted, but what is watched is the old directory.
func TestLookoutFollowsAReplacedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sub")
	file := filepath.Join(dir, "a.conf")
	writeFile(t, file, "1")
	l := watchfulLookout(t, []string{file}, nil)
	writeFile(t, file, "2")
	rings(t, l, "a file is written to")
	if l.isStale() {
		t.Error("a file that is written to makes another directory of it")
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, "2")
	rings(t, l, "the directory is replaced")
	if !l.isStale() {
		t.Fatal("nobody is told that the directory is another one")
	}
	l.follow([]string{file}, nil, nil)
	if l.isStale() {
		t.Error("it is never enough")
	}
	writeFile(t, file, "3")
	rings(t, l, "a file of the new directory is written to")
}

// A burst is one look, or a few when it goes on.
func TestBurstIsFewLooks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.conf")
	l := watchfulLookout(t, []string{file}, nil)
	looks, stop := 0, time.After(2*burstMost)
	for done := false; !done; {
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		select {
		case <-l.due:
			looks++
		case <-stop:
			done = true
		default:
		}
	}
	rings(t, l, "the end of the burst")
	if looks++; looks > 8 {
		t.Errorf("%d looks", looks)
	}
}

// TestLookoutLosesEvents: the kernel had more to say than it keeps.
func TestLookoutLosesEvents(t *testing.T) {
	l := watchfulLookout(t, []string{filepath.Join(t.TempDir(), "a.conf")}, nil)
	l.watcher.Errors <- fsnotify.ErrEventOverflow
	rings(t, l, "lost events")
	if !l.isStale() {
		t.Error("what was lost may have been that a directory is another one")
	}
}

// TestLookoutWithoutWatches: the kernel gives none, so the clock has to do, and people
// are told.
func TestLookoutWithoutWatches(t *testing.T) {
	l := newLookout(10*time.Millisecond, nil)
	if err := l.watcher.Close(); err != nil {
		t.Fatal(err)
	}
	defer l.start(t.Context())()
	l.follow([]string{filepath.Join(t.TempDir(), "a.conf")}, nil, nil)
	if faults := l.faults(); len(faults) != 1 || !strings.Contains(faults[0], "every 10ms only") {
		t.Errorf("the faults are %q", faults)
	}
	rings(t, l, "the clock")
	rings(t, l, "the clock again")
}

// talkative is a systemd that says when it is listened to, and can be made to speak.
type talkative struct {
	unitstest.Systemd
	mu      sync.Mutex
	names   []string
	speak   func()
	changes chan struct{}
}

func (s *talkative) Changes(ctx context.Context, names []string, changed func()) error {
	s.mu.Lock()
	s.names, s.speak = names, changed
	s.mu.Unlock()
	s.changes <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func TestLookoutListensToSystemd(t *testing.T) {
	s := &talkative{changes: make(chan struct{}, 9)}
	l := newLookout(time.Hour, s)
	defer l.start(t.Context())()
	for _, names := range [][]string{{"a.service"}, {"a.service", "b.service"}} {
		l.follow(nil, nil, names)
		<-s.changes
		rings(t, l, "others are listened to") // what was said before is seen by a look
		s.mu.Lock()
		speak, heard := s.speak, s.names
		s.mu.Unlock()
		if !slices.Equal(heard, names) {
			t.Errorf("listened to are %q, want %q", heard, names)
		}
		speak()
		rings(t, l, "systemd spoke")
	}
}

// BenchmarkLookout is what the watch of so many files costs: to set it up, in memory,
// and from an edit to the end of the look that finds it.
func BenchmarkLookout(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchLookout(b, n) })
	}
}

func benchLookout(b *testing.B, n int) {
	const inOne = 20 // files in a directory
	root := b.TempDir()
	paths := make([]string, n)
	for i := range paths {
		paths[i] = filepath.Join(root, fmt.Sprint("dir", i/inOne), fmt.Sprintf("file%d.conf", i))
		writeFile(b, paths[i], "content\n")
	}
	disk, err := apply.NewDisk("/")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = disk.Close() }()
	accounts, err := apply.ReadAccounts(disk)
	if err != nil {
		b.Fatal(err)
	}
	var index apply.Index
	look := func() {
		if _, err := index.Look(disk, accounts, paths); err != nil {
			b.Fatal(err)
		}
	}
	look()
	before := residentNow(b)
	began := time.Now()
	l := newLookout(time.Hour, nil)
	defer l.start(context.Background())()
	l.follow(paths, nil, nil)
	setUp := time.Since(began)
	memory := residentNow(b) - before
	if faults := l.faults(); len(faults) > 0 {
		b.Fatal(faults)
	}
	for i := 0; b.Loop(); i++ {
		if err := os.WriteFile(paths[i%n], fmt.Append(nil, i), 0o600); err != nil {
			b.Fatal(err)
		}
		<-l.due
		look()
	}
	b.ReportMetric(float64(setUp.Microseconds())/1000, "ms-to-set-up")
	b.ReportMetric(float64(memory)/(1<<20), "MB")
}

// residentNow is the memory of this process in bytes, with nothing left to collect.
func residentNow(b *testing.B) int64 {
	b.Helper()
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	var size, resident int64
	if err == nil {
		_, err = fmt.Sscan(string(data), &size, &resident)
	}
	if err != nil {
		b.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}
