//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"evenkeel/e2e/lab"
)

// theLab is where all tests of this run make their hosts; each test has hosts
// and servers of its own in it.
var theLab *lab.Lab

func TestMain(m *testing.M) {
	lab.Reaper()
	var err error
	if theLab, err = lab.Open(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stopped
		_ = theLab.Close()
		os.Exit(1)
	}()
	code := m.Run()
	if err := theLab.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// measured writes down a figure, for people. Of what passes go test shows no more than that,
// so make e2e shows the file at the end.
func measured(format string, values ...any) {
	line := fmt.Sprintf(format+"\n", values...)
	fmt.Fprint(os.Stderr, line)
	figures, err := os.OpenFile(os.Getenv("EVENKEEL_FIGURES"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return // nobody wants them
	}
	defer figures.Close()
	_, _ = figures.WriteString(line)
}

// releases are the two hosts that every promise is kept on: systemd 252 and 257.
var releases = []string{"bookworm", "trixie"}

// onEachRelease runs a test on a new host of each release, side by side.
func onEachRelease(t *testing.T, test func(t *testing.T, h *lab.Host)) {
	t.Helper()
	t.Parallel()
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			test(t, theLab.Host(t, release, "web-1"))
		})
	}
}
