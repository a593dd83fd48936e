package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"evenkeel/agent/manifest"
	"evenkeel/agent/source"
	"evenkeel/metrics"
)

// mirrorServer is a repository behind http, as git itself serves it, that can be
// broken.
type mirrorServer struct {
	bare  string
	url   string
	down  atomic.Bool
	asked atomic.Int32
	sent  atomic.Int64 // bytes of the answers
}

func serveMirror(t *testing.T, work string) *mirrorServer {
	t.Helper()
	dir := t.TempDir()
	bare := filepath.Join(dir, "repo.git")
	childGit(t, dir, "clone", "-q", "--bare", work, bare)
	return serveBare(t, bare)
}

func serveBare(t testing.TB, bare string) *mirrorServer {
	t.Helper()
	dir := filepath.Dir(bare)
	m := &mirrorServer{bare: bare}
	path := childGit(t, dir, "--exec-path")
	backend := &cgi.Handler{Path: filepath.Join(path, "git-http-backend"), Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + dir}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		if m.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		backend.ServeHTTP(countedWriter{w, &m.sent}, r)
	}))
	t.Cleanup(server.Close)
	m.url = server.URL + "/repo.git"
	return m
}

type countedWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// pull brings a mirror up to date.
func (m *mirrorServer) pull(t *testing.T, work, what string) {
	t.Helper()
	childGit(t, work, "push", "-q", "--force", m.bare, what+":main")
}

// mirrored is a daemon that follows some mirrors of a repository.
func mirrored(t *testing.T, change func(*Config), servers ...*mirrorServer) *daemon {
	t.Helper()
	cfg := defaultConfig()
	cfg.Interval, cfg.CacheDir = time.Minute, cloneDir(t)
	for i, m := range servers {
		if i == 0 {
			cfg.Repo = m.url
			continue
		}
		cfg.Mirrors = append(cfg.Mirrors, Mirror{Repo: m.url})
	}
	if change != nil {
		change(&cfg)
	}
	d := &daemon{
		cfg: cfg, log: slog.New(slog.DiscardHandler), origins: newOrigins(cfg),
		metrics: metrics.New(prometheus.NewRegistry(), metrics.Build{}),
		host:    &Host{Ledger: &Ledger{}, Now: time.Now},
	}
	t.Cleanup(func() { closeOrigins(d.origins) })
	if err := d.readTrust(); err != nil {
		t.Fatal(err)
	}
	return d
}

func wantHead(t *testing.T, d *daemon, want string) seen {
	t.Helper()
	got, err := d.head(t.Context())
	if err != nil || got.tip.Commit != want {
		t.Fatalf("head gave %q, %v; want %q", got.tip.Commit, err, want)
	}
	return got
}

func TestMirrorTakesOverAndIsLeftAloneWhenItFails(t *testing.T) {
	remote, one := childRepo(t, motd("x\n"))
	first, second := serveMirror(t, remote.URL), serveMirror(t, remote.URL)
	d := mirrored(t, nil, first, second)
	if got := wantHead(t, d, one); len(got.from) != 2 {
		t.Errorf("%d origins have it", len(got.from))
	}
	first.down.Store(true)
	two := childCommit(t, remote.URL)
	second.pull(t, remote.URL, "main")
	wantHead(t, d, two)
	if o := d.board.read().Origins; len(o) != 2 || !strings.Contains(o[0].Error, "503") || o[1].Error != "" || o[1].Commit != two {
		t.Errorf("the status says %+v", o)
	}
	asked := first.asked.Load()
	for range 3 {
		wantHead(t, d, two)
	}
	if n := first.asked.Load(); n != asked {
		t.Errorf("what failed was asked %d more times at once", n-asked)
	}
	first.pull(t, remote.URL, "main")
	first.down.Store(false)
	d.origins[0].retryAt = time.Time{} // as when the time is over
	if got := wantHead(t, d, two); len(got.from) != 2 {
		t.Error("what is back is not used")
	}
	first.down.Store(true)
	second.down.Store(true)
	_, err := d.head(t.Context())
	var own *source.Error
	if !errors.As(err, &own) || own.Reason != source.Unreachable {
		t.Errorf("with nobody there: %v", err)
	}
	// Nobody is due now, so everybody is asked.
	second.down.Store(false)
	wantHead(t, d, two)
}

