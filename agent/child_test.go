package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/manifest"
	"evenkeel/agent/source"
)

// childRepo makes a real repository with one commit of the given files.
func childRepo(t *testing.T, files map[string]string) (remote source.Remote, commit string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	childGit(t, dir, "init", "-q", "-b", "main")
	return source.Remote{URL: dir, Branch: "main"}, childCommit(t, dir)
}

func childCommit(t *testing.T, dir string) string {
	t.Helper()
	childGit(t, dir, "add", "-A")
	childGit(t, dir, "commit", "-q", "--allow-empty", "-m", "a change")
	return childGit(t, dir, "rev-parse", "HEAD")
}

func childGit(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=a@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// motd is a repository whose only role renders one template.
func motd(template string) map[string]string {
	return map[string]string{
		"fleet.yaml":                     "hosts:\n  - match: web-*\n    roles: [base]\n",
		"roles/base/files/etc/motd.tmpl": template,
	}
}

// cloneDir is a place for a clone that the accounts of the children can reach.
func cloneDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "clone")
}

func renderRequest(remote source.Remote, commit string) RenderRequest {
	return RenderRequest{Offer: Offer{Remote: remote, Tip: source.Tip{Commit: commit}}, Facts: manifest.Facts{Name: "web-1"}}
}

func TestChildrenFetchAndRender(t *testing.T) {
	remote, commit := childRepo(t, motd("I am {{ .facts.name }}\n"))
	fetched, err := FetchChild(t.Context(), FetchRequest{Remote: remote, Dir: cloneDir(t), About: source.Question{Old: []string{commit}}})
	if err != nil || fetched.Commit != commit {
		t.Fatalf("FetchChild gave %+v, %v", fetched, err)
	}
	reply, err := RenderChild(t.Context(), renderRequest(remote, commit))
	if err != nil || len(reply.Problems) > 0 || reply.Target == nil {
		t.Fatalf("RenderChild gave problems %v, error %v", reply.Problems, err)
	}
	file := reply.Target.State.Paths["/etc/motd"]
	if got := string(reply.Target.Content[file.Digest]); got != "I am web-1\n" {
		t.Errorf("/etc/motd is %q", got)
	}
	if reply.Target.Commit != commit || reply.Info.Subject != "a change" {
		t.Errorf("target of %q, info %+v", reply.Target.Commit, reply.Info)
	}
}

