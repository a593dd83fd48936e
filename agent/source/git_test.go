package source

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// gitRepo is a real repository, worked on with the real git: a bare one, which
// servers serve, and a work tree that pushes to it.
type gitRepo struct {
	t    testing.TB
	bare string
	work string
	home string
}

func newGitRepo(t testing.TB) *gitRepo {
	t.Helper()
	dir := t.TempDir()
	g := &gitRepo{t: t, bare: filepath.Join(dir, "srv", "repo.git"), work: filepath.Join(dir, "work"), home: dir}
	g.run(dir, "init", "-q", "--bare", "-b", "main", g.bare)
	g.run(dir, "init", "-q", "-b", "main", g.work)
	g.run(g.work, "remote", "add", "origin", g.bare)
	return g
}

// run runs git, and gives what it prints.
func (g *gitRepo) run(dir string, args ...string) string {
	g.t.Helper()
	return g.feed(dir, nil, args...)
}

func (g *gitRepo) feed(dir string, stdin []byte, args ...string) string {
	g.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+g.home, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (g *gitRepo) write(name, content string) {
	g.t.Helper()
	path := filepath.Join(g.work, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		g.t.Fatal(err)
	}
}

// push commits everything and pushes it; it gives the new commit.
func (g *gitRepo) push(message string) string {
	g.t.Helper()
	g.run(g.work, "add", "-A")
	g.run(g.work, "commit", "-q", "--allow-empty", "-m", message)
	g.run(g.work, "push", "-q", "--force", "origin", "HEAD:main")
	return g.run(g.work, "rev-parse", "HEAD")
}

// pushMany makes n commits on top in one go.
func (g *gitRepo) pushMany(n int) string {
	g.t.Helper()
	parent := g.run(g.work, "rev-parse", "HEAD")
	tree := g.run(g.work, "rev-parse", "HEAD^{tree}")
	var stream strings.Builder
	for i := range n {
		message := fmt.Sprintf("commit %d", i)
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter Ada <ada@example.org> %d +0000\ndata %d\n%s\n", 1767323045+i, len(message), message)
		if i == 0 {
			fmt.Fprintf(&stream, "from %s\nM 040000 %s \n", parent, tree)
		}
	}
	g.feed(g.work, []byte(stream.String()), "fast-import", "--quiet", "--force")
	g.run(g.work, "reset", "-q", "--hard", "main")
	g.run(g.work, "push", "-q", "--force", "origin", "HEAD:main")
	return g.run(g.work, "rev-parse", "HEAD")
}

// backend serves the repository as git http-backend does behind any web server.
func (g *gitRepo) backend() http.Handler {
	g.t.Helper()
	return &cgi.Handler{
		Path: filepath.Join(g.run(g.home, "--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(g.bare), "GIT_HTTP_EXPORT_ALL=1", "HOME=" + g.home},
	}
}

// serve starts an http server with a handler around the backend.
func (g *gitRepo) serve(wrap func(http.Handler) http.Handler) Remote {
	g.t.Helper()
	handler := g.backend()
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	g.t.Cleanup(server.Close)
	return Remote{URL: server.URL + "/repo.git", Branch: "main"}
}

// sshd starts a real OpenSSH server on loopback, and gives a remote with a key
// that it accepts.
func (g *gitRepo) sshd() Remote {
	g.t.Helper()
	return g.sshdWith("")
}

// sshdWith has more lines in its configuration.
func (g *gitRepo) sshdWith(lines string) Remote {
	g.t.Helper()
	dir := g.t.TempDir()
	hostKey, hostPublic := writeKey(g.t, filepath.Join(dir, "host"))
	userKey, userPublic := writeKey(g.t, filepath.Join(dir, "user"))
	authorized := filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(authorized, ssh.MarshalAuthorizedKey(userPublic), 0o600); err != nil {
		g.t.Fatal(err)
	}
	port := freePort(g.t)
	config := filepath.Join(dir, "sshd_config")
	text := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nAcceptEnv GIT_PROTOCOL\n%s",
		port, hostKey, authorized, lines)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.startSSHD(config)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	known := filepath.Join(dir, "known_hosts")
	line := fmt.Sprintf("[127.0.0.1]:%d %s", port, ssh.MarshalAuthorizedKey(hostPublic))
	if err := os.WriteFile(known, []byte(line), 0o600); err != nil {
		g.t.Fatal(err)
	}
	user := "root"
	if name := os.Getenv("USER"); os.Getuid() != 0 && name != "" {
		user = name
	}
	return Remote{
		URL: "ssh://" + user + "@" + address + g.bare, Branch: "main",
		Auth: Auth{SSHKeyFile: userKey, KnownHostsFile: known},
	}
}

func (g *gitRepo) startSSHD(config string) {
	g.t.Helper()
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			g.t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config)
	cmd.Env = append(os.Environ(), "HOME="+g.home)
	log, err := cmd.StderrPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	done := make(chan struct{})
	ready := make(chan bool, 1)
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), "Server listening") {
				ready <- true
			}
		}
		cmd.Wait()
	}()
	g.t.Cleanup(func() { cmd.Process.Kill(); <-done })
	select {
	case <-ready:
	case <-done:
		g.t.Fatal("sshd ended at once")
	case <-time.After(20 * time.Second):
		g.t.Fatal("sshd did not begin to listen")
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// writeKey makes an ed25519 key file.
func writeKey(t testing.TB, path string) (string, ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return path, signer.PublicKey()
}

// wantReason checks that an error is an *Error with a reason, and gives its text.
func wantReason(t testing.TB, err error, want Reason) string {
	t.Helper()
	own, is := err.(*Error)
	if !is {
		t.Fatalf("got error %v (%T), want an *Error with reason %q", err, err, want)
	}
	if own.Reason != want {
		t.Fatalf("got reason %q (%v), want %q", own.Reason, err, want)
	}
	if !strings.HasPrefix(own.Text, "cannot ") || strings.Contains(own.Text, "cannot: cannot") {
		t.Errorf("the text %q does not read as a sentence", own.Text)
	}
	return own.Text
}

// fetchCommit is Fetch for who wants the commit alone.
func fetchCommit(ctx context.Context, remote Remote, dir string) (string, error) {
	got, err := Fetch(ctx, remote, dir)
	return got.Commit, err
}
