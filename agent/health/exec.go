package health

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

const (
	memoryLimit = 256 // MB
	outputLimit = 4 << 10
	killGrace   = time.Second     // for pipes that a child of the command holds open
	stopWithin  = 5 * time.Second // for systemd to end a check that was given up
	systemdRuns = "/run/systemd/system"
	searchPath  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// probeExec passes when a command ends with status 0.
func (p *Prober) probeExec(ctx context.Context, check plan.Check) error {
	run := p.Exec
	if run == nil {
		run = p.runApart
	}
	output, err := run(ctx, check)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %s", ctx.Err(), output)
	}
	return fmt.Errorf("%v: %s", err, output)
}

// runApart runs a command as a unit of its own, with bounds of its own: the
// daemon's sandbox would let checks fail that pass in a shell. Where systemd is
// not PID 1 there is no such sandbox, and the command runs as a child.
func (p *Prober) runApart(ctx context.Context, check plan.Check) ([]byte, error) {
	if _, err := os.Stat(systemdRuns); err != nil {
		if check.User != "" {
			return nil, fmt.Errorf("cannot run it as user %q: systemd does not run here", check.User)
		}
		return run(ctx, check.Exec)
	}
	name := fmt.Sprintf("evenkeel-check-%d-%d.service", os.Getpid(), p.started.Add(1))
	output, err := runUnit(ctx, transient(name, left(ctx), check))
	if ctx.Err() != nil {
		// Only the client was killed. Without this the unit would end as well, by
		// RuntimeMaxSec=, so its error says nothing new.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		_, _ = p.Manager.Run(ctx, units.Stop, name)
	}
	return output, err
}

// left is the time that a context has, in whole seconds.
func left(ctx context.Context) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return plan.DefaultTimeout
	}
	return max(time.Second, time.Until(end).Round(time.Second))
}

// transient is the command that runs a check as a transient unit.
func transient(name string, limit time.Duration, check plan.Check) []string {
	command := []string{
		"systemd-run", "--wait", "--pipe", "--collect", "--unit=" + name,
		"--description=evenkeel check " + check.Exec[0],
		fmt.Sprintf("--property=RuntimeMaxSec=%d", int(limit.Seconds())),
		"--property=TimeoutStopSec=1",
		fmt.Sprintf("--property=MemoryMax=%dM", memoryLimit), "--property=MemorySwapMax=0", "--property=TasksMax=64",
	}
	if check.User != "" {
		command = append(command, "--uid="+check.User)
	}
	command = append(command, "--", check.Exec[0])
	for _, arg := range check.Exec[1:] {
		// systemd puts variables in, and takes $$ for a dollar.
		command = append(command, strings.ReplaceAll(arg, "$", "$$"))
	}
	return command
}

// run runs a child and gives the beginning of what it printed.
func run(ctx context.Context, argv []string) ([]byte, error) {
	var output beginning
	err := runInto(ctx, argv, &output)
	return output, err
}

func runInto(ctx context.Context, argv []string, output io.Writer) error {
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Stdout, command.Stderr = output, output
	// Not the daemon's own: with NOTIFY_SOCKET a check could speak to systemd for it.
	command.Env = []string{"PATH=" + searchPath, "LC_ALL=C.UTF-8", "SYSTEMD_COLORS=0"}
	command.WaitDelay = killGrace
	return command.Run()
}

// beginning keeps the first outputLimit bytes and drops the rest, so that a
// command that prints much is not blocked and costs nothing.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), outputLimit-len(*b))]...)
	return len(p), nil
}
