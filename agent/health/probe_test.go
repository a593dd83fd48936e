package health

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"evenkeel/agent/plan"
)

// badServer is one that behaves badly in many ways.
func badServer(t *testing.T) *httptest.Server {
	t.Helper()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	t.Cleanup(other.Close)
	gone := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	mux.HandleFunc("/500", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		fmt.Fprint(w, "no\x1b[31m database\r\n", strings.Repeat("x", 100_000))
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-gone:
		}
	})
	mux.HandleFunc("/slow500", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		fmt.Fprint(w, "half an answer")
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-gone:
		}
	})
	mux.HandleFunc("/drop", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	})
	mux.Handle("/here", http.RedirectHandler("/ok", http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.Handle("/off", http.RedirectHandler(strings.Replace(other.URL, "127.0.0.1", "localhost", 1), http.StatusFound))
	mux.Handle("/metadata", http.RedirectHandler("http://169.254.169.254/latest", http.StatusFound))
	mux.Handle("/304", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(gone) })
	return server
}

func TestTryHTTP(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	server := badServer(t)
	for _, row := range []struct{ about, url, evidence string }{
		{"any 2xx passes", server.URL + "/ok", ""},
		{"a redirect on the host is followed", server.URL + "/here", ""},
		{"500 fails with the beginning of the answer, cleaned", server.URL + "/500", "answered \"500 Internal Server Error\": no [31m database\nxxx"},
		{"304 is not 2xx", server.URL + "/304", `answered "304 Not Modified"`},
		{"a server that never answers fails when the time is over", server.URL + "/hang", "no answer within 200ms"},
		{"a body that never ends is given up", server.URL + "/slow500", "half an answer"},
		{"a connection that is dropped fails", server.URL + "/drop", "EOF"},
		{"a redirect off the host is not followed", server.URL + "/off", `redirected to another host, "localhost"`},
		{"a redirect to the metadata service is not followed", server.URL + "/metadata", "redirected to another host"},
		{"a redirect loop ends", server.URL + "/loop", "redirected more than 3 times"},
		{"the metadata service is not dialled", "http://169.254.169.254/latest/meta-data", "checks do not connect to 169.254.169.254"},
		{"nor under its IPv6 name", "http://[::ffff:169.254.169.254]/", "checks do not connect to 169.254.169.254"},
		{"nor Amazon's IPv6 address", "http://[fd00:ec2::254]/", "checks do not connect to fd00:ec2::254"},
		{"nobody listens", "http://" + freePort(t), "connection refused"},
		{"what is no URL fails", "http://a b/", "invalid character"},
	} {
		got := (&Prober{}).Try(t.Context(), plan.Check{HTTP: row.url, Timeout: 200 * time.Millisecond})
		if got.OK != (row.evidence == "") || !strings.Contains(got.Evidence, row.evidence) {
			t.Errorf("%s: %+v, want evidence %q", row.about, got, row.evidence)
		}
		if len(got.Evidence) > evidenceLimit+len("...") {
			t.Errorf("%s: evidence of %d bytes", row.about, len(got.Evidence))
		}
	}
}

func TestTryTCP(t *testing.T) {
	server := badServer(t)
	p := &Prober{}
	if got := p.Try(t.Context(), plan.Check{TCP: server.Listener.Addr().String()}); !got.OK || got.Check != "tcp "+server.Listener.Addr().String() {
		t.Errorf("a port that listens: %+v", got)
	}
	if got := p.Try(t.Context(), plan.Check{TCP: freePort(t)}); got.OK || !strings.Contains(got.Evidence, "refused") {
		t.Errorf("a port that does not: %+v", got)
	}
	if got := p.Try(t.Context(), plan.Check{TCP: "[fe80::1%1]:80"}); got.OK || !strings.Contains(got.Evidence, "do not connect") {
		t.Errorf("a link-local address: %+v", got)
	}
}

// A queue of connections that nobody takes: the kernel never answers.
func TestTCPThatHangsSaysSo(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
	for range 3 {
		if conn, err := net.DialTimeout("tcp", address, 100*time.Millisecond); err == nil {
			defer conn.Close()
		}
	}
	got := (&Prober{}).Try(t.Context(), plan.Check{TCP: address, Timeout: 200 * time.Millisecond})
	if got.OK || !strings.Contains(got.Evidence, "no answer within 200ms") {
		t.Errorf("%+v", got)
	}
}

// freePort is an address where nobody listens any more.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestTryUnit(t *testing.T) {
	systemd := &story{begin: time.Now(), units: map[string][]state{
		"up.service":   {{0, running("a")}},
		"down.service": {{0, unit("failed", "failed", "a")}},
	}}
	p := &Prober{Manager: systemd}
	for name, want := range map[string]string{
		"up.service":   "",
		"down.service": "unit is failed (failed, loaded)",
		"none.service": "unit is inactive (dead, not-found)",
	} {
		if got := p.Try(t.Context(), plan.Check{Unit: name}); got.OK != (want == "") || got.Evidence != want {
			t.Errorf("%s: %+v, want evidence %q", name, got, want)
		}
	}
}

