package health

import (
	"context"
	"fmt"
	"regexp"
	"slices"
)

// systemd-run exits with the check's own status when it exits, and with 1 or 255
// otherwise, so a check that was killed looks like one that failed. How the unit ended is
// in the lines that systemd-run writes around what the check writes, to the same pipe.
//
// Seen on systemd 252 and 257:
//
//	Running as unit: evenkeel-check-7-1.service; invocation ID: 0f...
//	Finished with result: oom-kill
//	Main processes terminated with: code=killed, status=9/KILL
//	Service runtime: 4ms
var (
	unitBegan = regexp.MustCompile(`Running as unit: evenkeel-check-.*\n`)
	unitEnded = regexp.MustCompile(`(?s)[ \t]*Finished with result: ([a-z-]+)\n.*?(?:Main processes terminated with: ([^\n]*)\n.*)?$`)
)

// runUnit runs a check by systemd-run and gives the beginning of what the check printed.
// The error says what systemd killed it for.
func runUnit(ctx context.Context, argv []string) ([]byte, error) {
	var said bothEnds
	err := runInto(ctx, argv, &said)
	output, result, how := said.apart()
	if err == nil {
		return output, nil
	}
	switch result {
	case "oom-kill":
		err = fmt.Errorf("killed for its memory, which is limited to %d MB", memoryLimit)
	case "timeout":
		err = fmt.Errorf("killed when its time was over")
	case "signal", "core-dump":
		err = fmt.Errorf("killed by a signal (%s)", how)
	}
	return output, err
}

// bothEnds keeps the beginning and the end of an output.
type bothEnds struct {
	first beginning
	last  []byte
	all   int // bytes that were written
}

const endLimit = 1 << 10

func (b *bothEnds) Write(p []byte) (int, error) {
	b.all += len(p)
	b.last = append(b.last, p...)
	if over := len(b.last) - endLimit; over > 0 {
		b.last = slices.Delete(b.last, 0, over)
	}
	return b.first.Write(p)
}

// apart takes systemd-run's own lines off, and gives what they say of the end.
func (b *bothEnds) apart() (output []byte, result, how string) {
	output = b.first
	if m := unitEnded.FindSubmatchIndex(b.last); m != nil {
		result = string(b.last[m[2]:m[3]])
		if m[4] >= 0 {
			how = string(b.last[m[4]:m[5]])
		}
		output = output[:min(len(output), b.all-len(b.last)+m[0])]
	}
	return unitBegan.ReplaceAll(output, nil), result, how
}
