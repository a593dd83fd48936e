package agent

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Notify tells systemd how the daemon is doing, in the words of sd_notify(3).
// nil, and the zero value, are silent: that is a daemon which systemd did not start. It is
// for several goroutines at a time.
type Notify struct {
	socket string        // a leading @ is an abstract one
	within time.Duration // systemd wants to hear Watchdog, 0 when it does not

	mu  sync.Mutex
	fed time.Time // when it heard Watchdog
	fd  int       // that messages are sent from, 0 as long as there was none
}

// NotifyFromEnv speaks to the socket that systemd named in the environment.
func NotifyFromEnv() *Notify {
	return &Notify{socket: os.Getenv("NOTIFY_SOCKET"), within: watchdogInterval()}
}

// Ready says that start-up, or a reload, is over.
func (n *Notify) Ready() error { return n.send("READY=1") }

// Stopping says that the daemon is about to end because it was asked to.
func (n *Notify) Stopping() error { return n.send("STOPPING=1") }

// Watchdog says that the loop goes on, if a third of the time has passed within which
// systemd wants to hear it.
func (n *Notify) Watchdog() error {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	due := n.within > 0 && time.Since(n.fed) >= n.within/3
	n.mu.Unlock()
	if !due {
		return nil
	}
	err := n.send("WATCHDOG=1")
	if err == nil {
		n.mu.Lock()
		n.fed = time.Now()
		n.mu.Unlock()
	}
	return err
}

// Status sets the line that "systemctl status" shows.
func (n *Notify) Status(text string) error {
	return n.send("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// Reloading says that a reload began; Ready must follow. systemd compares the
// time with that of its own signal, so it must be the monotonic clock's.
func (n *Notify) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("cannot read the monotonic clock: %v", err)
	}
	return n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

func (n *Notify) send(message string) error {
	if n == nil || n.socket == "" {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.open(); err != nil {
		return fmt.Errorf("cannot notify systemd: %v", err)
	}
	// To its name each time: when systemd runs itself anew there may be another socket.
	for {
		switch err := unix.Sendto(n.fd, []byte(message), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: n.socket}); err {
		case nil:
			return nil
		case unix.EINTR: // with a limit of time it is not begun again by itself
		default:
			return fmt.Errorf("cannot notify systemd: %v", err)
		}
	}
}

// open makes the socket from which messages are sent. It stays.
func (n *Notify) open() error {
	if n.fd != 0 {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// PID 1 may be busy and its queue full; the loop must not hang on that.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		_ = unix.Close(fd)
		return err
	}
	n.fd = fd
	return nil
}

// watchdogInterval is the time within which systemd wants to hear Watchdog, 0
// when it does not watch this process.
func watchdogInterval() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0 // meant for another process that handed its environment down
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}
