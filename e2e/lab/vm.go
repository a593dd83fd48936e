package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// vmBootBound is how long a virtual machine may take to come up, its processor being
// worked out by a program; half a minute is usual.
const vmBootBound = 10 * time.Minute

// vmRunBound is how long one command inside a virtual machine may take.
const vmRunBound = 5 * time.Minute

const (
	vmDisk   = 3 << 30 // bytes, most of them never written
	vmMemory = 1024    // MB
	vmShell  = 7       // a TCP port
)

// VM is a virtual machine with a kernel of its own, for what a container cannot show:
// limits of memory, modules, devices, and what a disk has when the kernel is gone too.
// Its processor is emulated, so that it is the same everywhere, and slow.
type VM struct {
	Name    string // the host name that it sees
	Release string // bookworm-vm, trixie-vm
	Addr    netip.Addr

	t       T
	lab     *Lab
	machine string // name outside, unique on this machine
	dir     string
	kernel  string
	initrd  string

	mu    sync.Mutex
	ended chan struct{} // closed when it is off
}

// files are what a disk needs to be reached at its address. Commands come by a socket: a
// login over ssh costs seconds of the emulated processor.
func (v *VM) files() map[string]string {
	shell := netip.AddrPortFrom(v.Addr, vmShell)
	return map[string]string{
		"etc/fstab":    "",
		"etc/hostname": v.Name + "\n",
		"usr/lib/systemd/system/lab-network.service": fmt.Sprintf(networkUnit, "eth0",
			"Wants=sys-subsystem-net-devices-eth0.device\nAfter=sys-subsystem-net-devices-eth0.device\n", v.Addr),
		"usr/lib/systemd/system/lab-shell.socket": fmt.Sprintf("[Socket]\nListenStream=%s\nFreeBind=yes\nAccept=yes\nMaxConnections=64\n", shell),
		"usr/lib/systemd/system/lab-shell@.service": "[Unit]\nCollectMode=inactive-or-failed\n" +
			"[Service]\nExecStart=/bin/bash /usr/lib/evenkeel-lab/shell\nStandardInput=socket\nStandardOutput=socket\nStandardError=journal\n" +
			"Environment=HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
		"usr/lib/evenkeel-lab/shell": `script=$(cat)
said=$(mktemp /run/lab-shell.XXXXXX)
/bin/bash -c "$script" </dev/null 2>"$said"
code=$?
printf '\0'; cat "$said"; printf '\0%d' "$code"
rm "$said"
`,
	}
}

// VM makes and boots a virtual machine whose disk begins as the image, which must have a
// kernel. It is gone when the test ends; when the test fails, the end of its journal is in
// the test's log.
func (l *Lab) VM(t T, image *Image, name string) *VM {
	t.Helper()
	machine, addr := l.nextHost()
	v := &VM{
		Name: name, Release: image.release, Addr: addr,
		t: t, lab: l, machine: machine, dir: filepath.Join(l.dir, "hosts", machine),
	}
	t.Cleanup(v.discard)
	if err := v.makeDisk(image); err != nil {
		t.Fatalf("cannot make virtual machine %q: %v", name, err)
	}
	v.Boot()
	return v
}

