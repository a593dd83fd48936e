package manifest

import (
	"bytes"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"evenkeel/agent/plan"
)

// TestContentsAreThoseOfTheTarget: of each file of each good golden case, alone.
func TestContentsAreThoseOfTheTarget(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, file := range cases {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := readCase(t, archive)
		target, err := Load(c.tree, c.facts, c.opts)
		if err != nil {
			continue
		}
		for p, at := range target.State.Paths {
			if at.Kind != plan.File {
				continue
			}
			files++
			got, err := Contents(c.tree, c.facts, c.opts, []string{p})
			if err != nil || len(got) != 1 || !bytes.Equal(got[at.Digest], target.Content[at.Digest]) {
				t.Errorf("%s: %s has %q, %v, and in the target %q", file, p, got, err, target.Content[at.Digest])
			}
		}
		all, err := Contents(c.tree, c.facts, c.opts, slices.Collect(maps.Keys(target.State.Paths)))
		if err != nil || !maps.EqualFunc(all, target.Content, bytes.Equal) {
			t.Errorf("%s: all together have %q, %v, and in the target %q", file, all, err, target.Content)
		}
	}
	if files < 50 {
		t.Errorf("only %d files were compared", files)
	}
}

// reading is a tree that knows which files were read.
type reading struct {
	fs.FS
	read []string
}

func (r *reading) ReadFile(name string) ([]byte, error) {
	r.read = append(r.read, name)
	return fs.ReadFile(r.FS, name)
}

// TestContentsReadNoOtherFile: a commit may have very many.
func TestContentsReadNoOtherFile(t *testing.T) {
	tree := &reading{FS: fstest.MapFS{
		"fleet.yaml":                    {Data: []byte("hosts:\n  - match: web-*\n    roles: [base]\n")},
		"roles/base/files/etc/one":      {Data: []byte("1")},
		"roles/base/files/etc/two.tmpl": {Data: []byte("{{ .facts.name }}")},
		"roles/base/units/app.service":  {Data: []byte("[Service]\nExecStart=/bin/true\n")},
	}}
	got, err := Contents(tree, someFacts(), Options{}, []string{"/etc/two", "/etc/nowhere"})
	if err != nil || len(got) != 1 || string(got[plan.DigestKey(nil).Digest([]byte("web-1"))]) != "web-1" {
		t.Errorf("they are %q, %v", got, err)
	}
	if want := []string{"fleet.yaml", "roles/base/files/etc/two.tmpl"}; !slices.Equal(tree.read, want) {
		t.Errorf("%q were read, and not %q", tree.read, want)
	}
}
