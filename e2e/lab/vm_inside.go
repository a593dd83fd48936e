package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Run runs a command inside the machine and gives its standard output. The error holds
// what it said on standard error.
func (v *VM) Run(args ...string) (string, error) {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return v.shell(strings.Join(quoted, " "))
}

// Must is Run for a command that must succeed. The output has no last newline.
func (v *VM) Must(args ...string) string {
	v.t.Helper()
	out, err := v.Run(args...)
	if err != nil {
		v.t.Fatalf("on %q (%s): %v", v.Name, v.Release, err)
	}
	return strings.TrimRight(out, "\n")
}

// Script runs a shell script inside the machine; it must succeed.
func (v *VM) Script(script string) string {
	v.t.Helper()
	out, err := v.shell("set -euo pipefail\n" + script)
	if err != nil {
		v.t.Fatalf("on %q (%s): %v", v.Name, v.Release, err)
	}
	return strings.TrimRight(out, "\n")
}

// shell sends a script to the machine's socket. What comes back is its output, what it
// said on standard error, and its exit code.
func (v *VM) shell(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), vmRunBound)
	defer cancel()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", netip.AddrPortFrom(v.Addr, vmShell).String())
	if err != nil {
		return "", fmt.Errorf("cannot reach %q: %w", v.Name, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(vmRunBound))
	if _, err := io.WriteString(conn, script); err != nil {
		return "", fmt.Errorf("cannot ask %q: %w", v.Name, err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", fmt.Errorf("cannot ask %q: %w", v.Name, err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("cannot hear what %q answers: %w", v.Name, err)
	}
	parts := strings.Split(string(answer), "\x00")
	if len(parts) < 3 {
		return "", fmt.Errorf("%q broke off: %q", v.Name, answer)
	}
	out, said, code := strings.Join(parts[:len(parts)-2], "\x00"), parts[len(parts)-2], parts[len(parts)-1]
	if code != "0" {
		return out, fmt.Errorf("cannot run %q: exit status %s: %s%s", script, code, out, said)
	}
	return out, nil
}

// Active is the word of "systemctl is-active".
func (v *VM) Active(unit string) string {
	v.t.Helper()
	return v.Must("systemctl", "show", "-P", "ActiveState", unit)
}

// Snapshot is a line for each path below the directories that evenkeel manages when
// nothing else is said: bytes, mode, owner and link.
func (v *VM) Snapshot() string {
	v.t.Helper()
	dirs := strings.Join(Managed, " ")
	return v.Script("find " + dirs + " -printf '%p %y %m %U:%G %l\\n' | sort\nfind " + dirs + " -type f -exec sha256sum {} + | sort -k2")
}
