package source

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// remotes are the ways to reach one repository.
func remotes(g *gitRepo) map[string]Remote {
	return map[string]Remote{
		"http":  g.serve(nil),
		"ssh":   g.sshd(),
		"local": {URL: g.bare, Branch: "main"},
		"file":  {URL: "file://" + g.work, Branch: "main"},
	}
}

func TestEveryWayGivesTheSameCommitAndTree(t *testing.T) {
	g := newGitRepo(t)
	g.write("etc/motd", "hello\n")
	g.write("bin/run", "#!/bin/sh\n")
	g.write("bin/raw", "\x00\xff binary")
	if err := os.Chmod(filepath.Join(g.work, "bin/run"), 0o755); err != nil {
		t.Fatal(err)
	}
	first := g.push("first: a subject\n\nand a body")
	for name, remote := range remotes(g) {
		t.Run(name, func(t *testing.T) {
			if head, err := Head(t.Context(), remote); err != nil || head != first {
				t.Fatalf("Head gave %q, %v; want %q", head, err, first)
			}
			dir := filepath.Join(t.TempDir(), "cache")
			if commit, err := fetchCommit(t.Context(), remote, dir); err != nil || commit != first {
				t.Fatalf("Fetch gave %q, %v; want %q", commit, err, first)
			}
			if name == "local" || name == "file" {
				if _, err := os.Stat(dir); err == nil {
					t.Error("a local repository was copied into the cache")
				}
				dir = remote.URL
				if name == "file" {
					dir = g.work
				}
			}
			checkFirst(t, dir, first)
		})
	}
}

func checkFirst(t *testing.T, dir, first string) {
	t.Helper()
	repo, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	info, err := repo.Commit(first)
	if err != nil || info.Subject != "first: a subject" || info.Author != "Ada" || info.When.Unix() != 1767323045 {
		t.Errorf("Commit gave %+v, %v", info, err)
	}
	tree, err := repo.Tree(first, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(tree, "etc/motd", "bin/run", "bin/raw"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]struct {
		mode    fs.FileMode
		content string
	}{
		"etc/motd": {0o644, "hello\n"},
		"bin/run":  {0o755, "#!/bin/sh\n"},
		"bin/raw":  {0o644, "\x00\xff binary"},
	} {
		content, err := fs.ReadFile(tree, name)
		info, second := fs.Stat(tree, name)
		if err != nil || second != nil || string(content) != want.content || info.Mode() != want.mode {
			t.Errorf("%s: content %q, mode %v, errors %v, %v; want %+v", name, content, info.Mode(), err, second, want)
		}
	}
	sub, err := repo.Tree(first, "/etc/")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(sub, "motd"); err != nil {
		t.Error(err)
	}
}

func TestSixtyPushesStayBoundedOnDisk(t *testing.T) {
	g := newGitRepo(t)
	for i := range 100 {
		g.write(fmt.Sprintf("files/%d", i), fmt.Sprintf("file %d\n", i))
	}
	g.push("many files")
	remote, dir := g.serve(nil), filepath.Join(t.TempDir(), "cache")
	var most int64
	for i := range 60 {
		g.write("changing", fmt.Sprintf("version %d\n", i))
		want := g.push(fmt.Sprintf("change %d", i))
		got, err := fetchCommit(t.Context(), remote, dir)
		if err != nil || got != want {
			t.Fatalf("push %d: Fetch gave %q, %v; want %q", i, got, err, want)
		}
		most = max(most, diskUse(t, dir))
	}
	if most > 1<<20 {
		t.Errorf("the cache grew to %d bytes", most)
	}
	generations, _ := filepath.Glob(filepath.Join(dir, "*"))
	packs, _ := filepath.Glob(filepath.Join(dir, "gen-*", "objects", "pack", "*.pack"))
	if len(generations) != 1 || len(packs) > maxPacks {
		t.Errorf("the cache holds %v with %d packs; want one generation and at most %d packs", generations, len(packs), maxPacks)
	}
	if filepath.Base(generations[0]) != "gen-2" {
		t.Errorf("the generation is %s; 61 fetches need the second", generations[0])
	}
	shallow, err := os.ReadFile(filepath.Join(generations[0], "shallow"))
	if err == nil && len(shallow) > 10*41 {
		t.Errorf("the shallow file has %d bytes: old marks are kept", len(shallow))
	}
}

func diskUse(t *testing.T, dir string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		total += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func TestDamagedCacheIsMadeAnew(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "one\n")
	g.push("one")
	remote := g.serve(nil)
	damage := map[string]func(gen string) error{
		"the packs are gone": func(gen string) error { return os.RemoveAll(filepath.Join(gen, "objects/pack")) },
		"the packs are empty": func(gen string) error {
			packs, err := filepath.Glob(filepath.Join(gen, "objects/pack/*"))
			for _, pack := range packs {
				os.Chmod(pack, 0o600)
				if err := os.Truncate(pack, 0); err != nil {
					return err
				}
			}
			return err
		},
		"the ref is empty":        func(gen string) error { return os.Truncate(filepath.Join(gen, tracked), 0) },
		"the ref is gone":         func(gen string) error { return os.Remove(filepath.Join(gen, tracked)) },
		"the config is broken":    func(gen string) error { return os.WriteFile(filepath.Join(gen, "config"), []byte("[[["), 0o600) },
		"the whole cache is gone": func(gen string) error { return os.RemoveAll(filepath.Dir(gen)) },
		"a clone was interrupted": func(gen string) error { return os.Rename(gen, filepath.Join(filepath.Dir(gen), "new-123")) },
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			want, err := fetchCommit(t.Context(), remote, dir)
			if err != nil {
				t.Fatal(err)
			}
			gen, _ := generations{dir}.current()
			if err := harm(gen); err != nil {
				t.Fatal(err)
			}
			got, err := fetchCommit(t.Context(), remote, dir)
			if err != nil || got != want {
				t.Fatalf("Fetch gave %q, %v; want %q", got, err, want)
			}
			repo, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer repo.Close()
			if _, err := repo.Tree(got, ""); err != nil {
				t.Error(err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
				t.Errorf("the cache holds %v", left)
			}
		})
	}
}

