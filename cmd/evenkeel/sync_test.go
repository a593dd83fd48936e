package main

import (
	"testing"
	"time"

	"evenkeel/agent"
)

// TestSyncSaysWhatItWaitedFor: it said that the daemon was still idle.
func TestSyncSaysWhatItWaitedFor(t *testing.T) {
	asked := time.Date(2026, 11, 23, 3, 30, 0, 0, time.UTC)
	newest := &agent.CommitStatus{Commit: "bbbbbbbbbbbbbbbb", Subject: "Greet"}
	for _, row := range []struct {
		what   string
		status agent.Status
		want   string
	}{
		{"a commit on probation", agent.Status{Stage: agent.StageWatching, Target: newest, Attempt: &agent.AttemptStatus{Commit: newest.Commit, WaitingFor: "probation"}},
			`the daemon is still watching bbbbbbbbbbbb "Greet", waiting for probation`},
		{"before anything is touched", agent.Status{Stage: agent.StageValidating, Target: newest, Written: asked.Add(time.Second)},
			`the daemon is still validating bbbbbbbbbbbb "Greet"`},
		{"a server that does not answer", agent.Status{Stage: agent.StageIdle, Target: newest, ContactError: "connection refused"},
			"the daemon has not ended a look at the repository since then; the last one failed: connection refused"},
		{"nothing is known", agent.Status{Stage: agent.StageIdle}, "the daemon has not ended a look at the repository since then"},
	} {
		if got := unfinished(row.status, asked); got != row.want {
			t.Errorf("%s: %q, want %q", row.what, got, row.want)
		}
	}
}
