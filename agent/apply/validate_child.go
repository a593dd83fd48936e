package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// errAlone says that nobody waits for the answer any more.
var errAlone = errors.New("the daemon is gone")

// ValidateMain is the other side of Validate: the program's main when its only
// argument is "child-validate". It expects to be alone in a transient unit, with
// mounts of its own, and to end when it returns: one goroutine still waits for
// the end of stdin then.
func ValidateMain(stdin io.Reader, stdout io.Writer) int {
	found, err := validateInChild(stdin)
	if err != nil {
		found = findings{Failure: err.Error()}
	}
	if err := json.NewEncoder(stdout).Encode(found); err != nil {
		return 1
	}
	return 0
}

func validateInChild(stdin io.Reader) (findings, error) {
	scratch, err := privateScratch()
	if err != nil {
		return findings{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), validateBound)
	defer cancel()
	in := json.NewDecoder(stdin)
	var o order
	if err := in.Decode(&o); err != nil {
		return findings{}, fmt.Errorf("cannot read the request: %v", err)
	}
	view, err := newView(scratch, o)
	if err != nil {
		return findings{}, err
	}
	if view.missing != nil {
		return findings{Invalid: view.missing}, nil
	}
	if err := view.stage(in); err != nil {
		return findings{}, err
	}
	ctx, alone := context.WithCancelCause(ctx)
	go func() {
		// The daemon sends no more, so this ends when the daemon does.
		_, _ = io.Copy(io.Discard, io.MultiReader(in.Buffered(), stdin))
		alone(errAlone)
	}()
	was := o.generate(ctx)
	if err := view.mount(); err != nil {
		return findings{}, err
	}
	if o.generated, err = o.generate(ctx).since(was, scratch); err != nil {
		return findings{}, err
	}
	return o.judge(ctx)
}

// privateScratch gives an empty directory on a file system of its own, after it
// made sure that no mount of this process shows anywhere else.
func privateScratch() (string, error) {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return "", err
	}
	if host, err := os.Readlink("/proc/1/ns/mnt"); err != nil || own == host {
		return "", errors.New("the mounts of this process are the host's own")
	}
	scratch := os.Getenv("RUNTIME_DIRECTORY")
	if scratch == "" {
		return "", errors.New("there is no scratch directory")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", fmt.Errorf("cannot make the mounts private: %v", err)
	}
	if err := unix.Mount("tmpfs", scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
		return "", fmt.Errorf("cannot mount a scratch file system: %v", err)
	}
	return scratch, nil
}
