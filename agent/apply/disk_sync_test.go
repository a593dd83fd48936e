package apply

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestDiskSyncs looks at the system calls of a process that uses the real disk:
// what the crash sweep proves on the model is worth nothing when the real one
// does not sync. A power cut would show a missing fsync of a file only sometimes,
// and one of a directory hardly ever.
func TestDiskSyncs(t *testing.T) {
	calls := traceCalls(t, "TestDiskSyncsChild", t.TempDir())
	file, dir, at := int64(-1), int64(-1), -1
	for i, c := range calls {
		if c.nr == unix.SYS_OPENAT && c.args[2]&unix.O_CREAT != 0 && c.args[2]&unix.O_EXCL != 0 {
			file, dir, at = c.result, c.args[0], i
		}
	}
	if at < 0 {
		t.Fatalf("no file was made:\n%v", calls)
	}
	rest := calls[at+1:]
	find := func(nr int, fd int64) int {
		return slices.IndexFunc(rest, func(c call) bool { return c.nr == nr && c.args[0] == fd })
	}
	write, chmod, sync, closed := find(unix.SYS_WRITE, file), find(unix.SYS_FCHMOD, file), find(unix.SYS_FSYNC, file), find(unix.SYS_CLOSE, file)
	if write < 0 || chmod < 0 || sync < max(write, chmod) || closed < sync {
		t.Errorf("a new file is not synced after its bytes, owner and mode, and before it is closed: write %d, chmod %d, fsync %d, close %d\n%v",
			write, chmod, sync, closed, rest)
	}
	rename, dirSync := -1, find(unix.SYS_FSYNC, dir)
	for i, c := range rest {
		if c.nr == unix.SYS_RENAMEAT2 || c.nr == unix.SYS_RENAMEAT {
			rename = i
		}
	}
	if rename < 0 || dirSync < rename {
		t.Errorf("a directory is not synced: rename %d, fsync %d\n%v", rename, dirSync, rest)
	}
}

const syncsIn = "EVENKEEL_TEST_SYNCS_IN"

// TestDiskSyncsChild is what is traced: it makes a file, renames it, and syncs
// the directory.
func TestDiskSyncsChild(t *testing.T) {
	root := os.Getenv(syncsIn)
	if root == "" { // nobody traces it
		root = t.TempDir()
	}
	disk, err := NewDisk(root)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := disk.OpenDir("/")
	if err != nil {
		t.Fatal(err)
	}
	attr := Attr{Mode: 0o640, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	if _, err := dir.Create("a", []byte("content"), attr, "/a"); err != nil {
		t.Fatal(err)
	}
	if err := dir.Rename("a", "b"); err != nil {
		t.Fatal(err)
	}
	if err := dir.Sync(); err != nil {
		t.Fatal(err)
	}
}

// call is one system call that is over.
type call struct {
	nr     int
	args   [6]int64
	result int64
}

func (c call) String() string {
	return fmt.Sprintf("\n  call %d(%d, %d, %#x) = %d", c.nr, c.args[0], c.args[1], c.args[2], c.result)
}

// syscallInfo is struct ptrace_syscall_info of ptrace(2), for an entry or an exit.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	_    [2]uint64 // instruction and stack pointer
	nr   int64     // of an exit: the result
	args [6]int64
}

const getSyscallInfo = 0x420e // PTRACE_GET_SYSCALL_INFO

// traceCalls runs a test of this package in another process and gives its system
// calls in the order in which they ended.
func traceCalls(t *testing.T, test, root string) []call {
	t.Helper()
	runtime.LockOSThread() // only the thread that began it may trace
	defer runtime.UnlockOSThread()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), syncsIn+"="+root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); errors.Is(err, syscall.EPERM) {
		t.Fatal("this host does not let processes trace others")
	} else if err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(cmd.Process.Pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	options := unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(cmd.Process.Pid, options); err != nil {
		t.Fatal(err)
	}
	var calls []call
	entered := map[int]call{}
	for pid, signal := cmd.Process.Pid, 0; ; {
		if err := unix.PtraceSyscall(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
		var err error
		if pid, err = unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil); err != nil {
			t.Fatal(err)
		}
		if status.Exited() || status.Signaled() {
			if pid != cmd.Process.Pid {
				continue // a thread; the next wait tells of another
			}
			if status.ExitStatus() != 0 {
				t.Fatalf("the traced test failed: %v", status)
			}
			return calls
		}
		signal = 0
		switch stop := status.StopSignal(); {
		case stop == unix.SIGTRAP|0x80:
			calls = step(t, pid, entered, calls)
		case stop == unix.SIGTRAP || stop == unix.SIGSTOP:
		default:
			signal = int(stop)
		}
	}
}

// step notes that a call begins, or that it is over.
func step(t *testing.T, pid int, entered map[int]call, calls []call) []call {
	var info syscallInfo
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(pid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0); errno == unix.EIO {
		t.Fatal("this kernel does not tell what a system call is (before Linux 5.3)")
	}
	switch info.op {
	case unix.PTRACE_SYSCALL_INFO_ENTRY:
		entered[pid] = call{nr: int(info.nr), args: info.args}
	case unix.PTRACE_SYSCALL_INFO_EXIT:
		c := entered[pid]
		c.result = info.nr
		return append(calls, c)
	}
	return calls
}
