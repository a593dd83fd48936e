package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"evenkeel/agent"
)

// errNoDaemon means that no daemon runs on this host.
var errNoDaemon = errors.New("the daemon is not running")

// findDaemon gives the status that the daemon wrote last, and errNoDaemon when
// that daemon, or any, does not run.
func findDaemon(statusFile string) (agent.Status, error) {
	s, err := agent.ReadStatus(statusFile)
	if errors.Is(err, fs.ErrNotExist) {
		return agent.Status{}, errNoDaemon
	}
	if err != nil {
		return agent.Status{}, err
	}
	// The kernel may have given the number to another program by now. The name
	// is all that a user who is not root can ask for.
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", s.PID))
	if err != nil || strings.TrimSpace(string(name)) != "evenkeel" {
		return s, errNoDaemon
	}
	return s, nil
}

// wakeDaemon makes the daemon look at the repository and at requests now.
func wakeDaemon(statusFile string) error {
	s, err := findDaemon(statusFile)
	if err != nil {
		return err
	}
	if err := unix.Kill(s.PID, unix.SIGHUP); err != nil {
		return fmt.Errorf("cannot signal the daemon, process %d: %v", s.PID, err)
	}
	return nil
}
