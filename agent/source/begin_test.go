package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recorded is what git http-backend answered to one fetch, by what was asked.
type recorded struct{ greeting, refs, pack []byte }

func (r *recorded) of(method, body string) *[]byte {
	switch {
	case method == http.MethodGet:
		return &r.greeting
	case strings.Contains(body, "command=ls-refs"):
		return &r.refs
	}
	return &r.pack
}

// record fetches once.
func (g *gitRepo) record() *recorded {
	g.t.Helper()
	r := &recorded{}
	remote := g.serve(func(git http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			body, _ := io.ReadAll(request.Body)
			request.Body = io.NopCloser(bytes.NewReader(body))
			answer := httptest.NewRecorder()
			git.ServeHTTP(answer, request)
			*r.of(request.Method, string(body)) = answer.Body.Bytes()
			w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
			w.Write(answer.Body.Bytes())
		})
	})
	if _, err := fetchCommit(g.t.Context(), remote, filepath.Join(g.t.TempDir(), "cache")); err != nil {
		g.t.Fatal(err)
	}
	return r
}

// pipes is a network of one server, inside of the test.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { close(p); return nil } // http.Server does it once
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p <- there
	return here, nil
}

// inLongLines gives the part of an answer that holds the pack in the longest lines that
// there may be. Git's own are as long as its pipes happened to be full.
func inLongLines(t *testing.T, answer []byte) []byte {
	t.Helper()
	pack, err := io.ReadAll(&sideband{from: bytes.NewReader(answer)})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for part := range slices.Chunk(pack, 65515) {
		b.WriteString(pkt("\x01" + string(part)))
	}
	b.WriteString("0000")
	return b.Bytes()
}

// A server that had to count and to compress for more than half a minute, behind a
// proxy that collects its answer, was given up, again and again.
func TestPackMayBeginLate(t *testing.T) {
	g := newGitRepo(t)
	for i := range 30 {
		g.write(fmt.Sprintf("files/%d", i), noise(4000, int64(i)))
	}
	g.push("one")
	was := g.record()
	at := bytes.Index(was.pack, []byte("\x01PACK")) - 4
	if at < 0 {
		t.Fatal("no pack was recorded")
	}
	before, pack := was.pack[:at], inLongLines(t, was.pack[at:])
	alive := []byte("0005\x01")
	type step struct {
		wait time.Duration
		send []byte
	}
	never := step{wait: time.Hour}
	for _, row := range []struct {
		about string
		steps []step
		after time.Duration // it is given up then, 0 for not at all
	}{
		{"the whole answer after 110 s", []step{{110 * time.Second, was.pack}}, 0},
		{"the pack 110 s after what is in front of it", []step{{0, before}, {110 * time.Second, pack}}, 0},
		{"words that it goes on, for four minutes", []step{{0, before}, {80 * time.Second, alive}, {80 * time.Second, alive}, {80 * time.Second, pack}}, 0},
		{"25 s between the parts of the pack", []step{{0, before}, {0, pack[:50_000]}, {25 * time.Second, pack[50_000:60_000]}, {25 * time.Second, pack[60_000:]}}, 0},
		{"nothing at all", []step{never}, beginTime},
		{"what is in front of the pack, and nothing", []step{{0, before}, never}, beginTime},
		{"some of the pack, and nothing", []step{{0, before}, {0, pack[:50_000]}, never}, stallTime},
		{"some of the pack, late, and nothing", []step{{0, before}, {100 * time.Second, pack[:50_000]}, never}, 100*time.Second + stallTime},
	} {
		t.Run(row.about, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				network := make(pipes)
				serving := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
					if r.Method == http.MethodGet {
						w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
					}
					if answer := was.of(r.Method, string(body)); answer != &was.pack {
						w.Write(*answer)
						return
					}
					for _, s := range row.steps {
						select {
						case <-time.After(s.wait):
						case <-r.Context().Done():
							return
						}
						w.Write(s.send)
						http.NewResponseController(w).Flush()
					}
				})}
				done := make(chan error)
				go func() { done <- serving.Serve(network) }()
				began := time.Now()
				err := pullOverHTTP(t, dir, network.dial)
				took := time.Since(began)
				switch {
				case row.after == 0 && err != nil:
					t.Errorf("after %v: %v", took, err)
				case row.after > 0 && (!errors.Is(err, errStalled) || took != row.after):
					t.Errorf("after %v: %v; want it to be given up after %v", took, err, row.after)
				}
				serving.Close()
				<-done
			})
		})
	}
}

