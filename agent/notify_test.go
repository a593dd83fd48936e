package agent

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
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
	if err := (Notify{}).Ready(); err != nil {
		t.Errorf("silence is no error, got %v", err)
	}
	if err := (Notify{socket: "/nonexistent/notify"}).Ready(); err == nil {
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
		if got := WatchdogInterval(); got != row.want {
			t.Errorf("%s: got %v, want %v", row.what, got, row.want)
		}
	}
}
