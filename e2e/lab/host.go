package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// bootBound is how long a host may take to come up; half a second is usual.
const bootBound = 90 * time.Second

// Host is one container with systemd as PID 1. Its disk is an overlay over a
// release's root file system and outlives crashes and reboots of the host.
type Host struct {
	Name    string // the host name that it sees
	Release string // bookworm, trixie
	Addr    netip.Addr

	t       T
	lab     *Lab
	machine string // name outside, unique on this machine
	dir     string
	lower   string // what its disk is laid over, as overlayfs takes it

	mu     sync.Mutex
	leader int           // its PID 1, seen from here; 0 when it is off
	ended  chan struct{} // closed when the container is gone
}

// networkUnit gives the host its address at each boot. It lives below
// /usr/lib, so that /etc is the test's alone.
const networkUnit = `[Unit]
Description=Address of the test network
DefaultDependencies=no
Before=network-pre.target
Wants=network-pre.target
%[2]s
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip link set %[1]s up
ExecStart=/sbin/ip addr replace %[3]s/24 dev %[1]s

[Install]
WantedBy=multi-user.target
`

// Host makes and boots a host. It is gone when the test ends; when the test
// fails, the end of its journal is in the test's log.
func (l *Lab) Host(t T, release, name string) *Host {
	t.Helper()
	return l.newHost(t, release, name, filepath.Join(l.rootfs, release))
}

func (l *Lab) newHost(t T, release, name, lower string) *Host {
	t.Helper()
	machine, addr := l.nextHost()
	h := &Host{
		Name: name, Release: release, Addr: addr,
		t: t, lab: l, machine: machine,
		dir: filepath.Join(l.dir, "hosts", machine), lower: lower,
	}
	t.Cleanup(h.discard)
	if err := h.makeDisk(); err != nil {
		t.Fatalf("cannot make host %q: %v", name, err)
	}
	h.Boot()
	return h
}

// Lend makes t the test that fails when something on the host goes wrong, until the
// host is lent to another. It goes when the test ends that it was made for.
func (h *Host) Lend(t T) { h.t = t }