func TestProblemsOfTheTreeAndOfTheManifestComeBack(t *testing.T) {
	files := motd("{{ .vars.missing }}\n")
	remote, commit := childRepo(t, files)
	reply, err := RenderChild(t.Context(), renderRequest(remote, commit))
	if err != nil || reply.Target != nil || len(reply.Problems) == 0 || reply.Problems[0].File != "roles/base/files/etc/motd.tmpl" {
		t.Errorf("a missing key gave problems %v, error %v", reply.Problems, err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(remote.URL, "roles/base/files/etc/link")); err != nil {
		t.Fatal(err)
	}
	reply, err = RenderChild(t.Context(), renderRequest(remote, childCommit(t, remote.URL)))
	if err != nil || len(reply.Problems) != 1 || reply.Problems[0].File != "roles/base/files/etc/link" {
		t.Errorf("a symbolic link gave problems %v, error %v", reply.Problems, err)
	}
}

func TestReasonsSurviveThePipe(t *testing.T) {
	remote, commit := childRepo(t, motd("x\n"))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	fetch := func(remote source.Remote) error {
		_, err := FetchChild(t.Context(), FetchRequest{Remote: remote, Dir: cloneDir(t)})
		return err
	}
	render := func(change func(*RenderRequest)) error {
		r := renderRequest(remote, commit)
		change(&r)
		_, err := RenderChild(t.Context(), r)
		return err
	}
	childGit(t, remote.URL, "checkout", "-q", "--orphan", "other")
	if err := os.Remove(filepath.Join(remote.URL, "fleet.yaml")); err != nil {
		t.Fatal(err)
	}
	other := childCommit(t, remote.URL)
	for name, row := range map[string]struct {
		err  error
		want source.Reason
	}{
		"nobody listens":                  {fetch(source.Remote{URL: "http://" + closed.Addr().String() + "/r.git", Branch: "main"}), source.Unreachable},
		"the branch is gone":              {fetch(source.Remote{URL: remote.URL, Branch: "gone"}), source.NoBranch},
		"the commit is not there":         {render(func(r *RenderRequest) { r.Offer.Tip.Commit = strings.Repeat("1", 40) }), source.Garbage},
		"the prior commit is no ancestor": {render(func(r *RenderRequest) { r.Trust.Prior = other }), source.Rewritten},
	} {
		var own *source.Error
		if !errors.As(row.err, &own) || own.Reason != row.want {
			t.Errorf("%s: got %v, want reason %q", name, row.err, row.want)
		}
	}
	if err := render(func(r *RenderRequest) { r.Trust = Proof{Prior: other, AllowRewrite: true} }); err != nil {
		t.Errorf("a rewritten branch that the host allows: %v", err)
	}
}

// The bounds of package manifest end these long before the child's own limits do:
// the answer is a fault with a line, not a child that was killed.
func TestHostileTemplatesEndAtTheLimits(t *testing.T) {
	for name, template := range map[string]string{
		"a template that doubles a string for ever": `{{ define "x" }}{{ template "x" (print . .) }}{{ end }}{{ template "x" "0123456789abcdef" }}`,
		"a template that never ends":                `{{ range 1000000000 }}{{ range 1000000000 }}{{ end }}{{ end }}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			remote, commit := childRepo(t, motd(template))
			reply, err := RenderChild(t.Context(), renderRequest(remote, commit))
			if err != nil || len(reply.Problems) != 1 || reply.Problems[0].Line == 0 {
				t.Errorf("got %v, %v; want one fault in a line of the template", reply.Problems, err)
			}
		})
	}
}

// Whatever gets past those bounds, here because they were lifted, ends the child
// and never the daemon.
func TestChildEndsAtItsLimits(t *testing.T) {
	for name, row := range map[string]struct{ template, want string }{
		"a template that doubles a string for ever": {
			`{{ define "x" }}{{ template "x" (print . .) }}{{ end }}{{ template "x" "0123456789abcdef" }}`, "memory"},
		"a template that never ends": {
			`{{ range 1000000000 }}{{ range 1000000000 }}{{ end }}{{ end }}`, "time"}, // on a busy machine the clock is first
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			remote, commit := childRepo(t, motd(row.template))
			request := renderRequest(remote, commit)
			request.Options.Limits = manifest.Limits{FileBytes: 1 << 50, TotalBytes: 1 << 50}
			_, err := RenderChild(t.Context(), request)
			var died *ChildError
			if !errors.As(err, &died) || !strings.Contains(err.Error(), row.want) && !strings.Contains(err.Error(), "longer than") || !strings.Contains(err.Error(), commit) {
				t.Errorf("got %v, want a ChildError about %s", err, row.want)
			}
		})
	}
}

func TestChildIsKilledWhenTheContextEnds(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	gone := make(chan error, 1)
	go func() {
		conn, err := silent.Accept()
		if err != nil {
			gone <- err
			return
		}
		defer conn.Close()
		io.ReadAtLeast(conn, make([]byte, 1), 1)
		cancel() // the child is in the middle of its question
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err = io.Copy(io.Discard, conn)
		gone <- err
	}()
	_, err = FetchChild(ctx, FetchRequest{
		Remote: source.Remote{URL: "http://" + silent.Addr().String() + "/r.git", Branch: "main"}, Dir: cloneDir(t),
	})
	silent.Close() // so that nobody waits for a question that never came
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if err := <-gone; errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the child lives on")
	}
}

func TestChildMainLeavesOtherArgumentsAlone(t *testing.T) {
	for _, args := range [][]string{nil, {"run"}, {"child-fetch", "x"}, {"child-other"}} {
		if handled, _ := ChildMain(args, strings.NewReader(""), io.Discard); handled {
			t.Errorf("%q was taken for a child", args)
		}
	}
}

// io.Copy, with which os/exec fills it, must not find a way around the limit.
func TestBoundedKeepsItsLimitUnderCopy(t *testing.T) {
	for _, row := range []struct {
		about   string
		max     int
		written int
		kept    int
		over    bool
		err     error
	}{
		{"what fits is kept whole", 100, 100, 100, false, nil},
		{"a byte more ends the copy", 100, 101, 100, true, errOverflow},
		{"so does very much more", 100, 1_000_000, 100, true, errOverflow},
		{"stderr is cut off, and read to its end", maxChildStderr, 1_000_000, maxChildStderr, true, nil},
	} {
		b := &bounded{max: row.max}
		// A reader and nothing else, as a pipe is: strings.Reader has a WriteTo.
		from := io.LimitReader(strings.NewReader(strings.Repeat("x", row.written)), int64(row.written))
		if _, err := io.Copy(b, from); !errors.Is(err, row.err) {
			t.Errorf("%s: error %v, want %v", row.about, err, row.err)
		}
		if b.kept.Len() != row.kept || b.over != row.over {
			t.Errorf("%s: %d bytes kept, over %t; want %d, %t", row.about, b.kept.Len(), b.over, row.kept, row.over)
		}
	}
}

func TestValidatorsChildAnswersItself(t *testing.T) {
	// Without mounts and a scratch directory of its own it refuses to begin.
	cmd := childCommand(t.Context(), childValidate, job{})
	cmd.Stdin = strings.NewReader("{}")
	out, err := cmd.Output()
	var reply struct{ Failure string }
	if err == nil {
		err = json.Unmarshal(out, &reply)
	}
	if err != nil || reply.Failure == "" {
		t.Errorf("got %v, %q, want a reply that says what failed", err, out)
	}
}

func TestBrokenRequestIsAPlainError(t *testing.T) {
	cmd := childCommand(t.Context(), "child-render", job{})
	cmd.Stdin = strings.NewReader("{")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitChildFailed || strings.Contains(string(out), "goroutine") {
		t.Errorf("got %v, %q", err, out)
	}
	if fmt.Sprint(cmd.Env) == fmt.Sprint(os.Environ()) {
		t.Error("the child got the daemon's environment")
	}
}
