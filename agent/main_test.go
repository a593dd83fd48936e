package agent

import (
	"os"
	"testing"
)

// TestMain lets the test binary be its own child, as the daemon is, and a package
// manager that holds a lock.
func TestMain(m *testing.M) {
	if handled, exit := ChildMain(os.Args[1:], os.Stdin, os.Stdout); handled {
		os.Exit(exit)
	}
	if len(os.Args) == 3 && os.Args[1] == probeNetwork {
		os.Exit(probeAs(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == sealedOff {
		os.Exit(becomeSealedOff(os.Args[2]))
	}
	if path := os.Getenv(holdLockOf); path != "" {
		os.Exit(holdLock(path))
	}
	os.Exit(m.Run())
}