// makeDisk makes an ext4 file system of the image. The disk that is mounted for it is
// thrown away.
func (v *VM) makeDisk(image *Image) error {
	h := &Host{Release: image.release, lab: v.lab, dir: v.dir, lower: image.lower, Addr: v.Addr}
	if err := h.makeDisk(); err != nil {
		return err
	}
	root, err := os.OpenRoot(h.outside(""))
	if err != nil {
		return err
	}
	defer root.Close()
	for path, text := range v.files() {
		if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	const wants = "usr/lib/systemd/system/sockets.target.wants/lab-shell.socket"
	if err := root.Symlink("../lab-shell.socket", wants); err != nil {
		return err
	}
	if err := v.takeKernel(h.outside("boot")); err != nil {
		return err
	}
	disk, err := os.Create(v.disk())
	if err != nil {
		return err
	}
	defer disk.Close()
	if err := disk.Truncate(vmDisk); err != nil {
		return err
	}
	out, err := exec.Command("mkfs.ext4", "-q", "-F", "-d", h.outside(""), v.disk()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot make its file system: %w: %s", err, out)
	}
	_ = root.Close()
	return h.unmount()
}

// mac is an address that no other machine on the bridge has; qemu gives all the same one.
func (v *VM) mac() string {
	return net.HardwareAddr(append([]byte{0x02, 0x01}, v.Addr.AsSlice()...)).String()
}

func (v *VM) disk() string { return filepath.Join(v.dir, "disk.ext4") }

// takeKernel copies the kernel and its first file system out of the disk, because a
// virtual machine has no boot loader.
func (v *VM) takeKernel(boot string) error {
	for pattern, to := range map[string]*string{"vmlinuz-*": &v.kernel, "initrd.img-*": &v.initrd} {
		found, err := filepath.Glob(filepath.Join(boot, pattern))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("there is not one %s on its disk but %d", pattern, len(found))
		}
		content, err := os.ReadFile(found[0])
		if err != nil {
			return err
		}
		*to = filepath.Join(v.dir, strings.TrimSuffix(pattern, "-*"))
		if err := os.WriteFile(*to, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Boot starts a machine that is off and waits until systemd has booted it.
func (v *VM) Boot() {
	v.t.Helper()
	if err := v.start(); err != nil {
		v.t.Fatalf("cannot boot %q (%s): %v\n%s", v.Name, v.Release, err, v.console())
	}
	up := func() bool {
		out, _ := v.Run("systemctl", "is-system-running")
		state := strings.TrimSpace(out)
		return state == "running" || state == "degraded" || isClosed(v.ended)
	}
	if !Poll(vmBootBound, up) || isClosed(v.ended) {
		v.t.Fatalf("cannot boot %q (%s) within %v\n%s", v.Name, v.Release, vmBootBound, v.console())
	}
}

func (v *VM) start() error {
	console, err := os.OpenFile(filepath.Join(v.dir, "console"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	port := "vb-" + v.machine
	cmd := exec.Command("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max",
		"-smp", "2", "-m", strconv.Itoa(vmMemory), "-nodefaults", "-no-user-config", "-no-reboot",
		"-display", "none", "-serial", "stdio", "-device", "virtio-rng-pci",
		"-drive", "if=virtio,format=raw,file="+v.disk(),
		"-netdev", "tap,id=net,script=no,downscript=no,ifname="+port, "-device", "virtio-net-pci,netdev=net,mac="+v.mac(),
		"-kernel", v.kernel, "-initrd", v.initrd,
		"-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 panic=-1 quiet systemd.show_status=no")
	cmd.Stdout, cmd.Stderr = console, console
	if err := v.lab.child(v.machine, cmd); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its status says only how the machine went off
		close(ended)
	}()
	v.mu.Lock()
	v.ended = ended
	v.mu.Unlock()
	if !Poll(bootBound, func() bool { return ip("link", "set", port, "master", v.lab.name, "up") == nil || isClosed(ended) }) || isClosed(ended) {
		return errors.New("it does not start")
	}
	return nil
}

// IsOn reports whether the machine runs.
func (v *VM) IsOn() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended != nil && !isClosed(v.ended)
}

// PowerCut ends the machine at once, its kernel too: what was not written to the disk by
// then is lost.
func (v *VM) PowerCut() {
	v.t.Helper()
	if err := endGroup(filepath.Join(v.lab.cgroup, v.machine)); err != nil {
		v.t.Fatalf("cannot cut the power of %q: %v", v.Name, err)
	}
	v.waitOff()
}

// Reboot restarts the machine in good order and waits until it is up again.
func (v *VM) Reboot() {
	v.t.Helper()
	_, _ = v.Run("systemctl", "reboot") // the answer may be lost with the machine
	v.waitOff()
	v.Boot()
}

func (v *VM) waitOff() {
	v.t.Helper()
	select {
	case <-v.ended:
	case <-time.After(vmBootBound):
		v.t.Fatalf("%q is not off after %v\n%s", v.Name, vmBootBound, v.console())
	}
	removeGroup(filepath.Join(v.lab.cgroup, v.machine))
}

// discard ends the machine and removes its disk; the lab's end would do it too.
func (v *VM) discard() {
	if v.t.Failed() && v.IsOn() {
		out, err := v.shell("journalctl --no-pager --quiet -b -o short-precise | grep -v lab-shell | tail -n 120")
		v.t.Logf("the end of the journal of %q (%s): %v\n%s", v.Name, v.Release, err, out)
	}
	group := filepath.Join(v.lab.cgroup, v.machine)
	if err := endGroup(group); err != nil {
		v.t.Logf("%v", err)
		return
	}
	if v.ended != nil {
		<-v.ended
	}
	if err := unmountBelow(v.dir); err != nil {
		v.t.Logf("%v", err)
		return
	}
	removeGroup(group)
	if err := os.RemoveAll(v.dir); err != nil {
		v.t.Logf("cannot remove the disk of %q: %v", v.Name, err)
	}
}

func (v *VM) console() string {
	out, err := os.ReadFile(filepath.Join(v.dir, "console"))
	if err != nil {
		return err.Error()
	}
	return tail(string(out), 40)
}
