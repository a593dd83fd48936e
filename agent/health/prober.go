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

const (
	defaultTimeout = 5 * time.Second // of one try of a check that names none
	evidenceLimit  = 400             // bytes of a failing answer that are kept
)

// Prober tries checks. It keeps nothing between two tries; its methods may run
// side by side.
type Prober struct {
	Manager units.Manager
	// Exec runs a command and gives the beginning of what it printed, with an
	// error when it did not end with status 0. Nil runs it as a transient unit.
	Exec func(ctx context.Context, argv []string) (output []byte, err error)

	started atomic.Uint64 // transient units, for their names
}

// Result is how one check ended.
type Result struct {
	Check    string        `json:"check"` // what was checked; from Watch with the unit's name in front
	OK       bool          `json:"ok"`
	Evidence string        `json:"evidence,omitempty"` // why it did not pass: the beginning of the answer, on one line
	Took     time.Duration `json:"took"`
}

// Try runs a check once, within its timeout.
func (p *Prober) Try(ctx context.Context, check plan.Check) Result {
	timeout := check.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	begin := time.Now()
	err := p.probe(ctx, check)
	result := Result{Check: check.String(), OK: err == nil, Took: time.Since(begin)}
	if err != nil {
		late := fmt.Sprintf("no answer within %s", timeout)
		result.Evidence = clean(strings.Replace(err.Error(), context.DeadlineExceeded.Error(), late, 1))
	}
	return result
}

// probe runs a check; the text of its error is the evidence.
func (p *Prober) probe(ctx context.Context, check plan.Check) error {
	switch {
	case check.HTTP != "":
		return probeHTTP(ctx, check.HTTP)
	case check.TCP != "":
		return probeTCP(ctx, check.TCP)
	case len(check.Exec) > 0:
		return p.probeExec(ctx, check.Exec)
	case check.Unit != "":
		return p.probeUnit(ctx, check.Unit)
	}
	return errors.New("the check says nothing to look at")
}

// clean makes foreign text fit for one line of a log: no control characters, no
// runs of spaces, a bounded length.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > evidenceLimit {
		text = strings.ToValidUTF8(text[:evidenceLimit], "") + "..."
	}
	return text
}
