package source

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rawEntry is one entry of a tree object as bytes, so that names are possible
// that git would not write.
type rawEntry struct{ mode, name, hash string }

// rawCommit writes a tree object byte for byte and a commit of it.
func (g *gitRepo) rawCommit(entries ...rawEntry) string {
	g.t.Helper()
	var tree bytes.Buffer
	for _, e := range entries {
		hash, err := hex.DecodeString(e.hash)
		if err != nil {
			g.t.Fatal(err)
		}
		fmt.Fprintf(&tree, "%s %s\x00%s", e.mode, e.name, hash)
	}
	object := g.feed(g.bare, tree.Bytes(), "hash-object", "-t", "tree", "--literally", "-w", "--stdin")
	return g.commitTree(object)
}

func (g *gitRepo) commitTree(tree string) string {
	g.t.Helper()
	return g.run(g.bare, "commit-tree", "-m", "raw", tree)
}

func (g *gitRepo) rawBlob(content string) string {
	g.t.Helper()
	return g.feed(g.bare, []byte(content), "hash-object", "-w", "--stdin")
}

func TestHostileNamesAndKinds(t *testing.T) {
	g := newGitRepo(t)
	blob := g.rawBlob("x\n")
	pointer := g.rawBlob("version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("a", 64) + "\nsize 12345\n")
	big := g.rawBlob(strings.Repeat("x", 1<<20+1))
	gone := strings.Repeat("1", 40)
	for name, row := range map[string]struct {
		entry rawEntry
		want  string
	}{
		"dot":                     {rawEntry{"100644", ".", blob}, "not allowed"},
		"dot dot":                 {rawEntry{"100644", "..", blob}, "not allowed"},
		"an absolute path":        {rawEntry{"100644", "/etc/passwd", blob}, "slash"},
		"a path":                  {rawEntry{"100644", "a/b", blob}, "slash"},
		"a newline":               {rawEntry{"100644", "a\nb", blob}, "control"},
		"an escape sequence":      {rawEntry{"100644", "a\x1b[2Jb", blob}, "control"},
		"not UTF-8":               {rawEntry{"100644", "a\xff", blob}, "UTF-8"},
		"a name that is too long": {rawEntry{"100644", strings.Repeat("n", 241), blob}, "241 bytes"},
		"a name that is there":    {rawEntry{"100644", "fine", blob}, "twice"},
		"a symbolic link":         {rawEntry{"120000", "link", blob}, "symbolic link"},
		"a submodule":             {rawEntry{"160000", "sub", gone}, "submodule"},
		"an LFS pointer":          {rawEntry{"100644", "large.bin", pointer}, "LFS"},
		"a file that is too big":  {rawEntry{"100644", "big", big}, "1048577 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			commit := g.rawCommit(rawEntry{"100644", "fine", blob}, row.entry)
			faults := treeFaults(t, g, commit, "")
			if len(faults) != 1 || !strings.Contains(faults[0].Message, row.want) {
				t.Fatalf("got %+v, want one fault with %q", faults, row.want)
			}
			if strings.ContainsAny(faults[0].Path, "\n\x1b\x00") {
				t.Errorf("the path %q would reach a terminal", faults[0].Path)
			}
		})
	}
}

// treeFaults opens the bare repository and gives what is wrong with a tree.
func treeFaults(t *testing.T, g *gitRepo, commit, path string) []Fault {
	t.Helper()
	repo, err := Open(g.bare)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	tree, err := repo.Tree(commit, path)
	faulty, is := err.(*TreeError)
	if !is {
		t.Fatalf("Tree gave %v, %v; want a *TreeError", tree, err)
	}
	return faulty.Faults
}

