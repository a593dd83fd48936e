package health

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

const journalTime = 5 * time.Second // for all that is asked about one unit

// Journal gives the last lines that a unit has written itself since a time: systemd
// knows that a program ended with status 1, and the program said why. It is "" when
// there are none, or when nobody can tell: evidence is a help, and no condition.
func Journal(ctx context.Context, unit string, since time.Time) string {
	ctx, cancel := context.WithTimeout(ctx, journalTime)
	defer cancel()
	// Its last words may be on their way still.
	_ = exec.CommandContext(ctx, "journalctl", "--sync").Run()
	out, err := exec.CommandContext(ctx, "journalctl", "--quiet", "--no-pager", "--output=cat",
		"--lines="+strconv.Itoa(evidenceLines), fmt.Sprintf("--since=@%d", since.Unix()), "_SYSTEMD_UNIT="+unit).Output()
	if err != nil {
		return ""
	}
	return lastWords(string(out))
}

// lastWords makes lines of a journal fit for a log as clean does, but of what is too
// long it keeps the end: a program says last why it gives up.
func lastWords(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	room, from := evidenceLimit, len(lines)
	for ; from > 0; from-- {
		if lines[from-1] = clean(lines[from-1]); len(lines[from-1]) > room {
			break
		}
		room -= len(lines[from-1]) + 1
	}
	if from == len(lines) {
		return lines[from-1] // one line, cut by clean
	}
	return strings.Join(slices.DeleteFunc(lines[from:], func(line string) bool { return line == "" }), "\n")
}
