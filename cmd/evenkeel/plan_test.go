package main

import (
	"strings"
	"testing"
	"time"

	"evenkeel/agent"
)

func TestTellPlan(t *testing.T) {
	for _, row := range []struct {
		what string
		plan agent.Preview
		code int
		want string
	}{
		{"steps with reasons, then the files", agent.Preview{
			Commit: "0123456789abcdef", Subject: "Greet", Host: "web-1",
			Steps: []string{"replace /etc/app.conf: content changes", "restart app.service: ExecStart= reads /etc/app.conf"},
			Diffs: []agent.FileDiff{
				{Path: "/etc/app.conf", Old: []byte("a\nb"), New: []byte("a\nc\n")},
				{Path: "/etc/new", New: []byte("n\n")},
				{Path: "/etc/key", Old: []byte("hunter2"), New: []byte("hunter3"), Secret: true},
				{Path: "/etc/logo", Old: []byte{0, 1}, New: []byte{0, 1, 2}},
			},
		}, exitFine, `0123456789ab "Greet" would do on web-1:
  1. replace /etc/app.conf: content changes
  2. restart app.service: ExecStart= reads /etc/app.conf

--- /etc/app.conf
+++ /etc/app.conf
@@ -1,2 +1,2 @@
 a
-b
\ No newline at end of file
+c

--- /dev/null
+++ /etc/new
@@ -0,0 +1 @@
+n

/etc/key: <secret changed>

/etc/logo: changes; not text, 2 bytes now, 3 then
`},
		{"nothing to do", agent.Preview{Commit: "0123", Host: "web-1"}, exitFine, "0123 asks for nothing new on web-1\n"},
		{"problems", agent.Preview{Commit: "0123", Host: "web-1", Problems: []string{"fleet.yaml:3: no"}}, exitFound,
			"0123 is refused on web-1:\n  fleet.yaml:3: no\n"},
		{"waiting", agent.Preview{Commit: "0123", Host: "web-1", Waiting: []string{`the user "app"`}}, exitFound,
			"0123 asks for nothing new on web-1\n\nIt waits for the user \"app\"\n"},
		{"a person went back", agent.Preview{Commit: "0123", Host: "web-1", Steps: []string{"x"},
			RolledBack: &agent.RollbackStatus{Commit: "4567", Since: time.Date(2026, 11, 23, 3, 30, 0, 0, time.Local)}}, exitFound,
			"0123 would do on web-1:\n  1. x\n\nNot now: at 2026-11-23 03:30 a person took this host back to 4567; it stays there until the branch moves, or \"evenkeel resume\"\n"},
		{"not validated", agent.Preview{Commit: "0123", Host: "web-1", Steps: []string{"x"}, Unvalidated: "that needs root"}, exitFound,
			"0123 would do on web-1:\n  1. x\n\nIt was not validated: that needs root\n"},
		{"what the host is at, and somebody stopped a service", agent.Preview{Commit: "0123", Host: "web-1", Drifted: true}, exitFine,
			"0123 is what web-1 is at; somebody changed something since, see \"evenkeel drift\"\n"},
		{"rejected before", agent.Preview{Commit: "0123", Host: "web-1", Steps: []string{"x"}, Rejected: "app.service failed"}, exitFound,
			"0123 would do on web-1:\n  1. x\n\nIt failed here before and is not tried again: app.service failed\n"},
	} {
		t.Run(row.what, func(t *testing.T) {
			var out strings.Builder
			err := tellPlan(ui{out: &out, err: &out}, row.plan)
			code := exitFine
			if e, is := err.(*exit); is {
				code = e.code
			}
			if out.String() != row.want || code != row.code {
				t.Errorf("exit code %d, want %d, and\n%swant:\n%s", code, row.code, out.String(), row.want)
			}
		})
	}
}
