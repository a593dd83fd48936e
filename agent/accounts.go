package agent

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// brought are the accounts that a target's own files of sysusers.d(5) make.
type brought struct {
	content       []byte // of all those files, in the order of their paths
	users, groups map[string]bool
}

func accountsOf(t *plan.Target) brought {
	b := brought{users: map[string]bool{}, groups: map[string]bool{}}
	for _, p := range slices.Sorted(maps.Keys(t.State.Paths)) {
		at := t.State.Paths[p]
		if at.Kind != plan.File || !apply.IsSysusers(p) {
			continue
		}
		content := t.Content[at.Digest]
		b.content = append(append(b.content, content...), '\n')
		users, groups := apply.AccountsIn(content)
		for _, name := range users {
			b.users[name] = true
		}
		for _, name := range groups {
			b.groups[name] = true
		}
	}
	return b
}

// missingAccounts lists who shall own a path and is neither there nor brought.
func missingAccounts(t *plan.Target, accounts apply.Accounts) []string {
	var list []string
	brings := accountsOf(t)
	users := func() []string { // nearly always nobody is missing, and nobody is listed
		names, _ := accounts.Names()
		return slices.AppendSeq(names, maps.Keys(brings.users))
	}
	groups := func() []string {
		_, names := accounts.Names()
		return slices.AppendSeq(names, maps.Keys(brings.groups))
	}
	for _, p := range slices.Sorted(maps.Keys(t.State.Paths)) {
		at := t.State.Paths[p]
		if _, there := accounts.UID(at.Owner); at.Owner != "" && !there && !brings.users[at.Owner] {
			list = append(list, fmt.Sprintf("user %q, who shall own %s", at.Owner, p)+hinted(t.Origin[p], at.Owner, users()))
		}
		if _, there := accounts.GID(at.Group); at.Group != "" && !there && !brings.groups[at.Group] {
			list = append(list, fmt.Sprintf("group %q, which shall own %s", at.Group, p)+hinted(t.Origin[p], at.Group, groups()))
		}
	}
	for _, a := range unitAccounts(t) {
		_, there := accounts.UID(a.name)
		known := users
		if a.key == "Group" {
			_, there = accounts.GID(a.name)
			known = groups
		}
		if !there && !brings.users[a.name] && !brings.groups[a.name] {
			list = append(list, fmt.Sprintf("%s %q, as which %s runs", strings.ToLower(a.key), a.name, a.unit)+hinted(t.Origin[a.path], a.name, known()))
		}
	}
	return list
}

// hinted says where the repository asks for a name that is not there, and which may be
// meant: " (roles/web/role.yaml:3; did you mean "nginx"?)".
func hinted(at plan.Place, name string, known []string) string {
	words := slices.DeleteFunc([]string{at.String(), manifest.DidYouMean(name, known)}, func(s string) bool { return s == "" })
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, "; ") + ")"
}

// unitAccount is who a unit's User= or Group= names.
type unitAccount struct{ unit, key, name, path string }

// unitAccounts finds who the target's units that shall run run as, as far as the
// repository's own files say so. Only systemd resolves specifiers and makes users of
// its own: such units are left to it.
func unitAccounts(t *plan.Target) []unitAccount {
	found := map[unitAccount]unitAccount{} // name and path left out -> all of it
	dynamic := map[string]bool{}
	for _, p := range slices.Sorted(maps.Keys(t.State.Paths)) {
		unit, at := unitOf(p), t.State.Paths[p]
		if unit == "" || at.Kind != plan.File || !shallRun(t, unit) {
			continue
		}
		file, err := units.ParseFile(p, t.Content[at.Digest])
		if err != nil {
			continue
		}
		for _, a := range file.Assignments {
			switch {
			case a.Section == "Service" && a.Key == "DynamicUser":
				dynamic[unit] = true
			case a.Section == "Service" && (a.Key == "User" || a.Key == "Group"):
				found[unitAccount{unit: unit, key: a.Key}] = unitAccount{unit, a.Key, a.Value, p}
			}
		}
	}
	var list []unitAccount
	for _, a := range found {
		if a.name != "" && !dynamic[a.unit] && !strings.Contains(a.name, "%") {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b unitAccount) int { return strings.Compare(a.unit+a.key, b.unit+b.key) })
	return list
}

// shallRun reports whether a unit, or an instance of it, shall run.
func shallRun(t *plan.Target, unit string) bool {
	for name, u := range t.State.Units {
		template, _, _ := units.Template(name)
		if u.Active && (name == unit || template == unit) {
			return true
		}
	}
	return false
}

// makeAccounts makes the accounts that a target brings, as systemd would at the
// next boot, because files and services of the same commit need them now. It
// runs when everything is known to be right, just before the first file is
// staged. A revert leaves them: a number that is given out must not come back
// as somebody else.
func (d *daemon) makeAccounts(ctx context.Context, t *plan.Target, n *now) error {
	brings := accountsOf(t)
	var fresh []string
	for name := range brings.users {
		if _, there := n.accounts.UID(name); !there {
			fresh = append(fresh, name)
		}
	}
	for name := range brings.groups {
		if _, there := n.accounts.GID(name); !there && !slices.Contains(fresh, name) {
			fresh = append(fresh, name)
		}
	}
	if len(fresh) == 0 || len(bytes.TrimSpace(brings.content)) == 0 {
		return nil
	}
	slices.Sort(fresh)
	d.log.Info("making accounts", "names", strings.Join(fresh, " "))
	if err := apply.MakeAccounts(ctx, brings.content); err != nil {
		return err
	}
	var err error
	n.accounts, err = apply.ReadAccounts(d.disk)
	return err
}
