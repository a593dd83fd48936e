package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reaperVariable holds the folder of the lab that a reaper looks after.
const reaperVariable = "EVENKEEL_LAB_REAPER"

// Reaper must be the first call of a program that opens labs. In the lab's
// reaper, which is the same program once more, it does not return: it waits
// until the lab's owner closes a pipe, by intent or by dying, and then takes
// the lab down.
func Reaper() {
	dir := os.Getenv(reaperVariable)
	if dir == "" {
		return
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := reap(dir); err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// reap takes a lab down while nobody else sweeps.
func reap(dir string) error {
	unlock, err := lockRuns(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer unlock()
	return tearDown(dir)
}

func (l *Lab) startReaper() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find the program itself: %w", err)
	}
	// The log is a file, because a reaper outlives the pipes of "go test".
	log, err := os.Create(l.dir + ".log")
	if err != nil {
		return fmt.Errorf("cannot make the reaper's log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), reaperVariable+"="+l.dir)
	cmd.Stdout, cmd.Stderr = log, log
	// In a session of its own a Ctrl-C at the terminal passes it by.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("cannot start the reaper: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the reaper: %w", err)
	}
	l.reaper, l.alive = cmd, pipe
	return nil
}

// sweepDead takes down the labs whose owner is gone: nobody holds their lock.
func sweepDead(runs string) error {
	entries, err := os.ReadDir(runs)
	if err != nil {
		return fmt.Errorf("cannot list labs: %w", err)
	}
	var failed []error
	for _, e := range entries {
		dir := filepath.Join(runs, e.Name())
		if !e.IsDir() || !isFree(dir) {
			continue
		}
		failed = append(failed, tearDown(dir))
	}
	return errors.Join(failed...)
}

func isFree(dir string) bool {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false
	}
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// tearDown ends and removes all that belongs to the lab in dir. It may run
// twice, and against a lab of which only a part was ever made.
func tearDown(dir string) error {
	name := filepath.Base(dir)
	cgroups, err := cgroup2()
	if err != nil {
		return err
	}
	group := filepath.Join(cgroups, "evenkeel-"+name)
	if err := endGroup(group); err != nil {
		return err
	}
	if err := unmountBelow(dir); err != nil {
		return err
	}
	removeGroup(group)
	// systemd-nspawn mirrors the group into systemd's own v1 hierarchy, where there is one.
	removeGroup("/sys/fs/cgroup/systemd/evenkeel-" + name)
	if _, err := os.Stat("/sys/class/net/" + name); err == nil {
		if err := ip("link", "del", name); err != nil {
			return err
		}
	}
	left, _ := filepath.Glob("/run/systemd/nspawn/propagate/" + name + "-*")
	for _, path := range left {
		_ = os.Remove(path)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot remove a lab's folder: %w", err)
	}
	_ = os.Remove(dir + ".log")
	return nil
}

// endGroup kills every process of a control group and waits for their end.
func endGroup(group string) error {
	err := os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot kill the control group %q: %w", group, err)
	}
	empty := Poll(20*time.Second, func() bool {
		events, err := os.ReadFile(filepath.Join(group, "cgroup.events"))
		return err != nil || strings.Contains(string(events), "populated 0")
	})
	if !empty {
		return fmt.Errorf("cannot empty the control group %q: its processes do not end", group)
	}
	return nil
}

func removeGroup(group string) {
	var dirs []string
	_ = filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = syscall.Rmdir(dirs[i])
	}
}

// unmountBelow unmounts all that is mounted below dir, the innermost first.
func unmountBelow(dir string) error {
	points, err := mounts(func(point, _ string) bool { return strings.HasPrefix(point, dir+"/") })
	if err != nil {
		return err
	}
	sort.Sort(sort.Reverse(sort.StringSlice(points)))
	for _, point := range points {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("cannot unmount %q: %w", point, err)
		}
	}
	return nil
}

// cgroup2 finds where the unified hierarchy is mounted: at /sys/fs/cgroup, or
// below it on a machine that has the old hierarchies as well.
func cgroup2() (string, error) {
	points, err := mounts(func(_, kind string) bool { return kind == "cgroup2" })
	if err != nil {
		return "", err
	}
	if len(points) == 0 {
		return "", errors.New("cannot find a cgroup2 file system")
	}
	return points[0], nil
}

// mounts lists the mount points that want accepts by place and file system.
func mounts(want func(point, kind string) bool) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot list mounts: %w", err)
	}
	defer f.Close()
	var points []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if len(place) > 4 && len(kind) > 0 && want(place[4], kind[0]) {
			points = append(points, place[4])
		}
	}
	return points, lines.Err()
}
