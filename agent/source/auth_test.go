package source

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
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func testFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBearerToken(t *testing.T) {
	g := newGitRepo(t)
	want := g.push("one")
	remote := g.serve(func(git http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer s3cret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			git.ServeHTTP(w, r)
		})
	})
	remote.Auth = Auth{BearerFile: testFile(t, "bearer", "s3cret\n"), PlainHTTP: true}
	if got, err := fetchCommit(t.Context(), remote, filepath.Join(t.TempDir(), "cache")); err != nil || got != want {
		t.Errorf("Fetch gave %q, %v; want %q", got, err, want)
	}
	remote.Auth.TokenFile = remote.Auth.BearerFile
	_, err := Head(t.Context(), remote)
	wantReason(t, err, AuthFailed)
}

func TestCredentialsDoNotGoOverPlainHTTP(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer server.Close()
	secret := testFile(t, "secret", "s3cret")
	for name, auth := range map[string]Auth{
		"a password": {Username: "ada", PasswordFile: secret},
		"a token":    {TokenFile: secret},
		"a bearer":   {BearerFile: secret},
	} {
		_, err := Head(t.Context(), Remote{URL: server.URL + "/r.git", Branch: "main", Auth: auth})
		if said := wantReason(t, err, AuthFailed); !strings.Contains(said, "plain_http") {
			t.Errorf("%s: the text is %q", name, said)
		}
	}
	if asked > 0 {
		t.Errorf("the server was asked %d times", asked)
	}
}

