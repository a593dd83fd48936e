package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Server serves one repository over http or https, with the real "git
// http-backend". Its address stays the same while it is stopped.
type Server struct {
	t        T
	repo     *Repo
	backend  string
	addr     string
	user     string
	password string
	tls      *tls.Config
	ca       string // PEM

	came chan struct{} // there is a new request; for WaitRequests

	mu       sync.Mutex
	server   *http.Server
	requests int
	answer   http.HandlerFunc
}

// Serve starts a server for the repository at an address that hosts of the lab
// can reach. With a user, it wants that name and password for everything.
func (l *Lab) Serve(t T, repo *Repo, user, password string) *Server {
	t.Helper()
	s := &Server{t: t, repo: repo, user: user, password: password, addr: l.gateway.String() + ":0", came: make(chan struct{}, 1)}
	s.prepare()
	return s
}

// ServeTLS is Serve over https, with a certificate of an authority of its own
// that CA gives.
func (l *Lab) ServeTLS(t T, repo *Repo, user, password string) *Server {
	t.Helper()
	s := &Server{t: t, repo: repo, user: user, password: password, addr: l.gateway.String() + ":0", came: make(chan struct{}, 1)}
	var err error
	if s.tls, s.ca, err = certificate(net.IP(l.gateway.AsSlice())); err != nil {
		t.Fatalf("cannot make a certificate: %v", err)
	}
	s.prepare()
	return s
}

func (s *Server) prepare() {
	s.t.Helper()
	s.backend = filepath.Join(strings.TrimSpace(s.repo.git(s.repo.bare, "--exec-path")), "git-http-backend")
	s.Start()
	s.t.Cleanup(s.Stop)
}

// URL is what a host's configuration says to follow the repository.
func (s *Server) URL() string {
	scheme := "http"
	if s.tls != nil {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s/%s", scheme, s.addr, filepath.Base(s.repo.bare))
}

// CA is the authority's certificate in PEM, "" without TLS.
func (s *Server) CA() string { return s.ca }

// Start listens, again after Stop.
func (s *Server) Start() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatalf("cannot serve repository %q: %v", s.repo.name, err)
	}
	s.addr = listener.Addr().String()
	if s.tls != nil {
		listener = tls.NewListener(listener, s.tls)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // clients break off on purpose
	}
	s.mu.Lock()
	s.server = server
	s.mu.Unlock()
	go func() { _ = server.Serve(listener) }() // ends with Stop
}

// Stop closes the listener and every connection.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		_ = s.server.Close()
		s.server = nil
	}
}

// Answer makes the server answer every request with f; nil makes it serve the
// repository again.
func (s *Server) Answer(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// Requests is how many requests came so far: it stands still when nobody polls.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// WaitRequests waits until more requests have come, without a look at the clock in between,
// so that it costs nothing where something is measured. It is for one test at a time.
func (s *Server) WaitRequests(more int, bound time.Duration) {
	s.t.Helper()
	over := time.After(bound)
	for want := s.Requests() + more; s.Requests() < want; {
		select {
		case <-s.came:
		case <-over:
			s.t.Fatalf("waited %v in vain for %d requests", bound, more)
		}
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if name, password, ok := r.BasicAuth(); s.user != "" && (!ok || name != s.user || password != s.password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	answer := s.answer
	s.requests++
	s.mu.Unlock()
	select {
	case s.came <- struct{}{}:
	default:
	}
	if answer != nil {
		answer(w, r)
		return
	}
	backend := cgi.Handler{
		Path:   s.backend,
		Env:    append(gitEnv(), "GIT_PROJECT_ROOT="+filepath.Dir(s.repo.bare), "GIT_HTTP_EXPORT_ALL=1", "GIT_PROTOCOL="+r.Header.Get("Git-Protocol")),
		Stderr: io.Discard,
		Logger: log.New(io.Discard, "", 0),
	}
	backend.ServeHTTP(w, r)
}

// certificate makes a server certificate for an address, and its own authority.
func certificate(address net.IP) (*tls.Config, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "lab"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{address},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, "", err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	}
	return config, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}
