package source

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestBranchIsForcePushedDeletedAndMadeAgain(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "one\n")
	root := g.push("root")
	g.write("a", "two\n")
	g.push("two")
	for name, remote := range remotes(g) {
		if name == "file" {
			continue // that is the work tree itself
		}
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			fetch := func(want string) {
				t.Helper()
				got, err := fetchCommit(t.Context(), remote, dir)
				if err != nil || got != want {
					t.Fatalf("Fetch gave %q, %v; want %q", got, err, want)
				}
				repo, err := OpenFetched(remote, dir)
				if err != nil {
					t.Fatal(err)
				}
				defer repo.Close()
				if _, err := repo.Tree(got, ""); err != nil {
					t.Error(err)
				}
			}
			fetch(g.run(g.bare, "rev-parse", "main"))
			g.run(g.work, "reset", "-q", "--hard", root)
			g.write("a", "another "+name)
			fetch(g.push("rewritten"))
			g.run(g.work, "reset", "-q", "--hard", root)
			fetch(g.push("back at the root, and one more"))
			g.run(g.bare, "update-ref", "refs/heads/main", root)
			fetch(root)
			g.run(g.bare, "update-ref", "-d", "refs/heads/main")
			_, err := Head(t.Context(), remote)
			wantReason(t, err, NoBranch)
			_, err = fetchCommit(t.Context(), remote, dir)
			wantReason(t, err, NoBranch)
			g.run(g.bare, "update-ref", "refs/heads/main/x", root)
			_, err = Head(t.Context(), remote)
			wantReason(t, err, NoBranch)
			g.run(g.bare, "update-ref", "-d", "refs/heads/main/x")
			g.run(g.bare, "update-ref", "refs/heads/main", root)
			fetch(root)
		})
	}
}

func TestEmptyRepositoryHasNoBranch(t *testing.T) {
	g := newGitRepo(t)
	for name, remote := range remotes(g) {
		_, err := Head(t.Context(), remote)
		t.Log(name, wantReason(t, err, NoBranch))
		_, err = fetchCommit(t.Context(), remote, filepath.Join(t.TempDir(), "cache"))
		wantReason(t, err, NoBranch)
	}
}

// answers are servers that do something else than serve Git.
func TestServersThatMisbehave(t *testing.T) {
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	text := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const git = "application/x-git-upload-pack-advertisement"
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    Reason
	}{
		"a web page":                     {text(200, "text/html", "<html>log in</html>"), Garbage},
		"a web page that says it is Git": {text(200, git, "<html>log in</html>"), Garbage},
		"random bytes":                   {text(200, git, "0009\x00\xff\x1b[31m00zz"), Garbage},
		"nothing at all":                 {text(200, git, ""), Unreachable},
		"a greeting cut short":           {text(200, git, pkt("# service=git-upload-pack\n")+"0000"+"00ff1111"), Unreachable},
		"a line of the wrong length":     {text(200, git, "ffff"), Garbage},
		"SHA-256 names":                  {text(200, git, pkt(strings.Repeat("a", 64)+" refs/heads/main\x00object-format=sha256")+"0000"), Garbage},
		"an error of Git":                {text(200, git, pkt("ERR access denied\x1b[2J")), Unreachable},
		"not logged in":                  {text(401, "text/plain", "no"), AuthFailed},
		"forbidden":                      {text(403, "text/plain", "no"), AuthFailed},
		"not found":                      {text(404, "text/plain", "no"), Unreachable},
		"too many requests":              {text(429, "text/plain", "no"), Unreachable},
		"a broken server":                {text(500, "text/plain", "no"), Unreachable},
		"a strange status":               {text(418, "text/plain", "no"), Garbage},
		"a redirect to another host": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
		}, AuthFailed},
		"a redirect in a circle": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		}, Garbage},
		"a connection that is cut": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(row.handler)
			defer server.Close()
			remote := Remote{URL: server.URL + "/repo.git", Branch: "main"}
			for what, err := range map[string]error{
				"Head":  second(headApart(t, remote)),
				"Fetch": second(fetchApart(t, remote, filepath.Join(t.TempDir(), "cache"), 0)),
			} {
				said := wantReason(t, err, row.want)
				if strings.ContainsAny(said, "\x1b\n\x00") {
					t.Errorf("%s: the text %q would reach a terminal", what, said)
				}
			}
		})
	}
}

