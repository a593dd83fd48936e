package agent

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// probeNetwork is the first argument of a child with the limits of a kind, the
// second argument, and other work: it tries to reach somebody.
const probeNetwork = "probe-network"

func probeAs(name string) int {
	kind, is := childKindNamed(name)
	if !is {
		return 2
	}
	kind.loop, kind.work = nil, tryNetwork
	err := kind.limitSelf()
	if err == nil {
		err = kind.serve(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// listeners are where a child may try to get to.
type listeners struct{ TCP, UDP, Unix string }

// tryNetwork gives what the system says to each attempt, "" for a success.
func tryNetwork(_ context.Context, input []byte) (any, error) {
	var at listeners
	if err := json.Unmarshal(input, &at); err != nil {
		return nil, err
	}
	dial := func(network, address string) error {
		conn, err := net.Dial(network, address)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	call := func(number uintptr, args ...uintptr) error {
		_, _, errno := unix.Syscall(number, args[0], args[1], args[2])
		if errno == 0 {
			return nil
		}
		return errno
	}
	made := map[string]error{
		"tcp":      dial("tcp", at.TCP),
		"udp":      dial("udp", at.UDP),
		"unix":     dial("unix", at.Unix),
		"netlink":  call(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0),
		"io_uring": call(unix.SYS_IO_URING_SETUP, 1, 0, 0),
	}
	// Another thread than the one that was there when the filter was installed.
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never let go: the thread ends with this goroutine
		done <- dial("tcp", at.TCP)
	}()
	made["tcp in another thread"] = <-done
	said := map[string]string{}
	for what, err := range made {
		said[what] = ""
		if err != nil {
			said[what] = err.Error()
		}
		if errors.Is(err, syscall.EPERM) {
			said[what] = "refused"
		}
	}
	return said, nil
}

// listen opens one address of each kind, which everybody on this machine can reach.
func listen(t *testing.T) listeners {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "socket")
	local, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close(); udp.Close(); local.Close() })
	return listeners{tcp.Addr().String(), udp.LocalAddr().String(), path}
}

// Children that speak with nobody cannot; the others show that the attempts are real.
func TestOnlyChildrenThatFetchReachTheNetwork(t *testing.T) {
	request, err := json.Marshal(listen(t))
	if err != nil {
		t.Fatal(err)
	}
	offline := 0
	for _, kind := range childKinds() {
		cmd := childCommand(t.Context(), probeNetwork, job{})
		cmd.Args = append(cmd.Args, kind.name)
		cmd.Stdin = strings.NewReader(string(request))
		out, err := cmd.Output()
		var said map[string]string
		if err == nil {
			err = json.Unmarshal(out, &said)
		}
		if err != nil || len(said) < 6 {
			t.Fatalf("%s: %v, %q", kind.name, err, out)
		}
		if kind.offline {
			offline++
		}
		for what, answer := range said {
			switch {
			case kind.offline && answer != "refused":
				t.Errorf("%s is offline, and its attempt over %s gave %q", kind.name, what, answer)
			case !kind.offline && what != "io_uring" && answer != "":
				t.Errorf("%s cannot use %s: %s", kind.name, what, answer)
			}
		}
	}
	if offline != 2 {
		t.Errorf("%d kinds of children are offline, want those that render and choose", offline)
	}
}

// The very child that renders is under the filter, with all its threads, before
// it has read a byte of what it is to do.
func TestChildThatRendersIsOfflineBeforeItReads(t *testing.T) {
	cmd := childCommand(t.Context(), "child-render", job{})
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	// More than the pipe holds: this returns when the child has begun to read.
	if _, err := in.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended
		}
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
			if !strings.Contains(string(status), want) {
				t.Errorf("%s does not say %q", task, want)
			}
		}
	}
}

// sealedOff is the first argument of a process that lets nobody install a filter, and
// then becomes the child that the second one names: a host with another unit.
const sealedOff = "sealed-off"

func becomeSealedOff(name string) int {
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		err = filterAllThreads([]unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: callNumber},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_SECCOMP},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		})
	}
	if err == nil {
		err = syscall.Exec("/proc/self/exe", []string{"evenkeel", name}, os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// A unit that does not let the filter be installed is the host's fault: no commit is
// refused for it, and nothing was read.
func TestChildThatCannotGoOfflineReadsNothing(t *testing.T) {
	cmd := childCommand(t.Context(), sealedOff, job{})
	cmd.Args = append(cmd.Args, "child-render")
	cmd.Stdin = strings.NewReader("{")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitChildHost || string(out) != "cannot take the network from the child: operation not permitted\n" {
		t.Errorf("got %v, %q", err, out)
	}
}

// filtered runs a filter over one call, with the instructions that ours has.
func filtered(t *testing.T, filter []unix.SockFilter, arch, number uint32) uint32 {
	t.Helper()
	data := make([]byte, 64)
	binary.LittleEndian.PutUint32(data[callNumber:], number)
	binary.LittleEndian.PutUint32(data[callArch:], arch)
	loaded := uint32(0)
	for at := 0; at < len(filter); at++ {
		in, holds := filter[at], false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			loaded = binary.LittleEndian.Uint32(data[in.K:])
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			holds = loaded == in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			holds = loaded >= in.K
		default:
			t.Fatalf("instruction %d is %+v", at, in)
		}
		if holds {
			at += int(in.Jt)
		} else {
			at += int(in.Jf)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

func TestOfflineFilterKnowsItsArchitecture(t *testing.T) {
	const i386 = unix.AUDIT_ARCH_I386
	refused := func(filter []unix.SockFilter, arch, number uint32) bool {
		return filtered(t, filter, arch, number) == unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)
	}
	for name, arch := range auditArch {
		filter := offlineFilter(arch)
		for _, call := range forbidden {
			if !refused(filter, arch, call) {
				t.Errorf("%s: call %d passes", name, call)
			}
			if !refused(filter, arch, call|foreignABI) {
				t.Errorf("%s: call %d passes as one of x32", name, call)
			}
		}
		for _, call := range []uint32{unix.SYS_READ, unix.SYS_WRITE, unix.SYS_OPENAT, unix.SYS_FUTEX, unix.SYS_EXIT_GROUP} {
			if got := filtered(t, filter, arch, call); got != unix.SECCOMP_RET_ALLOW {
				t.Errorf("%s: call %d gives %x", name, call, got)
			}
			if !refused(filter, i386, call) {
				t.Errorf("%s: call %d of another architecture passes", name, call)
			}
		}
	}
}
