package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// apart is the first argument of this program when it is to fetch or to poll as a
// process of its own, with the memory that the agent's children have. What it costs
// is measured there: in the process of the tests all of them share one account.
const apart = "apart"

const (
	apartData = 256 << 20 // as package agent sets it
	mostPeak  = 64 << 20  // resident, whatever a server does
)

// errand is what such a process is to do.
type errand struct {
	Remote Remote
	Dir    string        // to fetch into, "" for polls
	Polls  int           // after the first one, which greets
	Within time.Duration // 0 for no other bound than the own ones

	environment []string // of the process, besides ours
}

// account is what came of it.
type account struct {
	Commit  string
	Failure *Error
	Peak    int64         // bytes resident, at most
	CPU     time.Duration // of all polls but the first
}

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == apart {
		if err := runErrand(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// isRaced reports whether the race detector is built in, which needs many times the memory.
func isRaced() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func runErrand() error {
	limit := unix.Rlimit{Cur: apartData, Max: apartData}
	if !isRaced() {
		if err := unix.Setrlimit(unix.RLIMIT_DATA, &limit); err != nil {
			return err
		}
	}
	debug.SetMemoryLimit(apartData / 4 * 3)
	var do errand
	if err := json.NewDecoder(os.Stdin).Decode(&do); err != nil {
		return err
	}
	ctx := context.Background()
	if do.Within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, do.Within)
		defer cancel()
	}
	var came account
	var err error
	if do.Dir != "" {
		came.Commit, err = fetchCommit(ctx, do.Remote, do.Dir)
	} else {
		came, err = pollMany(ctx, do)
	}
	if err != nil {
		came.Failure = err.(*Error)
	}
	came.Peak = peakMemory()
	return json.NewEncoder(os.Stdout).Encode(came)
}

func pollMany(ctx context.Context, do errand) (account, error) {
	poller := NewPoller(do.Remote)
	defer poller.Close()
	seen, err := poller.Tip(ctx)
	before := processorTime()
	for range do.Polls {
		if err == nil {
			seen, err = poller.Tip(ctx)
		}
	}
	return account{Commit: seen.Commit, CPU: processorTime() - before}, err
}

func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// peakMemory is the most that was resident. Not ru_maxrss: a process begins with
// that of the one that started it.
func peakMemory() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kB int64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		panic(err)
	}
	return kB << 10
}

// run starts the process, and fails the test when it dies.
func (e errand) run(t testing.TB) account {
	t.Helper()
	input, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], apart)
	cmd.Stdin = bytes.NewReader(input)
	cmd.Env = append(os.Environ(), e.environment...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	var came account
	if err == nil {
		err = json.Unmarshal(out, &came)
	}
	if err != nil {
		t.Fatalf("a process of its own: %v\n%.2000s", err, said.Bytes())
	}
	return came
}

// fetchApart is fetchCommit in a process of its own, whose memory has a bound.
func fetchApart(t testing.TB, remote Remote, dir string, within time.Duration) (string, error) {
	t.Helper()
	return errand{Remote: remote, Dir: dir, Within: within}.small(t)
}

// headApart is Head in such a process.
func headApart(t testing.TB, remote Remote) (string, error) {
	t.Helper()
	return errand{Remote: remote}.small(t)
}

func (e errand) small(t testing.TB) (string, error) {
	t.Helper()
	came := e.run(t)
	t.Logf("%d MB were resident", came.Peak>>20)
	if came.Peak > mostPeak && !isRaced() {
		t.Errorf("%d MB were resident, more than %d", came.Peak>>20, mostPeak>>20)
	}
	if came.Failure != nil {
		return came.Commit, came.Failure
	}
	return came.Commit, nil
}

// cpuByRefs polls a repository of several numbers of refs, and gives what one poll
// costs us, as the least of some tries: other work on the machine only adds to it.
func (g *gitRepo) cpuByRefs(remote Remote, sizes []int, polls, tries int) map[int]time.Duration {
	g.t.Helper()
	least := map[int]time.Duration{}
	for range tries {
		for _, refs := range sizes {
			g.withRefs(refs)
			came := errand{Remote: remote, Polls: polls}.run(g.t)
			if came.Failure != nil {
				g.t.Fatalf("%d refs: %v", refs, came.Failure)
			}
			each := came.CPU / time.Duration(polls)
			if least[refs] == 0 || each < least[refs] {
				least[refs] = each
			}
		}
	}
	return least
}