func second(_ string, err error) error { return err }

func TestRedirectOnTheSameHostIsFollowed(t *testing.T) {
	g := newGitRepo(t)
	want := g.push("one")
	remote := g.serve(func(git http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if rest, old := strings.CutPrefix(r.URL.Path, "/old.git/"); old {
				http.Redirect(w, r, "/repo.git/"+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
				return
			}
			git.ServeHTTP(w, r)
		})
	})
	remote.URL = strings.Replace(remote.URL, "/repo.git", "/old.git", 1)
	poller := NewPoller(remote)
	defer poller.Close()
	for range 2 {
		if got, err := poller.Tip(t.Context()); err != nil || got.Commit != want {
			t.Errorf("Head gave %q, %v; want %q", got, err, want)
		}
	}
	if got, err := fetchCommit(t.Context(), remote, filepath.Join(t.TempDir(), "cache")); err != nil || got != want {
		t.Errorf("Fetch gave %q, %v; want %q", got, err, want)
	}
}

func TestUnreachable(t *testing.T) {
	g := newGitRepo(t)
	g.push("one")
	overSSH := g.sshd()
	port := freePort(t)
	missing := overSSH
	missing.URL += "-missing"
	for name, remote := range map[string]Remote{
		"http, nobody listens":       {URL: fmt.Sprintf("http://127.0.0.1:%d/r.git", port), Branch: "main"},
		"https, a server without it": {URL: strings.Replace(g.serve(nil).URL, "http://", "https://", 1), Branch: "main"},
		"ssh, no such repository":    missing,
		"local, no such directory":   {URL: "/nonexistent/repo", Branch: "main"},
		"local, not a repository":    {URL: t.TempDir(), Branch: "main"},
		"a relative path":            {URL: "repo", Branch: "main"},
		"an unknown scheme":          {URL: "gopher://host/repo", Branch: "main"},
		"nothing configured":         {Branch: "main"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Head(t.Context(), remote)
			said := wantReason(t, err, Unreachable)
			if name == "ssh, no such repository" && !strings.Contains(said, "does not appear to be a git repository") {
				t.Errorf("the text %q leaves out what the server says", said)
			}
			_, err = fetchCommit(t.Context(), remote, filepath.Join(t.TempDir(), "cache"))
			wantReason(t, err, Unreachable)
		})
	}
}

func TestUnreachableServerLeavesTheCacheAlone(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "one\n")
	want := g.push("one")
	server := httptest.NewServer(g.backend())
	remote, dir := Remote{URL: server.URL + "/repo.git", Branch: "main"}, filepath.Join(t.TempDir(), "cache")
	if _, err := fetchCommit(t.Context(), remote, dir); err != nil {
		t.Fatal(err)
	}
	server.Close()
	_, err := fetchCommit(t.Context(), remote, dir)
	wantReason(t, err, Unreachable)
	repo, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	if _, err := repo.Tree(want, ""); err != nil {
		t.Error(err)
	}
}

