package apply

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sysctlBound is how long the kernel's values may take to be written.
const sysctlBound = 30 * time.Second

// Sysctl is the kernel's values below a directory, /proc/sys.
type Sysctl struct{ Root string }

// secretValues are never read: what they are is a secret.
var secretValues = []string{"stable_secret", "tcp_fastopen_key"}

// Read gives the values of some keys, which may be patterns. What is not there, or only
// takes what is written, is not among them.
func (s Sysctl) Read(keys []string) map[string]string {
	values := map[string]string{}
	for _, key := range keys {
		files, _ := filepath.Glob(filepath.Join(s.Root, key)) // nil for no pattern at all
		for _, file := range files {
			if value, err := s.read(file); err == nil {
				values[strings.TrimPrefix(file, s.Root+"/")] = value
			}
		}
	}
	return values
}

// Names lists what is in a directory, nothing for one that is not there.
func (s Sysctl) Names(dir string) []string {
	entries, _ := os.ReadDir(filepath.Join(s.Root, dir))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (s Sysctl) read(file string) (string, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || slices.Contains(secretValues, filepath.Base(file)):
		return "", os.ErrPermission
	}
	text, err := os.ReadFile(file)
	return strings.TrimRight(string(text), "\n"), err
}

// Write has the kernel take values. Each that it does not take is in the error. It runs
// in a unit of its own: a sandboxed daemon cannot write there.
func (s Sysctl) Write(ctx context.Context, values map[string]string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot write the kernel's values: cannot find the own program: %v", err)
	}
	order, err := json.Marshal(values)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sysctlBound+validateGrace)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemd-run",
		"--quiet", "--pipe", "--wait", "--collect", "--no-ask-password", "--service-type=exec",
		"--unit=evenkeel-sysctl-"+strings.ToLower(rand.Text()[:8]), "--description=Put values of the kernel back",
		"-p", fmt.Sprintf("RuntimeMaxSec=%d", int(sysctlBound.Seconds())), "--", self, "child-sysctl")
	said := &capped{max: maxComplaint}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(order), said, said
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot write the kernel's values: %v%s", err, afterColon(printable(said.kept.String())))
	}
	return nil
}

// SysctlMain is the other side of Write: the program's main when its only argument is
// "child-sysctl".
func SysctlMain(stdin io.Reader, stdout io.Writer) int {
	var values map[string]string
	err := json.NewDecoder(stdin).Decode(&values)
	if err == nil {
		err = Sysctl{Root: "/proc/sys"}.put(values)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stdout, err)
		return 1
	}
	return 0
}

// put writes what differs. Of values of which the kernel keeps one at a time it refuses
// one and clears it with the other, so only what differs in the end was refused.
func (s Sysctl) put(values map[string]string) error {
	refused := map[string]error{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		file := filepath.Join(s.Root, key)
		if is, err := s.read(file); err != nil || is == values[key] {
			continue // gone with its module or interface, or right already
		}
		if err := os.WriteFile(file, []byte(values[key]+"\n"), 0); err != nil {
			refused[key] = err
		}
	}
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(refused)) {
		if is, err := s.read(filepath.Join(s.Root, key)); err == nil && is != values[key] {
			wrong = append(wrong, fmt.Sprintf("%s is %q and was %q: %v", key, is, values[key], refused[key]))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}
