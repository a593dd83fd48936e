package agent

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestNotify(t *testing.T) {
	for _, socket := range []string{
		filepath.Join(t.TempDir(), "notify"),
		fmt.Sprintf("@evenkeel-test-%d", os.Getpid()), // abstract
	} {
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		t.Setenv("NOTIFY_SOCKET", socket)
		t.Setenv("WATCHDOG_USEC", "30000000")
		n := NotifyFromEnv()
		for _, row := range []struct {
			say  func() error
			want string
		}{
			{n.Ready, "^READY=1$"},
			{n.Stopping, "^STOPPING=1$"},
			{n.Watchdog, "^WATCHDOG=1$"},
			{n.Reloading, "^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*$"},
			{func() error { return n.Status("two\nlines") }, "^STATUS=two lines$"},
		} {
			if err := row.say(); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 200)
			size, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(row.want).Match(buf[:size]) {
				t.Errorf("%s: got %q, want %q", socket, buf[:size], row.want)
			}
		}
	}
}

func TestNotifyOutsideSystemd(t *testing.T) {
	for _, silent := range []*Notify{nil, new(Notify)} {
		if err := errors.Join(silent.Ready(), silent.Watchdog()); err != nil {
			t.Errorf("silence is no error, got %v", err)
		}
	}
	if err := (&Notify{socket: "/nonexistent/notify"}).Ready(); err == nil {
		t.Error("a socket that nobody listens to must be an error")
	}
}

func TestWatchdogInterval(t *testing.T) {
	own := fmt.Sprint(os.Getpid())
	for _, row := range []struct {
		what, usec, pid string
		want            time.Duration
	}{
		{"not watched", "", "", 0},
		{"watched", "30000000", own, 30 * time.Second},
		{"watched, by an older systemd", "30000000", "", 30 * time.Second},
		{"meant for another process", "30000000", "1", 0},
		{"nonsense", "x", "", 0},
		{"zero", "0", "", 0},
	} {
		t.Setenv("WATCHDOG_USEC", row.usec)
		t.Setenv("WATCHDOG_PID", row.pid)
		if got := watchdogInterval(); got != row.want {
			t.Errorf("%s: got %v, want %v", row.what, got, row.want)
		}
	}
}

// Each word costs both sides a wake-up.
func TestWatchdogIsToldThreeTimesInItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const within = 3 * time.Minute
		socket := filepath.Join(t.TempDir(), "notify")
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
			t.Fatal(err)
		}
		n := &Notify{socket: socket, within: within}
		heard := 0
		for range within / beat {
			if err := n.Watchdog(); err != nil {
				t.Fatal(err)
			}
			if size, _ := unix.Read(fd, make([]byte, 100)); size > 0 {
				heard++
			}
			time.Sleep(beat)
		}
		if heard != 3 {
			t.Errorf("the watchdog was told %d times in %v", heard, within)
		}
		silent := &Notify{socket: socket}
		if err := silent.Watchdog(); err != nil {
			t.Error(err)
		}
		if size, _ := unix.Read(fd, make([]byte, 100)); size > 0 {
			t.Error("a watchdog that nobody set was told")
		}
	})
}
