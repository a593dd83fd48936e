package source

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fault is what a proxy does to what the server sends.
type fault struct {
	after int64 // bytes of one connection that go through unharmed
	kind  string
}

// faultProxy stands between us and a server, and spoils what the server says.
type faultProxy struct {
	listener net.Listener
	backend  string
	fault    atomic.Pointer[fault]
	bytes    atomic.Int64 // that the server sent
	done     chan struct{}
}

func newFaultProxy(t testing.TB, backend string) *faultProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &faultProxy{listener: l, backend: backend, done: make(chan struct{})}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(conn)
		}
	}()
	t.Cleanup(func() { l.Close(); close(p.done) })
	return p
}

func (p *faultProxy) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.backend)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.(*net.TCPConn).CloseWrite()
	}()
	f := p.fault.Load()
	if f == nil {
		io.Copy(countingWriter{client, &p.bytes}, server)
		return
	}
	if _, err := io.CopyN(countingWriter{client, &p.bytes}, server, f.after); err != nil {
		return
	}
	switch f.kind {
	case "cut":
	case "reset":
		client.(*net.TCPConn).SetLinger(0)
	case "stall":
		p.pause(time.Minute)
	case "drip":
		one := make([]byte, 1)
		for {
			if _, err := server.Read(one); err != nil {
				return
			}
			if _, err := client.Write(one); err != nil || !p.pause(20*time.Millisecond) {
				return
			}
		}
	case "garble":
		block := make([]byte, 4096)
		for {
			n, err := server.Read(block)
			for i := range n {
				block[i] ^= 0x55
			}
			if _, bad := client.Write(block[:n]); err != nil || bad != nil {
				return
			}
		}
	}
}

func (p *faultProxy) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.done:
		return false
	}
}

type countingWriter struct {
	to io.Writer
	n  *atomic.Int64
}

// Write counts first: who has read the bytes may look at the count.
func (w countingWriter) Write(p []byte) (int, error) {
	w.n.Add(int64(len(p)))
	return w.to.Write(p)
}

// through is a remote whose connections go through the proxy.
func (p *faultProxy) through(t testing.TB, remote Remote) Remote {
	t.Helper()
	u, err := url.Parse(remote.URL)
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme == "ssh" {
		// known_hosts names the port.
		known, err := os.ReadFile(remote.Auth.KnownHostsFile)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(p.listener.Addr().String())
		file := filepath.Join(t.TempDir(), "known_hosts")
		text := strings.Replace(string(known), "]:"+u.Port(), "]:"+port, 1)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		remote.Auth.KnownHostsFile = file
	}
	u.Host = p.listener.Addr().String()
	remote.URL = u.String()
	return remote
}

// hostOf is where a remote is reached.
func hostOf(t testing.TB, remote Remote) string {
	t.Helper()
	u, err := url.Parse(remote.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// nginx serves the repository through the real nginx, which hands requests on to
// a git http-backend, and compresses what it can.
func (g *gitRepo) nginx() Remote {
	g.t.Helper()
	behind := g.serve(nil)
	dir, port := g.t.TempDir(), freePort(g.t)
	// Its workers drop root, and must reach their temporary files.
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	config := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log %[1]s/error.log; worker_processes 1;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.1:%[2]d; location / { proxy_pass http://%[3]s; proxy_http_version 1.1; gzip on; gzip_types *; } }
}
`, dir, port, hostOf(g.t, behind))
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		g.t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-c", file, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("nginx does not listen: %v", err)
		}
	}
	return Remote{URL: "http://" + address + "/repo.git", Branch: "main"}
}