func TestAllFaultsAtOnceAndSorted(t *testing.T) {
	g := newGitRepo(t)
	blob := g.rawBlob("x\n")
	sub := g.run(g.bare, "rev-parse", g.rawCommit(rawEntry{"120000", "z", blob}, rawEntry{"100644", "..", blob})+"^{tree}")
	commit := g.rawCommit(rawEntry{"120000", "link", blob}, rawEntry{"40000", "dir", sub}, rawEntry{"160000", "a", blob})
	var got []string
	for _, f := range treeFaults(t, g, commit, "") {
		got = append(got, f.Path)
	}
	if want := "a dir/.. dir/z link"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLimitsOfATree(t *testing.T) {
	g := newGitRepo(t)
	blob := g.rawBlob("x\n")
	tree := g.run(g.bare, "rev-parse", g.rawCommit(rawEntry{"100644", "f", blob})+"^{tree}")
	for range 40 {
		tree = g.run(g.bare, "rev-parse", g.rawCommit(rawEntry{"40000", "d", tree})+"^{tree}")
	}
	if faults := treeFaults(t, g, g.commitTree(tree), ""); len(faults) != 1 || !strings.Contains(faults[0].Message, "deeper than 32") {
		t.Errorf("a deep tree gave %+v", faults)
	}
	// Ten directories of ten directories, eight times: a hundred million files in nine objects.
	tree = g.run(g.bare, "rev-parse", g.rawCommit(rawEntry{"100644", "f", blob})+"^{tree}")
	for range 8 {
		var ten []rawEntry
		for i := range 10 {
			ten = append(ten, rawEntry{"40000", fmt.Sprint("d", i), tree})
		}
		tree = g.run(g.bare, "rev-parse", g.rawCommit(ten...)+"^{tree}")
	}
	bomb := g.commitTree(tree)
	if faults := treeFaults(t, g, bomb, ""); len(faults) != 1 || !strings.Contains(faults[0].Message, "more than 20000 entries") {
		t.Errorf("a bomb gave %+v", faults)
	}
	g.run(g.bare, "update-ref", "refs/heads/main", bomb)
	if got, err := fetchCommit(t.Context(), g.serve(nil), filepath.Join(t.TempDir(), "cache")); err != nil || got != bomb {
		t.Errorf("fetching a bomb gave %q, %v", got, err)
	}
}

func TestMissingObjectsAreErrorsAndNeverAnEmptyDirectory(t *testing.T) {
	g := newGitRepo(t)
	blob := g.rawBlob("x\n")
	gone := strings.Repeat("1", 40)
	for name, entry := range map[string]rawEntry{
		"a subtree that is not there": {"40000", "dir", gone},
		"a file that is not there":    {"100644", "file", gone},
		"a directory that is a file":  {"40000", "dir", blob},
	} {
		commit := g.rawCommit(rawEntry{"100644", "a", blob}, entry)
		repo, err := Open(g.bare)
		if err != nil {
			t.Fatal(err)
		}
		_, err = repo.Tree(commit, "")
		t.Log(name, wantReason(t, err, Garbage))
		repo.Close()
	}
}

func TestPathsInsideTheRepository(t *testing.T) {
	g := newGitRepo(t)
	g.write("sites/one/fleet.yaml", "hosts: []\n")
	commit := g.push("one")
	repo, err := Open(g.bare)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	for _, path := range []string{"sites/one", "/sites/one/", "./sites//one"} {
		tree, err := repo.Tree(commit, path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fs.Stat(tree, "fleet.yaml"); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"sites/two", "sites/one/fleet.yaml", "..", "sites/../.."} {
		if faults := treeFaults(t, g, commit, path); len(faults) != 1 {
			t.Errorf("%s: got %+v", path, faults)
		}
	}
}

func TestCorruptObjectIsNoticed(t *testing.T) {
	g := newGitRepo(t)
	right, wrong := g.rawBlob("right\n"), g.rawBlob("wrong\n")
	commit := g.rawCommit(rawEntry{"100644", "file", right})
	path := func(hash string) string { return filepath.Join(g.bare, "objects", hash[:2], hash[2:]) }
	content, err := os.ReadFile(path(wrong))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path(right)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path(right), content, 0o444); err != nil {
		t.Fatal(err)
	}
	repo, err := Open(g.bare)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	tree, err := repo.Tree(commit, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(tree, "file"); err == nil {
		t.Errorf("a changed file was served: %q", got)
	}
}

func TestUnreadableFormats(t *testing.T) {
	for name, args := range map[string][]string{
		"objectformat": {"config", "extensions.objectFormat", "sha256"},
		"refstorage":   {"config", "extensions.refStorage", "reftable"},
	} {
		g := newGitRepo(t)
		g.push("one")
		g.run(g.bare, args...)
		_, err := Head(t.Context(), Remote{URL: g.bare, Branch: "main"})
		if said := wantReason(t, err, Garbage); !strings.Contains(said, "convert") {
			t.Errorf("%s: the text %q does not say what to do", name, said)
		}
	}
}
