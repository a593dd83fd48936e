package main

import "testing"

func TestStepsThatNeedAWordMore(t *testing.T) {
	testUsage(t, []usageRow{
		{"a loss of memory that nobody confirmed", []string{"reset-state", "--config", "testdata/config.yaml"}, `evenkeel: this loses the way back to the last good commit
evenkeel: hint: to do it: evenkeel reset-state --yes
`},
		{"a step of the boot by hand", []string{"recover"}, `evenkeel: recover is a step of the boot
evenkeel: hint: the daemon recovers by itself when it starts
`},
	})
}
