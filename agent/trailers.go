package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/agent/source"
)

// trailerOnFailure says in a commit's message what on_failure: says in its tree:
// some changes have no way back although the role usually has one.
const trailerOnFailure = "evenkeel-on-failure"

// knownTrailers are all keys that begin with "Evenkeel-".
func knownTrailers() []string { return []string{trailerOnFailure, "evenkeel-allow-prune"} }

// heedTrailers lets the messages of all commits since the good one have the last
// word. Hold counts wherever it stands, also on the way to the newest commit. A
// typing error in that one's trailers is a problem; in an older one, which cannot
// be mended any more, it is a warning.
func heedTrailers(target *plan.Target, trailers []source.Trailer) error {
	var problems manifest.Problems
	var said plan.OnFailure
	for _, t := range trailers {
		fault := ""
		switch answer := plan.OnFailure(strings.ToLower(t.Value)); {
		case !slices.Contains(knownTrailers(), t.Key):
			fault = fmt.Sprintf("its message has an unknown trailer %q", t.Key)
		case t.Key != trailerOnFailure:
		case answer == plan.Hold:
			said = plan.Hold
		case answer == plan.Revert:
			said = cmp.Or(said, answer)
		default:
			fault = fmt.Sprintf("its message says %s: %q, which is neither revert nor hold", t.Key, t.Value)
		}
		place := plan.Place{File: fmt.Sprintf("commit %.12s", t.Commit)}
		switch {
		case fault == "" || t.Loose: // what is loose may be a quotation
		case t.Commit == target.Commit:
			problems = append(problems, manifest.Problem{File: place.File, Message: fault, Hint: "amend it, or push another commit"})
		default:
			target.Warnings = append(target.Warnings, plan.Warning{Place: place, Message: fault})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	target.OnFailure = cmp.Or(said, target.OnFailure)
	return nil
}
