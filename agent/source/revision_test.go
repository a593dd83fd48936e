package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every answer is compared with that of git itself.
func TestResolveAnswersAsGitDoes(t *testing.T) {
	g := newGitRepo(t)
	g.write("sub/dir/fleet.yaml", "hosts: []\n")
	g.push("first")
	g.run(g.work, "tag", "light")
	g.run(g.work, "tag", "-a", "-m", "x", "heavy")
	g.run(g.work, "checkout", "-q", "-b", "feature/x")
	g.write("a", "a")
	g.run(g.work, "add", "-A")
	g.run(g.work, "commit", "-q", "-m", "on the branch")
	g.run(g.work, "checkout", "-q", "main")
	g.push("second")
	g.run(g.work, "merge", "-q", "--no-ff", "-m", "merge", "feature/x")
	g.run(g.work, "fetch", "-q", "origin")
	g.run(g.work, "remote", "set-head", "origin", "main")
	g.run(g.work, "pack-refs", "--all")
	linked := filepath.Join(g.home, "linked")
	g.run(g.work, "worktree", "add", "-q", linked, "feature/x")
	g.run(g.work, "checkout", "-q", "--detach", "main~1")

	for _, dir := range []string{g.work, linked, filepath.Join(g.work, "sub", "dir")} {
		w, err := OpenAround(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, revision := range []string{
			"HEAD", "@", "HEAD~1", "main", "main~1", "main^", "main^2", "main^0", "main~1^", "main^2~1", "heavy", "light", "heavy~0",
			"feature/x", "heads/feature/x", "refs/heads/main", "tags/heavy", "origin/main", "origin", "main~~",
			g.run(g.work, "rev-parse", "main"), g.run(g.work, "rev-parse", "--short", "main"), g.run(g.work, "rev-parse", "main")[:9],
			strings.ToUpper(g.run(g.work, "rev-parse", "main")[:9]),
		} {
			if revision == "HEAD~1" && g.run(dir, "rev-list", "--count", "HEAD") == "1" {
				continue
			}
			want := g.run(dir, "rev-parse", revision+"^{commit}")
			if got, err := w.Resolve(revision); err != nil || got != want {
				t.Errorf("in %s: %s is %q (%v), git says %s", dir, revision, got, err, want)
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	w, err := OpenAround(filepath.Join(g.work, "sub", "dir"))
	if err != nil || w.Sub != filepath.Join("sub", "dir") {
		t.Errorf("the directory is %q (%v)", w.Sub, err)
	}
}

func TestResolveRefuses(t *testing.T) {
	g := newGitRepo(t)
	g.write("fleet.yaml", "hosts: []\n")
	g.push("first")
	tree := g.run(g.work, "rev-parse", "HEAD^{tree}")
	w, err := OpenAround(g.work)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ revision, want string }{
		{"gone", `cannot find the revision "gone": no branch, tag or commit has this name here`},
		{"", `cannot find the revision "": that is no name of a commit`},
		{"../x", `cannot find the revision "../x": that is no name of a commit`},
		{"/etc/passwd", `cannot find the revision "/etc/passwd": that is no name of a commit`},
		{"main..HEAD", `cannot find the revision "main..HEAD": that is no name of a commit`},
		{"abc", `cannot find the revision "abc": no branch, tag or commit has this name here`},
		{tree, `cannot find the revision "` + tree + `": "` + tree + `" is a tree and not a commit`},
		{tree[:10], `cannot find the revision "` + tree[:10] + `": no branch, tag or commit has this name here`},
		{strings.Repeat("a", 40), `cannot find the revision "` + strings.Repeat("a", 40) + `": object "` + strings.Repeat("a", 40) + `" is missing`},
		{"HEAD~1", `has only 0 parents`},
		{"HEAD^2", `has only 0 parents`},
		{"HEAD~99999999999999999999", `~99999999999999999999 goes too far back`},
	} {
		hash, err := w.Resolve(row.revision)
		var own *Error
		if !errors.As(err, &own) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q gave %q, %v, want %s", row.revision, hash, err, row.want)
		}
	}
}

func TestOpenAroundNeedsARepository(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenAround(dir); err == nil || !strings.Contains(err.Error(), "there is no Git repository") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".git"), []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAround(dir); err == nil {
		t.Error("a .git that says nothing was opened")
	}
}