// silent accepts connections and never says a word.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var open []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			open = append(open, conn)
		}
		for _, conn := range open {
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestSilentServerIsGivenUpWithTheContext(t *testing.T) {
	address := silent(t)
	_, port, _ := net.SplitHostPort(address)
	dir := t.TempDir()
	key, public := writeKey(t, filepath.Join(dir, "key"))
	known := filepath.Join(dir, "known")
	if err := os.WriteFile(known, []byte("[127.0.0.1]:"+port+" "+string(ssh.MarshalAuthorizedKey(public))), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, remote := range map[string]Remote{
		"http": {URL: "http://" + address + "/r.git", Branch: "main"},
		"ssh":  {URL: "ssh://git@" + address + "/r.git", Branch: "main", Auth: Auth{SSHKeyFile: key, KnownHostsFile: known}},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := Head(ctx, remote)
			wantReason(t, err, Unreachable)
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err = fetchCommit(ctx, remote, filepath.Join(t.TempDir(), "cache"))
			wantReason(t, err, Unreachable)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestServerThatStallsIsGivenUpWithoutTheContext(t *testing.T) {
	g := newGitRepo(t)
	g.push("one")
	remote := g.serve(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			fmt.Fprint(w, pkt("# service=git-upload-pack\n")+"0000")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
	})
	server := serverOf(t, remote)
	server.stall = 50 * time.Millisecond
	if _, err := server.tip(t.Context()); !errors.Is(err, errStalled) || reasonOf(err) != Unreachable {
		t.Errorf("got %v, want %v", err, errStalled)
	}
}

func TestAnswerLargerThanAllowed(t *testing.T) {
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		fmt.Fprint(w, pkt("# service=git-upload-pack\n")+"0000")
		line := pkt(strings.Repeat("1", 40) + " refs/heads/" + strings.Repeat("x", 60000))
		for {
			if _, err := fmt.Fprint(w, line); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	_, err := headApart(t, Remote{URL: endless.URL, Branch: "main"})
	wantReason(t, err, Limit)
	_, err = fetchApart(t, Remote{URL: endless.URL, Branch: "main"}, filepath.Join(t.TempDir(), "cache"), 0)
	wantReason(t, err, Limit)
}

func TestBasicAuthAndTokens(t *testing.T) {
	g := newGitRepo(t)
	want := g.push("one")
	const canary = "s3cret/c4nary+%&"
	guard := func(user string) func(http.Handler) http.Handler {
		return func(git http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				name, password, _ := r.BasicAuth()
				if name != user || password != canary {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				git.ServeHTTP(w, r)
			})
		}
	}
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, bad, empty := file("good", canary+"\n"), file("bad", "wrong"), file("empty", "\n")
	for name, row := range map[string]struct {
		user string // whom the server lets in
		auth Auth
		ok   bool
	}{
		"a password":                  {"ada", Auth{Username: "ada", PasswordFile: good}, true},
		"a token":                     {tokenUser, Auth{TokenFile: good}, true},
		"a token with a user":         {"oauth2", Auth{Username: "oauth2", TokenFile: good}, true},
		"a wrong password":            {"ada", Auth{Username: "ada", PasswordFile: bad}, false},
		"no password":                 {"ada", Auth{}, false},
		"a password without a user":   {"ada", Auth{PasswordFile: good}, false},
		"an empty file":               {"ada", Auth{Username: "ada", PasswordFile: empty}, false},
		"a file that is not there":    {"ada", Auth{Username: "ada", PasswordFile: dir + "/none"}, false},
		"both a token and a password": {"ada", Auth{Username: "ada", PasswordFile: good, TokenFile: good}, false},
	} {
		t.Run(name, func(t *testing.T) {
			remote := g.serve(guard(row.user))
			remote.Auth = row.auth
			remote.Auth.PlainHTTP = true
			head, err := Head(t.Context(), remote)
			commit, second := fetchCommit(t.Context(), remote, filepath.Join(t.TempDir(), "cache"))
			if row.ok {
				if err != nil || second != nil || head != want || commit != want {
					t.Errorf("got %q, %v and %q, %v", head, err, commit, second)
				}
				return
			}
			wantReason(t, err, AuthFailed)
			wantReason(t, second, AuthFailed)
		})
	}
}

func TestCredentialsAreNeverRepeated(t *testing.T) {
	const canary = "s3cret/c4nary+%&"
	basic := base64.StdEncoding.EncodeToString([]byte("ada:" + canary))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	var stolen []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stolen = append(stolen, r.Header.Get("Authorization"))
	}))
	defer thief.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"an error line that quotes them": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			fmt.Fprint(w, pkt("ERR no: "+r.Header.Get("Authorization")+" "+canary))
		},
		"a content type that quotes them": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", basic)
		},
		"a status that quotes them and is cut there": func(w http.ResponseWriter, r *http.Request) {
			raw(w, func(client net.Conn, _ *bufio.Reader) {
				fmt.Fprintf(client, "HTTP/1.1 500 %s%s %s\r\n\r\n", strings.Repeat("x", 30), strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "), canary)
			})
		},
		"a redirect with them to another host": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL+"/info/refs?"+canary, http.StatusFound)
		},
	} {
		server := httptest.NewServer(handler)
		remote := Remote{URL: server.URL + "/r.git", Branch: "main", Auth: Auth{Username: "ada", TokenFile: token, PlainHTTP: true}}
		for _, err := range []error{
			second(Head(t.Context(), remote)),
			second(fetchCommit(t.Context(), remote, filepath.Join(t.TempDir(), "cache"))),
		} {
			if err == nil || strings.Contains(err.Error(), canary[:8]) || strings.Contains(err.Error(), basic[:8]) {
				t.Errorf("%s: the error is %q", name, err)
			}
		}
		server.Close()
	}
	if len(stolen) > 0 {
		t.Errorf("the other host was asked, with %q", stolen)
	}
	for _, address := range []string{"https://ada:" + canary + "@127.0.0.1:1/r.git", "https://ada:" + canary + "@[::1/r.git", "https://%zz:" + canary + "@x"} {
		_, err := Head(t.Context(), Remote{URL: address, Branch: "main"})
		if err == nil || strings.Contains(err.Error(), "c4nary") {
			t.Errorf("the error is %q", err)
		}
	}
}

