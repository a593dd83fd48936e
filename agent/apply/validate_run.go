package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"evenkeel/units"
)

const (
	verifyBound    = 60 * time.Second
	validatorBound = 30 * time.Second
	afterKill      = 2 * time.Second // for the pipes of a killed command to close
	maxVerifyText  = 256 << 10
	maxOutput      = 4 << 10 // bytes of a validator's output
	searchPath     = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// judge asks systemd and the validators, in the view that is mounted by now.
func (o order) judge(ctx context.Context) (findings, error) {
	invalid, err := o.verify(ctx)
	if err != nil {
		return findings{}, err
	}
	invalid = append(invalid, o.generated.faults...)
	for _, check := range o.checks() {
		invalid = append(invalid, check.run(ctx)...)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return findings{}, cause
	}
	return findings{Invalid: sortedInvalid(invalid)}, nil
}

// sortedInvalid orders faults by place, each once, and bounds their number.
func sortedInvalid(invalid []Invalid) []Invalid {
	slices.SortStableFunc(invalid, func(a, b Invalid) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Message, b.Message))
	})
	invalid = slices.Compact(invalid)
	return invalid[:min(len(invalid), maxFindings)]
}

// verify runs systemd-analyze on the units of the commit. Its exit status says
// nothing: it is 1 for a vendor unit's fault and 0 for some of ours.
func (o order) verify(ctx context.Context) ([]Invalid, error) {
	names := append(o.verifiable(), o.generated.services()...)
	if len(names) == 0 {
		return nil, nil
	}
	argv := append([]string{"systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--"}, names...)
	ran := runBounded(ctx, verifyBound, maxVerifyText, argv, o.generated.environment()...)
	switch {
	case ran.late:
		return nil, fmt.Errorf("systemd-analyze took longer than %v", verifyBound)
	case ran.err != nil && !ran.exited:
		return nil, fmt.Errorf("cannot run systemd-analyze: %v", ran.err)
	}
	return o.generated.atSource(newReading(o).faults(ran.output)), nil
}

// verifiable are the units that systemd-analyze can look at: not what Quadlet's
// generator makes, and not what the commit masks.
func (o order) verifiable() []string {
	var names []string
	for _, name := range o.Units {
		if units.Valid(name) == nil && !slices.Contains(o.Masks, name) {
			names = append(names, name)
		}
	}
	return names
}

// check is one validator with the files that it must accept.
type check struct {
	argv  []string
	paths []string // sorted
	known []string // all staged paths, sorted
}

// checks gives each distinct validator once: nginx -t reads all of its files
// anyway.
func (o order) checks() []check {
	byCommand := map[string]*check{}
	var keys []string
	for _, p := range slices.Sorted(maps.Keys(o.Validators)) {
		argv := o.Validators[p]
		key := strings.Join(argv, "\x00")
		if byCommand[key] == nil {
			byCommand[key] = &check{argv: argv, known: o.Paths}
			keys = append(keys, key)
		}
		byCommand[key].paths = append(byCommand[key].paths, p)
	}
	list := make([]check, 0, len(keys))
	for _, key := range keys {
		list = append(list, *byCommand[key])
	}
	return list
}

// run gives no fault, or one: at the file that the validator names, else at the
// first one that it is for.
func (c check) run(ctx context.Context) []Invalid {
	fault := Invalid{Path: c.paths[0]}
	if len(c.argv) == 0 {
		fault.Message = "its validator is empty"
		return []Invalid{fault}
	}
	program := c.argv[0]
	if ctx.Err() != nil {
		fault.Message = fmt.Sprintf("%s did not run: all commands together may take %v", program, validateBound)
		return []Invalid{fault}
	}
	ran := runBounded(ctx, validatorBound, maxOutput, c.argv)
	switch {
	case ran.err == nil:
		return nil
	case ran.late:
		fault.Message = fmt.Sprintf("%s took longer than %v", program, validatorBound)
	case ran.notFound:
		fault.Message, fault.Missing = fmt.Sprintf("its validator %q is not on this host", program), true
	case !ran.exited:
		fault.Message = fmt.Sprintf("its validator %q cannot be run: %v", program, ran.err)
	default:
		if p, line := firstPlace(ran.output, c.known); p != "" {
			fault.Path, fault.Line = p, line
		}
		fault.Message, fault.Said = fmt.Sprintf("%s refuses it (%v)", program, ran.err), printable(ran.output)
	}
	return []Invalid{fault}
}

// result is how a command ended and what it said on stdout and stderr.
type result struct {
	output   string
	err      error // nil for exit status 0
	exited   bool  // it ran and ended, by itself or by a signal
	late     bool  // it ran out of its own time
	notFound bool
}

// runBounded runs a command and all that it starts in a process group, which
// is killed when the time is over.
func runBounded(ctx context.Context, bound time.Duration, maxText int, argv []string, environment ...string) result {
	program, err := lookProgram(argv[0])
	if err != nil {
		return result{err: err, notFound: true}
	}
	own, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	output := &capped{max: maxText}
	cmd := exec.CommandContext(own, program, argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=" + searchPath, "LC_ALL=C.UTF-8", "SYSTEMD_LOG_TARGET=console", "SYSTEMD_COLORS=0"}, environment...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = afterKill
	err = cmd.Run()
	return result{
		output: output.kept.String(),
		err:    err,
		exited: cmd.ProcessState != nil,
		late:   err != nil && own.Err() != nil,
	}
}

// lookProgram finds a program as execvp(3) would with our PATH.
func lookProgram(name string) (string, error) {
	if strings.Contains(name, "/") {
		_, err := os.Stat(name)
		return name, err
	}
	for _, dir := range strings.Split(searchPath, ":") {
		at := path.Join(dir, name)
		if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return at, nil
		}
	}
	return "", fmt.Errorf("%q is not found in %s", name, searchPath)
}
