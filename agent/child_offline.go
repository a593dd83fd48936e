package agent

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A child that renders has no use for the network, and it sees secrets next to a
// repository that may be hostile. A network namespace would need privileges that
// the daemon does not have; a seccomp filter needs none, works on every kernel, and
// can never be taken off again, not by what the child starts either.

// forbidden are the system calls of a child without network.
var forbidden = []uint32{
	// All ways to a new socket, of any family, and to another end of an old one.
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND,
	unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG,
	// A ring makes sockets without any of these calls.
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	// Another process of the same account would do it in our place.
	unix.SYS_PTRACE, unix.SYS_PIDFD_GETFD, unix.SYS_PROCESS_VM_WRITEV,
}

// auditArch is this architecture as the kernel names it to a filter; the packages
// are for these two.
var auditArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

const (
	// Offsets in struct seccomp_data, which a filter reads.
	callNumber = 0
	callArch   = 4

	// foreignABI is where the numbers of x32 begin, by which the calls of x86-64
	// would pass under other names. No call of our own has such a number.
	foreignABI = 0x4000_0000
)

// offlineFilter refuses the forbidden calls, and all those of another architecture.
//
//	load the architecture;  another one        -> refuse
//	load the call's number; x32                -> refuse
//	                        one of forbidden   -> refuse
//	allow
//	refuse
func offlineFilter(arch uint32) []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		above = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		give  = unix.BPF_RET | unix.BPF_K
	)
	refuse := uint8(len(forbidden) + 1) // how far it is from behind the test for x32
	filter := []unix.SockFilter{
		{Code: load, K: callArch},
		{Code: equal, Jf: refuse + 2, K: arch},
		{Code: load, K: callNumber},
		{Code: above, Jt: refuse, K: foreignABI},
	}
	for i, call := range forbidden {
		filter = append(filter, unix.SockFilter{Code: equal, Jt: refuse - uint8(i) - 1, K: call})
	}
	return append(filter,
		unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)})
}

// goOffline takes the network away from this process, for ever.
func goOffline() error {
	arch, known := auditArch[runtime.GOARCH]
	if !known {
		return fmt.Errorf("cannot take the network from the child: nobody has said how on %s", runtime.GOARCH)
	}
	// Without privileges a filter needs the promise that no setuid program is
	// started under it. It is this thread's, which installs the filter on all.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		err = filterAllThreads(offlineFilter(arch))
	}
	if err != nil {
		return fmt.Errorf("cannot take the network from the child: %w", err)
	}
	return nil
}

func filterAllThreads(filter []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	left, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	switch {
	case errno != 0:
		return errno
	case left != 0: // the thread that could not be brought along
		return errors.New("a thread has a filter of its own")
	}
	return nil
}
