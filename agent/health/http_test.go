package health

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/plan"
)

// What a check may ask of an answer, and how it may ask.
func TestTryHTTPAsAsked(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/asked", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "host %s, token %s, agent %s\n", r.Host, r.Header.Get("X-Token"), r.UserAgent())
	})
	mux.HandleFunc("/login", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(401)
		fmt.Fprint(w, "who are you?\nsay it")
	})
	mux.Handle("/moved", http.RedirectHandler("https://elsewhere.example/", http.StatusMovedPermanently))
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", bodyLimit), "beyond what is read")
	})
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux) // for 127.0.0.1 and example.com
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	dir := t.TempDir()
	ca, noCA := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "none.pem")
	socket := filepath.Join(dir, "http.sock")
	writePEM(t, ca, secure)
	if err := os.WriteFile(noCA, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serveUnix(t, socket, mux)

	for _, row := range []struct {
		about    string
		check    plan.Check
		evidence string // "" passes
	}{
		{"the wanted status passes", plan.Check{HTTP: plain.URL + "/login", Status: []string{"401"}}, ""},
		{"so does one of a wanted class", plan.Check{HTTP: plain.URL + "/login", Status: []string{"204", "4xx"}}, ""},
		{"2xx is not wanted when another one is", plan.Check{HTTP: plain.URL + "/asked", Status: []string{"401"}}, `answered "200 OK": host`},
		{"the first lines are the evidence", plan.Check{HTTP: plain.URL + "/login"}, "answered \"401 Unauthorized\": who are you?\nsay it"},
		{"a wanted redirect is not followed", plan.Check{HTTP: plain.URL + "/moved", Status: []string{"301"}}, ""},
		{"another one is, but not off the host", plan.Check{HTTP: plain.URL + "/moved", Status: []string{"302"}}, "redirected to another host"},
		{"the body matches", plan.Check{HTTP: plain.URL + "/asked", Body: "^host .*\n$"}, ""},
		{"the body does not match", plan.Check{HTTP: plain.URL + "/asked", Body: "database up"}, `answered "200 OK" and nothing in it matches "database up": host`},
		{"what is beyond the limit is not read", plan.Check{HTTP: plain.URL + "/long", Body: "beyond"}, "nothing in it matches"},
		{"headers are sent", plan.Check{HTTP: plain.URL + "/asked", Headers: map[string]string{"x-token": "abc"}, Body: "token abc"}, ""},
		{"Host names a virtual host", plan.Check{HTTP: plain.URL + "/asked", Headers: map[string]string{"host": "www.example.com:80"}, Body: "host www.example.com:80,"}, ""},
		{"a unix socket is asked", plan.Check{HTTP: "http://app/asked", Socket: socket, Body: "host app,"}, ""},
		{"a unix socket that is not there", plan.Check{HTTP: "http://app/asked", Socket: socket + ".none"}, "no such file"},
		{"an unknown authority is not trusted", plan.Check{HTTP: secure.URL + "/asked"}, "certificate"},
		{"its own file makes it trusted", plan.Check{HTTP: secure.URL + "/asked", CAFile: ca}, ""},
		{"the file is not there", plan.Check{HTTP: secure.URL + "/asked", CAFile: ca + ".none"}, "cannot read the certificates to trust"},
		{"the file holds no certificate", plan.Check{HTTP: secure.URL + "/asked", CAFile: noCA}, "there is none in"},
		{"the name of the virtual host must be in the certificate", plan.Check{HTTP: secure.URL + "/asked", CAFile: ca, Headers: map[string]string{"Host": "other.example"}}, "other.example"},
		{"and is enough", plan.Check{HTTP: strings.Replace(secure.URL, "127.0.0.1", "localhost", 1) + "/asked", CAFile: ca, Headers: map[string]string{"Host": "example.com"}}, ""},
		{"any certificate does when the check says so", plan.Check{HTTP: secure.URL + "/asked", Insecure: true}, ""},
	} {
		row.check.Timeout = 5 * time.Second
		got := (&Prober{}).Try(t.Context(), row.check)
		if got.OK != (row.evidence == "") || !strings.Contains(got.Evidence, row.evidence) {
			t.Errorf("%s: %+v, want evidence %q", row.about, got, row.evidence)
		}
	}
}

func writePEM(t *testing.T, file string, server *httptest.Server) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func serveUnix(t *testing.T, socket string, handler http.Handler) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
}

func TestTryUnix(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	serveUnix(t, socket, http.NotFoundHandler())
	if got := (&Prober{}).Try(t.Context(), plan.Check{Unix: socket}); !got.OK || got.Check != "unix "+socket {
		t.Errorf("a socket that listens: %+v", got)
	}
	if got := (&Prober{}).Try(t.Context(), plan.Check{Unix: socket + ".none"}); got.OK || !strings.Contains(got.Evidence, "no such file") {
		t.Errorf("a socket that is not there: %+v", got)
	}
}
