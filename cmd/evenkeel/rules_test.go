package main_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// listed is what "go list" says of a package of ours.
type listed struct {
	Dir        string
	ImportPath string
	Imports    []string
	GoFiles    []string
}

// may says whom each package may import of ours, and why not more. Tests are
// free to import what they need.
var may = map[string]struct {
	imports []string
	why     string
}{
	"cmd/evenkeel": {[]string{"agent", "agent/source", "agent/manifest", "agent/plan", "agent/apply", "agent/health", "units", "units/bus", "metrics"},
		"the program wires everything together; what is for tests stays out of it"},
	"agent": {[]string{"agent/source", "agent/manifest", "agent/plan", "agent/apply", "agent/health", "units", "metrics"},
		"a pass knows every step, but neither the program around it nor which systemd answers"},
	"agent/source":          {nil, "Git stands alone, so that it can be read and replaced alone"},
	"agent/manifest":        {[]string{"agent/plan", "units"}, "what a commit asks for does not depend on who carries it out"},
	"agent/plan":            {[]string{"units"}, "deciding does not depend on doing"},
	"agent/apply":           {[]string{"agent/plan", "units"}, "apply knows plans, not repositories"},
	"agent/apply/applytest": {[]string{"agent/apply", "agent/plan"}, "a disk for tests knows disks"},
	"agent/health":          {[]string{"agent/plan", "units"}, "health knows services, not repositories"},
	"units":                 {nil, "systemd's own rules need nothing of ours"},
	"units/bus":             {[]string{"units"}, "the real systemd knows nothing of commits"},
	"units/unitstest":       {[]string{"units"}, "the systemd in memory must not share a mistake with what it tests"},
	"metrics":               {nil, "metrics stand alone; the agent sets them"},
	"e2e":                   {[]string{"e2e/lab"}, "the tests on hosts see what an operator sees"},
	"e2e/lab":               {nil, "what judges the agent shares no code with it"},
	"packaging/man":         {nil, "the build's own programs need nothing of what they build"},
	"e2e/demo":              {[]string{"e2e/lab"}, "the demo does what an operator could do"},
}

// forTests may be imported by tests and by each other only.
var forTests = []string{"agent/apply/applytest", "units/unitstest", "e2e/lab"}

// outside says who alone may import some packages that are not ours. A rule
// holds for everything below the import path.
var outside = []struct {
	imports string
	only    []string // packages, or single files
	why     string
}{
	{"github.com/go-git", []string{"agent/source"}, "only source knows go-git, whose traps it works around"},
	{"github.com/coreos/go-systemd/v22/dbus", []string{"units/bus"}, "everyone else has units.Manager"},
	{"github.com/godbus", []string{"units/bus"}, "everyone else has units.Manager"},
	{"os/exec", []string{"agent/child.go", "agent/apply", "agent/health", "e2e/lab", "e2e/demo"}, "each process that we start has limits and a deadline, and these are the places that give them"},
	{"filippo.io/age", []string{"agent/age.go"}, "everybody else has a function that opens secrets, so that other kinds of them can come"},
	{"github.com/spf13/cobra", []string{"cmd/evenkeel"}, "only the program has a command line"},
	{"github.com/prometheus", []string{"metrics", "cmd/evenkeel", "agent"}, "what is measured does not know how it is shown"},
}

// pure packages do no I/O, start no process, read no clock and no randomness,
// so that check and plan answer the same anywhere.
var (
	pure       = []string{"units", "agent/plan", "agent/manifest"}
	impure     = []string{"os", "os/exec", "os/signal", "os/user", "net", "net/http", "syscall", "golang.org/x/sys/unix", "math/rand", "math/rand/v2", "crypto/rand", "log", "log/slog"}
	impureTime = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
)

func TestImportsFollowTheTree(t *testing.T) {
	for _, p := range packages(t) {
		name := ours(p.ImportPath)
		rule, known := may[name]
		if !known {
			t.Errorf("package %q has no rule in may: a new package must displace one; if it does, say here whom it may import and why", name)
			continue
		}
		for _, imported := range p.Imports {
			if other := ours(imported); other != imported && !slices.Contains(rule.imports, other) {
				t.Errorf("%q imports %q: %s", name, other, rule.why)
			} else if slices.Contains(forTests, other) && !slices.Contains(forTests, name) && !strings.HasPrefix(name, "e2e") {
				t.Errorf("%q imports %q, which is for tests only", name, other)
			}
		}
	}
}

