package main

import (
	"fmt"
	"strings"

	"evenkeel/agent/plan"
)

// shownSealed bounds how many secrets a note names.
const shownSealed = 10

// sealedNote says which secrets could not be opened on this machine, which is as
// it should be: "" when there are none.
func sealedNote(places []plan.Place) string {
	if len(places) == 0 {
		return ""
	}
	var names []string
	for _, p := range places {
		names = append(names, p.String())
	}
	all := count(len(names), "secret")
	if more := len(names) - shownSealed; more > 0 {
		names = append(names[:shownSealed], fmt.Sprintf("and %d more", more))
	}
	return all + " cannot be decrypted here, and everything else was checked: " + strings.Join(names, ", ")
}
