package agent

import (
	"os"
	"testing"
)

// TestMain lets the test binary be its own child, as the daemon is.
func TestMain(m *testing.M) {
	if handled, exit := ChildMain(os.Args[1:], os.Stdin, os.Stdout); handled {
		os.Exit(exit)
	}
	os.Exit(m.Run())
}
