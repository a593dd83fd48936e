package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// SSHServer serves one repository with a real sshd and a key of its own.
type SSHServer struct {
	// URL is what a host's configuration says to follow the repository.
	URL string
	// Key is the private key, in OpenSSH's format, that the server lets in.
	Key string
	// KnownHosts is the line of known_hosts for the server.
	KnownHosts string
}

// sshdConfig lets one key in, which can do nothing but fetch.
const sshdConfig = `ListenAddress %s
HostKey %s/host
AuthorizedKeysFile %s/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
AcceptEnv GIT_PROTOCOL
`

// ServeSSH starts an sshd for the repository. It ends with the test.
func (l *Lab) ServeSSH(t T, repo *Repo) *SSHServer {
	t.Helper()
	s, err := l.serveSSH(t, repo)
	if err != nil {
		t.Fatalf("cannot serve repository %q over ssh: %v", repo.name, err)
	}
	return s
}

func (l *Lab) serveSSH(t T, repo *Repo) (*SSHServer, error) {
	dir, err := os.MkdirTemp(l.dir, "sshd-")
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"host", "client"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", filepath.Join(dir, key)).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("cannot make a key: %w: %s", err, out)
		}
	}
	read := func(name string) string {
		content, readErr := os.ReadFile(filepath.Join(dir, name))
		if readErr != nil {
			err = readErr
		}
		return string(content)
	}
	hostKey, client, private := read("host.pub"), read("client.pub"), read("client")
	if err != nil {
		return nil, err
	}
	addr, err := freePort(l.gateway.String())
	if err != nil {
		return nil, err
	}
	authorized := fmt.Sprintf("restrict,command=\"git-upload-pack '%s'\" %s", repo.bare, client)
	if err := os.WriteFile(filepath.Join(dir, "authorized"), []byte(authorized), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config"), fmt.Appendf(nil, sshdConfig, addr, dir, dir), 0o600); err != nil {
		return nil, err
	}
	if err := l.startSSHD(t, dir, addr); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(addr)
	return &SSHServer{
		URL:        fmt.Sprintf("ssh://root@%s%s", addr, repo.bare),
		Key:        private,
		KnownHosts: fmt.Sprintf("[%s]:%s %s", host, port, hostKey),
	}, nil
}

func (l *Lab) startSSHD(t T, dir, addr string) error {
	// sshd wants this folder of its package, which an init script makes.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		return err
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-f", filepath.Join(dir, "config"))
	group := filepath.Base(dir)
	if err := l.child(group, cmd); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		if err := endGroup(filepath.Join(l.cgroup, group)); err != nil {
			t.Logf("%v", err)
			return
		}
		<-ended
	})
	listens := Poll(10*time.Second, func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return isClosed(ended)
		}
		_ = conn.Close()
		return true
	})
	if !listens || isClosed(ended) {
		return fmt.Errorf("sshd does not listen at %q", addr)
	}
	return nil
}

// freePort finds a port that nobody listens at.
func freePort(host string) (string, error) {
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