func TestAncestry(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "0\n")
	root := g.push("root")
	for name, remote := range map[string]Remote{"http": g.serve(nil), "ssh": g.sshd()} {
		t.Run(name, func(t *testing.T) {
			g.run(g.work, "reset", "-q", "--hard", root)
			g.write("a", name)
			old := g.push("old")
			dir := filepath.Join(t.TempDir(), "cache")
			expect := func(old string, want Ancestry) {
				t.Helper()
				commit, err := fetchCommit(t.Context(), remote, dir)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := relate(t, remote, dir, old, commit); err != nil || got != want {
					t.Fatalf("the ancestry is %q, %v; want %q", got, err, want)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 2 {
					t.Errorf("the cache holds %v", left)
				}
			}
			expect(old, Same)
			g.write("a", "2\n")
			g.push("next")
			expect(old, Forward)
			g.pushMany(300) // far beyond the window of what is fetched
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			expect(old, Forward)
			g.run(g.work, "reset", "-q", "--hard", root)
			g.write("b", name)
			g.push("another history")
			expect(old, Diverged)
			g.pushMany(300)
			expect(old, Diverged)
		})
	}
}

func TestAncestryWithServerSideFilter(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "0\n")
	old := g.push("old")
	head := g.pushMany(200)
	g.run(g.bare, "config", "uploadpack.allowFilter", "true")
	remote, dir := g.serve(nil), filepath.Join(t.TempDir(), "cache")
	if _, err := fetchCommit(t.Context(), remote, dir); err != nil {
		t.Fatal(err)
	}
	repo, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	if got, err := repo.Ancestry(old, head); err != nil || got != Unknown {
		t.Errorf("the window alone gave %q, %v; want %q", got, err, Unknown)
	}
	if got, err := relate(t, remote, dir, old, head); err != nil || got != Forward {
		t.Errorf("with the server's help it is %q, %v; want %q", got, err, Forward)
	}
}

// relate is the ancestry with the server's help.
func relate(t *testing.T, remote Remote, dir, old, commit string) (Ancestry, error) {
	t.Helper()
	if err := Reach(t.Context(), remote, dir, Tip{Commit: commit}, Question{Old: []string{old}}); err != nil {
		return Unknown, err
	}
	repo, err := Open(dir)
	if err != nil {
		return Unknown, err
	}
	defer repo.Close()
	return repo.Ancestry(old, commit)
}

func TestLinkedWorkTreeAndSharedClone(t *testing.T) {
	g := newGitRepo(t)
	g.write("a", "shared\n")
	want := g.push("one")
	linked, shared := filepath.Join(g.home, "linked"), filepath.Join(g.home, "shared")
	g.run(g.work, "worktree", "add", "-q", "-b", "side", linked)
	g.run(g.home, "clone", "-q", "--shared", g.bare, shared)
	for path, branch := range map[string]string{linked: "side", shared: "main"} {
		if got, err := Head(t.Context(), Remote{URL: path, Branch: branch}); err != nil || got != want {
			t.Errorf("%s: Head gave %q, %v; want %q", path, got, err, want)
		}
		repo, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer repo.Close()
		tree, err := repo.Tree(want, "")
		if err != nil {
			t.Fatal(err)
		}
		if content, err := fs.ReadFile(tree, "a"); err != nil || string(content) != "shared\n" {
			t.Errorf("%s: content %q, %v", path, content, err)
		}
	}
}
