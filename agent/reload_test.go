package agent

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// reloading is a daemon with a configuration file that a test writes anew.
type reloading struct {
	*daemon
	t   *testing.T
	log lockedText
}

// lockedText is what several goroutines write.
type lockedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take gives what was written, and forgets it.
func (l *lockedText) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func newReloading(t *testing.T, keys string) *reloading {
	t.Helper()
	r := &reloading{t: t}
	r.daemon = mirrored(t, nil)
	r.cfg.File = filepath.Join(t.TempDir(), "config.yaml")
	r.daemon.log = slog.New(slog.NewTextHandler(&r.log, nil))
	r.write(keys)
	cfg, err := LoadConfig(r.cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	r.cfg = cfg
	r.makeMetrics()
	r.openDoors()
	t.Cleanup(r.closeDoors)
	return r
}

// write makes the file say what it must, and these keys.
func (r *reloading) write(keys string) {
	r.t.Helper()
	text := fmt.Sprintf("repo: /nonexistent\nhost: web-1\ncache_dir: %s\n%s", r.daemon.cfg.CacheDir, keys)
	if err := os.WriteFile(r.daemon.cfg.File, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// reloaded gives what the log says of a reload.
func (r *reloading) reloaded(keys string) string {
	r.t.Helper()
	r.write(keys)
	r.log.take()
	r.reload()
	return r.log.take()
}

// answers waits until an address gives a status code; 0 is that nobody listens.
func (r *reloading) answers(method, address string, want int) {
	r.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	got := -1
	for deadline := time.Now().Add(20 * time.Second); got != want; {
		request, err := http.NewRequest(method, "http://"+address+"/metrics", nil)
		if err != nil {
			r.t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err == nil {
			answer.Body.Close()
			got = answer.StatusCode
		} else {
			got = 0
		}
		if got != want && time.Now().After(deadline) {
			r.t.Fatalf("%s at %s gives %d, want %d; warnings %q", method, address, got, want, r.unserved.list())
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The webhook of a new configuration was served after a restart only, and nothing
// said so.
func TestReloadServesWhereTheNewConfigurationSays(t *testing.T) {
	one, two := freeAddress(t), freeAddress(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hook := func(address string) string {
		return fmt.Sprintf("webhook: {listen: %q, secret_file: %s}\n", address, secret)
	}
	r := newReloading(t, "listen: "+one+"\n")
	r.answers("GET", one, http.StatusOK)

	if said := r.reloaded("listen: " + two + "\n" + hook(one)); said != "" {
		t.Errorf("the log says %q", said)
	}
	r.answers("GET", two, http.StatusOK)
	r.answers("POST", one, http.StatusUnauthorized)

	// What is the same goes on, with its connections.
	kept, err := net.Dial("tcp", two)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	ask := func() string {
		if _, err := io.WriteString(kept, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err.Error()
		}
		line := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.ReadFull(kept, line); err != nil {
			return err.Error()
		}
		return string(line)
	}
	r.reloaded("listen: " + two + "\nlabels: {env: prod}\n" + hook(one))
	if got := ask(); got != "HTTP/1.1 200" {
		t.Errorf("a scrape across a reload gives %q", got)
	}

	r.reloaded("listen: " + two + "\n")
	r.answers("POST", one, 0)
	r.reloaded("listen: \"off\"\n")
	r.answers("GET", two, 0)
}

func TestReloadForgetsAnAddressThatWasTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	r := newReloading(t, "listen: "+taken.Addr().String()+"\n")
	for deadline := time.Now().Add(20 * time.Second); len(r.unserved.list()) == 0; {
		select {
		case <-time.After(time.Millisecond):
		case <-time.After(time.Until(deadline)):
			t.Fatal("nothing says that the address is taken")
		}
	}
	r.reloaded("listen: \"off\"\n")
	if warnings := r.unserved.list(); len(warnings) > 0 {
		t.Errorf("an address that is not asked for any more: %q", warnings)
	}
}

func TestReloadNamesWhatWaitsForARestart(t *testing.T) {
	r := newReloading(t, "listen: \"off\"\n")
	state := r.cfg.StateDir
	for range 2 { // also at the next reload: it still waits
		said := r.reloaded("listen: \"off\"\nstate_dir: /other\nlog_format: json\nprobation: 42s\n")
		if !strings.Contains(said, "waits for a restart") || !strings.Contains(said, `keys="state_dir, log_format"`) {
			t.Errorf("the log says %q", said)
		}
		if r.cfg.StateDir != state || r.cfg.LogFormat != "text" {
			t.Errorf("the state directory is %q, the format %q", r.cfg.StateDir, r.cfg.LogFormat)
		}
		if r.host.Probation != 42*time.Second {
			t.Errorf("the rest was not taken over: the probation is %v", r.host.Probation)
		}
	}
	if said := r.reloaded("listen: \"off\"\n"); said != "" {
		t.Errorf("with nothing that waits the log says %q", said)
	}
}

// TestBrokenConfigurationShowsInStatus: with "interval: 60" in the file a reload ended
// well, "sync --wait" said that the daemon was idle, and status said OK. Only the log knew.
func TestBrokenConfigurationShowsInStatus(t *testing.T) {
	r := newReloading(t, "listen: \"off\"\n")
	reads := func(want float64) {
		t.Helper()
		page := httptest.NewRecorder()
		r.page.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if line := fmt.Sprintf("\nevenkeel_config_last_reload_successful %g\n", want); !strings.Contains(page.Body.String(), line) {
			t.Errorf("the metrics do not say %q", line)
		}
	}
	reads(1)
	r.reported = time.Now()
	r.reloaded("listen: \"off\"\ninterval: 60\nintervall: 60s\n")
	bad := r.misconfigured.status()
	if bad == nil || len(bad.Problems) != 2 || !strings.HasPrefix(bad.Problems[0], r.cfg.File+":5: interval") || !strings.HasPrefix(bad.Problems[1], r.cfg.File+":6: ") {
		t.Fatalf("status says %+v", bad)
	}
	reads(0)
	if !r.reported.IsZero() {
		t.Error("the pass that follows writes no status, so whoever waits for it waits in vain")
	}
	r.reloaded("listen: \"off\"\ninterval: 60\n")
	if still := r.misconfigured.status(); still == nil || !still.Since.Equal(bad.Since) || len(still.Problems) != 1 {
		t.Errorf("after another reload status says %+v; it is so since %v", still, bad.Since)
	}
	r.reloaded("listen: \"off\"\ninterval: 60s\n")
	if r.misconfigured.status() != nil {
		t.Error("a good reload does not end it")
	}
	reads(1)
}
