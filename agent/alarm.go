package agent

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"evenkeel/agent/source"
)

// alarm is a timer of the kernel, see timerfd_create(2), that is waited for as a connection
// is. With each timer of Go's own the runtime's watcher wakes up too, in a thread of its
// own, which costs as much again. It is for one goroutine that waits, and others that set.
type alarm struct {
	file *os.File
	read source.Quiet
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a timer: %v", err)
	}
	a := &alarm{file: os.NewFile(uintptr(fd), "timer")}
	if a.read, err = source.NewQuiet(a.file); err != nil {
		_ = a.file.Close()
		return nil, fmt.Errorf("cannot wait for a timer: %v", err)
	}
	return a, nil
}

// set makes wait return once when so much time has passed, and not when it was set to
// before.
func (a *alarm) set(after time.Duration) error {
	raw, err := a.file.SyscallConn()
	if err != nil {
		return err
	}
	// No time at all would stop the timer.
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(after, time.Nanosecond)))}
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("timerfd_settime", errno)
	}
	return err
}

// wait returns when it is time.
func (a *alarm) wait() error {
	var times [8]byte
	_, err := a.read.Read(times[:])
	return err
}

func (a *alarm) close() { _ = a.file.Close() }
