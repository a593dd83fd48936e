package agent

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notify tells systemd how the daemon is doing, in the words of sd_notify(3).
// The zero value is silent: that is a daemon which systemd did not start.
type Notify struct {
	socket string
}

// NotifyFromEnv speaks to the socket that systemd named in the environment.
func NotifyFromEnv() Notify {
	return Notify{socket: os.Getenv("NOTIFY_SOCKET")}
}

// Ready says that start-up, or a reload, is over.
func (n Notify) Ready() error { return n.send("READY=1") }

// Stopping says that the daemon is about to end because it was asked to.
func (n Notify) Stopping() error { return n.send("STOPPING=1") }

// Watchdog says that the loop goes on.
func (n Notify) Watchdog() error { return n.send("WATCHDOG=1") }

// Status sets the line that "systemctl status" shows.
func (n Notify) Status(text string) error {
	return n.send("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// Reloading says that a reload began; Ready must follow. systemd compares the
// time with that of its own signal, so it must be the monotonic clock's.
func (n Notify) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("cannot read the monotonic clock: %v", err)
	}
	return n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

func (n Notify) send(message string) error {
	if n.socket == "" {
		return nil
	}
	// A leading @ is an abstract socket; package net takes it the same way.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("cannot notify systemd: %v", err)
	}
	defer conn.Close()
	// PID 1 may be busy and its queue full; the loop must not hang on that.
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return fmt.Errorf("cannot notify systemd: %v", err)
	}
	if _, err := conn.Write([]byte(message)); err != nil {
		return fmt.Errorf("cannot notify systemd: %v", err)
	}
	return nil
}

// WatchdogInterval is the time within which systemd wants to hear Watchdog, 0
// when it does not watch this process. Speak twice in that time.
func WatchdogInterval() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0 // meant for another process that handed its environment down
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}
