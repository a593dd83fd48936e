package agent

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"evenkeel/agent/plan"
)

// missingForChecks lists the programs and users that new checks need and that
// are not there: such a check would fail whatever the commit does. One that the
// good commit has as well is left to the baseline.
func (d *daemon) missingForChecks(target *plan.Target, n now) []string {
	var list []string
	brings := accountsOf(target)
	for _, unit := range slices.Sorted(maps.Keys(target.Services)) {
		for _, check := range target.Services[unit].Checks {
			if len(check.Exec) == 0 || d.goodRuns(check) {
				continue
			}
			if program := check.Exec[0]; !bringsBelow(target, program) && !isProgram(program) {
				list = append(list, fmt.Sprintf("the program %q, which a check of %s runs", program, unit))
			}
			if _, there := n.accounts.UID(check.User); check.User != "" && !there && !brings.users[check.User] {
				list = append(list, fmt.Sprintf("user %q, as whom a check of %s runs", check.User, unit))
			}
		}
	}
	return slices.Compact(list)
}

// goodRuns reports whether a check of the good commit runs the same program as
// the same user.
func (d *daemon) goodRuns(check plan.Check) bool {
	if d.host.Ledger.Good == nil {
		return false
	}
	for _, service := range d.host.Ledger.Good.Services {
		for _, other := range service.Checks {
			if len(other.Exec) > 0 && other.Exec[0] == check.Exec[0] && other.User == check.User {
				return true
			}
		}
	}
	return false
}

// bringsBelow reports whether the target brings a path, or a link above it that
// may lead to it.
func bringsBelow(target *plan.Target, name string) bool {
	if _, comes := target.State.Paths[name]; comes {
		return true
	}
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if target.State.Paths[dir].Kind == plan.Link {
			return true
		}
	}
	return false
}