func TestFetchTurnsToTheNextOriginOfTheSameCommit(t *testing.T) {
	remote, one := childRepo(t, motd("x\n"))
	first, second := serveMirror(t, remote.URL), serveMirror(t, remote.URL)
	d := mirrored(t, nil, first, second)
	got := wantHead(t, d, one)
	first.down.Store(true)
	offer, err := d.fetch(t.Context(), got, source.Question{})
	if err != nil || offer.Remote.URL != second.url || offer.Tip.Commit != one {
		t.Errorf("fetch gave %+v, %v", offer, err)
	}
}

func TestMostAdvancedProvenCommitWins(t *testing.T) {
	remote, root := childRepo(t, motd("x\n"))
	work := remote.URL
	signer := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", signer).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	public, err := os.ReadFile(signer + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	allowed := filepath.Join(t.TempDir(), "allowed")
	if err := os.WriteFile(allowed, []byte("ada@example.org "+string(public)), 0o644); err != nil {
		t.Fatal(err)
	}
	sign := []string{"-c", "gpg.format=ssh", "-c", "user.signingKey=" + signer, "commit", "-q", "--allow-empty", "-S", "-m"}
	commit := func(args ...string) string {
		childGit(t, work, args...)
		return childGit(t, work, "rev-parse", "HEAD")
	}
	one, two := commit(append(sign, "one")...), commit(append(sign, "two")...)
	unsigned := commit("commit", "-q", "--allow-empty", "-m", "three, unsigned")
	childGit(t, work, "checkout", "-q", "-b", "other", root)
	parted := commit(append(sign, "another way")...)
	signed := func(c *Config) { c.Trust = Trust{Signatures: "ssh", AllowedSignersFile: allowed} }
	for _, row := range []struct {
		about         string
		change        func(*Config)
		first, second string
		prior         string
		want          string
		fault         string // of the one that is not taken
	}{
		{"the second is ahead", nil, one, two, "", two, ""},
		{"the first is ahead", nil, two, one, "", two, ""},
		{"they have parted: the first counts", nil, parted, two, "", parted, ""},
		{"they have parted, and only one continues from what was applied", nil, parted, two, one, two, "was rewritten"},
		{"the one ahead is not signed", signed, two, unsigned, "", two, "not signed"},
		{"the first is not signed", signed, unsigned, one, "", one, "not signed"},
		{"the first lags behind what was applied", nil, one, unsigned, two, unsigned, "was rewritten"},
		{"the second lacks the oldest that counts", func(c *Config) { c.Trust.MinimumCommit = two }, parted, unsigned, "", unsigned, "minimum_commit"},
	} {
		t.Run(row.about, func(t *testing.T) {
			first, second := serveMirror(t, work), serveMirror(t, work)
			first.pull(t, work, row.first)
			second.pull(t, work, row.second)
			d := mirrored(t, row.change, first, second)
			if row.prior != "" {
				d.host.Anchor = &Anchor{Commit: row.prior}
			}
			wantHead(t, d, row.want)
			for _, o := range d.board.read().Origins {
				if o.Commit != row.want && !strings.Contains(o.Error, row.fault) {
					t.Errorf("%s: the fault is %q, want %q in it", o.Repo, o.Error, row.fault)
				}
			}
			fetched := first.asked.Load() + second.asked.Load()
			wantHead(t, d, row.want)
			if n := first.asked.Load() + second.asked.Load() - fetched; n > 2 {
				t.Errorf("the second look asked %d times: the choice was forgotten", n)
			}
		})
	}
}

func TestNothingProvenIsAnError(t *testing.T) {
	remote, one := childRepo(t, motd("x\n"))
	first, second := serveMirror(t, remote.URL), serveMirror(t, remote.URL)
	childCommit(t, remote.URL)
	second.pull(t, remote.URL, "main")
	d := mirrored(t, func(c *Config) { c.Trust.MinimumCommit = strings.Repeat("1", 40) }, first, second)
	_, err := d.head(t.Context())
	var own *source.Error
	if !errors.As(err, &own) || own.Reason != source.TooOld || !strings.Contains(err.Error(), one) {
		t.Errorf("got %v", err)
	}
}

