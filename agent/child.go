package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"evenkeel/agent/apply"
)

// What comes out of a repository is parsed and rendered in children: our own
// binary, run again with limits. A pack that unpacks to gigabytes, or a template
// that never ends, kills the child; the daemon gets an error to show.
//
//	daemon -- request, JSON on stdin --> child: limits itself, reads, works
//	daemon <-- reply, JSON on stdout --  child: ends

const (
	maxChildRequest = 16 << 20
	maxChildReply   = 128 << 20
	maxChildStderr  = 8 << 10
	childNice       = 10
	childKillDelay  = 5 * time.Second // for its pipes to close after it was killed

	// These are not of childKinds: apply starts them, each in a unit that limits it.
	childValidate = "child-validate"
	childSysctl   = "child-sysctl"

	exitChildFailed = 1
	exitChildCPU    = 3 // out of processor time; 2 is what the Go runtime ends with
	exitChildHost   = 4 // it could not limit itself, and has read nothing
)

// childKind is one kind of child and its limits.
type childKind struct {
	name    string        // the hidden first argument
	wall    time.Duration // until it is killed
	data    uint64        // bytes of memory it may write to
	cpu     uint64        // seconds of processor time, 0 for no limit
	offline bool          // it has no network
	work    func(ctx context.Context, request []byte) (any, error)
	loop    func(stdin io.Reader, stdout io.Writer) error // in place of work: it answers until its input ends
}

// childKinds are all there are. RLIMIT_DATA and not RLIMIT_AS: Go reserves far
// more addresses than it uses.
func childKinds() []childKind {
	return []childKind{
		{name: "child-fetch", wall: 5 * time.Minute, data: 256 << 20, cpu: 60, work: fetchInChild},
		{name: "child-choose", wall: 30 * time.Second, data: 256 << 20, cpu: 5, offline: true, work: chooseInChild},
		{name: "child-render", wall: 30 * time.Second, data: 256 << 20, cpu: 5, offline: true, work: renderInChild},
		{name: childPoll, data: 128 << 20, loop: pollInChild},
	}
}

func childKindNamed(name string) (childKind, bool) {
	for _, kind := range childKinds() {
		if kind.name == name {
			return kind, true
		}
	}
	return childKind{}, false
}

// ChildMain does the work of a child when args, the program's arguments, say
// that this process is one. Main calls it before anything else, and exits with
// the given status when it was handled.
func ChildMain(args []string, stdin io.Reader, stdout io.Writer) (handled bool, exit int) {
	if len(args) != 1 {
		return false, 0
	}
	switch args[0] {
	case childValidate:
		return true, apply.ValidateMain(stdin, stdout)
	case childSysctl:
		return true, apply.SysctlMain(stdin, stdout)
	}
	kind, is := childKindNamed(args[0])
	if !is {
		return false, 0
	}
	// Limits first, before a byte of the request is read.
	if err := kind.limitSelf(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true, exitChildHost
	}
	if err := kind.serve(stdin, stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", kind.name, err)
		return true, exitChildFailed
	}
	return true, 0
}

// serve is the child's side.
func (k childKind) serve(stdin io.Reader, stdout io.Writer) error {
	if k.loop != nil {
		return k.loop(stdin, stdout)
	}
	request, err := io.ReadAll(io.LimitReader(stdin, maxChildRequest))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), k.wall)
	defer cancel()
	reply, err := k.work(ctx, request)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(reply)
}

// beNice lowers the priority of the child, unless that of the whole daemon is as low: nobody
// but root may raise one.
func beNice() error {
	left, err := unix.Getpriority(unix.PRIO_PGRP, 0) // 20 less the nice value, as the kernel has it
	if err == nil && 20-left < childNice {
		// By group, which is ours alone: by process it would be one thread only.
		err = unix.Setpriority(unix.PRIO_PGRP, 0, childNice)
	}
	if err != nil {
		return fmt.Errorf("cannot lower the child's priority: %v", err)
	}
	return nil
}

func (k childKind) limitSelf() error {
	limits := map[int]unix.Rlimit{
		unix.RLIMIT_CORE: {}, // a core would hold rendered secrets
		unix.RLIMIT_DATA: {Cur: k.data, Max: k.data},
	}
	if k.cpu > 0 {
		// At the soft limit the child says why it ends; at the hard one it is killed.
		limits[unix.RLIMIT_CPU] = unix.Rlimit{Cur: k.cpu, Max: k.cpu + 1}
		endAtCPULimit()
	}
	if err := keepOutOfCores(); err != nil {
		return err
	}
	for which, limit := range limits {
		if err := unix.Setrlimit(which, &limit); err != nil {
			return fmt.Errorf("cannot limit the child: %v", err)
		}
	}
	unix.Umask(0o027) // what is fetched is for the group, in which rendering runs
	// Collect harder when the limit comes near, instead of dying of garbage.
	debug.SetMemoryLimit(int64(k.data / 4 * 3))
	if err := beNice(); err != nil {
		return err
	}
	if k.offline {
		return goOffline()
	}
	return nil
}

// keepOutOfCores is for processes that see secrets: no core, and no other process
// of the same account looks into their memory. Besides the limit: where
// cores are piped to a program, the limit is that program's to heed.
func keepOutOfCores() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot keep secrets out of core dumps: %v", err)
	}
	return nil
}

func endAtCPULimit() {
	spent := make(chan os.Signal, 1)
	signal.Notify(spent, syscall.SIGXCPU)
	go func() {
		<-spent
		os.Exit(exitChildCPU)
	}()
}

// ChildError is a child that died of its limits or crashed over what it was
// given. The repository is to blame, not this host.
type ChildError struct {
	Doing string // what it was to do: `render commit "abc"`
	Cause string
}

