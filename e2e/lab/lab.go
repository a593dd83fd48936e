// Package lab makes real hosts for the tests and the demo: containers with
// systemd as PID 1 on a network of their own, and real Git servers that they
// can reach. It needs root, systemd-nspawn and the root file systems that
// e2e/rootfs.sh makes.
//
// It knows nothing of evenkeel's packages, so that what a test sees of a host
// is seen by somebody else than the agent. It never ends a process by name and
// never touches a network, mount or control group that it did not make.
//
// Start reading at Lab, then Host (host.go), then Repo (repo.go).
package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// T is the part of testing.TB that the lab needs; the demo has its own.
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
}

// maxLabs bounds how many labs a machine holds at once: each has one /24.
const maxLabs = 200

// Lab is a bridge with the hosts and servers on it. All that it makes is
// recorded in its folder, and torn down by Close, or by the reaper when the
// process that opened it dies, or at worst by the next Open.
type Lab struct {
	name    string // of the bridge, the folder and the control group
	dir     string
	rootfs  string
	gateway netip.Addr
	cgroup  string
	lock    *os.File
	reaper  *exec.Cmd
	alive   io.Closer // the reaper waits for this pipe to close

	mu    sync.Mutex
	taken netip.Addr
	hosts int
}

// cacheDir holds what is kept between runs, and the folders of labs.
func cacheDir() string {
	if dir := os.Getenv("EVENKEEL_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/evenkeel"
}

// Open makes an empty lab, after taking down what dead processes left behind.
func Open() (*Lab, error) {
	runs := filepath.Join(cacheDir(), "runs")
	if err := os.MkdirAll(runs, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of labs: %w", err)
	}
	l, err := sweepAndClaim(runs)
	if err != nil {
		return nil, err
	}
	if err := l.build(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func sweepAndClaim(runs string) (*Lab, error) {
	unlock, err := lockRuns(runs)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := sweepDead(runs); err != nil {
		return nil, err
	}
	return claim(runs)
}

// lockRuns keeps two processes from claiming or sweeping at the same time.
func lockRuns(runs string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(runs, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the folder of labs: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot lock the folder of labs: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// claim takes the first free name, address range and folder.
func claim(runs string) (*Lab, error) {
	cgroups, err := cgroup2()
	if err != nil {
		return nil, err
	}
	for i := 1; i <= maxLabs; i++ {
		name := "evk" + strconv.Itoa(i)
		dir := filepath.Join(runs, name)
		if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("cannot make a lab: %w", err)
		}
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("cannot make a lab: %w", err)
		}
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return nil, fmt.Errorf("cannot lock a new lab: %w", err)
		}
		gateway := netip.AddrFrom4([4]byte{10, 213, byte(i), 1})
		return &Lab{
			name: name, dir: dir, lock: lock,
			rootfs:  filepath.Join(cacheDir(), "rootfs"),
			gateway: gateway, taken: gateway,
			cgroup: filepath.Join(cgroups, "evenkeel-"+name),
		}, nil
	}
	return nil, fmt.Errorf("cannot make a lab: all %d names are taken in %q", maxLabs, runs)
}

// inotifyInstances are enough for a few dozen hosts. Each has about ten, all of one
// user; without them a host does not boot, or its systemd does not see mounts.
const inotifyInstances = 1024

func (l *Lab) build() error {
	if err := l.startReaper(); err != nil {
		return err
	}
	if err := raise("/proc/sys/fs/inotify/max_user_instances", inotifyInstances); err != nil {
		return err
	}
	if err := os.Mkdir(l.cgroup, 0o755); err != nil {
		return fmt.Errorf("cannot make a control group: %w", err)
	}
	// Without an address of its own a bridge takes the lowest of its ports', and another
	// one with each host that comes or goes: the others then talk to nobody for half a minute.
	address := net.HardwareAddr(append([]byte{0x02, 0x00}, l.gateway.AsSlice()...)).String()
	for _, args := range [][]string{
		{"link", "add", l.name, "address", address, "type", "bridge"},
		{"addr", "add", l.gateway.String() + "/24", "dev", l.name},
		{"link", "set", l.name, "up"},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// raise makes a limit of the kernel at least so high.
func raise(file string, least int) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot read a limit of the kernel: %w", err)
	}
	if is, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && is >= least {
		return nil
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(least)), 0o644); err != nil {
		return fmt.Errorf("cannot raise a limit of the kernel: %w", err)
	}
	return nil
}

// Close takes everything down and waits until it is gone.
func (l *Lab) Close() error {
	_ = l.lock.Close()
	if l.reaper == nil {
		return reap(l.dir)
	}
	_ = l.alive.Close()
	if err := l.reaper.Wait(); err != nil {
		return fmt.Errorf("cannot take the lab down: %w", err)
	}
	return nil
}

// Gateway is the address at which hosts of the lab reach this machine.
func (l *Lab) Gateway() netip.Addr { return l.gateway }

// nextHost gives a name and an address that no host of this lab had before.
func (l *Lab) nextHost() (machine string, addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts++
	l.taken = l.taken.Next()
	return fmt.Sprintf("%s-%d", l.name, l.hosts), l.taken
}

// child starts a process in a control group below the lab's, so that it ends
// with the lab, whatever happens.
func (l *Lab) child(group string, cmd *exec.Cmd) error {
	path := filepath.Join(l.cgroup, group)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("cannot make a control group: %w", err)
	}
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot open a control group: %w", err)
	}
	defer dir.Close()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.UseCgroupFD = true
	cmd.SysProcAttr.CgroupFD = int(dir.Fd())
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %q: %w", cmd.Path, err)
	}
	return nil
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run ip %v: %w: %s", args, err, out)
	}
	return nil
}

// Poll asks until yes says so, or until bound is over. It reports whether yes did.
func Poll(bound time.Duration, yes func() bool) bool {
	if yes() {
		return true
	}
	over := time.After(bound)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if yes() {
				return true
			}
		case <-over:
			return yes()
		}
	}
}
