package agent

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"evenkeel/agent/source"
)

// The variables that name a proxy reach the children that speak with servers, and
// no others.
func TestChildrenReachTheServerThroughTheProxyOfTheEnvironment(t *testing.T) {
	const password = "s3cret-c4nary"
	work, want := childRepo(t, motd("x\n"))
	server := serveMirror(t, work.URL)
	direct := &http.Transport{}
	defer direct.CloseIdleConnections()
	var brought atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("ada:"+password)) {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		r.Header.Del("Proxy-Authorization")
		r.RequestURI, r.URL.Host = "", strings.TrimSuffix(strings.TrimPrefix(server.url, "http://"), "/repo.git")
		answer, err := direct.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		brought.Add(1)
		w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
		_, _ = io.Copy(w, answer.Body)
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", "http://ada:"+password+"@"+strings.TrimPrefix(proxy.URL, "http://"))

	remote := source.Remote{URL: "http://git.example.test/repo.git", Branch: "main"}
	got, err := FetchChild(t.Context(), FetchRequest{Remote: remote, Dir: cloneDir(t)})
	if err != nil || got.Commit != want {
		t.Errorf("FetchChild gave %v, %v; want %q", got, err, want)
	}
	fetched := brought.Load()
	as, err := accountFor(fetchUser, remote)
	if err != nil {
		t.Fatal(err)
	}
	child, err := startPollChild(remote, as)
	if err != nil {
		t.Fatal(err)
	}
	defer child.end()
	if seen, err := child.ask(t.Context()); err != nil || seen.Commit != want {
		t.Errorf("the child that asks gave %v, %v; want %q", seen, err, want)
	}
	if fetched == 0 || brought.Load() == fetched {
		t.Errorf("the proxy brought %d requests of the fetch, and %d of both", fetched, brought.Load())
	}

	for _, kind := range childKinds() {
		cmd := childCommand(t.Context(), kind.name, job{})
		if has := strings.Contains(strings.Join(cmd.Env, " "), password); has == kind.offline {
			t.Errorf("%s is offline: %t, and knows the proxy: %t", kind.name, kind.offline, has)
		}
		if strings.Contains(strings.Join(cmd.Args, " "), password) {
			t.Errorf("%s has the password in its arguments", kind.name)
		}
	}
}