// Error says what could not be done and why.
func (e *ChildError) Error() string { return fmt.Sprintf("cannot %s: %s", e.Doing, e.Cause) }

// job is what a child is to do.
type job struct {
	kind    string
	doing   string // for errors: `render commit "abc"`
	request any
	files   []*os.File // it is given these as descriptors 3, 4, ...
	as      *account   // who it runs as, nil for who we are
}

// runChild is the parent's side: it starts a child, gives it the request and the
// files, and reads the reply. It returns after the child is gone. The error is a
// *ChildError, or says that the child could not be run at all, or that ctx ended.
func runChild(ctx context.Context, j job, reply any) error {
	kind, is := childKindNamed(j.kind)
	if !is {
		panic("internal error: no child named " + j.kind)
	}
	doing := j.doing
	input, err := json.Marshal(j.request)
	if err != nil {
		return fmt.Errorf("cannot %s: %v", doing, err)
	}
	// The death signal is tied to the thread that starts the child: keep it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	deadline, cancel := context.WithTimeout(ctx, kind.wall+childKillDelay)
	defer cancel()
	output, said := &bounded{max: maxChildReply}, &bounded{max: maxChildStderr}
	cmd := childCommand(deadline, kind.name, j)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), output, said
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("cannot %s: %w", doing, context.Cause(ctx))
	case output.over:
		return &ChildError{doing, fmt.Sprintf("the result is larger than %d MiB", maxChildReply>>20)}
	case cmd.ProcessState == nil:
		return fmt.Errorf("cannot %s: cannot start a child: %v", doing, err)
	case deadline.Err() != nil:
		return &ChildError{doing, fmt.Sprintf("the child took longer than %s", kind.wall)}
	case err != nil && cmd.ProcessState.ExitCode() == exitChildHost: // no fault of the repository
		return fmt.Errorf("cannot %s: %s", doing, firstLine(said.kept.String()))
	case err != nil:
		return &ChildError{doing, kind.causeOfDeath(cmd.ProcessState, said.kept.String())}
	}
	if err := json.Unmarshal(output.kept.Bytes(), reply); err != nil {
		return &ChildError{doing, "the child's answer cannot be read"}
	}
	return nil
}

// startChild starts a child that stays, and gives the function that ends it.
func startChild(kind string, j job, stdin, stdout *os.File) (end func(), err error) {
	// The death signal comes when the thread ends that starts the child. Threads
	// seldom end here, and whoever keeps a child starts one anew that is gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := childCommand(context.Background(), kind, j)
	cmd.Stdin, cmd.Stdout = stdin, stdout
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start a child: %w", err)
	}
	return func() {
		_ = cmd.Cancel() // it may be gone already
		_ = cmd.Wait()
	}, nil
}

// childCommand starts this very program, also after an upgrade has replaced its
// file, as the leader of a process group that is killed as a whole.
func childCommand(ctx context.Context, name string, j job) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", name)
	cmd.Args[0] = "evenkeel"
	cmd.Dir = "/"
	kind, _ := childKindNamed(name)
	cmd.Env = kind.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: j.as.credential()}
	cmd.ExtraFiles = j.files
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = childKillDelay
	return cmd
}

// environment passes on what reaching a server needs, to those who reach one, and
// nothing else: the address of a proxy may hold a password.
func (k childKind) environment() []string {
	names := []string{"TZ"}
	if !k.offline {
		names = append(names,
			"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")
	}
	env := []string{}
	for _, name := range names {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// causeOfDeath reads how a child ended. Of its stderr it repeats only the
// runtime's own words: a panic may quote what was being rendered.
func (k childKind) causeOfDeath(state *os.ProcessState, said string) string {
	status, _ := state.Sys().(syscall.WaitStatus)
	switch {
	case mentionsMemory(said):
		return fmt.Sprintf("the child ran out of memory (%d MiB)", k.data>>20)
	case state.ExitCode() == exitChildCPU, status.Signal() == syscall.SIGXCPU:
		return fmt.Sprintf("the child used more than %d seconds of processor time", k.cpu)
	case status.Signaled() && status.Signal() == syscall.SIGKILL && k.usedUp(state):
		return fmt.Sprintf("the child used more than %d seconds of processor time", k.cpu)
	case status.Signaled():
		return fmt.Sprintf("the child was killed by signal %q", status.Signal())
	case strings.Contains(said, "stack overflow"), strings.Contains(said, "stack exceeds"):
		return "the child ran out of stack"
	case state.ExitCode() == exitChildFailed:
		return firstLine(said)
	}
	return fmt.Sprintf("the child crashed with status %d", state.ExitCode())
}

func firstLine(said string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	return line
}

func (k childKind) usedUp(state *os.ProcessState) bool {
	used := state.UserTime() + state.SystemTime()
	return k.cpu > 0 && used >= time.Duration(k.cpu)*time.Second
}

// errOverflow ends a child that writes more than it may.
var errOverflow = errors.New("more output than allowed")

// bounded keeps what a child writes, up to a limit. More on stdout ends the
// child by a closed pipe; what is cut off of stderr is not missed.
type bounded struct {
	kept bytes.Buffer // not embedded: io.Copy would find its ReadFrom, and go past the limit
	max  int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > b.max {
		b.kept.Write(p[:b.max-b.kept.Len()])
		b.over = true
		if b.max == maxChildStderr {
			return len(p), nil
		}
		return 0, errOverflow
	}
	return b.kept.Write(p)
}

// mentionsMemory knows the words with which the Go runtime and the C library
// give up when the system gives them no more memory.
func mentionsMemory(said string) bool {
	for _, words := range []string{"out of memory", "cannot allocate memory", "cannot map pages", "pthread_create failed", "failed to create new OS thread"} {
		if strings.Contains(said, words) {
			return true
		}
	}
	return false
}
