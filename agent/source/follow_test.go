package source

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// oldServer is a server that knows protocol v0 only.
func oldServer(git http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Git-Protocol")
		git.ServeHTTP(w, r)
	})
}

// protocols are the ways to a server that differ in what is spoken there.
func protocols(g *gitRepo) map[string]Remote {
	return map[string]Remote{"http, v2": g.serve(nil), "http, v0": g.serve(oldServer), "ssh": g.sshd(), "local": {URL: g.bare}}
}

func TestTagIsFollowedToItsCommit(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "one\n")
	first := g.push("one")
	g.run(g.work, "tag", "-a", "-m", "annotated", "prod")
	g.run(g.work, "tag", "light")
	g.write("a", "two\n")
	second := g.push("two")
	g.run(g.work, "tag", "-a", "-m", "a tag of a tag", "nested", "prod")
	g.run(g.work, "push", "-q", "origin", "--tags")
	for name, remote := range protocols(g) {
		t.Run(name, func(t *testing.T) {
			remote.Branch = ""
			dir := filepath.Join(t.TempDir(), "cache")
			follow := func(tag, want, object string) {
				t.Helper()
				remote.Tag = tag
				p := NewPoller(remote)
				defer p.Close()
				expected := Tip{Commit: want, Tag: object}
				if seen, err := p.Tip(t.Context()); err != nil || seen != expected {
					t.Errorf("%s: Tip gave %+v, %v; want %+v", tag, seen, err, expected)
				}
				if got, err := Fetch(t.Context(), remote, dir); err != nil || got != expected {
					t.Fatalf("%s: Fetch gave %+v, %v; want %+v", tag, got, err, expected)
				}
				repo, err := OpenFetched(remote, dir)
				if err != nil {
					t.Fatal(err)
				}
				defer repo.Close()
				if _, err := repo.Tree(want, ""); err != nil {
					t.Error(err)
				}
			}
			follow("light", first, "")
			follow("prod", first, g.run(g.work, "rev-parse", "prod"))
			g.run(g.work, "tag", "-f", "-a", "-m", "moved", "prod", second)
			g.run(g.work, "push", "-q", "-f", "origin", "prod")
			follow("prod", second, g.run(g.work, "rev-parse", "prod"))
			g.run(g.work, "tag", "-f", "-a", "-m", "annotated", "prod", first)
			g.run(g.work, "push", "-q", "-f", "origin", "prod")
			remote.Tag = "gone"
			_, err := Fetch(t.Context(), remote, dir)
			if said := wantReason(t, err, NoBranch); !strings.Contains(said, `tag "gone"`) {
				t.Errorf("the text is %q", said)
			}
			remote.Tag = "nested"
			_, err = Fetch(t.Context(), remote, dir)
			wantReason(t, err, Garbage)
		})
	}
}

func TestOneCommitIsFollowed(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "one\n")
	first := g.push("one")
	g.write("a", "two\n")
	second := g.push("two")
	for name, remote := range protocols(g) {
		t.Run(name, func(t *testing.T) {
			remote.Branch = ""
			for _, commit := range []string{first, second} {
				remote.Commit = commit
				dir := filepath.Join(t.TempDir(), "cache")
				if head, err := Head(t.Context(), remote); err != nil || head != commit {
					t.Errorf("Head gave %q, %v", head, err)
				}
				got, err := fetchCommit(t.Context(), remote, dir)
				if err != nil || got != commit {
					t.Errorf("Fetch gave %q, %v; want %q", got, err, commit)
				}
			}
			remote.Commit = strings.Repeat("1", 40)
			if name == "local" {
				return // who opens it says that it is missing
			}
			_, err := fetchCommit(t.Context(), remote, filepath.Join(t.TempDir(), "cache"))
			if err == nil {
				t.Fatal("a commit that nobody has was fetched")
			}
			t.Log(err)
			if said := err.Error(); strings.Contains(said, "not our ref") && !strings.Contains(said, "no such commit") {
				t.Errorf("the text %q does not say what it means", said)
			}
		})
	}
}

func TestOldServersAreFetchedFromToo(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "one\n")
	g.push("one")
	remote, dir := g.serve(oldServer), filepath.Join(t.TempDir(), "cache")
	for i := range 3 {
		g.write("a", strings.Repeat("x", i))
		want := g.push("next")
		if head, err := Head(t.Context(), remote); err != nil || head != want {
			t.Errorf("Head gave %q, %v; want %q", head, err, want)
		}
		if got, err := fetchCommit(t.Context(), remote, dir); err != nil || got != want {
			t.Fatalf("Fetch gave %q, %v; want %q", got, err, want)
		}
	}
}

// A real repository with SHA-256 names, behind a real server.
func TestRepositoryWithSHA256NamesIsNamedAsSuch(t *testing.T) {
	g := newGitRepo(t)
	g.bare = filepath.Join(g.home, "srv", "repo256.git")
	g.run(g.home, "init", "-q", "--bare", "-b", "main", "--object-format=sha256", g.bare)
	tree := g.feed(g.bare, nil, "mktree")
	g.run(g.bare, "update-ref", "refs/heads/main", g.run(g.bare, "commit-tree", "-m", "x", tree))
	for name, remote := range map[string]Remote{"v2": g.serve(nil), "v0": g.serve(oldServer)} {
		remote.URL = strings.Replace(remote.URL, "/repo.git", "/repo256.git", 1)
		_, err := Head(t.Context(), remote)
		if said := wantReason(t, err, Garbage); !strings.Contains(said, "SHA-1") {
			t.Errorf("%s: the text %q does not say what to do", name, said)
		}
	}
}
