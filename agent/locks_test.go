package agent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// holdLockOf makes the test binary a process that holds a lock, as dpkg does, until
// its standard input ends.
const holdLockOf = "EVENKEEL_TEST_HOLD_LOCK"

func holdLock(path string) int {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// lockBy has another process hold a lock, and gives its id and how to end it.
func lockBy(t *testing.T, path string) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdLockOf+"="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = stdin.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(end)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the lock is not held: %q, %v", line, err)
	}
	return cmd.Process.Pid, end
}

// lockFiles are a host's, in a directory of the test.
func lockFiles(t *testing.T) []packageLock {
	t.Helper()
	dir := t.TempDir()
	var list []packageLock
	for _, lock := range packageLocks() {
		lock.path = filepath.Join(dir, strings.ReplaceAll(strings.Trim(lock.path, "/"), "/", "-"))
		list = append(list, lock)
	}
	for _, lock := range list[:3] { // a host has either of the two databases of rpm
		if err := os.WriteFile(lock.path, nil, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func TestHeldLocksOfPackageManagersAreFound(t *testing.T) {
	files := lockFiles(t)
	if held := findLock(files); held != nil {
		t.Fatalf("nobody holds %v", held)
	}
	for _, lock := range files[:3] {
		pid, end := lockBy(t, lock.path)
		held := findLock(files)
		const longest = 15 // of a process's name, says the kernel
		name := filepath.Base(os.Args[0])
		want := fmt.Sprintf("%s to finish: process %d (%s) holds %s", lock.holder, pid, name[:min(len(name), longest)], lock.path)
		if held == nil || held.pid != pid || held.String() != want {
			t.Errorf("got %v, want %s", held, want)
		}
		end()
		if held := findLock(files); held != nil {
			t.Errorf("%v is still held when its process has ended", held)
		}
	}
}

// The kernel names no process for a lock that belongs to an open file.
func TestHeldLockWithoutAProcessIsFoundToo(t *testing.T) {
	files := lockFiles(t)
	f, err := os.OpenFile(files[1].path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	if held := findLock(files); held == nil || held.String() != "dpkg to finish: a process holds "+files[1].path {
		t.Errorf("got %v", held)
	}
}

func TestCommitWaitsForALockAndNotForEver(t *testing.T) {
	a, at := kept(t)
	a.locks.files = lockFiles(t)
	_, end := lockBy(t, a.locks.files[0].path)
	seen := *at
	for i, row := range []struct {
		about string
		later time.Duration
		waits bool
	}{
		{"it is seen", 0, true},
		{"it is held for hours", installPatience - time.Second, true},
		{"it hangs", time.Second, false},
	} {
		*at = at.Add(row.later)
		a.locks.begin(false)
		a.patience.begin()
		if who := a.locked(&a.patience); (who != "") != row.waits {
			t.Errorf("%d: %s: waits for %q", i, row.about, who)
		}
		// The age stays, whatever process of apt holds the lock at the moment.
		if s := a.locks.held.status(); s == nil || !s.Since.Equal(seen) || s.Holder != "dpkg" {
			t.Errorf("%d: %s: status says %+v", i, row.about, s)
		}
	}
	end()
	a.locks.begin(false)
	a.patience.begin()
	if who := a.locked(&a.patience); who != "" || a.locks.held.status() != nil {
		t.Errorf("when it is free it waits for %q", who)
	}
}

// The status said that drift is corrected and not who is waited for: a pass without news, which
// does not look at locks, came in between.
func TestLockThatACorrectionWaitsForIsKnownInPasses(t *testing.T) {
	a, at := kept(t)
	a.locks.files = lockFiles(t)
	_, end := lockBy(t, a.locks.files[0].path)
	seen := a.locks.look(*at).since
	for range 3 {
		a.locks.begin(true)
	}
	if s := a.locks.held.status(); s == nil || s.Process == "" {
		t.Errorf("after some passes the status says %+v", s)
	}
	if since := a.locks.look(at.Add(time.Minute)).since; !since.Equal(seen) {
		t.Errorf("it is held since %v, and not since %v", since, seen)
	}
	end()
	a.locks.begin(true)
	if a.locks.look(at.Add(time.Minute)) != nil {
		t.Error("it is held when it is free")
	}
}

// While only a lock is waited for, a look at it takes the place of a pass; it ends with
// the lock, with the time of the next pass, and when somebody asks.
func TestLockIsLookedAtMoreOftenThanTheRepository(t *testing.T) {
	a, at := kept(t)
	a.locks.files = lockFiles(t)
	_, end := lockBy(t, a.locks.files[0].path)
	wait := func() {
		a.locks.begin(false)
		a.patience.begin()
		if a.locked(&a.patience) == "" {
			t.Fatal("the lock is not seen")
		}
		if delay := a.locks.shorten(time.Minute, ResultWaiting, *at); delay != recheck {
			t.Fatalf("it looks again in %s", delay)
		}
	}
	wait()
	if !a.locks.putsOff(at.Add(recheck)) {
		t.Error("each look is a pass")
	}
	if a.locks.putsOff(at.Add(time.Minute)) {
		t.Error("the repository is not looked at as long as the lock is held")
	}
	wait()
	if a.locks.hurry(); a.locks.putsOff(at.Add(recheck)) {
		t.Error("a reload does not count while a lock is held")
	}
	wait()
	end()
	if a.locks.putsOff(at.Add(recheck)) {
		t.Error("it does not go on when the lock is free")
	}
	if delay := a.locks.shorten(time.Minute, ResultUnchanged, *at); delay != time.Minute {
		t.Errorf("a host without news looks again in %s", delay)
	}
}

// A newer commit that would have to wait for a lock leaves the watch of another alone.
func TestLockKeepsANewerCommitFromEndingAWatch(t *testing.T) {
	a, _ := kept(t)
	a.locks.files = lockFiles(t)
	_, end := lockBy(t, a.locks.files[0].path)
	c := a.commit("aaaa", "/etc/a")
	if a.overtakes(c) {
		t.Error("it ends the watch")
	}
	end()
	if !a.overtakes(c) {
		t.Error("it does not end the watch when the lock is free")
	}
}