func TestTryNothing(t *testing.T) {
	if got := (&Prober{}).Try(t.Context(), plan.Check{}); got.OK {
		t.Errorf("a check without a kind passed: %+v", got)
	}
}

func TestTryExec(t *testing.T) {
	p := &Prober{Exec: func(ctx context.Context, check plan.Check) ([]byte, error) { return run(ctx, check.Exec) }}
	for _, row := range []struct {
		about, script, evidence string
	}{
		{"status 0 passes", "exit 0", ""},
		{"another status fails with what was printed", "echo on stdout; echo on stderr >&2; exit 3", "exit status 3: on stdout\non stderr"},
		{"a program that prints for ever is ended, and little of it kept", "exec yes", "no answer within 200ms: y\ny\ny"},
		{"so is one that hangs", "exec sleep 1000", "no answer within 200ms"},
		{"a child that keeps the output open holds it up until the time is over", "sleep 1000 & echo $! >&3; exit 1", "no answer within 200ms"},
	} {
		pid := filepath.Join(t.TempDir(), "pid")
		check := plan.Check{Exec: []string{"/bin/sh", "-c", "exec 3>" + pid + "\n" + row.script}, Timeout: 200 * time.Millisecond}
		begin := time.Now()
		got := p.Try(t.Context(), check)
		if got.OK != (row.evidence == "") || !strings.HasPrefix(got.Evidence, row.evidence) {
			t.Errorf("%s: %+v, want evidence %q", row.about, got, row.evidence)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s: took %s", row.about, took)
		}
		endChild(t, pid)
	}
}

func TestRunHidesTheDaemonsEnvironment(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	output, err := run(t.Context(), []string{"/bin/sh", "-c", "echo \"$NOTIFY_SOCKET|$PATH\""})
	if want := "|" + searchPath + "\n"; err != nil || string(output) != want {
		t.Errorf("got %q, %v, want %q", output, err, want)
	}
}

// endChild ends the process whose id a script wrote down, if it did.
func endChild(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		return
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	output, err := run(t.Context(), []string{"/bin/sh", "-c", "yes | head -c 1000000"})
	if len(output) != outputLimit || err != nil {
		t.Errorf("%d bytes, %v; want the first %d", len(output), err, outputLimit)
	}
}

func TestTransient(t *testing.T) {
	begin := []string{
		"systemd-run", "--wait", "--pipe", "--collect", "--unit=evenkeel-check-1-2.service",
		"--description=evenkeel check /usr/bin/test", "--property=RuntimeMaxSec=5", "--property=TimeoutStopSec=1",
		"--property=MemoryMax=256M", "--property=MemorySwapMax=0", "--property=TasksMax=64",
	}
	command := []string{"/usr/bin/test", "-n", "$HOME is $$", "--"}
	for user, want := range map[string][]string{
		"":    {"--", "/usr/bin/test", "-n", "$$HOME is $$$$", "--"},
		"app": {"--uid=app", "--", "/usr/bin/test", "-n", "$$HOME is $$$$", "--"},
	} {
		got := transient("evenkeel-check-1-2.service", 5*time.Second, plan.Check{Exec: command, User: user})
		if want = slices.Concat(begin, want); !slices.Equal(got, want) {
			t.Errorf("command %q\nwant    %q", got, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for about, row := range map[string][2]time.Duration{
		"what is left of a deadline":      {left(ctx), 3 * time.Second},
		"the default where there is none": {left(t.Context()), plan.DefaultTimeout},
		"a second where nothing is left":  {left(expired(t)), time.Second},
	} {
		if row[0] != row[1] {
			t.Errorf("left gives %s for %s, want %s", row[0], about, row[1])
		}
	}
}

func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	t.Cleanup(cancel)
	return ctx
}

func TestClean(t *testing.T) {
	for dirty, want := range map[string]string{
		"a\r\n\n b\tc\x00d\n":     "a\nb c d",
		strings.Repeat("l\n", 9):  "l\nl\nl\nl\nl\nl\n...",
		"bad \xff byte":           "bad ? byte",
		"right\u202eto left":      "right to left",
		"Grüße, 世界":               "Grüße, 世界",
		"":                        "",
		strings.Repeat("世", 1000): strings.Repeat("世", 200) + "...",
	} {
		if got := clean(dirty); got != want || !utf8.ValidString(got) {
			t.Errorf("clean(%q) = %q, want %q", dirty, got, want)
		}
	}
}
