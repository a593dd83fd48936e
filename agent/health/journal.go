package health

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

const (
	journalTime  = 5 * time.Second // for all that is asked about one unit
	journalLines = "8"
)

// Journal gives the last lines that a unit has written itself since a time: systemd
// knows that a program ended with status 1, and the program said why. It is "" when
// there are none, or when nobody can tell: evidence is a help, and no condition.
func Journal(ctx context.Context, unit string, since time.Time) string {
	ctx, cancel := context.WithTimeout(ctx, journalTime)
	defer cancel()
	// Its last words may be on their way still.
	_ = exec.CommandContext(ctx, "journalctl", "--sync").Run()
	out, err := exec.CommandContext(ctx, "journalctl", "--quiet", "--no-pager", "--output=cat",
		"--lines="+journalLines, fmt.Sprintf("--since=@%d", since.Unix()), "_SYSTEMD_UNIT="+unit).Output()
	if err != nil {
		return ""
	}
	return clean(string(out))
}
