package agent

import (
	"slices"
	"testing"

	"evenkeel/agent/apply"
	"evenkeel/agent/apply/applytest"
	"evenkeel/agent/plan"
)

func TestCheckWaitsForItsProgramAndItsUser(t *testing.T) {
	disk := applytest.New(applytest.Options{Space: -1, Inodes: -1})
	disk.PutFile("/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:100:100::/:/bin/sh\n", apply.Attr{Mode: 0o644})
	disk.PutFile("/etc/group", "root:x:0:\n", apply.Attr{Mode: 0o644})
	accounts, err := apply.ReadAccounts(disk)
	if err != nil {
		t.Fatal(err)
	}
	const none = "/usr/lib/evenkeel-test/none"
	for _, row := range []struct {
		about string
		check plan.Check
		paths map[string]plan.Path
		good  *Good
		want  []string
	}{
		{about: "a program and a user that are there", check: plan.Check{Exec: []string{"/bin/sh"}, User: "app"}},
		{about: "other kinds of checks need neither", check: plan.Check{TCP: "127.0.0.1:1"}},
		{
			about: "neither is there", check: plan.Check{Exec: []string{none}, User: "nemo"},
			want: []string{`the program "` + none + `", which a check of app.service runs`, `user "nemo", as whom a check of app.service runs`},
		},
		{
			about: "the commit brings the program", check: plan.Check{Exec: []string{none}},
			paths: map[string]plan.Path{none: {Kind: plan.File}},
		},
		{
			about: "the commit brings a link on the way to it", check: plan.Check{Exec: []string{none}},
			paths: map[string]plan.Path{"/usr/lib/evenkeel-test": {Kind: plan.Link, Link: "elsewhere"}},
		},
		{
			about: "the commit brings the user", check: plan.Check{Exec: []string{"/bin/sh"}, User: "nemo"},
			paths: map[string]plan.Path{"/etc/sysusers.d/nemo.conf": {Kind: plan.File, Digest: "d"}},
		},
		{
			about: "the good commit has the same check", check: plan.Check{Exec: []string{none}},
			good: &Good{Services: map[string]plan.Service{"old.service": {Checks: []plan.Check{{TCP: "a:1"}, {Exec: []string{none, "-v"}}}}}},
		},
	} {
		d := &daemon{host: &Host{Ledger: &Ledger{Good: row.good}}}
		target := &plan.Target{
			State: plan.State{Paths: row.paths}, Content: map[string][]byte{"d": []byte("u nemo -\n")},
			Services: map[string]plan.Service{"app.service": {Checks: []plan.Check{row.check}}},
		}
		if got := d.missingForChecks(target, now{accounts: accounts}); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", row.about, got, row.want)
		}
	}
}
