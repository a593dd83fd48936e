//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"
)

// A bare look is what a poll is measured by: this very program, which wakes up each second,
// asks the server what a poll asks, over a connection that stays open, and does nothing
// else. What the machine takes to wake up, and for the way to the server, is in both. It is
// a service beside evenkeel's, with the same slack of its timers.

const (
	bareLooks = "bare-looks.service"
	looksAt   = "EVENKEEL_TEST_LOOKS_AT" // in its environment, the address of the repository
)

// startBareLooks makes the host look besides the daemon.
func (s *site) startBareLooks() {
	s.t.Helper()
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		s.t.Fatal(err)
	}
	s.host.WriteFile("/usr/local/lib/bare-looks", string(program), 0o755)
	s.host.WriteFile("/etc/systemd/system/"+bareLooks, fmt.Sprintf("[Service]\nExecStart=/usr/local/lib/bare-looks\nEnvironment=%s=%s\nTimerSlackNSec=10ms\n", looksAt, s.server.URL()), 0o644)
	s.host.Must("systemctl", "daemon-reload")
	s.host.Must("systemctl", "start", bareLooks)
}

// lookBarely is the program of that service.
func lookBarely(url string) {
	runtime.GOMAXPROCS(1)
	for range time.Tick(time.Second) {
		if err := lookOnce(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func lookOnce(url string) error {
	const question = "0014command=ls-refs\n0001" + "0009peel\n" + "001fref-prefix refs/heads/main\n" + "0000"
	request, err := http.NewRequest(http.MethodPost, url+"/git-upload-pack", strings.NewReader(question))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	request.Header.Set("Git-Protocol", "version=2")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && !strings.Contains(string(text), "refs/heads/main") {
		err = fmt.Errorf("%s: %q", answer.Status, text)
	}
	return err
}
