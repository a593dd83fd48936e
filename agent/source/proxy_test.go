package source

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// behindProxy is a name that only the proxy knows the way to: what reaches it went
// through the proxy.
const behindProxy = "git.example.test"

// forwardProxy is a proxy as companies have them. It brings everything to one server.
type forwardProxy struct {
	*httptest.Server
	to       string // host and port of the server
	user     string // "" lets everybody through
	password string

	mu    sync.Mutex
	asked []string // for which hosts, and by which method
}

func newForwardProxy(t *testing.T, to, user, password string) *forwardProxy {
	p := &forwardProxy{to: to, user: user, password: password}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *forwardProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.mu.Unlock()
	given := r.Header.Get("Proxy-Authorization")
	like := &http.Request{Header: http.Header{"Authorization": {given}}}
	if name, password, _ := like.BasicAuth(); p.user != "" && (name != p.user || password != p.password) {
		// The worst of proxies: it repeats what it was told.
		raw(w, func(client net.Conn, _ *bufio.Reader) {
			fmt.Fprintf(client, "HTTP/1.1 407 no: %s is %s %s\r\nContent-Length: 0\r\n\r\n", password, given, name)
		})
		return
	}
	if r.Method == http.MethodConnect {
		p.tunnel(w)
		return
	}
	r.Header.Del("Proxy-Authorization")
	r.RequestURI, r.URL.Host = "", p.to
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		http.Error(w, "cannot get there", http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
	w.WriteHeader(answer.StatusCode)
	io.Copy(w, answer.Body)
}

func (p *forwardProxy) tunnel(w http.ResponseWriter) {
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		http.Error(w, "cannot get there", http.StatusBadGateway)
		return
	}
	defer server.Close()
	raw(w, func(client net.Conn, said *bufio.Reader) {
		fmt.Fprint(client, "HTTP/1.1 200 here you are\r\n\r\n")
		go func() { io.Copy(server, said); server.Close() }()
		io.Copy(client, server)
	})
}

// raw gives a handler the connection itself.
func raw(w http.ResponseWriter, use func(net.Conn, *bufio.Reader)) {
	client, both, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	use(client, both.Reader)
}

func (p *forwardProxy) hosts() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.asked, ", ")
}

// address is that of the proxy with a name and a password.
func (p *forwardProxy) address(userinfo string) string {
	return "http://" + userinfo + strings.TrimPrefix(p.URL, "http://")
}

// startTLS serves the repository under the name that only proxies know.
func (g *gitRepo) startTLS(t *testing.T) (host string, auth Auth) {
	t.Helper()
	ours := newAuthority(t)
	cert, key := ours.issue(time.Now().Add(time.Hour))
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(g.backend())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), Auth{CAFile: ours.file}
}