func TestSSHTrustsOnlyKnownHosts(t *testing.T) {
	g := newGitRepo(t)
	want := g.push("one")
	good := g.sshd()
	dir := t.TempDir()
	otherKey, otherPublic := writeKey(t, filepath.Join(dir, "other"))
	line, err := os.ReadFile(good.Auth.KnownHostsFile)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(string(line), " ")
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	otherLine := host + " " + string(ssh.MarshalAuthorizedKey(otherPublic))
	for name, row := range map[string]struct {
		change func(*Auth)
		says   string // "" when it works
	}{
		"as it should be":              {func(*Auth) {}, ""},
		"two keys, one of them right":  {func(a *Auth) { a.KnownHostsFile = file("two", otherLine+string(line)) }, ""},
		"no known_hosts":               {func(a *Auth) { a.KnownHostsFile = "" }, "needs known_hosts_file"},
		"a known_hosts that is gone":   {func(a *Auth) { a.KnownHostsFile = dir + "/none" }, "no such file"},
		"a known_hosts without it":     {func(a *Auth) { a.KnownHostsFile = file("empty", "") }, "ssh-keyscan"},
		"a broken known_hosts":         {func(a *Auth) { a.KnownHostsFile = file("broken", "x y z\n") }, "cannot be read"},
		"another key than the known":   {func(a *Auth) { a.KnownHostsFile = file("wrong", otherLine) }, "is not the one in known_hosts"},
		"a user key that is not known": {func(a *Auth) { a.SSHKeyFile = otherKey }, "does not accept the ssh key"},
		"no user key":                  {func(a *Auth) { a.SSHKeyFile = "" }, "needs ssh_key_file"},
		"a user key that is no key":    {func(a *Auth) { a.SSHKeyFile = file("text", "hello") }, "not a private key"},
	} {
		t.Run(name, func(t *testing.T) {
			remote := good
			row.change(&remote.Auth)
			head, err := Head(t.Context(), remote)
			if row.says == "" {
				if err != nil || head != want {
					t.Errorf("Head gave %q, %v", head, err)
				}
				return
			}
			if said := wantReason(t, err, AuthFailed); !strings.Contains(said, row.says) {
				t.Errorf("the text is %q, want %q in it", said, row.says)
			}
		})
	}
}