// authority makes certificates for the servers and clients of a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.key = newECKey(t)
	raw := a.sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}, a.key)
	var err error
	if a.cert, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	a.file = testFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})))
	return a
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(cert *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	a.t.Helper()
	parent := a.cert
	if parent == nil {
		parent = cert
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

// issue makes a certificate for 127.0.0.1 and for a client, and its two files.
func (a *authority) issue(until time.Time) (cert, key string) {
	a.t.Helper()
	private := newECKey(a.t)
	raw := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "host"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{behindProxy},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, private)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return testFile(a.t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))),
		testFile(a.t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func TestServerAndClientCertificates(t *testing.T) {
	g := newGitRepo(t)
	want := g.push("one")
	ours, foreign := newAuthority(t), newAuthority(t)
	serve := func(until time.Time) string {
		cert, key := ours.issue(until)
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		clients := x509.NewCertPool()
		clients.AddCert(ours.cert)
		server := httptest.NewUnstartedServer(g.backend())
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		t.Cleanup(server.Close)
		return server.URL + "/repo.git"
	}
	good, expired := serve(time.Now().Add(time.Hour)), serve(time.Now().Add(-time.Hour))
	cert, key := ours.issue(time.Now().Add(time.Hour))
	oldCert, oldKey := ours.issue(time.Now().Add(-time.Hour))
	otherCert, otherKey := foreign.issue(time.Now().Add(time.Hour))
	for _, row := range []struct {
		about string
		url   string
		auth  Auth
		want  Reason // "" when it works
		says  string
	}{
		{"both sides are known", good, Auth{CAFile: ours.file, ClientCertFile: cert, ClientKeyFile: key}, "", ""},
		{"the server's CA is unknown", good, Auth{ClientCertFile: cert, ClientKeyFile: key}, AuthFailed, "unknown authority"},
		{"another CA", good, Auth{CAFile: foreign.file, ClientCertFile: cert, ClientKeyFile: key}, AuthFailed, "unknown authority"},
		{"the server's certificate has expired", expired, Auth{CAFile: ours.file, ClientCertFile: cert, ClientKeyFile: key}, AuthFailed, "expired"},
		{"no client certificate", good, Auth{CAFile: ours.file}, AuthFailed, "certificate required"},
		{"a client certificate of somebody else", good, Auth{CAFile: ours.file, ClientCertFile: otherCert, ClientKeyFile: otherKey}, AuthFailed, "certificate"},
		{"a client certificate that has expired", good, Auth{CAFile: ours.file, ClientCertFile: oldCert, ClientKeyFile: oldKey}, AuthFailed, "has expired"},
		{"a key of another certificate", good, Auth{CAFile: ours.file, ClientCertFile: cert, ClientKeyFile: otherKey}, AuthFailed, "do not fit together"},
		{"a certificate without a key", good, Auth{CAFile: ours.file, ClientCertFile: cert}, AuthFailed, "belong together"},
		{"a CA file that is none", good, Auth{CAFile: key}, AuthFailed, "holds no certificate"},
	} {
		t.Run(row.about, func(t *testing.T) {
			got, err := Head(t.Context(), Remote{URL: row.url, Branch: "main", Auth: row.auth})
			if row.want == "" {
				if err != nil || got != want {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if said := wantReason(t, err, row.want); !strings.Contains(said, row.says) {
				t.Errorf("the text is %q, want %q in it", said, row.says)
			}
		})
	}
}

func TestUserKeysOfEachKindAndHostCertificates(t *testing.T) {
	g := newGitRepo(t)
	want := g.push("one")
	dir := t.TempDir()
	keygen := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ssh-keygen", append([]string{"-q"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen %v: %v\n%s", args, err, out)
		}
	}
	read := func(name string) string {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(content))
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	authorized := ""
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		keygen("-t", kind, "-N", "", "-f", at(kind))
		authorized += read(kind+".pub") + "\n"
	}
	for _, name := range []string{"host", "ca", "otherca"} {
		keygen("-t", "ed25519", "-N", "", "-f", at(name))
	}
	keygen("-s", at("ca"), "-h", "-I", "the host", "-n", "127.0.0.1", at("host.pub"))
	if err := os.WriteFile(at("authorized"), []byte(authorized), 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	config := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nHostCertificate %s\nAuthorizedKeysFile %s\nPidFile none\nUsePAM no\nStrictModes no\nAcceptEnv GIT_PROTOCOL\n",
		port, at("host"), at("host-cert.pub"), at("authorized"))
	if err := os.WriteFile(at("sshd_config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.startSSHD(at("sshd_config"))
	host := fmt.Sprintf("[127.0.0.1]:%d ", port)
	for _, row := range []struct {
		about, key, known, says string
	}{
		{"an ed25519 key", "ed25519", host + read("host.pub"), ""},
		{"an ecdsa key", "ecdsa", host + read("host.pub"), ""},
		{"an rsa key", "rsa", host + read("host.pub"), ""},
		{"a host certificate", "ed25519", "@cert-authority " + host + read("ca.pub"), ""},
		{"a host certificate of another authority", "ed25519", "@cert-authority " + host + read("otherca.pub"), "no authorities"},
		{"an authority for another host", "ed25519", "@cert-authority git.example.org " + read("ca.pub"), "has no key for"},
		{"a revoked host key", "ed25519", host + read("host.pub") + "\n@revoked * " + read("host.pub"), "revoked"},
	} {
		t.Run(row.about, func(t *testing.T) {
			remote := Remote{
				URL: fmt.Sprintf("ssh://root@127.0.0.1:%d%s", port, g.bare), Branch: "main",
				Auth: Auth{SSHKeyFile: at(row.key), KnownHostsFile: testFile(t, "known", row.known+"\n")},
			}
			got, err := fetchCommit(t.Context(), remote, filepath.Join(t.TempDir(), "cache"))
			if row.says == "" {
				if err != nil || got != want {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if said := wantReason(t, err, AuthFailed); !strings.Contains(said, row.says) {
				t.Errorf("the text is %q, want %q in it", said, row.says)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "-5": 0, "99999999": maxRetryAfter, "soon": 0,
		"Fri, 02 Jan 2026 03:06:05 GMT": 2 * time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0, "Fri, 02 Jan 2099 03:00:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "90")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	_, err := Head(t.Context(), Remote{URL: server.URL + "/r.git", Branch: "main"})
	if wantReason(t, err, Unreachable); err.(*Error).RetryAfter != 90*time.Second {
		t.Errorf("got %v", err.(*Error).RetryAfter)
	}
}
