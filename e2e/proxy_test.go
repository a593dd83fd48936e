//go:build e2e

package e2e

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"evenkeel/e2e/lab"
)

// proxyPassword is what a proxy of the lab wants to hear.
const proxyPassword = "c4nary-of-the-proxy"

// tunnels is a proxy that hosts of the lab can reach, and that counts what it brings.
func tunnels(t *testing.T) (addr string, brought *atomic.Int32) {
	t.Helper()
	brought = &atomic.Int32{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("ada:"+proxyPassword)) {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if r.Method != http.MethodConnect || err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, both, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer here.Close()
		brought.Add(1)
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, both.Reader); there.Close() }()
		_, _ = io.Copy(here, there)
	}))
	server.Listener.Close()
	listener, err := net.Listen("tcp", theLab.Gateway().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return listener.Addr().String(), brought
}

// A host whose only way out is a proxy, named in a drop-in as the manual says; its
// password shows nowhere.
func TestRepositoryBehindAProxy(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		proxy, brought := tunnels(t)
		https := theLab.ServeTLS(t, s.repo, "", "")
		h.WriteFile("/etc/evenkeel/ca.pem", https.CA(), 0o600)
		h.WriteFile("/etc/evenkeel/config.yaml",
			"interval: 1s\nprobation: 2s\nrepo: "+https.URL()+"\nauth: {ca_file: /etc/evenkeel/ca.pem}\n", 0o640)
		h.WriteFile("/etc/systemd/system/evenkeel.service.d/proxy.conf", "[Service]\nEnvironmentFile=/etc/evenkeel/proxy.env\n", 0o644)
		environment := func(text string) {
			h.WriteFile("/etc/evenkeel/proxy.env", text, 0o600)
			h.Must("systemctl", "daemon-reload")
			h.Must("systemctl", "restart", "evenkeel.service")
		}

		environment("HTTPS_PROXY=http://ada:wrong-" + proxyPassword + "@" + proxy + "\n")
		st := s.waitStatus("the refusal of the proxy", func(st status) bool { return st.ContactError != "" })
		if !strings.Contains(st.ContactError, "the proxy says 407") {
			t.Errorf("the status says %q", st.ContactError)
		}

		commit := s.repo.Commit("through the proxy")
		environment("HTTPS_PROXY=http://ada:" + proxyPassword + "@" + proxy + "\n")
		s.waitGood(commit)
		used := brought.Load()
		if used == 0 {
			t.Error("nothing came through the proxy")
		}
		for place, text := range map[string]string{
			"the journal":     h.Journal("", 100_000),
			"the status":      h.Must("cat", "/run/evenkeel/status.json"),
			"the unit":        h.Must("systemctl", "show", "evenkeel.service"),
			"a command line":  h.Script("cat /proc/[0-9]*/cmdline"),
			"the environment": h.Script("for p in $(pgrep -u evenkeel-render); do cat /proc/$p/environ; done"),
		} {
			if strings.Contains(text, proxyPassword) {
				t.Errorf("%s holds the password of the proxy", place)
			}
		}

		environment("HTTPS_PROXY=http://ada:" + proxyPassword + "@" + proxy + "\nNO_PROXY=192.0.2.1," + theLab.Gateway().String() + "\n")
		used = brought.Load()
		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "directly")
		s.waitGood(s.repo.Commit("without the proxy"))
		if now := brought.Load(); now != used {
			t.Errorf("the proxy brought %d more although the host needs none", now-used)
		}
	})
}
