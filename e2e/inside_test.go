//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// Tests of packages that need systemd as PID 1 around them: units/bus against the
// manager itself, and the validation of a commit in private mounts. Make compiles
// them; each runs inside a host as a process of its own.
func TestPackagesInsideAHost(t *testing.T) {
	const variable = "EVENKEEL_HOST_TESTS"
	dir := os.Getenv(variable)
	if dir == "" {
		t.Fatalf("%s does not name the folder of the compiled tests: run the tests with \"make e2e\"", variable)
	}
	programs, err := filepath.Glob(filepath.Join(dir, "*.test"))
	if err != nil || len(programs) == 0 {
		t.Fatalf("no compiled tests in %s (%v)", dir, err)
	}
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		for _, program := range programs {
			content, err := os.ReadFile(program)
			if err != nil {
				t.Fatal(err)
			}
			inside := "/usr/local/lib/" + filepath.Base(program) // validation has a /tmp of its own
			h.WriteFile(inside, string(content), 0o700)
			names := strings.Fields(h.Must(inside, "-test.list", "^Test.*Host"))
			if len(names) == 0 {
				t.Fatalf("%s has no tests for a host", inside)
			}
			for _, name := range names {
				t.Run(name, func(t *testing.T) {
					out, err := h.Run(inside, "-test.v", "-test.run", "^"+name+"$")
					if err != nil || !strings.Contains(out, "--- PASS: "+name) {
						t.Errorf("%v\n%s", err, out)
					}
				})
			}
		}
	})
}