// pullOverHTTP fetches into a directory over a network of its own.
func pullOverHTTP(t *testing.T, dir string, dial func(context.Context, string, string) (net.Conn, error)) error {
	t.Helper()
	from := serverOf(t, Remote{URL: "http://server/repo.git", Branch: "main"})
	from.client.Transport.(*http.Transport).DialContext = dial
	return pullFrom(t, from, dir)
}

func pullFrom(t *testing.T, from server, dir string) error {
	t.Helper()
	into, err := openBare(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer into.Close()
	a, err := from.advert(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := pull(t.Context(), from, a, into, wish{want: a.tip.want(), depth: window}); err != nil {
		return err
	}
	return into.holds(t.Context(), a.tip)
}

// The same with the real git, over http and ssh, which packs slowly and says nothing
// meanwhile; the limits are shorter.
func TestRealServerThatPacksSlowly(t *testing.T) {
	const stall, packs = 2 * time.Second, "4"
	g := newGitRepo(t)
	g.write("a", "one\n")
	g.push("one")
	hook := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\nsleep "+packs+"\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	settings := []string{"GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=uploadpack.packObjectsHook", "GIT_CONFIG_VALUE_0=" + hook,
		"GIT_CONFIG_KEY_1=uploadpack.keepAlive", "GIT_CONFIG_VALUE_1=0"}
	overHTTP := g.serve(func(git http.Handler) http.Handler {
		slow := *git.(*cgi.Handler)
		slow.Env = append(slow.Env, settings...)
		return &slow
	})
	overSSH := g.sshdWith("SetEnv " + strings.Join(settings, " ") + "\n")
	for name, row := range map[string]struct {
		remote Remote
		begin  time.Duration
		ok     bool
	}{
		"http, patient":   {overHTTP, time.Minute, true},
		"http, impatient": {overHTTP, stall, false},
		"ssh, patient":    {overSSH, time.Minute, true},
		"ssh, impatient":  {overSSH, stall, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, err := row.remote.place()
			if err != nil {
				t.Fatal(err)
			}
			from, err := row.remote.server(at)
			if err != nil {
				t.Fatal(err)
			}
			defer from.close()
			switch s := from.(type) {
			case *httpServer:
				s.begin = row.begin
			case *sshServer:
				s.begin = row.begin
			}
			err = pullFrom(t, from, filepath.Join(t.TempDir(), "cache"))
			if row.ok != (err == nil) || err != nil && reasonOf(err) != Unreachable {
				t.Errorf("got %v, want success: %t", err, row.ok)
			}
		})
	}
}

// What is allowed counts for a read that waits already: ssh always has one.
func TestSteadyConnHeedsAChangeWhileItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		conn := newSteadyConn(here, stallTime)
		defer conn.Close()
		gone := make(chan time.Duration)
		began := time.Now()
		go func() {
			for one := make([]byte, 1); ; {
				if _, err := conn.Read(one); err != nil {
					gone <- time.Since(began)
					return
				}
			}
		}()
		synctest.Wait()
		if err := conn.allow(beginTime); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Second)
		there.Write([]byte{1})
		synctest.Wait() // it reads again, and would wait as long once more
		if err := conn.allow(stallTime); err != nil {
			t.Fatal(err)
		}
		if took, want := <-gone, 100*time.Second+stallTime; took != want {
			t.Errorf("it gave up after %v, want %v", took, want)
		}
	})
}
