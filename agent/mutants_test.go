package agent

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	mutate     = flag.Bool("mutants", false, "run TestMutants")
	mutantOnly = flag.String("mutant", "", "the mutants to run, by a part of their names")
)

// mutant is the program without one of its safeguards: in one file, one text is
// replaced by another. The tests that are named must then fail, or they prove
// nothing about that safeguard.
type mutant struct {
	name     string // what is missing
	file     string // below the module's root
	old, new string
	by       string // package and tests: "./agent TestSweep"
}

// sweeping is how mutants of the crash protocol are caught.
const sweeping = "./agent ^TestSweep$"

// TestMutants builds each mutant, without touching the source, and runs the tests
// that must catch it.
func TestMutants(t *testing.T) {
	if !*mutate {
		t.Skip("takes minutes: make mutants")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		if strings.Contains(m.name, *mutantOnly) {
			t.Run(m.name, func(t *testing.T) { m.mustDie(t, root) })
		}
	}
}

var (
	sweptLine = regexp.MustCompile(`sweep: (\d+) crash points`)
	failLine  = regexp.MustCompile(`--- FAIL: (\S+)`)
)

func (m mutant) mustDie(t *testing.T, root string) {
	pkg, tests, _ := strings.Cut(m.by, " ")
	args := []string{"test", "-overlay", m.overlay(t, root), "-count=1", "-timeout=10m", "-run", tests, pkg}
	if m.by == sweeping {
		args = append(args, "-v", "-sweep.points=150000")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	began := time.Now()
	out, err := cmd.CombinedOutput()
	failed := failLine.FindSubmatch(out)
	switch {
	case err == nil:
		t.Fatalf("it survives %s", m.by)
	case failed == nil && !strings.Contains(string(out), "panic: "):
		t.Fatalf("it cannot be built: %v\n%s", err, out)
	}
	what := "panic"
	if failed != nil {
		what = string(failed[1])
	}
	points := ""
	if swept := sweptLine.FindSubmatch(out); swept != nil {
		points = " after " + string(swept[1]) + " crash points"
	}
	t.Logf("caught by %s%s, %s with the build", what, points, time.Since(began).Round(100*time.Millisecond))
	if testing.Verbose() && *mutantOnly != "" {
		t.Logf("%s", out)
	}
}

// overlay writes the changed file and tells the compiler to take it instead.
func (m mutant) overlay(t *testing.T, root string) string {
	file := filepath.Join(root, m.file)
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		t.Fatalf("%s has the text %d times that this mutant replaces: keep it in step with the source\n%s", m.file, n, m.old)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}