func TestImportsFromOutsideStayWhereTheyBelong(t *testing.T) {
	for _, p := range packages(t) {
		for _, file := range p.GoFiles {
			name := ours(p.ImportPath) + "/" + file
			for _, imported := range importsOf(t, filepath.Join(p.Dir, file)) {
				for _, rule := range outside {
					if !isBelow(imported, rule.imports) {
						continue
					}
					allowed := slices.ContainsFunc(rule.only, func(where string) bool { return where == name || where == ours(p.ImportPath) })
					if !allowed {
						t.Errorf("%s imports %q, which belongs to %s: %s", name, imported, strings.Join(rule.only, ", "), rule.why)
					}
				}
			}
		}
	}
}

func TestPurePackagesArePure(t *testing.T) {
	const why = "units, plan and manifest do no I/O, start no process, read no clock and no randomness, so that check and plan answer the same anywhere"
	for _, p := range packages(t) {
		name := ours(p.ImportPath)
		if !slices.Contains(pure, name) {
			continue
		}
		for _, imported := range p.Imports {
			if slices.Contains(impure, imported) {
				t.Errorf("%q imports %q: %s", name, imported, why)
			}
		}
		for _, file := range p.GoFiles {
			for _, call := range selectors(parse(t, filepath.Join(p.Dir, file)), "time") {
				if slices.Contains(impureTime, call) {
					t.Errorf("%s/%s uses time.%s: %s", name, file, call, why)
				}
			}
		}
	}
}

func TestEachPackageSaysOnceWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		var where []string
		for _, file := range p.GoFiles {
			if parse(t, filepath.Join(p.Dir, file)).Doc != nil {
				where = append(where, file)
			}
		}
		if len(where) != 1 {
			t.Errorf("%q has %d package comments (%s), want one: it says what the package is for, what it never does, and where to start reading", ours(p.ImportPath), len(where), strings.Join(where, ", "))
		}
	}
}

func TestTestsNeitherSleepNorSkip(t *testing.T) {
	top := moduleDir(t)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file := parse(t, path)
		if slices.Contains(selectors(file, "time"), "Sleep") && !usesSynctest(file) {
			t.Errorf("%s calls time.Sleep: wait for a condition with a bound, or use testing/synctest; a sleep is too short on a busy machine and too long on every other", path)
		}
		for _, v := range []string{"t", "b", "tb"} {
			for _, call := range selectors(file, v) {
				if call == "Skip" || call == "Skipf" || call == "SkipNow" {
					t.Errorf("%s calls %s.%s: a test that may be skipped proves nothing", path, v, call)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesCanBeReadInOneGo(t *testing.T) {
	const most = 450 // "about 400 lines"
	for _, p := range packages(t) {
		for _, file := range p.GoFiles {
			parsed := token.NewFileSet()
			if _, err := parser.ParseFile(parsed, filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly); err != nil {
				t.Fatal(err)
			}
			parsed.Iterate(func(f *token.File) bool {
				if f.LineCount() > most {
					t.Errorf("%s/%s has %d lines: more than about 400 are more than one thing", ours(p.ImportPath), file, f.LineCount())
				}
				return true
			})
		}
	}
}

// packages lists the packages of the module, without their tests.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=Dir,ImportPath,Imports,GoFiles", "./...")
	cmd.Dir = moduleDir(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list the packages: %v", err)
	}
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var p listed
		if err := decoder.Decode(&p); err != nil {
			t.Fatalf("cannot read what go list says: %v", err)
		}
		all = append(all, p)
	}
	if len(all) < 2 {
		t.Fatalf("go list finds %d packages, that cannot be all", len(all))
	}
	return all
}

func moduleDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("cannot find the module: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// ours is the path of a package in the module; other packages stay as they are.
func ours(importPath string) string { return strings.TrimPrefix(importPath, "evenkeel/") }

func isBelow(path, top string) bool { return path == top || strings.HasPrefix(path, top+"/") }

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func importsOf(t *testing.T, path string) []string {
	t.Helper()
	var paths []string
	for _, spec := range parse(t, path).Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, imported)
	}
	return paths
}

// usesSynctest reports whether the file's clock is a bubble's, where sleeping
// takes no time.
func usesSynctest(file *ast.File) bool { return len(selectors(file, "synctest")) > 0 }

// selectors lists what a file selects from a name: Now for time.Now.
func selectors(file *ast.File, from string) []string {
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == from {
				names = append(names, sel.Sel.Name)
			}
		}
		return true
	})
	return names
}