// What speaks with a server is not root, and neither is what reads from it; the
// credentials reach it although it could not open them.
func TestChildrenAreNotRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		return // then nothing is
	}
	remote, one := childRepo(t, motd("x\n"))
	server := serveMirror(t, remote.URL)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("only root reads this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := mirrored(t, func(c *Config) { c.Auth = Auth{Username: "ada", PasswordFile: secret, PlainHTTP: true} }, server)
	got := wantHead(t, d, one)
	if d.origins[0].looker.child == nil || d.origins[0].looker.direct != nil {
		t.Error("the look was made by this process")
	}
	offer, err := d.fetch(t.Context(), got, source.Question{})
	if err != nil {
		t.Fatal(err)
	}
	owners := map[uint32]bool{}
	err = filepath.WalkDir(offer.Dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			if a := ownerOf(path); a != nil {
				owners[a.uid] = true
			} else {
				t.Errorf("%s is root's", path)
			}
		}
		return err
	})
	fetcher, second := accountNamed(fetchUser)
	renderer, third := accountNamed(renderUser)
	if err := errors.Join(err, second, third); err != nil {
		t.Fatal(err)
	}
	if len(owners) != 1 || !owners[fetcher.uid] || fetcher.uid == renderer.uid {
		t.Errorf("the clone belongs to %v, the accounts are %+v and %+v", owners, fetcher, renderer)
	}
	reply, err := RenderChild(t.Context(), RenderRequest{Offer: offer})
	if err != nil || reply.Info.Hash != one {
		t.Errorf("rendering what was fetched: %+v, %v", reply.Info, err)
	}
}

func TestLookThatIsCancelledEndsAtOnce(t *testing.T) {
	hung := make(chan struct{})
	asked := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-hung:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hung)
	d := mirrored(t, nil, &mirrorServer{url: server.URL + "/r.git"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	began := time.Now()
	if _, err := d.head(ctx); !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "canceled") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if d.origins[0].failures != 0 {
		t.Error("the end of the daemon counts as a failure of the server")
	}
}

// TestDamagedCloneIsMadeAnewWhenACommitCannotBeRead: after a power cut in which the clone lost
// what it had fetched, each pass failed until somebody removed the clone.
func TestDamagedCloneIsMadeAnewWhenACommitCannotBeRead(t *testing.T) {
	files := motd("x\n")
	noise := make([]byte, 256<<10) // what is damaged is in the middle of the pack: in this file
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	files["roles/base/files/etc/noise"] = string(noise)
	remote, commit := childRepo(t, files)
	d := mirrored(t, nil, serveMirror(t, remote.URL))
	d.cfg.Host = "web-1"
	facts := manifest.Facts{Name: "web-1"}
	head := wantHead(t, d, commit)
	damage := func() {
		t.Helper()
		packs, err := filepath.Glob(filepath.Join(d.origins[0].dir, "gen-*", "objects", "pack", "*.pack"))
		if err != nil || len(packs) != 1 {
			t.Fatalf("the clone has the packs %v, %v", packs, err)
		}
		if err := os.Chmod(packs[0], 0o640); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(packs[0], os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(make([]byte, 64<<10), 128<<10); err != nil {
			t.Fatal(err)
		}
	}
	for _, seen := range []seen{head, head, {tip: source.Tip{Commit: commit}, from: d.origins, past: true}} {
		d.origins[0].unread = source.Tip{}
		reply, err := d.render(t.Context(), seen, facts)
		if err != nil || len(reply.Problems) > 0 || len(reply.Target.State.Paths) == 0 {
			t.Fatalf("render gave %+v, %v", reply.Problems, err)
		}
		damage()
	}
	// What is lost at the server as well is not fetched over and over.
	d.origins[0].unread = head.tip
	var failure *source.Error
	if _, err := d.render(t.Context(), head, facts); !errors.As(err, &failure) || failure.Reason != source.Garbage {
		t.Errorf("render gave %v", err)
	}
}