func TestProxyOfTheEnvironment(t *testing.T) {
	const password, inAddress = "s3cret/c4nary+%", "s3cret%2Fc4nary+%25"
	g := newGitRepo(t)
	g.write("a", "one\n")
	want := g.push("one")
	behind, auth := g.startTLS(t)
	overTLS := Remote{URL: "https://" + behindProxy + "/repo.git", Branch: "main", Auth: auth}
	plain := Remote{URL: "http://" + behindProxy + "/repo.git", Branch: "main"}
	open, locked := newForwardProxy(t, behind, "", ""), newForwardProxy(t, behind, "ada", password)
	openPlain := newForwardProxy(t, hostOf(t, g.serve(nil)), "", "")
	lockedPlain := newForwardProxy(t, openPlain.to, "ada", password)
	nowhere := newForwardProxy(t, fmt.Sprintf("127.0.0.1:%d", freePort(t)), "", "")
	right, wrong := locked.address("ada:"+inAddress+"@"), locked.address("ada:"+inAddress+"x@")
	const through, directly = "CONNECT " + behindProxy + ":443", ""
	for _, row := range []struct {
		about  string
		remote Remote
		proxy  *forwardProxy // that could be asked
		env    []string
		asked  string // of it, first
		want   Reason // "" when it works
		says   string
	}{
		{"https", overTLS, open, []string{"HTTPS_PROXY=" + open.URL}, through, "", ""},
		{"https, in small letters", overTLS, open, []string{"https_proxy=" + open.URL}, through, "", ""},
		{"https, and no scheme in front", overTLS, open, []string{"HTTPS_PROXY=" + strings.TrimPrefix(open.URL, "http://")}, through, "", ""},
		{"https, with a password", overTLS, locked, []string{"HTTPS_PROXY=" + right}, through, "", ""},
		{"http", plain, openPlain, []string{"HTTP_PROXY=" + openPlain.URL}, "GET " + behindProxy, "", ""},
		{"http, with a password", plain, lockedPlain, []string{"HTTP_PROXY=" + lockedPlain.address("ada:"+inAddress+"@")}, "GET " + behindProxy, "", ""},

		{"no proxy", overTLS, open, nil, directly, Unreachable, "lookup " + behindProxy},
		{"a proxy for http only", overTLS, open, []string{"HTTP_PROXY=" + open.URL}, directly, Unreachable, "lookup " + behindProxy},
		{"a host that needs none", overTLS, open, []string{"HTTPS_PROXY=" + open.URL, "NO_PROXY=other.test,.example.test"}, directly, Unreachable, "lookup " + behindProxy},
		{"another host that needs none", overTLS, open, []string{"HTTPS_PROXY=" + open.URL, "NO_PROXY=other.test"}, through, "", ""},

		{"a wrong password", overTLS, locked, []string{"HTTPS_PROXY=" + wrong}, through, AuthFailed, "the proxy says 407"},
		{"no password", overTLS, locked, []string{"HTTPS_PROXY=" + locked.URL}, through, AuthFailed, "the proxy says 407"},
		{"a wrong password over http", plain, lockedPlain, []string{"HTTP_PROXY=" + lockedPlain.address("ada:"+inAddress+"x@")}, "GET " + behindProxy, AuthFailed, "the proxy says 407"},
		{"a proxy that cannot get there", overTLS, nowhere, []string{"HTTPS_PROXY=" + nowhere.address("ada:"+inAddress+"@")}, through, Unreachable, "the proxy says 502"},
		{"nobody where the proxy should be", overTLS, open, []string{"HTTPS_PROXY=http://ada:" + inAddress + "@" + nowhere.to}, directly, Unreachable, "proxyconnect"},
		{"an address that is none", overTLS, open, []string{"HTTPS_PROXY=http://ada:" + inAddress + "%zz@[::1/"}, directly, Unreachable, "HTTPS_PROXY in the environment is not"},
		{"an address with a password and no host", overTLS, open, []string{"HTTPS_PROXY=ada:" + password + "@"}, directly, Unreachable, "HTTPS_PROXY in the environment is not"},
	} {
		t.Run(row.about, func(t *testing.T) {
			row.proxy.mu.Lock()
			row.proxy.asked = nil
			row.proxy.mu.Unlock()
			for what, do := range map[string]errand{
				"Poller": {Remote: row.remote, Polls: 1},
				"Fetch":  {Remote: row.remote, Dir: filepath.Join(t.TempDir(), "cache")},
			} {
				do.environment = row.env
				got, err := do.small(t)
				if row.want == "" {
					if err != nil || got != want {
						t.Errorf("%s gave %q, %v", what, got, err)
					}
					continue
				}
				said := wantReason(t, err, row.want)
				if !strings.Contains(said, row.says) {
					t.Errorf("%s: the text is %q, want %q in it", what, said, row.says)
				}
				if strings.Contains(said, "c4nary") || strings.Contains(said, "YWRhOnMz") { // "ada:s3" in base64
					t.Errorf("%s: the text %q gives the password away", what, said)
				}
			}
			if first, _, _ := strings.Cut(row.proxy.hosts(), ", "); first != row.asked {
				t.Errorf("the proxy was asked for %q, want %q", first, row.asked)
			}
		})
	}
}
