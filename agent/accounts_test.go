package agent

import (
	"slices"
	"strconv"
	"testing"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// A commit waits for the account that a unit runs as, where the repository says so and
// systemd does not make one itself.
func TestACommitWaitsForTheUserOfItsUnit(t *testing.T) {
	for _, c := range []struct {
		what, unit, dropIn string
		want               []string
	}{
		{"root is everywhere", "[Service]\nUser=root\n", "", nil},
		{"a number needs no name", "[Service]\nUser=4711\n", "", nil},
		{"nobody of that name", "[Service]\nUser=app\nGroup=web\n", "", []string{`group "web", as which app.service runs (did you mean "webs"?)`, `user "app", as which app.service runs`}},
		{"a drop-in has the last word", "[Service]\nUser=app\n", "[Service]\nUser=root\n", nil},
		{"systemd makes it", "[Service]\nUser=app\n", "[Service]\nDynamicUser=yes\n", nil},
		{"systemd knows the name", "[Service]\nUser=%p\n", "", nil},
	} {
		target := &plan.Target{
			Content: map[string][]byte{"unit": []byte(c.unit), "drop-in": []byte(c.dropIn)},
			State: plan.State{
				Paths: map[string]plan.Path{
					"/etc/systemd/system/app.service":          {Kind: plan.File, Digest: "unit"},
					"/etc/systemd/system/app.service.d/x.conf": {Kind: plan.File, Digest: "drop-in"},
				},
				Units: map[string]plan.Unit{"app.service": {Active: true}},
			},
		}
		if got := missingAccounts(target, onlyRoot{}); !slices.Equal(got, c.want) {
			t.Errorf("%s: waits for %q, want %q", c.what, got, c.want)
		}
		target.State.Units["app.service"] = plan.Unit{}
		if got := missingAccounts(target, onlyRoot{}); got != nil {
			t.Errorf("%s, and it shall not run: waits for %q", c.what, got)
		}
	}
}

// A reason to wait says where the repository asks for it: nothing told which line had
// the slip.
func TestWaitingForAMisspeltOwnerNamesThePlace(t *testing.T) {
	target := &plan.Target{
		State:  plan.State{Paths: map[string]plan.Path{"/srv/a": {Kind: plan.Directory, Owner: "rooot", Group: "root"}}},
		Origin: map[string]plan.Place{"/srv/a": {File: "roles/web/role.yaml", Line: 3}},
	}
	want := []string{`user "rooot", who shall own /srv/a (roles/web/role.yaml:3; did you mean "root"?)`}
	if got := missingAccounts(target, onlyRoot{}); !slices.Equal(got, want) {
		t.Errorf("waits for %q, want %q", got, want)
	}
}

// onlyRoot is a host on which nobody but root has a name.
type onlyRoot struct{ apply.Accounts }

func (onlyRoot) UID(name string) (uint32, bool) {
	n, err := strconv.ParseUint(name, 10, 32)
	return uint32(n), name == "root" || err == nil
}

func (onlyRoot) Names() (users, groups []string) { return []string{"root"}, []string{"root", "webs"} }

func (a onlyRoot) GID(name string) (uint32, bool) { return a.UID(name) }