func (h *Host) makeDisk() error {
	base := filepath.Join(h.lab.rootfs, h.Release)
	if _, err := os.Stat(filepath.Join(base, "usr/lib/systemd/systemd")); err != nil {
		return fmt.Errorf("there is no root file system for %q (e2e/rootfs.sh makes it): %w", h.Release, err)
	}
	for _, sub := range []string{"upper", "work", "disk"} {
		if err := os.MkdirAll(filepath.Join(h.dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := h.mount(); err != nil {
		return err
	}
	unit := "usr/lib/systemd/system/lab-network.service"
	wants := "usr/lib/systemd/system/sysinit.target.wants/lab-network.service"
	if err := os.WriteFile(h.outside(unit), fmt.Appendf(nil, networkUnit, "host0", "", h.Addr), 0o644); err != nil {
		return err
	}
	if err := os.Symlink("../lab-network.service", h.outside(wants)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// outside is where a path of the host's disk is found from here.
func (h *Host) outside(path string) string { return filepath.Join(h.dir, "disk", path) }

// Outside is where a path of the host's disk is found from here, for tests that must do
// something to it at once, without a process in the host. Links in it lead elsewhere.
func (h *Host) Outside(path string) string { return h.outside(path) }

func (h *Host) mount() error {
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s",
		h.lower, filepath.Join(h.dir, "upper"), filepath.Join(h.dir, "work"))
	if err := unix.Mount("overlay", h.outside(""), "overlay", 0, options); err != nil {
		return fmt.Errorf("cannot mount the disk: %w", err)
	}
	return nil
}

// unmount waits for a process that another goroutine starts at this moment: it has our
// open files until it becomes another program.
func (h *Host) unmount() error {
	var busy error
	Poll(bootBound, func() bool {
		busy = unix.Unmount(h.outside(""), 0)
		return !errors.Is(busy, unix.EBUSY)
	})
	if busy != nil {
		return fmt.Errorf("cannot unmount the disk: %w", busy)
	}
	return nil
}

// Boot starts a host that is off and waits until systemd has booted it.
func (h *Host) Boot() {
	h.t.Helper()
	if err := h.boot(); err != nil {
		h.t.Fatalf("cannot boot %q (%s): %v\n%s", h.Name, h.Release, err, tail(h.console(), 40))
	}
	if !Poll(bootBound, h.isUp) {
		h.t.Fatalf("cannot boot %q (%s): not up after %v\n%s", h.Name, h.Release, bootBound, tail(h.console(), 40))
	}
}

// BootUnready starts a host that is off and waits only until its PID 1 runs:
// for tests that cut the power in the middle of a boot.
func (h *Host) BootUnready() {
	h.t.Helper()
	if err := h.boot(); err != nil {
		h.t.Fatalf("cannot boot %q (%s): %v\n%s", h.Name, h.Release, err, tail(h.console(), 40))
	}
}

func (h *Host) boot() error {
	// A fresh mount forgets what the kernel remembered of the disk, as a boot does.
	if err := h.unmount(); err != nil {
		return err
	}
	if err := h.mount(); err != nil {
		return err
	}
	// The kernel takes its time to remove the interface of a host that lost power.
	if !Poll(bootBound, func() bool { _, err := os.Stat("/sys/class/net/vb-" + h.machine); return err != nil }) {
		return errors.New("the network interface of the last boot does not go")
	}
	console, err := os.OpenFile(filepath.Join(h.dir, "console"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	cmd := exec.Command("systemd-nspawn", append(h.calls(), "--quiet", "--directory="+h.outside(""),
		"--register=no", "--keep-unit", "--machine="+h.machine, "--hostname="+h.Name,
		"--network-bridge="+h.lab.name, "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--boot")...)
	cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_LOG_LEVEL=notice")
	cmd.Stdout, cmd.Stderr = console, console
	if err := h.lab.child(h.machine, cmd); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its status says only how the host went down
		close(ended)
	}()
	leader := 0
	found := Poll(bootBound, func() bool {
		leader = leaderOf(cmd.Process.Pid)
		return leader != 0 || isClosed(ended)
	})
	if !found || leader == 0 {
		return fmt.Errorf("the container does not start")
	}
	h.mu.Lock()
	h.leader, h.ended = leader, ended
	h.mu.Unlock()
	return nil
}

// calls allows the system calls that a container runtime makes on a host with podman, and
// that systemd-nspawn keeps from the others: it sets up keyrings, and which devices a
// container may use.
func (h *Host) calls() []string {
	if !strings.HasSuffix(h.Release, "-podman") {
		return nil
	}
	return []string{"--system-call-filter=bpf keyctl add_key"}
}

// leaderOf finds the container's PID 1 among the children of systemd-nspawn.
func leaderOf(nspawn int) int {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", nspawn, nspawn))
	if err != nil {
		return 0
	}
	for field := range strings.FieldsSeq(string(children)) {
		status, err := os.ReadFile("/proc/" + field + "/status")
		if err != nil || !strings.Contains(string(status), "Name:\tsystemd\n") {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "NSpid:") && strings.HasSuffix(strings.TrimSpace(line), "\t1") {
				pid, _ := strconv.Atoi(field)
				return pid
			}
		}
	}
	return 0
}

func (h *Host) isUp() bool {
	out, _ := h.run("", "systemctl", "is-system-running")
	state := strings.TrimSpace(out)
	return state == "running" || state == "degraded"
}

// IsOn reports whether the host's PID 1 lives.
func (h *Host) IsOn() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leader != 0 && !isClosed(h.ended)
}

// Leader is the host's PID 1 as this machine sees it, 0 when it is off.
func (h *Host) Leader() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leader
}

// PowerCut ends all processes of the host at once, as a pulled plug does. What
// programs had handed to the kernel stays on the disk.
func (h *Host) PowerCut() {
	h.t.Helper()
	if err := endGroup(filepath.Join(h.lab.cgroup, h.machine)); err != nil {
		h.t.Fatalf("cannot cut the power of %q: %v", h.Name, err)
	}
	h.waitOff()
}

// Shutdown powers the host off in good order.
func (h *Host) Shutdown() {
	h.t.Helper()
	_, _ = h.run("", "systemctl", "poweroff") // the answer may be lost with the host
	h.waitOff()
}

// Reboot restarts the host in good order and waits until it is up again.
func (h *Host) Reboot() {
	h.t.Helper()
	_, _ = h.run("", "systemctl", "reboot")
	h.waitOff()
	h.Boot()
}

func (h *Host) waitOff() {
	h.t.Helper()
	h.mu.Lock()
	ended := h.ended
	h.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(bootBound):
		h.t.Fatalf("%q is not off after %v\n%s", h.Name, bootBound, tail(h.console(), 40))
	}
	h.mu.Lock()
	h.leader = 0
	h.mu.Unlock()
	group := filepath.Join(h.lab.cgroup, h.machine)
	if err := endGroup(group); err != nil {
		h.t.Fatalf("cannot clear up after %q: %v", h.Name, err)
	}
	removeGroup(group)
	_ = os.Remove("/run/systemd/nspawn/propagate/" + h.machine)
}

// CutNetwork takes the cable out.
func (h *Host) CutNetwork() { h.link("down") }

// RestoreNetwork puts the cable back.
func (h *Host) RestoreNetwork() { h.link("up") }

func (h *Host) link(state string) {
	h.t.Helper()
	if err := ip("link", "set", "vb-"+h.machine, state); err != nil {
		h.t.Fatalf("cannot set the network of %q %s: %v", h.Name, state, err)
	}
}

// discard ends the host and removes its disk; the lab's end would do it too.
func (h *Host) discard() {
	if h.t.Failed() && h.IsOn() {
		h.t.Logf("the end of the journal of %q (%s):\n%s", h.Name, h.Release, h.Journal("", 120))
	}
	group := filepath.Join(h.lab.cgroup, h.machine)
	if err := endGroup(group); err != nil {
		h.t.Logf("%v", err)
		return
	}
	h.mu.Lock()
	ended := h.ended
	h.mu.Unlock()
	if ended != nil {
		<-ended
	}
	if err := unmountBelow(h.dir); err != nil {
		h.t.Logf("%v", err)
		return
	}
	removeGroup(group)
	_ = os.Remove("/run/systemd/nspawn/propagate/" + h.machine)
	if err := os.RemoveAll(h.dir); err != nil {
		h.t.Logf("cannot remove the disk of %q: %v", h.Name, err)
	}
}

func (h *Host) console() string {
	out, err := os.ReadFile(filepath.Join(h.dir, "console"))
	if err != nil {
		return err.Error()
	}
	return string(out)
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
