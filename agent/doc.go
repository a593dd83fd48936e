// Package agent follows a Git repository and keeps this host at the newest
// commit that proves healthy here.
//
//	source -> manifest -> plan -> apply -> health -> verdict
//
// It never decides anything about a host outside of one pass (cycle.go), never
// touches the disk or systemd but through package apply, and forgets nothing
// that failed (ledger.go). Start reading at pass in cycle.go, then deploy.go,
// revert.go and recover.go.
package agent
