package manifest

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// mostHeap bounds the memory of a fuzzing process: what one input takes must be free
// again, and never be near what the render child may have.
const mostHeap = 192 << 20

func inBounds(t *testing.T) {
	t.Helper()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc < mostHeap {
		return
	}
	runtime.GC()
	if runtime.ReadMemStats(&m); m.HeapAlloc > mostHeap/2 {
		t.Fatalf("%d MiB are still in use", m.HeapAlloc>>20)
	}
}

// seeds are the files of the golden cases by kind: fleet.yaml, role.yaml,
// vars.yaml, a template, a partial.
func seeds(f *testing.F, add func(fleet, role, vars, tmpl, partial string)) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden cases: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var fleet, role, vars, partial string
		tmpls := []string{""}
		for _, part := range txtar.Parse(text).Files {
			switch {
			case part.Name == "fleet.yaml":
				fleet = string(part.Data)
			case strings.HasSuffix(part.Name, "/role.yaml"):
				role = string(part.Data)
			case part.Name == "vars.yaml":
				vars = string(part.Data)
			case strings.Contains(part.Name, "/templates/"):
				partial = string(part.Data)
			case strings.HasSuffix(part.Name, ".tmpl"):
				tmpls = append(tmpls, string(part.Data))
			}
		}
		for _, tmpl := range tmpls {
			add(fleet, role, vars, tmpl, partial)
		}
	}
}

// FuzzLoad feeds any text as fleet.yaml, role.yaml with its schema, vars.yaml, a
// template, a partial and facts. Whatever comes, Load ends, neither panics nor
// differs from one time to the next, and gives either a target or problems; a
// target stays inside the allowed roots, and all of it can be explained.
func FuzzLoad(f *testing.F) {
	seeds(f, func(fleet, role, vars, tmpl, partial string) { f.Add(fleet, role, vars, tmpl, partial, "debian") })
	f.Fuzz(func(t *testing.T, fleet, role, vars, tmpl, partial, fact string) {
		defer inBounds(t)
		repo := fstest.MapFS{
			"fleet.yaml":                 {Data: []byte(fleet)},
			"vars.yaml":                  {Data: []byte(vars)},
			"roles/web/role.yaml":        {Data: []byte(role)},
			"roles/web/templates/p.tmpl": {Data: []byte(partial)},
			"roles/web/files/etc/a.tmpl": {Data: []byte(tmpl)},
			"roles/web/units/a.service":  {Data: []byte("[Service]\nExecStart=/usr/bin/a\n")},
		}
		facts := someFacts()
		facts.OS["ID"], facts.Kernel, facts.Labels["env"], facts.Addresses["eth0"] = fact, fact, fact, []string{fact}
		opts := Options{Limits: Limits{FileBytes: 1 << 16, TotalBytes: 1 << 18}}
		target, err := Load(repo, facts, opts)
		again, errAgain := Load(repo, facts, opts)
		if !reflect.DeepEqual(target, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("two loads differ: %v, %v", err, errAgain)
		}
		e, errAgain := Explain(repo, facts, opts, nil)
		e.Vars("")
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
			if strings.Contains(string(target.Content[p.Digest]), "<no value>") {
				t.Errorf("%s has <no value> in it", name)
			}
		}
		if err := Wire(target, nil); err != nil && asProblems(err) == nil {
			t.Errorf("wiring gave %v", err)
		}
		Digest(target)
		if errAgain != nil {
			return // what only wiring finds
		}
		for _, name := range e.Paths() {
			if _, ok := e.Path(name); !ok {
				t.Errorf("%q cannot be explained", name)
			}
		}
		for _, name := range e.Units() {
			if _, ok := e.Unit(name); !ok {
				t.Errorf("%q cannot be explained", name)
			}
		}
	})
}

// FuzzTemplate runs any template and partial over values of all kinds.
func FuzzTemplate(f *testing.F) {
	seeds(f, func(_, _, _, tmpl, partial string) { f.Add(tmpl, partial) })
	f.Add(`{{ range 99999999 }}{{ include "p" . }}{{ end }}`, `{{ define "x" }}{{ template "x" . }}{{ end }}`)
	f.Add(`{{ $s := .vars.text }}{{ range 50 }}{{ $s = printf "%s%s" $s $s | quote | replace "a" "bb" }}{{ end }}`, `{{ toYaml . }}`)
	f.Add(`{{ $d := dict }}{{ range $k, $v := .vars }}{{ $d = dict "a" $d "b" (list $d $v) }}{{ end }}{{ toToml $d }}`, `{{ uniq (concat .vars.list .vars.list) }}`)
	f.Fuzz(func(t *testing.T, tmpl, partial string) {
		defer inBounds(t)
		repo := fstest.MapFS{
			"fleet.yaml":                 {Data: []byte(everyHost)},
			"vars.yaml":                  {Data: []byte("text: a b\nn: 3\nf: 1.5\non: true\nnothing: null\nlist: [1, a, [b], {c: d}]\ndb: {host: h, port: 1, deep: {x: [{y: z}]}}\nempty: {}\n")},
			"roles/web/templates/p.tmpl": {Data: []byte(partial)},
			"roles/web/files/etc/a.tmpl": {Data: []byte(tmpl)},
			"roles/web/files/etc/b.tmpl": {Data: []byte(`{{ include "p" . }}`)},
		}
		opts := Options{Limits: Limits{FileBytes: 1 << 16, TotalBytes: 1 << 18}}
		target, err := Load(repo, someFacts(), opts)
		again, errAgain := Load(repo, someFacts(), opts)
		if !reflect.DeepEqual(target, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("two renders differ: %v, %v", err, errAgain)
		}
		e, _ := Explain(repo, someFacts(), opts, nil)
		for _, name := range e.Paths() {
			e.Path(name)
		}
		if err != nil && asProblems(err) == nil {
			t.Fatalf("not problems: %v", err)
		}
	})
}

// FuzzSchema checks any values against any schema.
func FuzzSchema(f *testing.F) {
	seeds(f, func(_, role, vars, _, _ string) { f.Add(role, vars) })
	f.Add("schema: {$ref: '#/$defs/a', $defs: {a: {properties: {kids: {items: {$ref: '#/$defs/a'}}}}}}", "kids: [{kids: [{kids: 1}]}]")
	f.Fuzz(func(t *testing.T, role, vars string) {
		defer inBounds(t)
		repo := fstest.MapFS{
			"fleet.yaml":          {Data: []byte(everyHost)},
			"vars.yaml":           {Data: []byte(vars)},
			"roles/web/role.yaml": {Data: []byte(role)},
		}
		_, err := Load(repo, someFacts(), Options{})
		_, errAgain := Load(repo, someFacts(), Options{})
		if !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("two loads differ: %v, %v", err, errAgain)
		}
		if err != nil && asProblems(err) == nil {
			t.Fatalf("not problems: %v", err)
		}
	})
}
