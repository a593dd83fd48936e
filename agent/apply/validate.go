package apply

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"evenkeel/units"
)

// Before the host is touched, systemd and the files' own programs look at the
// host as it would be:
//
//	daemon -- order, staged files: JSON on stdin --> transient unit of our own binary
//	                                                 mounts the staged tree, for itself alone
//	                                                 systemd-analyze verify, then the validators
//	daemon <-- findings: JSON on stdout -----------  ends, and everything is gone with it
//
// The unit, and not the daemon, does it: a sandboxed daemon cannot mount.

const (
	validateBound  = 2 * time.Minute  // for all commands of one validation together
	validateGrace  = 15 * time.Second // for what comes before and after them
	maxFindings    = 200
	maxFindingText = 1 << 10 // bytes of a message
	maxVerdict     = 1 << 20 // bytes of the child's answer
	maxComplaint   = 4 << 10 // bytes of what it says when it fails
)

// Candidate is what a commit would change on this host, complete and staged
// nowhere yet.
type Candidate struct {
	Files      map[string]Staged   // by absolute path
	Removed    []string            // absolute paths that would be gone
	Units      []string            // units of which the commit brings the file or a drop-in
	Validators map[string][]string // path -> program and arguments that must accept the file there
}

// Staged is one file, link or directory of a Candidate.
type Staged struct {
	Content  []byte `json:"content,omitempty"`
	Link     string `json:"link,omitempty"` // not empty: a symbolic link that says this
	Dir      bool   `json:"dir,omitempty"`
	Mode     uint32 `json:"mode,omitempty"` // as chmod(2) takes it
	UID, GID uint32
}

// Invalid is one fault of a Candidate.
type Invalid struct {
	Path    string // the file at fault, "" when it is not known
	Line    int    // 0 when it is not known
	Unit    string // the unit at fault, "" when it is no unit's file
	Message string // what systemd said, or how the validator ended
	Said    string // what the validator said; it may quote the files
	Missing bool   // something is not on this host: the fault may go without another commit
}

// String gives the fault in one text, which may have more than one line.
func (i Invalid) String() string {
	text := i.Message + afterColon(i.Said)
	switch {
	case i.Path != "" && i.Line > 0:
		return fmt.Sprintf("%s:%d: %s", i.Path, i.Line, text)
	case i.Path != "":
		return i.Path + ": " + text
	case i.Unit != "":
		return i.Unit + ": " + text
	}
	return text
}

// order is the head of what the child reads. The staged files follow, one JSON
// value for each of Paths, so that no process ever holds them all twice.
type order struct {
	Paths      []string            // sorted: directories before what is in them
	Removed    []string            // as in Candidate
	Units      []string            // as in Candidate
	Masks      []string            // units that the commit masks
	Validators map[string][]string // as in Candidate

	generated generated // in the child: what podman's generator makes of the commit
}

// findings is the child's answer.
type findings struct {
	Invalid []Invalid
	Failure string // why the candidate could not be validated, "" when it was
}

// Validate lets systemd and the validators judge a candidate in a private view
// of the host, and gives all faults at once, sorted. It changes nothing on the
// host and leaves nothing behind. An error says that no judgement was possible.
func Validate(ctx context.Context, c Candidate) ([]Invalid, error) {
	if len(c.Units) == 0 && len(c.Validators) == 0 && !c.hasQuadlets() {
		return nil, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot validate: cannot find the own program: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, validateBound+validateGrace)
	defer cancel()
	answer, complaint := &capped{max: maxVerdict}, &capped{max: maxComplaint}
	cmd := validateCommand(ctx, self)
	cmd.Stdout, cmd.Stderr = answer, complaint
	if err := runFed(cmd, c); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("cannot validate: %w", context.Cause(ctx))
		}
		return nil, fmt.Errorf("cannot validate: %v%s", err, afterColon(printable(complaint.kept.String())))
	}
	var found findings
	if err := json.Unmarshal(answer.kept.Bytes(), &found); err != nil {
		return nil, errors.New("cannot validate: the answer of the transient unit cannot be read")
	}
	if found.Failure != "" {
		return nil, fmt.Errorf("cannot validate: %s", found.Failure)
	}
	return found.Invalid, nil
}

// validateCommand runs this program as a transient unit, with a view of the
// host that is read-only but for what programs write when they only look at
// their config: nginx -t opens its log and its pid file.
func validateCommand(ctx context.Context, self string) *exec.Cmd {
	name := "evenkeel-validate-" + strings.ToLower(rand.Text()[:8])
	args := []string{
		"--quiet", "--pipe", "--wait", "--collect", "--no-ask-password", "--service-type=exec",
		"--unit=" + name, "--description=Validate a commit before anything is touched",
	}
	for _, property := range []string{
		"RuntimeDirectory=" + name, "RuntimeDirectoryMode=0700", // removed with the unit, however it ends
		fmt.Sprintf("RuntimeMaxSec=%d", int((validateBound + validateGrace/2).Seconds())), "TimeoutStopSec=5",
		"MemoryMax=512M", "TasksMax=256", "LimitCORE=0", "Nice=10", "WorkingDirectory=/",
		"PrivateMounts=yes", "PrivateTmp=yes", "ProtectSystem=strict", "ReadWritePaths=-/run -/var",
		"ProtectHome=read-only", "ProtectKernelTunables=yes", "ProtectKernelModules=yes",
		"ProtectKernelLogs=yes", "ProtectControlGroups=yes", "RestrictRealtime=yes", "LockPersonality=yes",
	} {
		args = append(args, "-p", property)
	}
	return exec.CommandContext(ctx, "systemd-run", append(args, "--", self, "child-validate")...)
}

// runFed runs the command with the candidate on its stdin, which it holds open
// until the command has ended. When the daemon dies, or ctx ends, the child
// sees the end of its input and gives up.
func runFed(cmd *exec.Cmd, c Candidate) error {
	feed, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Cancel = feed.Close
	cmd.WaitDelay = validateGrace
	if err := cmd.Start(); err != nil {
		return err
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		_ = c.send(feed) // a feed that broke shows in the answer
	}()
	err = cmd.Wait() // closes the feed, so send ends as well
	<-fed
	return err
}

// send writes what the child reads.
func (c Candidate) send(to io.Writer) error {
	out := json.NewEncoder(to)
	paths := slices.Sorted(maps.Keys(c.Files))
	if err := out.Encode(order{Paths: paths, Removed: c.Removed, Units: c.Units, Masks: c.masks(), Validators: c.Validators}); err != nil {
		return err
	}
	for _, p := range paths {
		if err := out.Encode(c.Files[p]); err != nil {
			return err
		}
	}
	return nil
}

// masks are the units that the commit masks with a link.
func (c Candidate) masks() []string {
	var names []string
	for p, s := range c.Files {
		if s.Link == "/dev/null" && units.IsUnitPath(p) {
			names = append(names, path.Base(p))
		}
	}
	return names
}

// capped keeps the first max bytes that are written to it. The buffer is not
// embedded: io.Copy would find its ReadFrom and go round the limit.
type capped struct {
	kept bytes.Buffer
	max  int
}

func (b *capped) Write(p []byte) (int, error) {
	b.kept.Write(p[:min(len(p), b.max-b.kept.Len())])
	return len(p), nil
}

func afterColon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
