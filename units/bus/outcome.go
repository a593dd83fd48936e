package bus

import "evenkeel/units"

// glance is what the end of a job can be read from when its signal was missed.
type glance struct {
	units.Detail
	reloadResult string
}

// outcome reads the result word of a job that is over from the unit's state
// before and after it. seen is false when the state would be the same had
// systemd never been asked.
func outcome(verb units.Verb, before, after glance) (word string, seen bool) {
	started := after.Invocation != before.Invocation || !after.ActiveAt.Equal(before.ActiveAt)
	switch verb {
	case units.Stop:
		if after.Active == "inactive" || after.Active == "failed" {
			return units.Done, true
		}
		return "canceled", false
	case units.Reload:
		if after.IsActive() && (after.reloadResult == "success" || after.reloadResult == "") {
			return units.Done, false
		}
		return "failed", false
	case units.Restart:
		if !started {
			// A condition that does not hold is a start that systemd calls done.
			return skipped(before, after, "failed")
		}
	}
	switch {
	case after.IsActive():
		return units.Done, true
	case !started:
		return skipped(before, after, "failed")
	case after.Active == "inactive" && after.Result == "success":
		return units.Done, true // a oneshot, or a service that has ended since
	}
	return "failed", true
}

// skipped recognizes a start that ended at a condition.
func skipped(before, after glance, otherwise string) (word string, seen bool) {
	if !after.Condition && !after.ConditionAt.Equal(before.ConditionAt) {
		return units.Done, true
	}
	return otherwise, false
}
