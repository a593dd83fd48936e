package apply

import (
	"context"
	"crypto/rand"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// tmpfilesBound is how long systemd-tmpfiles may take.
const tmpfilesBound = time.Minute

// CreateFiles has systemd-tmpfiles make what files of tmpfiles.d(5) ask for. It runs in
// a unit of its own: a sandboxed daemon cannot write where those files point.
func CreateFiles(ctx context.Context, files []string) error {
	ctx, cancel := context.WithTimeout(ctx, tmpfilesBound+validateGrace)
	defer cancel()
	name := "evenkeel-tmpfiles-" + strings.ToLower(rand.Text()[:8])
	args := append([]string{
		"--quiet", "--pipe", "--wait", "--collect", "--no-ask-password", "--service-type=exec", "--unit=" + name,
		"--description=Make what files of tmpfiles.d say", "-p", fmt.Sprintf("RuntimeMaxSec=%d", int(tmpfilesBound.Seconds())),
		"--", "systemd-tmpfiles", "--create",
	}, files...)
	cmd := exec.CommandContext(ctx, "systemd-run", args...)
	said := &capped{max: maxComplaint}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot make what tmpfiles.d says: systemd-tmpfiles: %v%s", err, afterColon(printable(said.kept.String())))
	}
	return nil
}
