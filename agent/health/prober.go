package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// What is kept of a failing answer: its first lines, not its end.
const (
	evidenceLines = 6
	evidenceLimit = 600 // bytes
)

// Prober tries checks. It keeps nothing between two tries; its methods may run
// side by side.
type Prober struct {
	Manager units.Manager
	// Exec runs the command of a check and gives the beginning of what it printed,
	// with an error when it did not end with status 0. Nil runs it as a transient
	// unit.
	Exec func(ctx context.Context, check plan.Check) (output []byte, err error)
	// Reach asks the repository for its newest commit on a new connection. Nil: there
	// is none to ask, and a check of it says nothing.
	Reach func(ctx context.Context) error

	started atomic.Uint64 // transient units, for their names
}

// Result is how one check ended.
type Result struct {
	Check    string        `json:"check"` // what was checked; from Watch with the unit's name in front
	OK       bool          `json:"ok"`
	Evidence string        `json:"evidence,omitempty"` // why it did not pass: the first lines of the answer
	Took     time.Duration `json:"took"`
}

// Try runs a check once, within its timeout.
func (p *Prober) Try(ctx context.Context, check plan.Check) Result {
	check = check.WithDefaults()
	ctx, cancel := context.WithTimeout(ctx, check.Timeout)
	defer cancel()
	begin := time.Now()
	err := p.probe(ctx, check)
	result := Result{Check: check.String(), OK: err == nil, Took: time.Since(begin)}
	if err != nil {
		late := fmt.Sprintf("no answer within %s", check.Timeout)
		text := strings.Replace(err.Error(), context.DeadlineExceeded.Error(), late, 1)
		if result.Took >= check.Timeout { // what package net says of a dial that took too long
			text = strings.Replace(text, "i/o timeout", late, 1)
		}
		result.Evidence = clean(text)
	}
	return result
}

// probe runs a check; the text of its error is the evidence.
func (p *Prober) probe(ctx context.Context, check plan.Check) error {
	switch {
	case check.HTTP != "":
		return probeHTTP(ctx, check)
	case check.TCP != "":
		return probeTCP(ctx, check.TCP)
	case check.Unix != "":
		return probeUnix(ctx, check.Unix)
	case len(check.Exec) > 0:
		return p.probeExec(ctx, check)
	case check.Unit != "":
		return p.probeUnit(ctx, check.Unit)
	case check.Repository:
		return p.probeRepository(ctx)
	}
	return errors.New("the check says nothing to look at")
}

// clean makes foreign text fit for a log: a few lines of bounded length, without
// control characters and runs of spaces.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "?")
	var lines []string
	for line := range strings.Lines(text) {
		if line = cleanLine(line); line != "" {
			lines = append(lines, line)
		}
		if len(lines) > evidenceLines {
			lines[evidenceLines] = "..."
			break
		}
	}
	text = strings.Join(lines, "\n")
	if len(text) > evidenceLimit {
		text = strings.ToValidUTF8(text[:evidenceLimit], "") + "..."
	}
	return text
}

func cleanLine(line string) string {
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, line)
	return strings.Join(strings.Fields(line), " ")
}
