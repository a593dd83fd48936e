//go:build mutants

package agent

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var mutantOnly = flag.String("mutant", "", "the mutants to run, by a part of their names")

// mutant is the program without one of its safeguards. The tests that are named
// must then fail, or they prove nothing about it.
type mutant struct {
	name  string // what is missing
	by    string // package and tests: "./agent TestSweep"
	edits []edit
	spare string // why it may survive; then it must
}

// edit replaces one text of a file below the module's root by another.
type edit struct{ file, old, new string }

// sweeping is how mutants of the crash protocol are caught.
const sweeping = "./agent ^TestSweep$"

// TestMutants builds each mutant, without touching the source, and runs the tests
// that must catch it.
func TestMutants(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, m := range mutants {
		if strings.Contains(m.name, *mutantOnly) {
			fate := "SURVIVES"
			t.Run(m.name, func(t *testing.T) { fate = m.mustDie(t, root) })
			fmt.Fprintf(columns, "%s\t%s\n", m.name, fate)
		}
	}
	_ = columns.Flush() // a strings.Builder takes it all
	t.Log("\n" + table.String())
}

// TestMutantsApply notices at once that the list is behind the source.
func TestMutantsApply(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) { m.overlay(t, root) })
	}
}

var (
	sweptLine = regexp.MustCompile(`sweep: (\d+) crash points`)
	failLine  = regexp.MustCompile(`--- FAIL: (\S+)`)
)

// mustDie says in the columns of the table how the mutant was caught.
func (m mutant) mustDie(t *testing.T, root string) string {
	pkg, tests, _ := strings.Cut(m.by, " ")
	args := []string{"test", "-overlay", m.overlay(t, root), "-count=1", "-timeout=10m", "-run", tests, pkg}
	if m.by == sweeping {
		args = append(args, "-v", "-sweep.points=300000")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	began := time.Now()
	out, err := cmd.CombinedOutput()
	failed := failLine.FindSubmatch(out)
	switch {
	case err == nil && m.spare != "":
		return "survives, as it may: " + m.spare
	case err == nil:
		t.Fatalf("it survives %s", m.by)
	case failed == nil && !strings.Contains(string(out), "panic: "):
		t.Fatalf("it cannot be built: %v\n%s", err, out)
	}
	if m.spare != "" {
		t.Errorf("it is said to be harmless: %s", m.spare)
	}
	what := "panic"
	if failed != nil {
		what = string(failed[1])
	}
	points := ""
	if swept := sweptLine.FindSubmatch(out); swept != nil {
		points = "after " + string(swept[1]) + " crash points"
	}
	if *mutantOnly != "" {
		t.Logf("%s", out)
	}
	return fmt.Sprintf("%s\t%s\t%s with the build", what, points, time.Since(began).Round(100*time.Millisecond))
}

// overlay writes the changed files and tells the compiler to take them instead.
func (m mutant) overlay(t *testing.T, root string) string {
	dir := t.TempDir()
	replace := map[string]string{}
	for i, e := range m.edits {
		file := filepath.Join(root, e.file)
		from := file
		if changed, again := replace[file]; again {
			from = changed
		}
		source, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), e.old); n != 1 {
			t.Fatalf("%s has the text %d times that this mutant replaces: keep it in step with the source\n%s", e.file, n, e.old)
		}
		replace[file] = filepath.Join(dir, fmt.Sprint(i)+".go")
		if err := os.WriteFile(replace[file], []byte(strings.Replace(string(source), e.old, e.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}
