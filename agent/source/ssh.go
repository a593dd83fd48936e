package source

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshServer is one run of git-upload-pack behind ssh: a greeting, and at most one pack.
type sshServer struct {
	remote Remote
	at     place
	conf   *ssh.ClientConfig
	stall  time.Duration
	begin  time.Duration // as stall, until the pack begins
	wire   *steadyConn
	client *ssh.Client
	run    *ssh.Session
	in     io.WriteCloser
	out    *counted
	said   *firstLine
	stop   func() bool
}

// newSSHServer reads key and known_hosts; it does not connect yet.
func newSSHServer(remote Remote, at place) (*sshServer, error) {
	known, algorithms, err := remote.Auth.hostKeys(at.host)
	if err != nil {
		return nil, err
	}
	if remote.Auth.SSHKeyFile == "" {
		return nil, fail(AuthFailed, "ssh needs ssh_key_file")
	}
	pem, err := remote.Auth.read("ssh key", remote.Auth.SSHKeyFile, maxCredential)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, fail(AuthFailed, "ssh key %q has a passphrase; use a deploy key without one", remote.Auth.SSHKeyFile)
	}
	if err != nil {
		return nil, fail(AuthFailed, "ssh key %q is not a private key that can be read", remote.Auth.SSHKeyFile)
	}
	return &sshServer{remote: remote, at: at, stall: stallTime, begin: beginTime, conf: &ssh.ClientConfig{
		User:              at.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   known,
		HostKeyAlgorithms: algorithms,
		ClientVersion:     "SSH-2.0-evenkeel",
	}}, nil
}

// connect dials, shakes hands and starts git-upload-pack. The context ends all
// three, and everything read or written later, by closing the connection.
func (s *sshServer) connect(ctx context.Context) error {
	dialer := net.Dialer{Timeout: dialTime}
	raw, err := dialer.DialContext(ctx, "tcp", s.at.host)
	if err != nil {
		return err
	}
	s.wire = newSteadyConn(raw, s.stall)
	s.stop = context.AfterFunc(ctx, func() { raw.Close() })
	conn, channels, requests, err := ssh.NewClientConn(s.wire, s.at.host, s.conf)
	if err != nil {
		s.stop()
		raw.Close()
		return s.explainHandshake(ctx, err)
	}
	s.client = ssh.NewClient(conn, channels, requests)
	if err := s.start(); err != nil {
		s.close()
		return orCause(ctx, err)
	}
	return nil
}

func (s *sshServer) start() error {
	session, err := s.client.NewSession()
	if err != nil {
		return err
	}
	s.run, s.said = session, &firstLine{}
	session.Stderr = s.said
	out, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	s.out = &counted{from: out, left: maxWire}
	if s.in, err = session.StdinPipe(); err != nil {
		return err
	}
	// Most servers of their own take no such variable; then it is protocol v0.
	_ = session.Setenv("GIT_PROTOCOL", "version=2")
	return session.Start("git-upload-pack " + shellQuote(s.at.path))
}

// explainHandshake finds the own error in what x/crypto/ssh wraps, and names a
// refused key for what it is.
func (s *sshServer) explainHandshake(ctx context.Context, err error) error {
	var own *Error
	switch {
	case errors.As(err, &own):
		return own
	case strings.Contains(err.Error(), "unable to authenticate"):
		return fail(AuthFailed, "the server does not accept the ssh key for user %q", s.at.user)
	case strings.Contains(err.Error(), "no common algorithm for host key"):
		return fail(AuthFailed, "the server has no host key of the kind in the known_hosts file")
	}
	err = orCause(ctx, err)
	if reasonOf(err) == Unreachable {
		return err
	}
	return fail(Unreachable, "%s", printable(err.Error(), 200))
}

// tip asks where the ref points, and hangs up.
func (s *sshServer) tip(ctx context.Context) (tip, error) {
	a, err := s.advert(ctx)
	s.close()
	return a.tip, err
}

func (s *sshServer) advert(ctx context.Context) (advert, error) {
	if err := s.connect(ctx); err != nil {
		return advert{}, err
	}
	a, err := readAdvert(s.out, s.remote.ref())
	if errors.Is(err, io.ErrUnexpectedEOF) {
		// A server that knows no such repository says so on stderr and nothing
		// else, and stderr is whole only when the command has ended.
		s.in.Close()
		_ = s.run.Wait()
		if line := s.said.line(); line != "" {
			err = fail(Unreachable, "the server says: %s", line)
		}
	}
	if err == nil && a.v2 {
		if _, err = io.WriteString(s.in, lsRefs(s.remote.ref())); err == nil {
			a.tip, err = readLsRefs(s.out, s.remote.ref())
		}
	}
	if err == nil {
		a.tip, err = s.remote.settle(a.tip)
	}
	return a, orCause(ctx, err)
}

func (s *sshServer) pack(_ context.Context, request string, _ bool) (packBody, error) {
	if err := s.wire.allow(s.begin); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(s.in, request); err != nil {
		return nil, err
	}
	if err := s.in.Close(); err != nil {
		return nil, err
	}
	return &sshPack{s.out, s}, nil
}

// sshPack is the rest of what git-upload-pack says.
type sshPack struct {
	io.Reader
	from *sshServer
}

func (p *sshPack) begun() {
	_ = p.from.wire.allow(p.from.stall) // a connection that is closed says so itself
}

func (p *sshPack) cause() (known bool, err error) { return false, nil }
func (p *sshPack) Close() error                   { return nil } // with the connection

func (s *sshServer) close() {
	if s.stop != nil {
		s.stop()
	}
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

// orCause prefers the reason why the context ended to "use of closed connection".
func orCause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// steadyConn fails when the other side does nothing for too long.
type steadyConn struct {
	net.Conn
	write time.Duration

	mu   sync.Mutex
	read time.Duration
}

func newSteadyConn(conn net.Conn, stall time.Duration) *steadyConn {
	return &steadyConn{Conn: conn, write: stall, read: stall}
}

// allow is how long the other side may be silent from now on, also for a read that
// waits already.
func (c *steadyConn) allow(silence time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = silence
	return c.SetReadDeadline(time.Now().Add(silence))
}

func (c *steadyConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	err := c.SetReadDeadline(time.Now().Add(c.read))
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *steadyConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// counted is a reader with a bound that is an error, not an end.
type counted struct {
	from io.Reader
	left int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, tooLarge()
	}
	return n, err
}

// firstLine keeps the beginning of what the server says on stderr.
type firstLine struct {
	mu   sync.Mutex
	text []byte
}

func (f *firstLine) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = append(f.text, p[:min(len(p), 1024-len(f.text))]...)
	return len(p), nil
}

func (f *firstLine) line() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return printable(string(f.text), 200)
}

// shellQuote writes an argument as every shell and git-shell read it back.
func shellQuote(text string) string {
	return "'" + strings.NewReplacer(`'`, `'\''`, `!`, `'\!'`).Replace(text) + "'"
}
