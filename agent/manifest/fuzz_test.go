package manifest

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad feeds any text as fleet.yaml, role.yaml, vars.yaml and a template.
// Whatever comes, Load neither panics nor differs from one time to the next, and
// gives either a target or problems; a target stays inside the allowed roots.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden cases: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var fleet, role, vars, tmpl string
		for _, part := range txtar.Parse(text).Files {
			switch {
			case part.Name == "fleet.yaml":
				fleet = string(part.Data)
			case strings.HasSuffix(part.Name, "/role.yaml"):
				role = string(part.Data)
			case part.Name == "vars.yaml":
				vars = string(part.Data)
			case strings.HasSuffix(part.Name, ".tmpl"):
				tmpl = string(part.Data)
			}
		}
		f.Add(fleet, role, vars, tmpl)
	}
	f.Fuzz(func(t *testing.T, fleet, role, vars, tmpl string) {
		if strings.Contains(tmpl, "range") || strings.Contains(tmpl, "template") {
			return // those may run for long; the agent bounds them from outside
		}
		repo := fstest.MapFS{
			"fleet.yaml":                 {Data: []byte(fleet)},
			"vars.yaml":                  {Data: []byte(vars)},
			"roles/web/role.yaml":        {Data: []byte(role)},
			"roles/web/files/etc/a.tmpl": {Data: []byte(tmpl)},
			"roles/web/units/a.service":  {Data: []byte("[Service]\nExecStart=/usr/bin/a\n")},
		}
		opts := Options{Limits: Limits{FileBytes: 1 << 16, TotalBytes: 1 << 18}}
		target, err := Load(repo, someFacts(), opts)
		again, errAgain := Load(repo, someFacts(), opts)
		if !reflect.DeepEqual(target, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("two loads differ: %v, %v", err, errAgain)
		}
		if err != nil {
			if asProblems(err) == nil {
				t.Fatalf("not problems: %v", err)
			}
			return
		}
		guard := newRepo(repo, opts).policy
		for name, p := range target.State.Paths {
			if fault, _ := guard.guard(name, p.Kind); fault != "" {
				t.Errorf("a target has %q: %s", name, fault)
			}
		}
		if err := Wire(target, nil); err != nil && asProblems(err) == nil {
			t.Errorf("wiring gave %v", err)
		}
		Digest(target)
	})
}
