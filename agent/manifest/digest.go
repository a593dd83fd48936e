package manifest

import (
	"encoding/json"

	"evenkeel/agent/plan"
)

// Digest names what a wired target asks for: paths, units, services with their
// checks, and validators. Two commits that ask for the same have one digest;
// commit, host, origin and warnings do not count.
func Digest(t *plan.Target) string {
	text, err := json.Marshal(struct {
		State    plan.State
		Services map[string]plan.Service
		Validate map[string][]string
		Absent   []string `json:",omitempty"` // so that a host with none keeps its digests
	}{t.State, t.Services, t.Validate, t.Absent})
	if err != nil {
		panic("internal error: a target cannot be written as JSON: " + err.Error())
	}
	return plan.DigestKey(nil).Digest(text)
}
