package main

import (
	"testing"
	"time"

	"evenkeel/agent"
)

func TestTreeOfAHost(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 30, 0, 0, time.UTC)
	good := &agent.CommitStatus{Commit: "aaaaaaaaaaaaaaaa", Subject: "Good"}
	for _, row := range []struct {
		what   string
		status agent.Status
		want   string
	}{
		{"before the first commit", agent.Status{Host: "web-1"}, "web-1 has no good commit yet\nno unit shall run\n"},
		{"waves, with what has failed", agent.Status{Host: "web-1", Good: good, Units: []agent.UnitStatus{
			{Name: "app.service", Active: "failed", Wave: 2, After: []string{"db.service"}, With: []string{"db.service"}},
			{Name: "db.service", Active: "active", Since: now.Add(-time.Hour), Wave: 1},
			{Name: "job.timer", Active: "active", Wave: 1},
		}}, `web-1 at aaaaaaaaaaaa "Good"
  1  db.service   active for 1h
     job.timer    active
  2  app.service  failed         after db.service; restarts with db.service
`},
	} {
		if got := treePage(row.status, now); got != row.want {
			t.Errorf("%s:\n%s\nwant:\n%s", row.what, got, row.want)
		}
	}
}
