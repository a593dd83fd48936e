package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"evenkeel/agent/plan"
)

// maxProblems bounds what one load reports: a person reads the first screen.
const maxProblems = 1000

// Problem is one fault of the repository, with where it is, what was found and,
// when we know it, how to mend it.
type Problem struct {
	File    string `json:"file,omitempty"` // in the repository, "" when no file is to blame
	Line    int    `json:"line,omitempty"` // from 1; 0 means the file as a whole
	Col     int    `json:"col,omitempty"`  // from 1; 0 means the line as a whole
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`

	doubt doubt  // why another set of labels might not have it
	role  string // whose doubt that is, where the file does not say it
}

// doubt says what a problem depends on that only the host's own config knows.
type doubt string

const (
	sure       doubt = ""
	doubtValue doubt = "value" // a value was not there
	doubtSet   doubt = "set"   // a value was not as a schema asks for
	doubtHost  doubt = "host"  // no entry, or no role, for the host, or not the labels that every host has
	doubtCall  doubt = "call"  // a function refused a value that may be the stand-in of a secret
)

// String reads as a compiler's message does: file:line:col: message (hint).
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
			if p.Col > 0 {
				fmt.Fprintf(&b, ":%d", p.Col)
			}
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems is every fault of a repository, sorted, each once. It is the error
// of Load and Wire whenever the repository, and not the reading of it, is at
// fault; callers find it with errors.As.
type Problems []Problem

// Error gives one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// NoHost reports whether all that is wrong is that the repository does not know
// the host with these labels, or gives it no roles.
func (ps Problems) NoHost() bool {
	return !slices.ContainsFunc(ps, func(p Problem) bool { return p.doubt != doubtHost })
}

// Sorted orders problems by place and drops repetitions.
func Sorted(ps []Problem) Problems { return sorted(ps) }

func sorted(ps []Problem) Problems {
	out := slices.Clone(ps)
	slices.SortFunc(out, func(a, b Problem) int {
		return cmp.Or(
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Col, b.Col),
			strings.Compare(a.Message, b.Message),
			strings.Compare(a.Hint, b.Hint),
		)
	})
	out = slices.CompactFunc(out, func(a, b Problem) bool { return a.String() == b.String() })
	if len(out) > maxProblems {
		more := len(out) - maxProblems
		out = append(out[:maxProblems:maxProblems], Problem{Message: fmt.Sprintf("and %d more problems", more)})
	}
	return Problems(out)
}

// collector gathers problems while a load goes on to find the next one.
type collector struct {
	list []Problem
}

func (c *collector) add(p Problem) { c.list = append(c.list, p) }

// at adds a problem at a place that is known by line only.
func (c *collector) at(place plan.Place, hint, format string, args ...any) {
	c.add(Problem{File: place.File, Line: place.Line, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// blames reports whether a file has problems already.
func (c *collector) blames(file string) bool {
	return slices.ContainsFunc(c.list, func(p Problem) bool { return p.File == file })
}

// err gives what was collected as an error, nil when there is nothing.
func (c *collector) err() error {
	if len(c.list) == 0 {
		return nil
	}
	return sorted(c.list)
}

// spot writes a place for use inside another problem's message.
func spot(p plan.Place) string { return p.String() }
